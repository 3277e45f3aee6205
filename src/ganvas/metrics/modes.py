"""How many modes of a known mixture a set of points has found.

A sample is of high quality within three standard deviations of a centre; a mode is found when at least one such sample lies at it
(Srivastava et al. 2017, "VEEGAN", section 5.1; Lin et al. 2018, "PacGAN", section 4.1).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.class_modes import class_modes
from ganvas.metrics.features import checked_pair

REACH = 3.0
"""Standard deviations within which a sample is of high quality."""

_ROWS = 65_536


@dataclass(frozen=True)
class Modes:
    """`found` of `of` modes; `high_quality` is a share of the samples, in [0, 1]; `counts` holds the high-quality samples of each mode;
    `divergence` is KL(shares of the samples' nearest modes || equal shares), in nats, high quality or not."""

    found: int
    of: int
    high_quality: float
    counts: tuple[int, ...]
    divergence: float


def count_modes(points: Tensor, centres: Tensor, sigma: float) -> Modes:
    """The modes found by points (N, D) among centres (K, D) of the common standard deviation `sigma`, all in the same units.

    Each sample belongs to its nearest centre. Raises `GanvasError` for points that are not finite and for a sigma that is not positive.
    """
    require(sigma > 0, f"modes: sigma must be positive, not {sigma}")
    exact, known = checked_pair(points, centres, ("the points", "the centres"), least=1)
    counts = torch.zeros(len(known), dtype=torch.int64)
    nearest = []
    for rows in exact.split(_ROWS):
        distance, mode = torch.cdist(rows, known, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
        nearest.append(mode)
        counts += torch.bincount(mode[distance <= REACH * sigma], minlength=len(known))
    return Modes(
        found=int((counts > 0).sum()),
        of=len(known),
        high_quality=float(counts.sum()) / len(exact),
        counts=tuple(counts.tolist()),
        divergence=class_modes(torch.cat(nearest), torch.full((len(known),), 1 / len(known), dtype=torch.float64)).divergence,
    )
