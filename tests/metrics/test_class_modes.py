"""Modes among classes."""

import math

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.class_modes import class_modes


def test_by_hand():
    # Three of four classes, with shares 1/2, 1/4, 1/4 against a quarter each: 1/2 log 2.
    found = class_modes(torch.tensor([0, 0, 1, 2]), torch.full((4,), 0.25))
    assert (found.found, found.of) == (3, 4)
    assert found.divergence == pytest.approx(0.5 * math.log(2))


def test_the_divergence_is_from_the_shares_of_the_data():
    # 3/4 and 1/4 against 1/4 and 3/4: 3/4 log 3 - 1/4 log 3. The data's own shares are at no divergence, however uneven.
    uneven = torch.tensor([0.25, 0.75])
    assert class_modes(torch.tensor([0, 0, 0, 1]), uneven).divergence == pytest.approx(0.5 * math.log(3))
    assert class_modes(torch.tensor([0, 1, 1, 1]), uneven).divergence == pytest.approx(0.0, abs=1e-9)


def test_one_class_of_a_thousand_and_all():
    even = torch.full((1000,), 0.001)
    assert class_modes(torch.zeros(50, dtype=torch.int64), even).divergence == pytest.approx(math.log(1000), rel=1e-6)
    every = class_modes(torch.arange(1000).repeat(3), even)
    assert every.found == 1000 and every.divergence == pytest.approx(0.0, abs=1e-6)


def test_what_has_no_number_is_refused():
    with pytest.raises(GanvasError, match="no samples"):
        class_modes(torch.zeros(0, dtype=torch.int64), torch.ones(1))
    with pytest.raises(GanvasError, match="do not have"):
        class_modes(torch.tensor([1]), torch.tensor([1.0, 0.0]))
    with pytest.raises(GanvasError, match="labels of 0"):
        class_modes(torch.tensor([2]), torch.tensor([1.0, 0.0]))
