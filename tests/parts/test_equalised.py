"""Equalised layers: outputs by closed form, the same scale and speed whatever the fan-in; pixel norm by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import tensor

from ganvas.parts.equalised import HE, EqualConv2d, EqualLinear, pixel_norm


def test_a_linear_layer_by_hand():
    """fan-in 4, gain 2: the weights count 2 / sqrt(4) = 1 times; with gain 1 half."""
    x = tensor([[1.0, 2.0, 3.0, 4.0]])
    for gain, value in ((2.0, 10.0), (1.0, 5.0)):
        layer = EqualLinear(4, 1, gain=gain)
        layer.weight.data.fill_(1.0)
        layer.bias.data.fill_(0.25)
        torch.testing.assert_close(layer(x), tensor([[value + 0.25]]))


def test_a_convolution_by_hand():
    """fan-in 3 * 3 * 4 = 36, gain 3: weights of 1 count 1 / 2 each, and the middle of a map of ones sees 36 of them."""
    layer = EqualConv2d(4, 2, 3, gain=3.0)
    layer.weight.data.fill_(1.0)
    layer.bias.data.copy_(tensor([0.0, -1.0]))
    found = layer(torch.ones(1, 4, 5, 3))
    assert found.shape == (1, 2, 5, 3)
    assert found[0, :, 2, 1].tolist() == pytest.approx([18.0, 17.0])
    assert found[0, :, 0, 0].tolist() == pytest.approx([8.0, 7.0])  # the corner sees 2 x 2 x 4


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), [(1, 1, None, (7, 5)), (3, 2, None, (4, 3)), (4, 1, 0, (4, 2))])
def test_kernels_strides_and_padding(kernel, stride, padding, size):
    layer = EqualConv2d(2, 3, kernel, stride=stride, padding=padding, bias=False)
    x = torch.randn(2, 2, 7, 5)
    expected = F.conv2d(x, layer.weight * math.sqrt(2 / (2 * kernel**2)), None, stride, kernel // 2 if padding is None else padding)
    assert layer.bias is None and layer(x).shape[2:] == size
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("gain", [1.0, HE])
@pytest.mark.parametrize("fan_in", [8, 512])
def test_weights_start_alike_and_outputs_have_the_gain_s_scale(fan_in, gain):
    torch.manual_seed(0)
    layer = EqualLinear(fan_in, 400, gain=gain)
    assert float(layer.weight.detach().std()) == pytest.approx(1.0, rel=0.05) and not layer.bias.detach().any()
    assert float(layer(torch.randn(400, fan_in)).detach().std()) == pytest.approx(gain, rel=0.05)
    conv = EqualConv2d(fan_in, 64, 3, gain=gain)
    assert float(conv.weight.detach().std()) == pytest.approx(1.0, rel=0.05)
    assert float(conv(torch.randn(2, fan_in, 16, 16))[:, :, 1:-1, 1:-1].detach().std()) == pytest.approx(gain, rel=0.06)


@pytest.mark.parametrize(("fan_in", "rate"), [(4, 1.0), (400, 1.0), (4, 0.01), (400, 0.01)])
def test_a_step_of_adam_moves_every_layer_by_the_same_share_of_its_scale(fan_in, rate):
    """Adam's first step moves each weight by the learning rate: in use by lr * scale, so lr * rate of the start's deviation."""
    torch.manual_seed(0)
    layer = EqualLinear(fan_in, 50, rate=rate).double()
    before = layer.weight.detach().clone() * layer.scale
    assert float(before.std()) == pytest.approx(HE / math.sqrt(fan_in), rel=0.15)  # what is computed first does not depend on the rate
    layer(1e6 * torch.randn(8, fan_in).double()).square().sum().backward()  # so steep that Adam's epsilon is nothing
    torch.optim.Adam(layer.parameters(), lr=1e-3, betas=(0.0, 0.99)).step()
    moved = (layer.weight.detach() * layer.scale - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 1e-3 * rate * HE / math.sqrt(fan_in)), rtol=1e-5, atol=0.0)
    torch.testing.assert_close((layer.bias.detach() * layer.rate).abs(), torch.full((50,), 1e-3 * rate).double(), rtol=1e-5, atol=0.0)


def test_pixel_norm_by_hand():
    x = tensor([[3.0, 4.0], [0.0, 2.0]])
    torch.testing.assert_close(pixel_norm(x), tensor([[3.0, 4.0], [0.0, 2.0]]) / tensor([[12.5**0.5], [2**0.5]]))
    maps = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(pixel_norm(maps).square().mean(1), torch.ones(2, 3, 4))  # each pixel of each map by itself
    torch.testing.assert_close(pixel_norm(7 * maps), pixel_norm(maps))
    assert not pixel_norm(torch.zeros(1, 3)).any()


def test_pixel_norm_has_a_gradient_and_keeps_the_precision():
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(pixel_norm, x)
    half = torch.randn(2, 64, 4, 4).bfloat16()
    assert pixel_norm(half).dtype == torch.bfloat16
    torch.testing.assert_close(pixel_norm(half).float(), pixel_norm(half.float()), rtol=0.01, atol=0.01)
