"""Whether samples are copies of training images (Meehan et al. 2020, arXiv:2004.05675, in its plainest form).

For each sample the distance to the nearest training image is compared with that of a held-out image of the same law: `copying` is the share
of pairs (sample, held-out image) in which the sample is nearer, ties counting half. It is 0.5 for a model that draws from the law of
the data, towards 1 for one that returns training images, and towards 0 for one whose samples lie far from any data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked, checked_pair
from ganvas.metrics.neighbours import nothing
from ganvas.metrics.parzen import squared_distances

EXACT = 2 / 255
"""Root mean square difference per value of [-1, 1], one grey level of 256, below which a sample counts as a copy; of pixels."""

_ROWS = 500


@dataclass(frozen=True)
class Copying:
    """`copying` in [0, 1]; `distance` and `distance_of_data` are medians, root mean square per value; `copies` a share of the samples."""

    copying: float
    distance: float
    distance_of_data: float
    copies: float


def copying(near: Tensor, usual: Tensor) -> Copying:
    """From the distances (N,) of samples and (K,) of held-out images to the nearest training image, root mean square per value."""
    require(len(near) > 0 and len(usual) > 0, "copying: at least one sample and one held-out image are needed")
    ordered = usual.sort().values
    below, up_to = torch.searchsorted(ordered, near), torch.searchsorted(ordered, near, right=True)
    nearer = 1 - (below + up_to).double() / (2 * len(ordered))
    return Copying(float(nearer.mean()), float(near.median()), float(usual.median()), float((near < EXACT).double().mean()))


@final
class Nearest:
    """The distance of each row (N, D) to the nearest of a stream of others; memory for the rows alone."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = checked(rows, "nearest neighbours", least=1)
        self._squared = torch.full((len(rows),), torch.inf, dtype=torch.float64)

    def among(self, others: Tensor, *, poll: Callable[[], None] = nothing) -> None:
        """The next others (M, D)."""
        rows, known = checked_pair(self._rows, others, ("the images", "the training images"), least=1)
        mean = known.mean(dim=0)
        known = known - mean
        found = [squared_distances(part - mean, known, poll=poll).min(dim=1).values for part in rows.split(_ROWS)]
        self._squared = torch.minimum(self._squared, torch.cat(found))

    def distances(self) -> Tensor:
        """Root mean square difference (N,) per value."""
        return (self._squared / self._rows.shape[1]).sqrt()
