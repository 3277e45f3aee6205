"""Density and coverage (Naeem et al. 2020, arXiv:2002.09797, equations 4 and 5).

Density counts how many balls of the reals hold a fake, divided by k; coverage is the share of real balls that hold a fake. Where fakes
and reals have the same law, density is 1 and coverage tends to 1 - 2^-k, which is 0.969 at k = 5.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ganvas.metrics.features import checked_pair
from ganvas.metrics.neighbours import balls, contained, nothing

K = 5
"""Neighbours, as in the paper."""


@dataclass(frozen=True)
class DensityCoverage:
    """`density` at least 0, and above 1 where fakes crowd in the reals' densest places; `coverage` in [0, 1]."""

    density: float
    coverage: float


def density_coverage(real: Tensor, fake: Tensor, *, k: int = K, poll: Callable[[], None] = nothing) -> DensityCoverage:
    """Density and coverage of fake features (M, D) with respect to real ones (N, D); N > k, M > 0; strictly inside counts.

    Raises `GanvasError` for too few or non-finite rows.
    """
    real, fake = checked_pair(real, fake, ("the real features", "the fake features"), least=1)
    hits = contained(balls(real, k, poll=poll), fake, poll=poll)
    return DensityCoverage(
        density=float(hits.balls_of_point.double().mean() / k),
        coverage=float((hits.points_of_ball > 0).double().mean()),
    )
