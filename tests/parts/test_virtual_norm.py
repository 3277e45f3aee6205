"""Virtual batch normalisation: by hand, the reference by itself, and no sample that knows its batch."""

import pytest
import torch
from torch import nn, tensor

from ganvas.parts.virtual_norm import VirtualNorm, beside


def test_by_hand():
    """Reference 0, 4: mean 2, mean square 8. Example 5: w = 1/3, mean 3, mean square 41/3, variance 14/3; example -1: 1, 17/3, 14/3."""
    norm = VirtualNorm(1, 2, eps=0.0)
    found = norm(tensor([[0.0], [4.0], [5.0], [-1.0]])).detach().flatten()
    deviation = (14 / 3) ** 0.5
    torch.testing.assert_close(found, tensor([-1.0, 1.0, 2 / deviation, -2 / deviation]))


@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 4, 5)])
def test_the_reference_is_normalised_as_a_batch_of_its_own(shape):
    x, norm = 3 + 2 * torch.randn(*shape), VirtualNorm(3, 4)
    plain = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
    torch.testing.assert_close(norm(x)[:4], plain(x[:4]), rtol=1e-4, atol=1e-5)


def test_an_example_counts_as_one_more_of_the_reference_batch():
    """With w = 1 / (R + 1) its statistics are those of the batch of R + 1."""
    x, norm = torch.randn(6, 3, 4, 5), VirtualNorm(3, 5)
    plain = nn.BatchNorm2d(3)
    torch.testing.assert_close(norm(x)[5], plain(x)[5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_examples_do_not_know_their_batch(training):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), VirtualNorm(4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), VirtualNorm(4, 3)).train(training)
    reference, x = torch.randn(3, 2, 8, 8), torch.randn(6, 2, 8, 8)
    together = beside(network, reference, x)
    assert together.shape == (6, 4, 4, 4)
    torch.testing.assert_close(beside(network, reference, x[4:5]), together[4:5])
    other = beside(network, reference.flip(0) + 1, x)
    assert not torch.allclose(other, together)


def test_gain_and_bias_and_precision():
    norm = VirtualNorm(2, 2)
    x = torch.randn(5, 2)
    plain = norm(x)
    with torch.no_grad():
        norm.weight.copy_(tensor([2.0, -1.0]))
        norm.bias.copy_(tensor([0.5, 1.0]))
    torch.testing.assert_close(norm(x), plain * tensor([2.0, -1.0]) + tensor([0.5, 1.0]))
    assert norm((100 + x).bfloat16()).dtype == torch.bfloat16


def test_a_flat_batch_has_a_finite_gradient():
    x = torch.ones(4, 2, requires_grad=True)
    VirtualNorm(2, 2)(x).square().sum().backward()
    assert x.grad.isfinite().all()
