"""Distances to nearest neighbours, in blocks of bounded memory: what precision, recall, density and coverage share.

Around every row of a set of features lies a ball whose radius is the distance to the row's k-th nearest neighbour, itself not counted.
Squared distances come from a matrix product, |a|^2 + |b|^2 - 2 a.b, in float64 and about the mean; what is left of its rounding error is
bounded per ball and counted as equality. So rows that are equal have distance 0, a point on a ball's surface is outside (strict <), and
the result does not depend on the block size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked, checked_pair

BLOCK = 4_000_000
"""Distances held at once (32 MB). Smaller blocks wait more often for the slowest core, larger ones leave the processor's cache."""


def nothing() -> None:
    """The poll of a caller that cannot be interrupted."""


@dataclass(frozen=True)
class Balls:
    """Balls around `centres` (N, D) float64 of `radii` (N,) float64."""

    centres: Tensor
    radii: Tensor


@dataclass(frozen=True)
class Hits:
    """`balls_of_point` (M,): how many balls hold each point. `points_of_ball` (N,): how many points each ball holds. Both int64."""

    balls_of_point: Tensor
    points_of_ball: Tensor


def balls(features: Tensor, k: int, *, block: int = BLOCK, poll: Callable[[], None] = nothing) -> Balls:
    """The balls of features (N, D), N > k: each reaches to the k-th nearest other row. A row with k copies of itself gets radius 0.

    Raises `GanvasError` for fewer than k + 1 rows and for features that are not finite.
    """
    require(k >= 1, f"the number of neighbours k must be at least 1, not {k}")
    exact = checked(features, f"distance to neighbour {k}", least=k + 1)
    centred = exact - exact.mean(dim=0)
    # The k + 1 smallest hold the row itself.
    squared = torch.cat([distances.topk(k + 1, dim=1, largest=False).values[:, k] for distances in _blocks(centred, centred, block, poll)])
    squared = torch.where(squared > _rounding(centred, squared), squared, 0.0)
    return Balls(exact, squared.sqrt())


def contained(within: Balls, points: Tensor, *, block: int = BLOCK, poll: Callable[[], None] = nothing) -> Hits:
    """Which points (M, D) lie strictly inside which balls. A ball of radius 0 holds nothing.

    Raises `GanvasError` for points of another D than the centres, and for points that are not finite.
    """
    centres, exact = checked_pair(within.centres, points, ("the balls", "the points"), least=1)
    mean = centres.mean(dim=0)
    centres, exact = centres - mean, exact - mean
    squared = within.radii.square()
    tolerance = _rounding(centres, squared)
    reach = torch.where(squared > tolerance, squared - tolerance, -1.0)
    of_point, of_ball = [], torch.zeros(len(centres), dtype=torch.int64)
    for distances in _blocks(exact, centres, block, poll):
        inside = distances < reach
        of_point.append(inside.sum(dim=1, dtype=torch.int32).long())
        of_ball += inside.sum(dim=0, dtype=torch.int32)
    return Hits(torch.cat(of_point), of_ball)


def _blocks(rows: Tensor, columns: Tensor, block: int, poll: Callable[[], None]) -> Iterator[Tensor]:
    """Squared distances (at most block / N rows, N columns), from the first rows to the last; each block overwrites the one before."""
    row_squares, column_squares = rows.square().sum(dim=1), columns.square().sum(dim=1)
    small = bool(row_squares.isfinite().all()) and bool(column_squares.isfinite().all())
    require(small, "the features are too large: their squared distances overflow; look for a generator that has diverged")
    height = min(len(rows), max(1, block // len(columns)))
    room = rows.new_empty(height, len(columns))
    for at in range(0, len(rows), height):
        poll()
        part = rows[at : at + height]
        distances = torch.addmm(column_squares[None], part, columns.T, alpha=-2, out=room[: len(part)])
        yield distances.add_(row_squares[at : at + height, None])


def _rounding(centres: Tensor, squared_radii: Tensor) -> Tensor:
    """Bounds (N,) of the rounding error of squared distances between a centre and points near its ball's surface.

    A dot product of D terms is wrong by at most D eps |a| |b|, a point at distance r of a centre c has |b|^2 <= 2 |c|^2 + 2 r^2, and both
    the radius and the distance compared with it are rounded.
    """
    unit = 12 * (centres.shape[1] + 4) * torch.finfo(torch.float64).eps
    return unit * (centres.square().sum(dim=1) + squared_radii.clamp(min=0))
