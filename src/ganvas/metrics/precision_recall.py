"""Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991, equations 1 and 2).

Precision is the share of fakes inside the manifold of the reals, recall the share of reals inside that of the fakes; a manifold is the
union of the balls that reach from each sample to its k-th neighbour.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ganvas.metrics.features import checked_pair
from ganvas.metrics.neighbours import balls, contained, nothing

K = 3
"""Neighbours, as in the paper."""


@dataclass(frozen=True)
class PrecisionRecall:
    """Both in [0, 1]."""

    precision: float
    recall: float


def precision_recall(real: Tensor, fake: Tensor, *, k: int = K, poll: Callable[[], None] = nothing) -> PrecisionRecall:
    """Precision and recall of fake features (M, D) with respect to real ones (N, D); N, M > k.

    A sample on the surface of a ball is outside (the paper counts it as inside, which differs only where distances tie). A collapsed
    generator, all of whose samples are equal, has recall 0. Raises `GanvasError` for too few or non-finite rows.
    """
    real, fake = checked_pair(real, fake, ("the real features", "the fake features"), least=k + 1)
    inside_real = contained(balls(real, k, poll=poll), fake, poll=poll).balls_of_point
    inside_fake = contained(balls(fake, k, poll=poll), real, poll=poll).balls_of_point
    return PrecisionRecall(
        precision=float((inside_real > 0).double().mean()),
        recall=float((inside_fake > 0).double().mean()),
    )
