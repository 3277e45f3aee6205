"""The entries for numbers about samples: `evaluate` for images, `evaluate_patches` for one image or few, `evaluate_points` for points.

Samples are compared with a reference split on equal counts, as the metrics of features depend on the count; that of patches does not.
Nothing of a training run is disturbed: draws are private, and no model is touched.
"""

import time
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.data import points as laws
from ganvas.data.cache import cache_directory
from ganvas.data.examples import Examples
from ganvas.data.progress import Progress, Silent
from ganvas.errors import require
from ganvas.metrics import density_coverage, patches, precision_recall, store
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.extractor import Extractor, Reading
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.incoming import BATCH, Incoming, choice
from ganvas.metrics.modes import REACH, count_modes
from ganvas.metrics.neighbours import nothing
from ganvas.metrics.patches import Patches
from ganvas.metrics.spread import Spread, contrast
from ganvas.metrics.wasserstein import sliced_wasserstein

COUNT = 10_000
"""Samples compared unless asked otherwise."""

FEWEST = 1 + max(precision_recall.K, density_coverage.K)
"""Samples below which neighbours are not defined."""

ALONE = 50
"""Samples compared with a single image unless asked otherwise."""

_DIRECTIONS = 64


def evaluate(
    samples: Tensor | Iterable[Tensor],
    reference: Examples,
    extractor: Extractor,
    *,
    count: int | None = None,
    seed: int = 0,
    weights: str = "not stated",
    convert: bool = False,
    cache: Path | None = None,
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare sampled images with a reference split.

    samples:   images (N, C, H, W) in [-1, 1], or batches of them, which are drawn only as far as needed. They are rounded to 8 bits, so
               that samples in memory and the same samples in files give equal numbers.
    count:     samples wanted; at most 10,000 or the size of the reference unless given. Of a larger tensor `count` random ones are
               taken, of a stream the first. As many reference images are taken, at most all; which ones is fixed.
    seed:      of the samples; also chooses among too many. Written into the protocol, as is `weights`, which says whose samples these
               are ("averaged", "trained").
    convert:   turn grey into RGB or back and resize where samples and reference differ; otherwise a difference is an error.
    cache:     where the reference's features are kept; the user's cache directory unless given.
    poll:      called between batches and blocks; it may raise to interrupt.

    `values` are fd, precision, recall (k = 3), density, coverage (k = 5) and, with a classifier, `classes` (found: at least 1 % of the
    samples; with more than 10 classes a tenth of an equal share) and `confidence`. Raises `GanvasError` for samples of another size,
    non-finite samples, samples outside [-1, 1], or fewer than 6.
    """
    started = time.perf_counter()
    require(reference.spec.kind == "images", f"the reference holds {reference.spec.kind}, not images (points have evaluate_points)")
    wanted = _wanted(count, len(reference))
    watcher = progress or Silent()
    incoming = Incoming(samples, wanted, reference.spec.shape, seed=seed, convert=convert)
    reading = _read(incoming, wanted, extractor, poll, watcher)
    fake = reading.features
    _enough(len(fake), "samples")
    real = _reference_features(reference, min(len(fake), len(reference)), extractor, cache or cache_directory(), poll, watcher)
    values = _feature_values(real, fake, poll)
    protocol = {
        "features": extractor.protocol,
        "reference": {"split": reference.split, "count": len(real), "of": len(reference), "fingerprint": reference.fingerprint},
        "samples": {"count": len(fake), "seed": seed, "weights": weights, "changes": "; ".join(incoming.changes)},
        **_neighbours(),
    }
    shares: dict[str, float] = {}
    if reading.probabilities is not None:
        least = min(0.01, 0.1 / len(extractor.classes))
        confidence, label = reading.probabilities.double().max(dim=1)
        found = torch.bincount(label, minlength=len(extractor.classes)).double() / len(fake)
        shares = dict(zip(extractor.classes, found.tolist(), strict=True))
        values |= {"classes": float((found >= least).sum()), "confidence": float(confidence.mean())}
        protocol["classes"] = {"of": len(extractor.classes), "found_from_share": least}
    protocol["seconds"] = round(time.perf_counter() - started, 3)
    return Evaluation(values=values, protocol=protocol, shares=shares)


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
    wanted = usual(len(reference), alone=ALONE) if count is None else count
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
        "reference": {"split": reference.split, "count": read, "of": len(reference), "fingerprint": reference.fingerprint},
        "samples": {"count": incoming.count, "seed": seed, "weights": weights, "changes": "; ".join(incoming.changes)},
        "diversity_of": "standard deviation of the pixels of the one image" if one_image else "the same of the reference",
    }
    if sizes[0] != sizes[1]:
        protocol["sizes"] = f"reference {size[0]} x {size[1]}, samples {sizes[1][0]} x {sizes[1][1]}: compared pixel by pixel, not resized"
    protocol["seconds"] = round(time.perf_counter() - started, 3)
    return Evaluation(values=values, protocol=protocol)


def usual(available: int, most: int = COUNT, alone: int = ALONE) -> int:
    """Samples to compare with so many reference examples, where nobody said: as many, at most `most`; with one image `alone`."""
    return min(most, available if available > 1 else alone)


def evaluate_points(
    samples: Tensor,
    reference: Tensor,
    modes: laws.Modes | None = None,
    *,
    split: str = "not stated",
    count: int | None = None,
    seed: int = 0,
    weights: str = "not stated",
    poll: Callable[[], None] = nothing,
) -> Evaluation:
    """Compare sampled points (N, D) with reference points (M, D), both in the data's own units (`DataSpec.native`).

    `values` are wasserstein (sliced over 64 directions; exact for D = 1), fd, precision, recall, density, coverage of the points
    themselves and, where the `modes` of the law are known, modes_found, modes_of and high_quality. Other arguments as in `evaluate`.
    Raises `GanvasError` for points that are not finite, of another D, or fewer than 6.
    """
    started = time.perf_counter()
    for name, points in (("samples", samples), ("reference points", reference)):
        require(points.dim() == 2, f"{name} of shape (N, D) are wanted, not {tuple(points.shape)}")
    wide = samples.shape[1] == reference.shape[1]
    require(wide, f"the samples have {samples.shape[1]} coordinates, the reference points {reference.shape[1]}")
    fake = samples[choice(len(samples), _wanted(count, len(reference)), seed)]
    _enough(len(fake), "samples")
    real = reference[choice(len(reference), len(fake), 0)]
    values = {"wasserstein": sliced_wasserstein(fake, real, directions=_DIRECTIONS)} | _feature_values(real, fake, poll)
    protocol: dict[str, Any] = {
        "features": "the points themselves, in the data's units",
        "reference": {"split": split, "count": len(real), "of": len(reference)},
        "samples": {"count": len(fake), "seed": seed, "weights": weights},
        "wasserstein": "exact" if fake.shape[1] == 1 else f"sliced, {_DIRECTIONS} directions",
        **_neighbours(),
    }
    if modes is not None:
        counted = count_modes(fake, modes.centres, modes.sigma)
        values |= {"modes_found": float(counted.found), "modes_of": float(counted.of), "high_quality": counted.high_quality}
        protocol["modes"] = {"sigma": modes.sigma, "reach": f"{REACH:g} sigma", "counts": list(counted.counts)}
    protocol["seconds"] = round(time.perf_counter() - started, 3)
    return Evaluation(values=values, protocol=protocol)


def _feature_values(real: Tensor, fake: Tensor, poll: Callable[[], None]) -> dict[str, float]:
    """The numbers that need nothing but features."""
    poll()
    distance = frechet_distance(*moments(real), *moments(fake))
    manifold = precision_recall.precision_recall(real, fake, poll=poll)
    spread = density_coverage.density_coverage(real, fake, poll=poll)
    return {
        "fd": distance,
        "precision": manifold.precision,
        "recall": manifold.recall,
        "density": spread.density,
        "coverage": spread.coverage,
    }


def _neighbours() -> dict[str, Any]:
    return {"neighbours": {"precision_recall": precision_recall.K, "density_coverage": density_coverage.K}}


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


def _read(incoming: Incoming, wanted: int, extractor: Extractor, poll: Callable[[], None], progress: Progress) -> Reading:
    """The reading of all samples."""
    found: list[Reading] = []
    progress.start(wanted, "features of the samples")
    try:
        for part in incoming.parts(poll):
            found.append(extractor.read(part))
            progress.advance(len(part))
    finally:
        progress.close()
    probabilities = [reading.probabilities for reading in found if reading.probabilities is not None]
    return Reading(torch.cat([reading.features for reading in found]), torch.cat(probabilities) if probabilities else None)


def _reference_features(
    reference: Examples,
    count: int,
    extractor: Extractor,
    cache: Path,
    poll: Callable[[], None],
    progress: Progress,
) -> Tensor:
    """Features (count, D) of a fixed choice of reference images, from the cache if they are there."""
    folder = cache / "features"
    name = store.key("features", reference.fingerprint, reference.split, len(reference), count, extractor.hash)
    stored = store.read(folder, name)
    if stored is not None:
        return stored.tensors["features"]
    found = []
    progress.start(count, "features of the reference")
    try:
        for rows in choice(len(reference), count, 0).split(BATCH):
            poll()
            found.append(extractor.features(reference.batch(rows).images))
            progress.advance(len(rows))
    finally:
        progress.close()
    features = torch.cat(found)
    store.write(folder, name, store.Entry({"features": features}, {"split": reference.split, "count": count}))
    return features
