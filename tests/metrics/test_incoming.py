"""Samples on their way to be measured: how many, which, checked, rounded and fitted."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.incoming import BATCH, Incoming, choice, fitted
from ganvas.metrics.neighbours import nothing


def numbered(count, *shape):
    """Images that are each of one tone of their own, exact in 8 bits."""
    return (torch.arange(count).float() / 127.5 - 1).view(count, 1, 1, 1).expand(count, *shape)


def taken(samples, wanted, shape=(1, 2, 2), **chosen):
    incoming = Incoming(samples, wanted, shape, **({"seed": 0, "convert": False} | chosen))
    return torch.cat(list(incoming.parts(nothing))), incoming


def test_a_stream_is_read_only_as_far_as_needed():
    asked = []

    def stream():
        for at in range(100):
            asked.append(at)
            yield numbered(10, 1, 2, 2)

    images, incoming = taken(stream(), 25)
    assert len(images) == incoming.count == 25 and asked == [0, 1, 2]
    assert torch.equal(images[20:25], numbered(5, 1, 2, 2))


def test_of_a_larger_tensor_random_ones_are_taken_by_seed():
    first, again, other = (taken(numbered(200, 1, 2, 2), 30, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(first.flatten(1)[:, 0].unique()) == 30
    assert set(choice(200, 10, 1).tolist()) <= set(choice(200, 30, 1).tolist()) and choice(5, 9, 0).tolist() == [0, 1, 2, 3, 4]


def test_parts_are_bounded_and_numbers_rounded_to_bytes():
    images = torch.rand(2 * BATCH + 3, 1, 2, 2) * 2 - 1
    parts = list(Incoming([images], 10_000, (1, 2, 2), seed=0, convert=False).parts(nothing))
    assert [len(part) for part in parts] == [BATCH, BATCH, 3]
    levels = torch.cat(parts).add(1).mul(127.5)
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert float((torch.cat(parts) - images).abs().max()) <= 0.5 / 127.5 + 1e-6


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(3, 2, 2), "images .N, C, H, W. are wanted, not .3, 2, 2."),
        ([torch.zeros(3, 1, 2, 2), torch.full((2, 1, 2, 2), torch.nan)], "sample 3 holds NaN or infinity"),
        (torch.full((2, 1, 2, 2), 1.5), "these reach from 1.5 to 1.5"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), "not torch.uint8"),
        ([], "there are no samples"),
        (torch.zeros(2, 1, 2, 3), "1 x 2 x 3 and the reference 1 x 2 x 2"),
    ],
)
def test_wrong_samples_are_refused(samples, message):
    with pytest.raises(GanvasError, match=message):
        taken(samples, 5)


def test_any_size_leaves_the_size_but_not_the_channels():
    images, _ = taken(torch.zeros(2, 1, 5, 9), 2, any_size=True)
    assert images.shape == (2, 1, 5, 9)
    with pytest.raises(GanvasError, match="3 x 5 x 9"):
        taken(torch.zeros(2, 3, 5, 9), 2, any_size=True)


def test_conversion_is_by_luma_and_area():
    colour = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    grey, changes = fitted(colour, (1, 4, 4), True)
    torch.testing.assert_close(grey, torch.full((1, 1, 4, 4), 0.299 - 0.114)), changes
    assert changes == ["RGB turned into grey"]
    halves = torch.cat([torch.ones(1, 1, 4, 2), -torch.ones(1, 1, 4, 2)], 3)
    small, changes = fitted(halves, (3, 2, 2), True)
    assert small.shape == (1, 3, 2, 2) and small[0, 0, 0, 0] > 0.5 and small[0, 0, 0, 1] < -0.5 and len(changes) == 2
    with pytest.raises(GanvasError, match="only grey .1. and RGB .3."):
        fitted(torch.zeros(1, 2, 4, 4), (1, 4, 4), True)
