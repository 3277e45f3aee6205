"""One entry for every number about samples: `evaluate` for images, `evaluate_points` for points.

Samples are compared with a reference split on equal counts, as every metric here depends on the count. Nothing of a training run is
disturbed: draws are private, and no model is touched.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ganvas.data import points as laws
from ganvas.data.cache import cache_directory
from ganvas.data.examples import Examples
from ganvas.data.progress import Progress, Silent
from ganvas.errors import require
from ganvas.metrics import density_coverage, precision_recall, store
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.extractor import Extractor, Reading
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.modes import REACH, count_modes
from ganvas.metrics.neighbours import nothing
from ganvas.metrics.wasserstein import sliced_wasserstein

COUNT = 10_000
"""Samples compared unless asked otherwise."""

FEWEST = 1 + max(precision_recall.K, density_coverage.K)
"""Samples below which neighbours are not defined."""

_BATCH = 250
_DIRECTIONS = 64
_GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


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
    batches = _batches(samples, wanted, seed)
    watcher.start(wanted, "features of the samples")
    try:
        reading, changes = _read_samples(batches, wanted, reference.spec.shape, extractor, convert, poll, watcher)
    finally:
        watcher.close()
    fake = reading.features
    _enough(len(fake), "samples")
    real = _reference_features(reference, min(len(fake), len(reference)), extractor, cache or cache_directory(), poll, watcher)
    values = _feature_values(real, fake, poll)
    protocol = {
        "features": extractor.protocol,
        "reference": {"split": reference.split, "count": len(real), "of": len(reference), "fingerprint": reference.fingerprint},
        "samples": {"count": len(fake), "seed": seed, "weights": weights, "changes": "; ".join(changes)},
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
    fake = samples[_choice(len(samples), _wanted(count, len(reference)), seed)]
    _enough(len(fake), "samples")
    real = reference[_choice(len(reference), len(fake), 0)]
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


def _choice(available: int, wanted: int, seed: int) -> Tensor:
    """Row numbers of `wanted` out of `available`, ascending: all, or random ones. The choice of fewer is a part of the choice of more."""
    if wanted >= available:
        return torch.arange(available)
    return torch.randperm(available, generator=Generator().manual_seed(seed))[:wanted].sort().values


def _batches(samples: Tensor | Iterable[Tensor], wanted: int, seed: int) -> Iterator[Tensor]:
    """Batches of sampled images."""
    if isinstance(samples, Tensor):
        require(samples.dim() == 4, f"samples: images (N, C, H, W) are wanted, not {tuple(samples.shape)}")
        yield from (samples[rows] for rows in _choice(len(samples), wanted, seed).split(_BATCH))
    else:
        yield from samples


def _read_samples(
    batches: Iterator[Tensor],
    wanted: int,
    shape: tuple[int, ...],
    extractor: Extractor,
    convert: bool,
    poll: Callable[[], None],
    progress: Progress,
) -> tuple[Reading, list[str]]:
    """The reading of the first `wanted` images, of fewer where the batches end earlier; and what was done to the images, in words."""
    found: list[Reading] = []
    count, changes = 0, ["rounded to 8 bits"]
    while count < wanted:
        poll()
        batch = next(batches, None)
        if batch is None:
            break
        images, changed = _fitted(_checked_images(batch[: wanted - count], count), shape, convert)
        changes += [change for change in changed if change not in changes]
        for part in images.split(_BATCH):
            poll()
            found.append(extractor.read(part))
            progress.advance(len(part))
        count += len(images)
    require(count > 0, "there are no samples to evaluate")
    probabilities = [reading.probabilities for reading in found if reading.probabilities is not None]
    return Reading(torch.cat([reading.features for reading in found]), torch.cat(probabilities) if probabilities else None), changes


def _checked_images(images: Tensor, first: int) -> Tensor:
    """Finite images in [-1, 1] as float32 on the processor, rounded to the 256 values that a file can hold."""
    require(images.dim() == 4, f"samples: images (N, C, H, W) are wanted, not {tuple(images.shape)}")
    require(images.is_floating_point(), f"samples: numbers in [-1, 1] are wanted, not {images.dtype}; map bytes x to x / 127.5 - 1")
    exact = images.detach().cpu().float()
    if exact.numel():
        bad = (~exact.flatten(1).isfinite().all(dim=1)).nonzero().flatten()
        require(len(bad) == 0, f"sample {first + int(bad[0]) if len(bad) else 0} holds NaN or infinity: the generator has diverged")
        low, high = float(exact.min()), float(exact.max())
        require(low >= -1.001 and high <= 1.001, f"samples: values in [-1, 1] are wanted, these reach from {low:g} to {high:g}")
    return exact.add(1).mul_(127.5).round_().clamp_(0, 255).div_(127.5).sub_(1)


def _fitted(images: Tensor, shape: tuple[int, ...], convert: bool) -> tuple[Tensor, list[str]]:
    """Images of the reference's `shape` (C, H, W), and what was done to them."""
    came = tuple(images.shape[1:])
    if came == tuple(shape):
        return images, []
    sizes = f"the samples are {' x '.join(map(str, came))} and the reference {' x '.join(map(str, shape))} (channels x height x width)"
    require(convert, f"{sizes}: use the reference of the samples' data, or allow conversion (convert=True)")
    changes = []
    if came[0] != shape[0]:
        require({came[0], shape[0]} == {1, 3}, f"{sizes}: only grey (1) and RGB (3) can be converted into each other")
        luma = images.new_tensor(_GREY).view(1, 3, 1, 1)
        images = images.expand(-1, 3, -1, -1) if shape[0] == 3 else (images * luma).sum(dim=1, keepdim=True)
        changes.append("grey turned into RGB" if shape[0] == 3 else "RGB turned into grey")
    if came[1:] != tuple(shape[1:]):
        images = F.interpolate(images, size=tuple(shape[1:]), mode="bilinear", antialias=True).clamp(-1, 1)
        changes.append(f"resized from {came[1]} x {came[2]} to {shape[1]} x {shape[2]}, bilinear, anti-aliased")
    return images, changes


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
        for rows in _choice(len(reference), count, 0).split(_BATCH):
            poll()
            found.append(extractor.features(reference.batch(rows).images))
            progress.advance(len(rows))
    finally:
        progress.close()
    features = torch.cat(found)
    store.write(folder, name, store.Entry({"features": features}, {"split": reference.split, "count": count}))
    return features
