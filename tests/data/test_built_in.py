"""Digits, and points whose truth is known."""

import numpy as np
import pytest
import torch

from ganvas.data.digits import _table, from_scikit_learn
from ganvas.data.open import BUILT_IN, evaluation_split, open_data, splits
from ganvas.data.points import NAMES, modes
from ganvas.errors import GanvasError
from tests.data.pictures import labels, pixels


def native(name: str, split: str = "train") -> torch.Tensor:
    opened = open_data(name, split=split)
    return opened.spec.native(opened.batch(torch.arange(len(opened))).points)


def test_digits_are_those_of_scikit_learn():
    assert np.array_equal(_table(), from_scikit_learn())


def test_digits_are_divided_by_class():
    train, test = open_data("digits"), open_data("digits", split="test")
    assert len(train) + len(test) == 1797 and train.spec == test.spec and train.spec.shape == (1, 8, 8)
    assert all(0 <= many - 4 * few <= 4 for few, many in zip(test.label_counts(), train.label_counts(), strict=True))
    table = from_scikit_learn()
    threes = table[table[:, 64] == 3][:, :64]
    mine = pixels(test)[np.array(labels(test)) == 3].reshape(-1, 64)
    assert np.array_equal(mine, np.rint(threes[4::5] * 255 / 16))
    assert pixels(train).min() == 0 and pixels(train).max() == 255


@pytest.mark.parametrize("name", NAMES)
def test_points_are_fixed_divided_and_of_unit_size(name):
    train, test = open_data(name), open_data(name, split="test")
    assert (len(train), len(test)) == (100_000, 10_000) and splits(name) == ("train", "test") and evaluation_split(name) == "test"
    assert train.spec == test.spec and train.fingerprint == open_data(name).fingerprint != test.fingerprint
    points = train.batch(torch.arange(len(train))).points
    assert points.dtype == torch.float32 and points.shape[1:] == train.spec.shape
    assert points.mean(0).abs().max() < 0.2 and (points.std(0) - 1).abs().max() < 0.05
    assert not torch.isin(native(name, "test")[:, 0], native(name)[:, 0]).all()


@pytest.mark.parametrize(("name", "count", "dimensions", "sigma"), [("ring", 8, 2, 0.01), ("grid", 25, 2, 0.05), ("two-cities", 2, 1, 3.0)])
def test_mixtures_are_what_they_say(name, count, dimensions, sigma):
    law = modes(name)
    assert law is not None and law.centres.shape == (count, dimensions) and law.sigma == sigma
    points = native(name)
    nearest = torch.cdist(points, law.centres).argmin(1)
    shares = torch.bincount(nearest, minlength=count) / len(points)
    assert (shares - 1 / count).abs().max() < 5 * (1 / count / len(points)) ** 0.5 + (0.001 if name == "two-cities" else 0)
    if name != "two-cities":  # the two cities overlap a little
        residual = points - law.centres[nearest]
        assert residual.std(0).sub(sigma).abs().max() < 0.02 * sigma and residual.mean(0).abs().max() < 0.02 * sigma


def test_the_ring_has_radius_one_and_the_cities_are_in_degrees():
    assert torch.allclose(modes("ring").centres.norm(dim=1), torch.ones(8))
    assert native("ring").norm(dim=1).sub(1).abs().max() < 0.06
    assert native("two-cities").mean().item() == pytest.approx(15, abs=0.2)


def test_the_spiral_is_a_swiss_roll():
    assert modes("spiral") is None and modes("digits") is None
    points = native("spiral").double()
    radius = points.norm(dim=1)
    turn = torch.atan2(points[:, 1], points[:, 0])
    # On the roll the radius is the angle, up to whole turns; noise 0.25 across it.
    off = (radius - turn + torch.pi) % (2 * torch.pi) - torch.pi
    assert off.abs().mean() < 0.3 and 4 < radius.quantile(0.01) < 5.5 and 13 < radius.quantile(0.99) < 15


def test_points_have_no_resolution():
    with pytest.raises(GanvasError, match="no pixels"):
        open_data("ring", resolution=32)
    assert open_data("digits", resolution=16).spec.shape == (1, 16, 16)


def test_the_names():
    assert BUILT_IN == ("digits", "inked", "inked-pairs", "ring", "grid", "spiral", "two-cities", "china", "flower")
