"""The sliced Wasserstein distance between two sets of points (Rabin et al. 2011; Bonneel et al. 2015).

The 1-Wasserstein distance of two sets on a line is the area between their distribution functions. In more dimensions it is averaged
over directions. Its unit is the unit of the data.
"""

import math

import torch
from torch import Generator, Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked_pair


def sliced_wasserstein(a: Tensor, b: Tensor, *, directions: int = 64, seed: int = 0) -> float:
    """Mean 1-Wasserstein distance of the projections of points a (N, D) and b (M, D); exact for D = 1, where there is one direction.

    In the plane the directions are evenly spaced over a half turn; in more dimensions they are drawn from a generator of `seed`. N and M
    may differ. Raises `GanvasError` for points that are not finite.
    """
    require(directions >= 1, f"the number of directions must be at least 1, not {directions}")
    first, second = checked_pair(a, b, ("the first points", "the second points"), least=1)
    lines = _directions(first.shape[1], directions, seed)
    return sum(_on_line(first @ line, second @ line) for line in lines) / len(lines)


def _directions(dimension: int, count: int, seed: int) -> Tensor:
    """(count, D) unit vectors; the one vector of a line for D = 1."""
    if dimension == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if dimension == 2:
        angles = torch.arange(count, dtype=torch.float64) * (math.pi / count)
        return torch.stack([angles.cos(), angles.sin()], dim=1)
    drawn = torch.randn(count, dimension, generator=Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.norm(dim=1, keepdim=True)


def _on_line(a: Tensor, b: Tensor) -> float:
    """The area between the distribution functions of numbers a (N,) and b (M,)."""
    values, order = torch.cat([a, b]).sort()
    weights = torch.cat([torch.full_like(a, 1 / len(a)), torch.full_like(b, -1 / len(b))])[order]
    return float((weights.cumsum(0)[:-1].abs() * values.diff()).sum())
