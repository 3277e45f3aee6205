"""The kernel distance of features, "KID" where they are the Inception network's (Binkowski et al. 2018, arXiv:1801.01401, section 4).

    d^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = (x . y / D + 1)^3

estimated without bias: pairs of a row with itself are left out. So its mean over draws is d^2 for any count, and it may fall below 0.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked_pair

SUBSETS, SIZE = 100, 1_000
"""As in the paper."""


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation (divided by their number) of the distance over `subsets` of `size` rows of each set."""

    distance: float
    deviation: float
    subsets: int
    size: int


def kernel_inception_distance(real: Tensor, fake: Tensor, *, subsets: int = SUBSETS, size: int = SIZE, seed: int = 0) -> KernelDistance:
    """The distance between features real (N, D) and fake (M, D) over random subsets without repetition; sums are float64.

    Where a set has no more than `size` rows, the subsets are smaller: half of the smaller set, so that they differ; at least 2 rows. Which
    rows are in them depends on `seed` alone. Raises `GanvasError` for fewer than 2 rows and for features that are not finite.
    """
    a, b = (
        rows.to(given.dtype if given.dtype == torch.float32 else torch.float64)
        for rows, given in zip(checked_pair(real, fake, ("the real features", "the fake features"), least=2), (real, fake), strict=True)
    )
    if a.dtype != b.dtype:
        a, b = a.double(), b.double()
    require(subsets >= 1 and size >= 2, f"kernel distance: at least 1 subset of 2 rows is wanted, not {subsets} of {size}")
    fewest = min(len(a), len(b))
    rows = size if fewest > size else max(2, fewest // 2)
    generator = Generator().manual_seed(seed)
    found = torch.stack(
        [
            polynomial_distance(
                a[torch.randperm(len(a), generator=generator)[:rows]], b[torch.randperm(len(b), generator=generator)[:rows]]
            )
            for _ in range(subsets)
        ]
    )
    return KernelDistance(float(found.mean()), float(found.std(correction=0)), subsets, rows)


def polynomial_distance(a: Tensor, b: Tensor) -> Tensor:
    """The unbiased estimate of d^2 (a number) from rows a (N, D) and b (M, D); N, M >= 2."""
    within = [(_symmetric(x) - _own(x).double().sum()) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return within[0] + within[1] - 2 * _total(a, b) / (len(a) * len(b))


def _total(a: Tensor, b: Tensor) -> Tensor:
    """The sum of k over all pairs, a float64."""
    base = torch.addmm(a.new_ones(()), a, b.T, alpha=1 / a.shape[1])
    return base.square().mul_(base).sum(dim=1).double().sum()  # a general power takes ten times as long


def _symmetric(x: Tensor) -> Tensor:
    """The sum of k over all pairs of rows of one set: of its halves, and twice that across."""
    first, second = x.tensor_split(2)
    return _total(first, first) + _total(second, second) + 2 * _total(first, second)


def _own(a: Tensor) -> Tensor:
    """k(x, x) of each row (N,)."""
    return (a.square().sum(dim=1) / a.shape[1] + 1) ** 3
