"""The birthday paradox as a bound of a generator's variety (Arora & Zhang 2018, arXiv:1706.08224, section 3).

Among s samples of a law that is uniform on n points, a pair of duplicates has probability 1 - exp(-s(s - 1) / 2n). The other way round: the
expected number of duplicate pairs is s(s - 1) / 2n, so n = s(s - 1) / 2m from m pairs seen. In the paper people say what a duplicate is;
here it is a pair nearer than a distance that the data calibrate: the hundredth part of their distances to the nearest neighbour. The data
have such pairs too, so the estimate is for comparison with that of as many reals, which is printed beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.metrics.features import checked, checked_pair
from ganvas.metrics.neighbours import nothing
from ganvas.metrics.parzen import squared_distances

SHARE = 0.01
"""Share of the reals' nearest-neighbour distances that lies below the distance of a duplicate."""

_ROWS = 500


@dataclass(frozen=True)
class Support:
    """Estimates of the number of distinguishable samples, from `pairs` of duplicates among all pairs of as many samples and reals.

    Where no pair was seen, one is taken to have been, and the estimate is a lower bound.
    """

    samples: float
    reals: float
    pairs: int
    pairs_of_reals: int
    distance: float


def support_size(samples: Tensor, reals: Tensor, *, poll: Callable[[], None] = nothing) -> Support:
    """Estimates from pixels or features: samples (N, D) and reals (M, D); the first min(N, M) of each.

    Raises `GanvasError` for fewer than 100 rows of either, and for rows that are not finite.
    """
    fake, real = checked_pair(samples, reals, ("the samples", "the real rows"), least=round(1 / SHARE))
    count = min(len(fake), len(real))
    fake, real = fake[:count], real[:count]
    nearest = torch.cat([part.min(dim=1).values for part in _distances(real, poll)])
    threshold = float(nearest.quantile(SHARE))
    of_fakes, of_reals = duplicates(fake, threshold, poll=poll), duplicates(real, threshold, poll=poll)
    possible = count * (count - 1) / 2
    return Support(possible / max(1, of_fakes), possible / max(1, of_reals), of_fakes, of_reals, threshold)


def duplicates(rows: Tensor, distance: float, *, poll: Callable[[], None] = nothing) -> int:
    """Pairs of rows (N, D) that are no further apart than `distance`; equal rows are at distance 0."""
    exact = checked(rows, "duplicates", least=2)
    return sum(int((part <= distance).sum()) for part in _distances(exact, poll)) // 2


def _distances(rows: Tensor, poll: Callable[[], None]) -> Iterator[Tensor]:
    """Distances of parts of the rows to all rows; infinite to itself."""
    centred = rows - rows.mean(dim=0)
    numbers = torch.arange(len(rows))

    def of(part: Tensor) -> Tensor:
        squared = squared_distances(centred[part], centred, poll=poll)
        squared[squared <= 1e-12 * centred.square().sum(dim=1).max()] = 0.0  # what rounding leaves of equal rows
        squared[torch.arange(len(part)), part] = torch.inf
        return squared.sqrt_()

    return map(of, numbers.split(_ROWS))
