"""The lent networks with a dense layer: published sizes, any size of image, where normalisation stands, one border for reals and fakes."""

import pytest
import torch
from torch import nn

from ganvas.parts.dense import DenseGenerator, DenseTrunk, dense_canvas


def linear_and_strided(network):
    kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
    return [(layer.weight.shape[1], layer.weight.shape[0]) for layer in network.modules() if isinstance(layer, kinds)]


def test_28_pixels_give_the_published_sizes():
    """Chen et al. 2016, appendix C.1: 74 -> 1024 -> 7 x 7 x 128 -> 64 -> 1, and 1 -> 64 -> 128 -> 1024; a ConvTranspose2d keeps its
    weights as (from, to)."""
    canvas = dense_canvas(28, 28)
    assert (canvas.base, canvas.levels, canvas.size) == ((7, 7), 2, (28, 28))
    generator = DenseGenerator(74, canvas, 1, width=64, units=1024)
    trunk = DenseTrunk(1, canvas, width=64, units=1024)
    assert linear_and_strided(generator) == [(74, 1024), (1024, 7 * 7 * 128), (64, 128), (1, 64)]
    assert linear_and_strided(trunk) == [(1, 64), (64, 128), (7 * 7 * 128, 1024)]
    assert trunk.features == 1024


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44), (3, 64, 64), (2, 9, 6)])
def test_images_of_any_size(shape):
    canvas = dense_canvas(*shape[1:])
    x = DenseGenerator(5, canvas, shape[0], width=2, units=8)(torch.randn(3, 5))
    assert x.shape == (3, *shape)
    assert DenseTrunk(shape[0], canvas, width=2, units=8)(x).shape == (3, 8)


def test_the_output_is_not_squashed():
    generator = DenseGenerator(5, dense_canvas(8, 8), 1, width=2, units=8)
    nn.init.constant_(generator.layers[-1].bias, 7.0)
    assert generator(torch.randn(3, 5)).mean() > 5


def test_normalisation_and_biases_stand_apart():
    canvas = dense_canvas(28, 28)
    generator, trunk = DenseGenerator(5, canvas, 1, width=2, units=8), DenseTrunk(1, canvas, width=2, units=8)
    plain = DenseTrunk(1, canvas, width=2, units=8, norm=False)
    kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
    biases = [[layer.bias is not None for layer in n.modules() if isinstance(layer, kinds)] for n in (generator, trunk, plain)]
    assert biases == [[False, False, False, True], [True, False, False], [True, True, True]]
    assert not any("Norm" in type(layer).__name__ for layer in plain.modules())
    x = torch.randn(6, 1, 28, 28)
    torch.testing.assert_close(plain(x)[:2], plain(x[:2]))


def test_a_slope():
    trunk = DenseTrunk(1, dense_canvas(8, 8), width=2, units=8, slope=0.01)
    assert {layer.negative_slope for layer in trunk.modules() if isinstance(layer, nn.LeakyReLU)} == {0.01}
