"""Consistency: terms by hand, what T does to an image, and the law of its draws."""

import pytest
import torch
from torch import tensor

from ganvas.engine.draws import StepDraws
from ganvas.parts.consistency import difference, mirrored, spread, transformed


def rng(seed=0, part=0, parts=1):
    return StepDraws(seed, part, parts, torch.device("cpu"))


def test_differences_by_hand():
    torch.testing.assert_close(difference(tensor([1.0, -2.0]), tensor([0.5, 1.0])), tensor([0.25, 9.0]))
    first, second = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    torch.testing.assert_close(difference(first, second), (first - second).square().flatten(1).mean(1))


def test_the_spread_of_samples_by_hand():
    first = torch.zeros(2, 1, 2, 2)
    second = tensor([[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2)
    torch.testing.assert_close(spread(first, second), tensor([1.0, 1.0]))
    assert not spread(first, first).any()


def test_an_image_is_moved_and_mirrored_at_its_edge_pixels():
    x = torch.arange(12.0).view(1, 1, 3, 4).expand(4, 1, 3, 4)
    found = mirrored(x, tensor([0, 1, 0, -1]), tensor([0, 0, 2, 1]), tensor([1, 0, 0, 1]))[:, 0]
    assert torch.equal(found[0], x[0, 0].flip(1))
    assert torch.equal(found[1], x[0, 0][[1, 0, 1]])
    assert torch.equal(found[2], x[0, 0][:, [2, 1, 0, 1]])
    assert torch.equal(found[3], x[0, 0].flip(1)[[1, 2, 1]][:, [1, 0, 1, 2]])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 13), (2, 9, 6), (1, 4, 4)])
def test_every_size(shape):
    x = torch.randn(6, *shape)
    found = transformed(x, rng())
    assert found.shape == x.shape
    assert all(set(after.unique().tolist()) <= set(before.unique().tolist()) for before, after in zip(x, found, strict=True))


def test_the_law_of_the_draws():
    """Of 32 pixels shifts go from -4 to 4, all alike; every other image is mirrored, and none where that is not wanted."""
    dot = torch.zeros(6000, 1, 32, 32)
    dot[:, :, 10, 12] = 1
    for mirror, share in ((True, 0.5), (False, 0.0)):
        places = transformed(dot, rng(1), mirror=mirror).mean(0)[0]
        left, right = places[6:15, 8:17], places[6:15, 15:24]
        assert float(left.sum() + right.sum() - places[6:15, 15:17].sum()) == pytest.approx(1.0, abs=1e-4)
        assert float(places[:, 17:].sum()) == pytest.approx(share * 7 / 9, abs=0.03)
        torch.testing.assert_close(places.sum(1)[6:15], torch.full((9,), 1 / 9), atol=0.02, rtol=0)


def test_two_halves_of_a_batch_are_changed_as_the_whole_and_gradients_pass():
    x = torch.randn(8, 3, 10, 12, requires_grad=True)
    halves = [transformed(x[part * 4 :][:4], rng(5, part, 2)) for part in range(2)]
    whole = transformed(x, rng(5))
    assert torch.equal(torch.cat(halves), whole)
    whole.sum().backward()
    assert x.grad.sum() == pytest.approx(whole.numel())
