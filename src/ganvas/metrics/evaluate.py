"""The entries for numbers about samples: `evaluate` for images, `evaluate_patches` for one image or few, `evaluate_points` for points.

Samples are compared with a reference split on equal counts, as the metrics of features depend on the count; that of patches does not.
Nothing of a training run is disturbed: draws are private, and no model is touched.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ganvas.data import points as laws
from ganvas.data.cache import cache_directory
from ganvas.data.examples import Examples
from ganvas.data.progress import Progress, Silent
from ganvas.engine.ranks import Ranks
from ganvas.errors import require
from ganvas.metrics import density_coverage, patches, precision_recall, store
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.extractor import Extractor, Reading
from ganvas.metrics.incoming import BATCH, Incoming, choice
from ganvas.metrics.kinds import DEFAULT, Metric
from ganvas.metrics.measures import OF_FEATURES, STREAMED, Features, Found, Streamed
from ganvas.metrics.modes import REACH, count_modes
from ganvas.metrics.neighbours import nothing
from ganvas.metrics.patches import Patches
from ganvas.metrics.spread import Spread, contrast
from ganvas.metrics.wasserstein import sliced_wasserstein

COUNT = 10_000
"""Samples compared unless asked otherwise."""

FEWEST = 1 + max(precision_recall.K, density_coverage.K)
"""Samples below which neighbours are not defined."""

SINGLE = 50
"""Samples compared with a single image unless asked otherwise."""

ALONE = Ranks()
"""One process."""

OF_POINTS: tuple[Metric, ...] = ("wasserstein", "fd", "prdc", "modes")
"""The numbers of points unless others are asked for."""

SEARCHED = 100_000
"""Training images among which samples are looked up at most."""

_DIRECTIONS = 64


def evaluate(
    samples: Tensor | Iterable[Tensor],
    reference: Examples,
    extractor: Extractor,
    *,
    metrics: Sequence[Metric] = DEFAULT,
    training: Examples | None = None,
    count: int | None = None,
    seed: int = 0,
    weights: str = "not stated",
    convert: bool = False,
    cache: Path | None = None,
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Compare sampled images with a reference split.

    samples:   images (N, C, H, W) in [-1, 1], or batches of them, which are drawn only as far as needed. They are rounded to 8 bits, so
               that samples in memory and the same samples in files give equal numbers.
    metrics:   the numbers wanted, of `measures.OF_FEATURES` and `measures.STREAMED`.
    training:  the training split, which some metrics look samples up in; None where the reference is the training split itself.
    count:     samples wanted; at most 10,000 or the size of the reference unless given. Of a larger tensor `count` random ones are
               taken, of a stream the first. As many reference images are taken, at most all; which ones is fixed.
    seed:      of the samples; also chooses among too many. Written into the protocol, as is `weights`, which says whose samples these
               are ("averaged", "trained").
    convert:   turn grey into RGB or back and resize where samples and reference differ; otherwise a difference is an error.
    cache:     where the reference's features are kept; the user's cache directory unless given.
    poll:      called between batches and blocks; it may raise to interrupt.
    ranks:     processes that share the work; all must come with the same samples, and all return the same numbers.

    `values` are fd (fid where the extractor is the Inception network), precision, recall (k = 3), density, coverage (k = 5) and, with a
    classifier of the data, `classes` (found: at least 1 % of the samples; with more than 10 classes a tenth of an equal share) and
    `confidence`, unless other metrics are asked for. Raises `GanvasError` for samples of another size, non-finite samples, samples outside
    [-1, 1], fewer than 6, and for metrics that these data do not allow.
    """
    started = time.perf_counter()
    require(reference.spec.kind == "images", f"the reference holds {reference.spec.kind}, not images (points have evaluate_points)")
    unknown = [name for name in metrics if name not in OF_FEATURES and name not in STREAMED]
    require(not unknown, f"--metrics {' '.join(unknown)}: cannot be made of images alone")
    wanted = _wanted(count, len(reference))
    watcher, where = progress or Silent(), cache or cache_directory()
    incoming = Incoming(samples, wanted, reference.spec.shape, seed=seed, convert=convert)
    streamed = {name: STREAMED[name](seed, poll) for name in metrics if name in STREAMED}
    of_features = [name for name in metrics if name in OF_FEATURES]
    labelled = bool(extractor.classes) and any(one.reads_labels for one in streamed.values())
    reading, seen = _read(incoming, wanted, extractor if of_features or labelled else None, streamed, poll, watcher, ranks)
    _enough(seen, "samples")
    compared = min(seen, len(reference))
    found: dict[str, Found] = {}
    if of_features:
        assert reading is not None
        real = _reference_features(reference, compared, extractor, where, poll, watcher, ranks)
        found = _of_features(of_features, real, reading, extractor, _shares(reference), seed, poll)
    _stream(streamed, reference, compared, training, poll, watcher)
    found |= {name: measure.found() for name, measure in streamed.items()}
    compared_with = about(reference, compared)
    drawn = {"count": seen, "seed": seed, "weights": weights, "changes": "; ".join(incoming.changes)}
    protocol = {"features": extractor.protocol, "reference": compared_with, "samples": drawn}
    return _joined(metrics, found, protocol, started, _classes_of(reading, extractor) if of_features else {})


def _of_features(
    names: Sequence[Metric],
    real: Tensor,
    reading: Reading,
    extractor: Extractor,
    shares: Tensor | None,
    seed: int,
    poll: Callable[[], None],
) -> dict[str, Found]:
    """The metrics of two sets of features: those of the reference and what was read of the samples."""
    sets = Features(
        real=real,
        fake=reading.features,
        probabilities=reading.probabilities,
        classes=extractor.classes,
        shares=shares,
        standard=extractor.standard,
        seed=seed,
        poll=poll,
    )
    return {name: OF_FEATURES[name](sets) for name in names}


def _classes_of(reading: Reading | None, extractor: Extractor) -> dict[str, float]:
    """The share of samples that a classifier of the data puts into each class; empty without one."""
    if reading is None or reading.probabilities is None or not extractor.classes:
        return {}
    counts = torch.bincount(reading.probabilities.argmax(dim=1), minlength=len(extractor.classes)).double()
    return dict(zip(extractor.classes, (counts / len(reading.probabilities)).tolist(), strict=True))


def _joined(
    metrics: Sequence[Metric], found: Mapping[str, Found], protocol: dict[str, Any], started: float, shares: Mapping[str, float]
) -> Evaluation:
    """The evaluation of what was found, numbers and their protocol in the order of the metrics."""
    values = {name: value for each in metrics for name, value in found[each].values.items()}
    for each in metrics:
        protocol |= found[each].protocol
    protocol["seconds"] = round(time.perf_counter() - started, 3)
    return Evaluation(values=values, protocol=protocol, shares=dict(shares))


def evaluate_patches(
    samples: Tensor | Iterable[Tensor],
    reference: Examples,
    *,
    count: int | None = None,
    seed: int = 0,
    weights: str = "not stated",
    convert: bool = False,
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare the patches of sampled images with those of a reference split of any size, down to one image.

    `values` are patch_kd, the kernel distance of `ganvas.metrics.patches`, mean over scales; diversity, the spread of the samples, where
    there are at least two; and diversity_of, that of the reference, or of the pixels of its one image. Fewer samples mean more chance, not
    another mean. `count` is 50 for a single image, else at most 10,000 or the size of the reference, unless given. `seed` also draws the
    patches. Samples of a single image may be of any one size. Other arguments and errors as in `evaluate`, but one sample is enough.
    """
    started = time.perf_counter()
    require(reference.spec.kind == "images", f"the reference holds {reference.spec.kind}, not images (points have evaluate_points)")
    wanted = usual(len(reference), alone=SINGLE) if count is None else count
    require(wanted >= 1, f"an evaluation of patches needs at least 1 sample, and there are {wanted}")
    watcher, size = progress or Silent(), (reference.spec.shape[1], reference.spec.shape[2])
    one_image = len(reference) == 1
    incoming = Incoming(samples, wanted, reference.spec.shape, seed=seed, convert=convert, any_size=one_image and not convert)
    arriving = incoming.parts(poll)
    watcher.start(wanted, "patches of the samples")
    try:
        part = next(arriving)
        sizes = size, (part.shape[2], part.shape[3])
        scales, side = patches.levels(*sizes), min(patches.SIDE, *sizes[0], *sizes[1])
        fake, spread = Patches(wanted, scales, side, seed=seed, whose="samples"), Spread()
        for images in chain([part], arriving):
            fake.add(images)
            spread.add(images)
            watcher.advance(len(images))
    finally:
        watcher.close()
    real, again, varied = _reference_patches(reference, scales, side, poll, watcher)
    found = patches.distances(real, fake, scales, poll=poll)
    values = {"patch_kd": sum(found) / scales}
    if incoming.count > 1:
        values["diversity"] = spread.value()
    values["diversity_of"] = varied
    read = min(COUNT, len(reference))
    protocol: dict[str, Any] = {
        "features": patches.protocol(scales, side),
        "patch_kd": {
            "by_scale": [float(f"{one:.4g}") for one in found],
            "of_the_data_to_themselves": float(f"{patches.own_distance(real, again, scales, poll=poll):.4g}"),
        },
        "reference": about(reference, read),
        "samples": {"count": incoming.count, "seed": seed, "weights": weights, "changes": "; ".join(incoming.changes)},
        "diversity_of": "standard deviation of the pixels of the one image" if one_image else "the same of the reference",
    }
    if sizes[0] != sizes[1]:
        protocol["sizes"] = f"reference {size[0]} x {size[1]}, samples {sizes[1][0]} x {sizes[1][1]}: compared pixel by pixel, not resized"
    protocol["seconds"] = round(time.perf_counter() - started, 3)
    return Evaluation(values=values, protocol=protocol)


def usual(available: int, most: int = COUNT, alone: int = SINGLE) -> int:
    """Samples to compare with so many reference examples, where nobody said: as many, at most `most`; with one image `alone`."""
    return min(most, available if available > 1 else alone)


def evaluate_points(
    samples: Tensor,
    reference: Tensor,
    modes: laws.Modes | None = None,
    *,
    metrics: Sequence[Metric] = OF_POINTS,
    split: str = "not stated",
    count: int | None = None,
    seed: int = 0,
    weights: str = "not stated",
    poll: Callable[[], None] = nothing,
) -> Evaluation:
    """Compare sampled points (N, D) with reference points (M, D), both in the data's own units (`DataSpec.native`).

    `values` are wasserstein (sliced over 64 directions; exact for D = 1), fd, precision, recall, density, coverage of the points
    themselves and, where the `modes` of the law are known, modes_found, modes_of, high_quality and modes_kl, unless other `metrics` are
    asked for (kid is there too). Other arguments as in `evaluate`.
    Raises `GanvasError` for points that are not finite, of another D, or fewer than 6.
    """
    started = time.perf_counter()
    require(samples.dim() != 4, "the samples are images and the reference holds points: compare them with images (--data)")
    for name, points in (("samples", samples), ("reference points", reference)):
        require(points.dim() == 2, f"{name} of shape (N, D) are wanted, not {tuple(points.shape)}")
        require(bool(points.isfinite().all()), f"the {name} hold NaN or infinity")
    wide = samples.shape[1] == reference.shape[1]
    require(wide, f"the samples have {samples.shape[1]} coordinates, the reference points {reference.shape[1]}")
    fake = samples[choice(len(samples), _wanted(count, len(reference)), seed)]
    _enough(len(fake), "samples")
    real = reference[choice(len(reference), len(fake), 0)]
    sets = Features(real=real, fake=fake, seed=seed, poll=poll)
    found: dict[str, Found] = {}
    for name in metrics:
        if name == "wasserstein":
            said = "exact" if fake.shape[1] == 1 else f"sliced, {_DIRECTIONS} directions"
            found[name] = Found({name: sliced_wasserstein(fake, real, directions=_DIRECTIONS)}, {name: said})
        elif name == "modes":
            found[name] = Found({}) if modes is None else _modes(fake, modes)
        else:
            require(name in ("fd", "kid", "prdc"), f"--metrics {name}: not of points; they have {', '.join((*OF_POINTS, 'kid'))}")
            found[name] = OF_FEATURES[name](sets)
    protocol = {
        "features": "the points themselves, in the data's units",
        "reference": {"split": split, "count": len(real), "of": len(reference)},
        "samples": {"count": len(fake), "seed": seed, "weights": weights},
    }
    return _joined(metrics, found, protocol, started, {})


def _modes(points: Tensor, law: laws.Modes) -> Found:
    counted = count_modes(points, law.centres, law.sigma)
    values = {"modes_found": float(counted.found), "modes_of": float(counted.of), "high_quality": counted.high_quality}
    values["modes_kl"] = counted.divergence
    said = {"sigma": law.sigma, "reach": f"{REACH:g} sigma", "counts": list(counted.counts)}
    said["kl"] = "of each sample's nearest mode to equal shares, in nats"
    return Found(values, {"modes": said})


def about(reference: Examples, count: int) -> dict[str, Any]:
    """What the protocol says of the reference, and of its sizes what the data's own notes say."""
    resized = "; ".join(note.removeprefix("data: ") for note in reference.notes() if "resized (bicubic" in note)
    facts = {"split": reference.split, "count": count, "of": len(reference), "resize": resized or "none"}
    return facts | {"fingerprint": reference.fingerprint}


def _wanted(count: int | None, available: int) -> int:
    _enough(available, "reference examples")
    wanted = min(COUNT, available) if count is None else count
    _enough(wanted, "samples")
    return wanted


def _enough(count: int, what: str) -> None:
    require(count >= FEWEST, f"an evaluation needs at least {FEWEST} {what}, and there are {count}")


def _reference_patches(
    reference: Examples, scales: int, side: int, poll: Callable[[], None], progress: Progress
) -> tuple[Patches, Patches, float]:
    """Two draws of the patches of (at most 10,000 of) the reference, and its spread; of one image that of its pixels."""
    rows = choice(len(reference), COUNT, 0)
    first, second = (Patches(len(rows), scales, side, seed=0, whose=whose) for whose in ("reference", "reference again"))
    spread = Spread()
    progress.start(len(rows), "patches of the reference")
    try:
        for numbers in rows.split(BATCH):
            poll()
            images = reference.batch(numbers).images
            for part in (first, second, spread):
                part.add(images)
            progress.advance(len(numbers))
    finally:
        progress.close()
    return first, second, spread.value() if len(rows) > 1 else contrast(images[0])


def _read(
    incoming: Incoming,
    wanted: int,
    extractor: Extractor | None,
    streamed: Mapping[Metric, Streamed],
    poll: Callable[[], None],
    progress: Progress,
    ranks: Ranks,
) -> tuple[Reading | None, int]:
    """The reading of all samples (None without an extractor), which pass by the streamed measures; and how many there were."""
    found: list[Reading] = []
    waiting: list[Tensor] = []

    def parts() -> Iterator[Tensor]:
        for part in incoming.parts(poll):
            waiting.append(part)
            yield part

    def read(part: Tensor) -> Reading | None:
        return None if extractor is None else extractor.read(part)

    progress.start(wanted, "features of the samples" if extractor is not None else "samples")
    try:
        for reading in ranks.shared(read, parts()):
            part, labels = waiting.pop(0), None
            if reading is not None:
                found.append(reading)
                if extractor is not None and extractor.classes and reading.probabilities is not None:
                    labels = reading.probabilities.argmax(dim=1)
            for measure in streamed.values():
                measure.sample(part, labels)
            progress.advance(len(part))
    finally:
        progress.close()
    if extractor is None:
        return None, incoming.count
    probabilities = [reading.probabilities for reading in found if reading.probabilities is not None]
    return Reading(torch.cat([reading.features for reading in found]), torch.cat(probabilities) if probabilities else None), incoming.count


def _stream(
    streamed: Mapping[Metric, Streamed],
    reference: Examples,
    count: int,
    training: Examples | None,
    poll: Callable[[], None],
    progress: Progress,
) -> None:
    """Let a fixed choice of reference images, and the training images, pass by the measures."""
    looking = [measure for measure in streamed.values() if measure.reads_training] if training is not None else []
    searched = 0 if training is None or not looking else min(SEARCHED, len(training))
    if not streamed:
        return
    progress.start(count + searched, "images of the data")
    try:
        for rows in choice(len(reference), count, 0).split(BATCH):
            poll()
            batch = reference.batch(rows)
            labels = batch.labels if reference.spec.classes else None
            for measure in streamed.values():
                measure.real(batch.images, labels)
            progress.advance(len(rows))
        if training is not None and searched:
            for rows in choice(len(training), searched, 0).split(BATCH * 10):
                poll()
                images = training.batch(rows).images
                for measure in looking:
                    measure.training(images)
                progress.advance(len(rows))
    finally:
        progress.close()


def _shares(reference: Examples) -> Tensor | None:
    """The share (K,) of each class, None without classes."""
    counts = torch.tensor(reference.label_counts(), dtype=torch.float64)
    return counts / counts.sum() if len(counts) else None


def _reference_features(
    reference: Examples,
    count: int,
    extractor: Extractor,
    cache: Path,
    poll: Callable[[], None],
    progress: Progress,
    ranks: Ranks,
) -> Tensor:
    """Features (count, D) of a fixed choice of reference images, from the cache if they are there."""
    folder = cache / "features"
    name = store.key("features", reference.fingerprint, reference.split, len(reference), count, extractor.hash)
    stored = ranks.agree(store.read(folder, name) if ranks.first else None)
    if stored is not None:
        return cast(Tensor, stored.tensors["features"])

    def read(rows: Tensor) -> Tensor:
        poll()
        return extractor.features(reference.batch(rows).images)

    found = []
    progress.start(count, "features of the reference")
    try:
        for part in ranks.shared(read, choice(len(reference), count, 0).split(BATCH)):
            found.append(part)
            progress.advance(len(part))
    finally:
        progress.close()
    features = torch.cat(found)
    if ranks.first:
        store.write(folder, name, store.Entry({"features": features}, {"split": reference.split, "count": count}))
    return features
