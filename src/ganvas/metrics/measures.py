"""The numbers that `evaluate` makes of samples and a reference: of their features, or of the images as they pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import GanvasError, require
from ganvas.metrics import birthday, density_coverage, kid, laplacian, memorised, parzen, precision_recall, spectrum
from ganvas.metrics.class_modes import class_modes
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.inception_score import SPLITS, inception_score
from ganvas.metrics.kinds import Metric
from ganvas.metrics.ms_ssim import Pairs
from ganvas.metrics.similarity import scales_for

QUERIES = 2_000
"""Samples, and held-out images, that are looked up among the training images, or searched for duplicates."""

SIDE = 32
"""Pixels of the longer side at which images are compared pixel by pixel; larger ones are averaged over areas."""

_LARGEST = 2**28  # values of all samples that a Parzen window holds at most: 2 GiB of float64


@dataclass(frozen=True)
class Found:
    """Numbers by name, all finite, and what the protocol says of them."""

    values: dict[str, float]
    protocol: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Features:
    """What stands for the two sets: `real` (N, D) and `fake` (M, D), and the class `probabilities` (M, K) of the samples, if the extractor
    gives them; the names of its `classes` where they are the data's, and the data's `shares` (K,) of each. `standard` says whether the
    extractor is the Inception network of published numbers."""

    real: Tensor
    fake: Tensor
    probabilities: Tensor | None = None
    classes: tuple[str, ...] = ()
    shares: Tensor | None = None
    standard: bool = False
    seed: int = 0
    poll: Callable[[], None]


def frechet(sets: Features) -> Found:
    sets.poll()
    distance = frechet_distance(*moments(sets.real), *moments(sets.fake))
    dimension, fewest = sets.real.shape[1], min(len(sets.real), len(sets.fake))
    singular = f"{fewest:,} images of {dimension} features: covariances are singular, and the distance is biased upwards"
    return Found({"fid" if sets.standard else "fd": distance}, {"frechet": singular} if fewest <= dimension else {})


def kernel(sets: Features) -> Found:
    """The kernel is made for features about 1 in size, as the Inception network's are: of features of length 1 it would see the mean alone.
    So others are scaled."""
    sets.poll()
    size = sets.real.double().square().mean().sqrt().item() if not sets.standard else 1.0
    size = size or 1.0  # of features that are all 0
    found = kid.kernel_inception_distance(sets.real / size, sets.fake / size, seed=sets.seed)
    scaled = "" if sets.standard else "; features scaled so that the reference's have mean square 1"
    return Found(
        {"kid": found.distance, "kid_deviation": found.deviation},
        {"kid": f"{found.subsets} subsets of {found.size:,}, kernel (x . y / D + 1)^3, unbiased{scaled}"},
    )


def score(sets: Features) -> Found:
    if sets.probabilities is None:
        raise GanvasError("--metrics is: the Inception Score needs class probabilities; use --features classifier or inception")
    splits = min(SPLITS, len(sets.probabilities))
    found = inception_score(sets.probabilities, splits=splits)
    of = "of the Inception network" if sets.standard else f"of the data's own classifier, {len(sets.classes)} at most"
    return Found({"is": found.score, "is_deviation": found.deviation}, {"is": f"{splits} splits, {of}"})


def neighbourhoods(sets: Features) -> Found:
    sets.poll()
    manifold = precision_recall.precision_recall(sets.real, sets.fake, poll=sets.poll)
    spread = density_coverage.density_coverage(sets.real, sets.fake, poll=sets.poll)
    values = {
        "precision": manifold.precision,
        "recall": manifold.recall,
        "density": spread.density,
        "coverage": spread.coverage,
    }
    return Found(values, {"neighbours": {"precision_recall": precision_recall.K, "density_coverage": density_coverage.K}})


def found_classes(sets: Features) -> Found:
    if sets.probabilities is None or not sets.classes:
        return Found({})
    least = min(0.01, 0.1 / len(sets.classes))
    confidence, label = sets.probabilities.double().max(dim=1)
    shares = torch.bincount(label, minlength=len(sets.classes)).double() / len(label)
    values = {"classes": float((shares >= least).sum()), "confidence": float(confidence.mean())}
    return Found(values, {"classes": {"of": len(sets.classes), "found_from_share": least}})


def modes(sets: Features) -> Found:
    if sets.probabilities is None or not sets.classes or sets.shares is None:
        raise GanvasError("--metrics modes: images have modes where they have classes; use --features classifier on labelled data")
    found = class_modes(sets.probabilities.argmax(dim=1), sets.shares)
    values = {"modes_found": float(found.found), "modes_of": float(found.of), "modes_kl": found.divergence}
    return Found(values, {"modes": "classes of the data, found with one sample; KL to the reference's shares, in nats"})


OF_FEATURES: Mapping[Metric, Callable[[Features], Found]] = {
    "fd": frechet,
    "kid": kernel,
    "is": score,
    "prdc": neighbourhoods,
    "classes": found_classes,
    "modes": modes,
}


class Streamed(ABC):
    """A measure of images (N, C, H, W) in [-1, 1] that come in batches: all samples first, then the reference, then training images."""

    reads_training = False
    reads_labels = False

    @abstractmethod
    def sample(self, images: Tensor, labels: Tensor | None) -> None:
        """The next samples, and their classes (N,) where a classifier of the data is at hand."""

    @abstractmethod
    def real(self, images: Tensor, labels: Tensor | None) -> None:
        """The next reference images, and their classes (N,)."""

    def training(self, images: Tensor) -> None:
        """The next training images."""
        raise AssertionError("this measure reads no training images")

    @abstractmethod
    def found(self) -> Found: ...


@final
class Spectrum(Streamed):
    def __init__(self, seed: int, poll: Callable[[], None]) -> None:
        self._sums: list[Tensor | None] = [None, None]
        self._counts = [0, 0]

    def sample(self, images: Tensor, labels: Tensor | None) -> None:
        self._add(0, images)

    def real(self, images: Tensor, labels: Tensor | None) -> None:
        self._add(1, images)

    def _add(self, which: int, images: Tensor) -> None:
        before, power = self._sums[which], spectrum.profile(images).sum(dim=0)
        self._sums[which] = power if before is None else before + power
        self._counts[which] += len(images)

    def found(self) -> Found:
        fake, real = (total / count for total, count in zip(self._sums, self._counts, strict=True) if total is not None)
        said = f"mean difference of log10 power over {len(fake)} frequencies, {self._counts[0]:,} and {self._counts[1]:,} images"
        return Found({"spectrum": spectrum.difference(fake, real)}, {"spectrum": said})


@final
class Variety(Streamed):
    reads_labels = True

    def __init__(self, seed: int, poll: Callable[[], None]) -> None:
        self._fake, self._real, self._poll = Pairs(), Pairs(), poll
        self._scales, self._labelled = 0, False

    def sample(self, images: Tensor, labels: Tensor | None) -> None:
        self._scales, self._labelled = scales_for(images.shape[2], images.shape[3]), labels is not None
        self._fake.add(images, labels, poll=self._poll)

    def real(self, images: Tensor, labels: Tensor | None) -> None:
        self._real.add(images, labels if self._labelled else None, poll=self._poll)

    def found(self) -> Found:
        kind = "pairs of one class" if self._labelled else "any pairs"
        said = f"{self._fake.pairs:,} {kind}, {self._scales} of 5 scales" + ("" if self._scales == 5 else " (5 need 176 pixels)")
        return Found({"ms_ssim": self._fake.value(), "ms_ssim_of_data": self._real.value()}, {"ms_ssim": said})


@final
class Pyramid(Streamed):
    def __init__(self, seed: int, poll: Callable[[], None]) -> None:
        self._fake, self._real = laplacian.Descriptors(seed=seed), laplacian.Descriptors(seed=seed + 1)

    def sample(self, images: Tensor, labels: Tensor | None) -> None:
        self._fake.add(images)

    def real(self, images: Tensor, labels: Tensor | None) -> None:
        self._real.add(images)

    def found(self) -> Found:
        levels = laplacian.distances(self._fake, self._real)
        by_level = {f"{height} x {width}": round(value, 3) for (height, width), value in zip(self._fake.sizes, levels, strict=True)}
        said = f"{laplacian.EACH} patches of {laplacian.SIDE} x {laplacian.SIDE} of {self._fake.images:,} images, times 1,000"
        return Found({"swd": sum(levels) / len(levels)}, {"swd": {"by_level": by_level, "of": said}})


@final
class ParzenWindow(Streamed):
    reads_training = True

    def __init__(self, seed: int, poll: Callable[[], None]) -> None:
        self._sets: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        self._poll, self._held, self._kept = poll, 0, 0

    def sample(self, images: Tensor, labels: Tensor | None) -> None:
        self._held += images.numel()
        too_many = f"--metrics parzen: a window holds all samples in memory, and {self._held:,} values are too many; use a smaller --count"
        require(self._held <= _LARGEST, too_many)
        self._sets[0].append(_unit(images))

    def real(self, images: Tensor, labels: Tensor | None) -> None:
        self._sets[1].append(_unit(images))

    def training(self, images: Tensor) -> None:
        self._sets[2].append(_unit(images[: max(0, parzen.VALIDATION - self._kept)]))
        self._kept += len(self._sets[2][-1])

    def found(self) -> Found:
        samples, test, validation = (torch.cat(rows) if rows else torch.zeros(0, 1) for rows in self._sets)
        chosen_on = f"{len(validation):,} training images"
        if len(validation) == 0:
            kept = min(parzen.VALIDATION, len(test) // 2)
            validation, test, chosen_on = test[:kept], test[kept:], f"{kept:,} images of the reference"
        found = parzen.parzen(samples, validation, test, poll=self._poll)
        said = f"{len(samples):,} windows of sigma {found.sigma:.4g}, chosen of 10 on {chosen_on}; {len(test):,} test images; nats"
        return Found({"parzen": found.nats, "parzen_error": found.error}, {"parzen": said})


@final
class Birthday(Streamed):
    def __init__(self, seed: int, poll: Callable[[], None]) -> None:
        self._fake, self._real, self._poll = Kept(QUERIES), Kept(QUERIES), poll

    def sample(self, images: Tensor, labels: Tensor | None) -> None:
        self._fake.add(images)

    def real(self, images: Tensor, labels: Tensor | None) -> None:
        self._real.add(images)

    def found(self) -> Found:
        fake, real = self._fake.rows(), self._real.rows()
        found = birthday.support_size(fake, real, poll=self._poll)
        said = {
            "pairs": f"{found.pairs:,} of duplicates in {min(len(fake), len(real)):,} samples, {found.pairs_of_reals:,} in as many reals",
            "duplicate": f"at most {found.distance / fake.shape[1] ** 0.5:.4g} apart, root mean square per value",
        }
        return Found({"support": found.samples, "support_of_data": found.reals}, {"support": said})


@final
class Copies(Streamed):
    reads_training = True

    def __init__(self, seed: int, poll: Callable[[], None]) -> None:
        self._fake, self._real, self._poll = Kept(QUERIES), Kept(QUERIES), poll
        self._nearest: memorised.Nearest | None = None
        self._searched = 0

    def sample(self, images: Tensor, labels: Tensor | None) -> None:
        self._fake.add(images)

    def real(self, images: Tensor, labels: Tensor | None) -> None:
        self._real.add(images)

    def training(self, images: Tensor) -> None:
        self._nearest = self._nearest or memorised.Nearest(torch.cat([self._fake.rows(), self._real.rows()]))
        self._nearest.among(small(images), poll=self._poll)
        self._searched += len(images)

    def found(self) -> Found:
        none = "--metrics copying: the data have no held-out split, so nothing says how near an image that is no copy lies"
        if self._nearest is None:
            raise GanvasError(none)
        near, usual = self._nearest.distances().split([len(self._fake.rows()), len(self._real.rows())])
        found = memorised.copying(near, usual)
        values = {"copying": found.copying, "copies": found.copies}
        said = f"{len(near):,} samples and {len(usual):,} held-out images among {self._searched:,} training images, by pixels"
        return Found(values, {"copying": {"of": said, "nearest": round(found.distance, 4), "of_data": round(found.distance_of_data, 4)}})


STREAMED: Mapping[Metric, Callable[[int, Callable[[], None]], Streamed]] = {
    "swd": Pyramid,
    "spectrum": Spectrum,
    "ms-ssim": Variety,
    "parzen": ParzenWindow,
    "birthday": Birthday,
    "copying": Copies,
}


@final
class Kept:
    """The first `most` of a stream of images, reduced to 32 pixels, as rows."""

    def __init__(self, most: int) -> None:
        self._left, self._parts = most, list[Tensor]()

    def add(self, images: Tensor) -> None:
        if self._left > 0:
            self._parts.append(small(images[: self._left]))
            self._left -= len(self._parts[-1])

    def rows(self) -> Tensor:
        """(N, D) float32."""
        return torch.cat(self._parts)


def small(images: Tensor) -> Tensor:
    """Images (N, C, H, W) of at most 32 pixels as rows (N, D), averaged over areas."""
    height, width = images.shape[2:]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return (images if size == (height, width) else F.interpolate(images, size=size, mode="area")).flatten(1).contiguous()


def _unit(images: Tensor) -> Tensor:
    """Rows (N, D) with values in [0, 1]."""
    return images.flatten(1).add(1).div_(2)
