"""Gains and shifts that a map draws: by hand, as affine batch norm where the map says nothing, and local where it changes."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, pad, relu

from ganvas.parts.spatial_norm import SpatialNorm


def one_hot(classes, *shape, seed=0):
    numbers = torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))
    return nn.functional.one_hot(numbers, classes).permute(0, 3, 1, 2).float()


def made(maps=4, classes=3, hidden=5):
    torch.manual_seed(1)
    return SpatialNorm(maps, classes, hidden)


def test_by_hand():
    """Figure 2: normalise without parameters, then gain 1 + g(m) and shift b(m) of the map at the size of x."""
    layer, x, m = made(), torch.randn(2, 4, 5, 6), one_hot(3, 2, 10, 12)

    def convolved(values, convolution):
        return conv2d(pad(values, (1, 1, 1, 1), mode="replicate"), convolution.weight, convolution.bias)

    normed = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    small = m[:, :, 1::2, 1::2]  # of each square of four pixels the one that stands nearest to its middle, of equals the last
    torch.testing.assert_close(interpolate(m, size=(5, 6), mode="nearest-exact"), small)
    here = relu(convolved(small, layer.shared))
    gain, shift = convolved(here, layer.both).split(4, dim=1)
    torch.testing.assert_close(layer(x, m), normed * (1 + gain) + shift)


@pytest.mark.parametrize("training", [True, False])
def test_a_constant_map_makes_it_affine_batch_norm(training):
    """The values of BatchNorm2d with as many gains and shifts, which are read off one pixel; also at the border."""
    layer, plain, x = made().train(training), nn.BatchNorm2d(4).train(training), torch.randn(3, 4, 6, 6)
    m = torch.zeros(3, 3, 12, 12)
    m[:, 1] = 1
    with torch.no_grad():
        here = relu(layer.shared.weight[:, 1].sum((1, 2)) + layer.shared.bias)
        gain, shift = (layer.both.weight.sum((2, 3)) @ here + layer.both.bias).split(4)
        plain.weight.copy_(1 + gain)
        plain.bias.copy_(shift)
    torch.testing.assert_close(layer(x, m), plain(x))
    torch.testing.assert_close(layer.norm.running_var, plain.running_var)


def test_a_map_acts_within_two_pixels():
    """Where one pixel of the map is of another class, x changes in the 5 x 5 around it and nowhere else."""
    layer, x, m = made().eval(), torch.randn(1, 4, 12, 12), torch.zeros(1, 3, 12, 12)
    m[:, 0] = 1
    other = m.clone()
    other[:, :, 5, 6] = torch.tensor([0.0, 0.0, 1.0])
    moved = (layer(x, m) != layer(x, other)).any(dim=1)[0]
    inside = torch.zeros(12, 12, dtype=torch.bool)
    inside[3:8, 4:9] = True
    assert torch.equal(moved, inside)
