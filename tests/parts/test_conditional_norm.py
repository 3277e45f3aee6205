"""Class-conditional batch normalisation: values by hand, classes apart, and the form with normalised layers."""

import pytest
import torch
from torch import nn, tensor
from torch.nn.functional import one_hot

from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.spectral import Spectral, spectral


def test_gains_and_shifts_by_hand():
    """Two 1 x 2 pictures (0, 2) and (4, 6) of one map: mean 3, variance 5; class 0 gets (2, 10), class 1 (1 - 1, -1)."""
    norm = ConditionalBatchNorm2d(1, 2)
    norm.gain.weight.data.copy_(tensor([[1.0, -1.0]]))
    norm.shift.weight.data.copy_(tensor([[10.0, -1.0]]))
    x = tensor([[0.0, 2.0], [4.0, 6.0]]).view(2, 1, 1, 2)
    found = norm(x, tensor([[1.0, 0.0], [0.0, 1.0]])).view(2, 2)
    first = 10 + 2 * tensor([-3.0, -1.0]) / 5**0.5
    torch.testing.assert_close(found, torch.stack([first, tensor([-1.0, -1.0])]), rtol=1e-4, atol=1e-4)


def test_statistics_are_those_of_all_classes_together():
    torch.manual_seed(0)
    norm, plain = ConditionalBatchNorm2d(3, 2), nn.BatchNorm2d(3, affine=False)
    nn.init.zeros_(norm.gain.weight)
    nn.init.zeros_(norm.shift.weight)
    x, c = torch.randn(6, 3, 4, 4) * 3 + 1, one_hot(tensor([0, 0, 0, 1, 1, 0]), 2).float()
    torch.testing.assert_close(norm(x, c), plain(x))
    torch.testing.assert_close(norm.norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.eval()(x[:2], c[:2]), plain.eval()(x[:2]))


def test_classes_start_nearly_alike_and_not_quite():
    torch.manual_seed(0)
    norm = ConditionalBatchNorm2d(50, 100)
    for layer in (norm.gain, norm.shift):
        assert layer.bias is None and float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    x = torch.randn(1, 50, 4, 4).expand(2, -1, -1, -1)
    found = norm(x, torch.eye(100)[:2])
    assert 0 < float((found[0] - found[1]).detach().abs().max()) < 0.5


def test_with_a_function_of_layers_they_are_that_function_s():
    """The form of BigGAN: gains 1 + W_g c and shifts W_b c whose matrices have a largest singular value of 1."""
    torch.manual_seed(0)
    norm, c = ConditionalBatchNorm2d(4, 6, wrap=spectral), torch.randn(3, 6)
    assert isinstance(norm.gain, Spectral) and isinstance(norm.shift, Spectral)
    x = torch.randn(3, 4, 5, 5)
    gain, shift = ((c @ layer.weight.t())[:, :, None, None] for layer in (norm.gain, norm.shift))
    torch.testing.assert_close(norm(x, c), norm.norm(x) * (1 + gain) + shift)


def test_a_class_s_gradient_reaches_its_column_alone():
    norm = ConditionalBatchNorm2d(2, 3)
    norm(torch.randn(4, 2, 3, 3), one_hot(tensor([0, 2, 2, 0]), 3).float()).square().sum().backward()
    for layer in (norm.gain, norm.shift):
        assert layer.weight.grad[:, 0].any() and layer.weight.grad[:, 2].any() and not layer.weight.grad[:, 1].any()


def test_the_precision_of_the_maps_is_kept():
    norm, c = ConditionalBatchNorm2d(4, 2), torch.eye(2)
    x = torch.randn(2, 4, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = norm(x.bfloat16(), c)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), norm(x, c), rtol=0.05, atol=0.05)
