"""First weights: the Gaussian scheme."""

import pytest
import torch
from torch import nn

from ganvas.parts.initialise import gaussian


def test_the_gaussian_scheme():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(100, 200), nn.Conv2d(20, 30, 5), nn.BatchNorm2d(400), nn.ConvTranspose2d(20, 30, 4, bias=False), nn.BatchNorm1d(400)
    )
    gaussian(network, 0.02)
    for layer in network:
        mean = 1.0 if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) else 0.0
        assert float(layer.weight.detach().mean()) == pytest.approx(mean, abs=0.005)
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        assert layer.bias is None or not layer.bias.detach().any()


def test_other_layers_are_left_alone():
    norm = nn.GroupNorm(2, 4)
    gaussian(nn.Sequential(norm, nn.ReLU()), 0.02)
    assert torch.equal(norm.weight.detach(), torch.ones(4))


def test_normalisation_without_gain_has_nothing_to_be_drawn():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(50, 40), nn.BatchNorm1d(40, affine=False), nn.BatchNorm1d(40))
    gaussian(network, 0.1)
    assert network[1].weight is None and float(network[2].weight.detach().std()) > 0
