"""Path length of generators whose paths are known."""

import pytest
import torch

from ganvas.engine.capabilities import Latent
from ganvas.errors import GanvasError
from ganvas.metrics.path_length import path_length


class Linear(Latent):
    """G(z) = scale z, as an image of one row."""

    def __init__(self, scale=1.0, prior="uniform", z=16):
        self.scale, self._prior, self.z = scale, prior, z

    def draw(self, n, rng):
        return rng.uniform(n, self.z).double() * 2 - 1 if self._prior == "uniform" else rng.normal(n, self.z).double()

    def decode(self, z, *, condition=None):
        return (self.scale * z).view(len(z), 1, 1, -1)

    @property
    def prior(self):
        return self._prior


def flat(images):
    return images.flatten(1)


def test_a_straight_path_of_a_linear_generator():
    # |a - b|^2 of uniform codes on [-1, 1]: 2/3 for each of 16 entries. Images pass in float32, which 1e-4 of a path just allows.
    found = path_length(Linear(), flat, paths=3_000)
    assert found.length == pytest.approx(16 * 2 / 3, rel=0.05)
    assert found.paths == 3_000 - 2 * 30


def test_it_grows_with_the_square_of_the_scale_and_is_repeatable():
    one, two = path_length(Linear(), flat, paths=300), path_length(Linear(2.0), flat, paths=300)
    assert two.length == pytest.approx(4 * one.length, rel=1e-2)
    assert path_length(Linear(), flat, paths=300) == one
    assert path_length(Linear(), flat, paths=300, seed=1) != one


def test_a_normal_prior_is_walked_on_the_sphere():
    # Codes are nearly orthogonal and of norm sqrt(z): an arc of pi / 2 times it, squared.
    found = path_length(Linear(prior="normal", z=400), flat, paths=300)
    assert found.length == pytest.approx((torch.pi / 2) ** 2 * 400, rel=0.05)


def test_a_collapsed_generator_has_no_path_and_nan_is_refused():
    assert path_length(Linear(0.0), flat, paths=50).length == 0.0
    with pytest.raises(GanvasError, match="NaN"):
        path_length(Linear(float("nan")), flat, paths=50)
    with pytest.raises(GanvasError, match="at least 2 paths"):
        path_length(Linear(), flat, paths=1)
