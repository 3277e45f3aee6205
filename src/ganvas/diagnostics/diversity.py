"""How far apart the samples of a grid are, and how far from the data: curves without a classifier, in which collapse shows."""

from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from ganvas.data.examples import Examples
from ganvas.diagnostics.rows import append_once
from ganvas.engine.rundir import METRICS

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer

KIND = "diversity"
PAIRWISE, NEAREST, VARIATION = "mean distance", "distance to the nearest other", "variation of a pixel"
ENERGY = "energy distance"
COUNT = 256  # samples compared at most: 65,536 distances


def spread(points: Tensor) -> tuple[float, float]:
    """Of N >= 2 samples (N, ...): the mean Euclidean distance of two different ones, and of each to the nearest other.

    The first falls to 0 where all samples are alike. The second already falls where they are copies of a few.
    """
    flat = points.flatten(1).double()
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    count = len(flat)
    mean = float(distances.sum()) / (count * (count - 1))
    return mean, float(distances.fill_diagonal_(torch.inf).min(dim=1).values.mean())


def energy_distance(samples: Tensor, data: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| over samples (N, ...) and data (M, ...), unbiased, as a share of E|y - y'|: 0 for equal laws, by
    chance below it (Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018)."""
    x, y = samples.flatten(1).double(), data.flatten(1).double()
    across = float(torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").mean())
    within, of_data = spread(x)[0], spread(y)[0]
    return (2 * across - within - of_data) / of_data if of_data > 0 else 0.0


def variation(samples: Tensor, image: Tensor) -> float:
    """For data that are one image (C, H, W): the deviation of a pixel over samples (N, C, H, W), averaged over pixels and divided by the
    deviation of the image's own intensities (Shaham et al. 2019, arXiv:1905.01164, on the diversity of their samples)."""
    deviation = float(image.double().std(correction=0))
    return float(samples.double().std(dim=0, correction=0).mean()) / deviation if deviation > 0 else 0.0


@final
class Diversity:
    """Given the samples of every grid, writes a row of kind 'diversity': values that are 1 where samples are as far apart as data, and a
    distance that is 0 where they are the data's."""

    def __init__(self, run: Path) -> None:
        self._path = run / METRICS
        self._data: Tensor | None = None

    def __call__(self, trainer: "Trainer", samples: Tensor) -> None:
        """`samples` (N, ...) in the range of the data, on the processor."""
        examples = trainer.examples.compared
        some = samples[:COUNT]
        if len(some) < 2:
            return
        if self._data is None:
            self._data = _spaced(examples, len(some))
        values = _against(some, self._data)
        facts = {"step": trainer.step, "images": trainer.images, "samples": len(some), "space": _space(examples)}
        append_once(self._path, {"kind": KIND, **facts, "values": {name: round(value, 6) for name, value in values.items()}})


def _against(samples: Tensor, data: Tensor) -> dict[str, float]:
    """Compared with the data; as many of both, since the distance to the nearest of more is shorter."""
    if len(data) == 1:
        return {VARIATION: variation(samples, data[0])}
    count = min(len(samples), len(data))
    ours, theirs = spread(samples[:count]), spread(data[:count])
    apart = {name: a / b for name, a, b in zip((PAIRWISE, NEAREST), ours, theirs, strict=True) if b > 0}
    return apart | {ENERGY: energy_distance(samples[:count], data[:count])}


def _spaced(examples: Examples, count: int) -> Tensor:
    """`count` examples spread evenly over all, for those of a folder are sorted by class."""
    chosen = torch.linspace(0, len(examples) - 1, min(len(examples), count)).long()
    return examples.batch(chosen)[examples.spec.kind].float().cpu()


def _space(examples: Examples) -> str:
    return "standardised coordinates" if examples.spec.kind == "points" else "pixels"
