"""Whether samples are copies of training images (Meehan et al. 2020, arXiv:2004.05675, in its plainest form).

For each sample the distance to the nearest training image is compared with that of a held-out image of the same law: `copying` is the share
of pairs (sample, held-out image) in which the sample is nearer, ties counting half. It is 0.5 for a model that draws from the law of
the data, towards 1 for one that returns training images, and towards 0 for one whose samples lie far from any data.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.metrics.features import checked_pair
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


def copying(samples: Tensor, training: Tensor, held_out: Tensor, *, poll: Callable[[], None] = nothing) -> Copying:
    """From rows of pixels: samples (N, D), training images (M, D), held-out images (K, D). `GanvasError` for rows that are not finite."""
    fake, known = checked_pair(samples, training, ("the samples", "the training images"), least=1)
    other, _ = checked_pair(held_out, training, ("the held-out images", "the training images"), least=1)
    near, usual = nearest_distance(fake, known, poll=poll), nearest_distance(other, known, poll=poll)
    ordered = usual.sort().values
    below, up_to = torch.searchsorted(ordered, near), torch.searchsorted(ordered, near, right=True)
    nearer = 1 - (below + up_to).double() / (2 * len(ordered))
    return Copying(float(nearer.mean()), float(near.median()), float(usual.median()), float((near < EXACT).double().mean()))


def nearest_distance(rows: Tensor, among: Tensor, *, poll: Callable[[], None] = nothing) -> Tensor:
    """Root mean square difference (N,) per value between each row (N, D) and the nearest of `among` (M, D)."""
    mean = among.mean(dim=0)
    rows, among = rows - mean, among - mean
    found = [squared_distances(part, among, poll=poll).min(dim=1).values for part in rows.split(_ROWS)]
    return (torch.cat(found) / rows.shape[1]).sqrt()
