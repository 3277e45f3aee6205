"""Noise while training alone, weights of a trained length, and networks that are told more at every layer."""

import math

import pytest
import torch
from torch import nn

from ganvas.data.batch import DataSpec
from ganvas.parts.noisy import Noise, NoisyTrunk, SoftplusGenerator, UnitLinear

IMAGES = DataSpec(kind="images", shape=(1, 6, 5))
PLANE = DataSpec(kind="points", shape=(2,))


def test_noise_has_its_deviation_and_only_while_training():
    torch.manual_seed(0)
    x, noise = torch.full((20_000,), 3.0), Noise(0.5)
    assert float((noise(x) - x).std()) == pytest.approx(0.5, rel=0.02) and float((noise(x) - x).mean()) == pytest.approx(0.0, abs=0.02)
    assert torch.equal(noise.eval()(x), x) and torch.equal(Noise(0.0)(x), x)


def test_a_unit_has_weights_of_length_scale():
    layer = UnitLinear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 5.0]]))
        layer.scale.copy_(torch.tensor([1.0, 2.0]))
        layer.bias.copy_(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(layer(torch.tensor([[1.0, 1.0]])), torch.tensor([[7 / 5, 2.0 + 1.0]]))
    before = layer(torch.ones(1, 2)).detach()
    with torch.no_grad():
        layer.weight.mul_(10.0)  # only the direction counts
    torch.testing.assert_close(layer(torch.ones(1, 2)).detach(), before)


@pytest.mark.parametrize("trained", [True, False])
def test_lengths_start_where_they_are_put_and_stay_unless_they_are_trained(trained):
    layer = UnitLinear(50, 20, scale=1.5, trained=trained)
    assert float(layer(torch.randn(4_000, 50)).detach().std()) == pytest.approx(1.5, rel=0.05)
    assert ("scale" in dict(layer.named_parameters())) is trained and "scale" in layer.state_dict()


def test_the_variance_of_a_deep_trunk_stays_one():
    """Before ReLU, with its noise: v = s^2 (v / 2 + noise^2) has the solution 1 for s^2 = 1 / (1/2 + noise^2)."""
    torch.manual_seed(0)
    trunk = NoisyTrunk(DataSpec(kind="points", shape=(400,)), (400,) * 8, noise_input=0.0, noise=0.5)
    features = trunk(torch.randn(500, 400)).detach()
    assert float(features.square().mean()) == pytest.approx(0.5, rel=0.2)  # half of 1 is left by ReLU


@pytest.mark.parametrize("data", [IMAGES, PLANE], ids=["images", "points"])
@pytest.mark.parametrize("joined", [0, 3])
def test_what_is_joined_reaches_every_layer(data, joined):
    torch.manual_seed(0)
    generator = SoftplusGenerator(data, 4, (8, 8), norm=nn.BatchNorm1d, joined=joined).eval()
    trunk = NoisyTrunk(data, (9, 7), noise_input=0.3, noise=0.5, joined=joined).eval()
    extra = torch.eye(3) if joined else None
    x = generator(torch.randn(3, 4), extra)
    assert x.shape == (3, *data.shape) and (data.kind == "points" or x.abs().max() <= 1)
    assert trunk(x, extra).shape == (3, trunk.features) == (3, 7)
    assert [layer.weight.shape[1] for layer in trunk.layers] == [math.prod(data.shape) + joined, 9 + joined]
    assert generator.last.weight.shape[1] == 8 + joined
    if joined:
        assert not torch.allclose(trunk(x, extra), trunk(x, extra.flip(0))) and not torch.allclose(x, generator(torch.zeros(3, 4), extra))


def test_a_network_without_norm_takes_a_batch_of_one():
    assert SoftplusGenerator(PLANE, 4, (8,), norm=None)(torch.zeros(1, 4)).shape == (1, 2)
