"""Copies of training images are told from images like them."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.memorised import copying, nearest_distance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_nearest_distances_by_hand():
    found = nearest_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [3.0, 4.0]]).double())
    assert found.tolist() == pytest.approx([2.0 / 2**0.5, 0.0], abs=1e-7)


def test_the_law_itself_copies_go_and_strangers():
    training, held_out = normal(500, 8), normal(400, 8, seed=1)
    itself = copying(normal(400, 8, seed=2), training, held_out)
    assert itself.copying == pytest.approx(0.5, abs=0.06) and itself.copies == 0.0
    copies = copying(training[:100], training, held_out)
    assert copies.copying == 1.0 and copies.copies == 1.0 and copies.distance == pytest.approx(0.0, abs=1e-6)
    far = copying(20 * normal(100, 8, seed=3), training, held_out)
    assert far.copying < 0.02


def test_ties_count_half():
    x = torch.zeros(4, 2)
    assert copying(x + 1, x, x + 1).copying == 0.5


def test_other_sizes_are_refused():
    with pytest.raises(GanvasError, match="features each"):
        copying(normal(4, 2), normal(4, 3), normal(4, 3))
