"""Self-attention: the identity at first, rows that sum to 1, and what a place takes, by hand and by a loop."""

import pytest
import torch
from torch import nn, tensor

from ganvas.parts.attention import SelfAttention
from ganvas.parts.spectral import Spectral, spectral

SHAPES = [(16, 8, 8), (8, 5, 7), (3, 2, 2), (4, 1, 1)]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES)
def test_at_first_the_block_is_the_identity(shape):
    block, x = SelfAttention(shape[0]), torch.randn(3, *shape)
    assert float(block.gamma.detach()) == 0 and torch.equal(block(x), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_sum_to_1(shape):
    block, x = SelfAttention(shape[0]), 5 * torch.randn(3, *shape)
    rows = block.attention(x)
    places, pooled = shape[1] * shape[2], -(-shape[1] // 2) * -(-shape[2] // 2)
    assert rows.shape == (3, places, pooled) and rows.min() >= 0
    torch.testing.assert_close(rows.sum(2), torch.ones(3, places))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = block.attention(x)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.sum(2), torch.ones(3, places))


def test_what_a_place_takes_by_a_loop():
    block = SelfAttention(8)
    block.gamma.data.fill_(0.7)
    x = torch.randn(2, 8, 4, 6)
    matrix = lambda layer: layer.weight[:, :, 0, 0]
    for picture, found in zip(x, block(x), strict=True):
        asked, answered, given = (torch.einsum("oc,chw->ohw", matrix(layer), picture) for layer in (block.ask, block.answer, block.give))
        largest = lambda maps: torch.stack([maps[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].amax((1, 2)) for i in range(2) for j in range(3)])
        keys, values = largest(answered), largest(given)
        for i in range(4):
            for j in range(6):
                weights = (keys @ asked[:, i, j]).exp()
                taken = (weights[:, None] * values).sum(0) / weights.sum()
                torch.testing.assert_close(found[:, i, j], picture[:, i, j] + 0.7 * matrix(block.out) @ taken, rtol=1e-4, atol=1e-5)


def test_there_is_no_division_by_the_root_of_the_dimension():
    """Sixteen entries of 1/2 asked and answered: f . g = 16 / 4, which divided by the root of 16 would be 1."""
    block = SelfAttention(128)
    for layer in (block.ask, block.answer):
        nn.init.zeros_(layer.weight)
        layer.weight.data[:, :16, 0, 0] = torch.eye(16)
    x = torch.zeros(1, 128, 2, 4)
    x[0, :16, :, :2] = 0.5  # the left block of 2 x 2 answers to itself with 16 * 0.25 = 4, the right with 0
    rows = block.attention(x)[0]
    torch.testing.assert_close(rows[0], torch.softmax(tensor([4.0, 0.0]), 0))
    torch.testing.assert_close(rows[2], tensor([0.5, 0.5]))


def test_places_are_treated_alike():
    """Turning a picture upside down turns the result: attention knows no distances."""
    block, x = SelfAttention(8), torch.randn(2, 8, 4, 4)
    block.gamma.data.fill_(1.0)
    torch.testing.assert_close(block(x.flip(2)), block(x).flip(2), rtol=1e-4, atol=1e-5)


def test_sizes_and_layers():
    block = SelfAttention(64, wrap=spectral)
    shapes = [tuple(layer.layer.weight.shape[:2]) for layer in block.children() if isinstance(layer, Spectral)]
    assert shapes == [(8, 64), (8, 64), (32, 64), (64, 32)]
    assert all(layer.layer.bias is None for layer in block.children())


def test_gamma_has_a_gradient_at_first_and_the_others_after():
    block, x = SelfAttention(8), torch.randn(2, 8, 4, 4)
    block(x).square().sum().backward()
    assert block.gamma.grad.any() and not block.ask.weight.grad.any() and not block.out.weight.grad.any()
    block.gamma.data.fill_(0.1)
    block(x).square().sum().backward()
    assert all(layer.weight.grad.any() for layer in (block.ask, block.answer, block.give, block.out))
