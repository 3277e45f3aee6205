"""The birthday-paradox estimate, on laws whose support is known."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.birthday import duplicates, support_size


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairs_are_counted_by_hand():
    rows = torch.tensor([[0.0], [0.0], [0.0], [5.0], [5.1], [9.0]])
    assert duplicates(rows, 0.0) == 3
    assert duplicates(rows, 0.2) == 4


@pytest.mark.parametrize("size", [200, 2_000])
def test_a_support_of_known_size_is_found(size):
    points = normal(size, 20, seed=1)
    drawn = points[torch.randint(size, (1_000,), generator=torch.Generator().manual_seed(2))]
    found = support_size(drawn, normal(1_000, 20, seed=3))
    assert found.samples == pytest.approx(size, rel=0.2)
    assert found.reals > 10 * size


def test_the_data_have_the_support_of_themselves():
    found = support_size(normal(800, 6), normal(800, 6, seed=1))
    assert 0.2 < found.samples / found.reals < 5
    assert found.pairs_of_reals >= 4  # a hundredth of 800 nearest distances, each pair seen from both ends


def test_no_pair_is_a_lower_bound():
    found = support_size(100 * normal(100, 30), normal(100, 30, seed=1))
    assert found.pairs == 0 and found.samples == 100 * 99 / 2


def test_a_collapsed_generator_has_one_point_and_few_rows_are_refused():
    assert support_size(torch.ones(200, 5), normal(200, 5)).samples == pytest.approx(1.0)
    with pytest.raises(GanvasError, match="at least 100 rows"):
        support_size(normal(99, 2), normal(200, 2))
