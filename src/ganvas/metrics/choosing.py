"""What samples of given data are compared on, chosen by what the data have, and said beside the numbers.

| data | compared on |
|---|---|
| at least two classes | features of a classifier |
| no classes, at least 1,000 images | features of a rotation network |
| the same, but the network hardly beats chance: they look alike however they are turned | patches |
| no classes and fewer images; fewer than 6 images in all or to compare with | patches |

Patches, not pixels, take the place of a rotation network that learnt nothing: such data are textures or have no upright, and the patches of
the coarsest scale still compare layout, while distances between pixels take blurred images for good ones.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from torch import Tensor

from ganvas.data.examples import Examples
from ganvas.data.progress import Progress
from ganvas.data.stacked import Stacked
from ganvas.engine.ranks import Ranks
from ganvas.errors import require
from ganvas.metrics.evaluate import ALONE, COUNT, FEWEST, evaluate, evaluate_patches, usual
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.extractor import ChannelsExtractor, Extractor, PixelExtractor, classifier_for
from ganvas.metrics.kinds import DEFAULT, Kind, Metric
from ganvas.metrics.neighbours import nothing
from ganvas.metrics.rotations import CHANCE, rotations_for

ENOUGH = 1_000
"""Training images from which a rotation network is trained without being asked for."""


@final
@dataclass(frozen=True)
class Comparison:
    """How samples are compared: on the features of an `extractor`, or, where it is None, on patches; and `why`, for the protocol."""

    extractor: Extractor | None
    why: str

    def count(self, reference: Examples, most: int = COUNT) -> int:
        """Samples to draw where nobody said: as many as the reference has, at most `most`; with one image 50."""
        return usual(len(reference), most)

    def evaluate(
        self,
        samples: Tensor | Iterable[Tensor],
        reference: Examples,
        *,
        count: int | None = None,
        seed: int = 0,
        weights: str = "not stated",
        convert: bool = False,
        metrics: Sequence[Metric] = DEFAULT,
        training: Examples | None = None,
        cache: Path | None = None,
        poll: Callable[[], None] = nothing,
        progress: Progress | None = None,
        ranks: Ranks = ALONE,
    ) -> Evaluation:
        """`ganvas.metrics.evaluate.evaluate` or `evaluate_patches`, with the entry `chosen` first in the protocol."""
        if self.extractor is None:
            asked = "" if tuple(metrics) == DEFAULT else " ".join(metrics)
            require(not asked, f"--metrics {asked}: these data are compared by patches ({self.why}); name features with --features")
            found = evaluate_patches(
                samples, reference, count=count, seed=seed, weights=weights, convert=convert, poll=poll, progress=progress
            )
        else:
            found = evaluate(
                samples,
                reference,
                self.extractor,
                metrics=metrics,
                training=training,
                count=count,
                seed=seed,
                weights=weights,
                convert=convert,
                cache=cache,
                poll=poll,
                progress=progress,
                ranks=ranks,
            )
        return replace(found, protocol={"chosen": self.why, **found.protocol})


def choose(
    examples: Examples,
    held_out: Examples | None,
    *,
    features: Kind = "auto",
    cache: Path | None = None,
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
) -> Comparison:
    """What to compare samples with `held_out` on, or, where that is None, with `examples`, the training split.

    What has to be trained for it is trained on `examples`, or read from the cache; arguments as in `classifier_for`. `features` overrides
    the choice. Raises `GanvasError` where what is asked for cannot be: a classifier without labels, features of fewer than 6 images.
    """
    reference = held_out or examples
    fewest, labelled = min(len(examples), len(reference)), len(examples.spec.classes) >= 2
    if features == "auto":
        if fewest < FEWEST:
            return Comparison(None, f"patches: {_images(fewest)} {'is' if fewest == 1 else 'are'} too few for features")
        if labelled:
            return Comparison(_classifier(examples, held_out, cache, poll, progress), "classifier: the data have labels")
        many = f"the data have no labels and {_images(len(examples))}"
        if len(examples) < ENOUGH:
            return Comparison(None, f"patches: {many}, fewer than {ENOUGH:,}")
        rotations = rotations_for(examples, held_out, cache=cache, poll=poll, progress=progress)
        if rotations.useful:
            return Comparison(rotations, f"rotations: {many}")
        told = f"a network tells only {rotations.accuracy:.3f} of their rotations (chance {CHANCE:g})"
        return Comparison(None, f"patches: {many}, but {told}: they look alike however they are turned")
    why = f"{features}: asked for"
    if features == "patches":
        return Comparison(None, why)
    enough = f"--features {features}: features need at least {FEWEST} images, and there are {fewest}: use --features patches"
    require(fewest >= FEWEST, enough)
    if features == "inception":
        from ganvas.metrics.inception import inception

        return Comparison(inception(cache=cache, poll=poll, progress=progress), why)
    if features == "pixels":
        return Comparison(PixelExtractor(), why)
    if features == "rotations":
        return Comparison(rotations_for(examples, held_out, cache=cache, poll=poll, progress=progress), why)
    none = "the data have no labels" if not examples.spec.classes else "the data have only one class"
    require(labelled, f"--features classifier: {none}: use --features rotations or patches, or leave it out")
    return Comparison(_classifier(examples, held_out, cache, poll, progress), why)


def _classifier(
    examples: Examples, held_out: Examples | None, cache: Path | None, poll: Callable[[], None], progress: Progress | None
) -> Extractor:
    """The classifier of the data; of stacked grey images that of one channel, which reads each."""
    if not isinstance(examples, Stacked):
        return classifier_for(examples, held_out, cache=cache, poll=poll, progress=progress)
    below = held_out.digits if isinstance(held_out, Stacked) else None
    single = classifier_for(examples.digits, below, cache=cache, poll=poll, progress=progress)
    return ChannelsExtractor(single, examples.spec.classes)


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
