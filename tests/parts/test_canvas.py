"""Canvas: sizes, the round trip, what is repeated."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.parts.canvas import Canvas

SIDES = [1, 2, 3, 5, 7, 8, 9, 12, 16, 20, 28, 31, 32, 33, 44, 45, 48, 64, 100, 128]


@pytest.mark.parametrize(
    ("size", "base", "levels"),
    [
        ((8, 8), (2, 2), 2),
        ((28, 28), (4, 4), 3),
        ((32, 32), (4, 4), 3),
        ((64, 64), (4, 4), 4),
        ((48, 64), (3, 4), 4),
        ((20, 44), (5, 11), 2),
        ((128, 128), (4, 4), 5),
    ],
)
def test_known_sizes(size, base, levels):
    canvas = Canvas.fit(*size)
    assert (canvas.base, canvas.levels) == (base, levels)


def test_levels_and_base_can_be_asked_for():
    assert Canvas.fit(28, 28, levels=2).base == (7, 7)
    assert Canvas.fit(30, 21, levels=2).size == (32, 24)
    assert Canvas.fit(8, 8, base=2).levels == 2


@pytest.mark.parametrize("height", SIDES)
@pytest.mark.parametrize("width", [1, 8, 28, 45])
def test_the_canvas_is_the_smallest_that_holds_the_data(height, width):
    canvas = Canvas.fit(height, width)
    for side, data, base in zip(canvas.size, (height, width), canvas.base, strict=True):
        assert side == base * 2**canvas.levels and data <= side < data + 2**canvas.levels
    assert canvas.levels >= 1 and min(canvas.base) <= 6


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (20, 44), (27, 33), (1, 1), (31, 5)])
def test_padding_and_cropping_is_a_round_trip(size):
    images = torch.randn(2, 3, *size)
    canvas = Canvas.fit(*size)
    padded = canvas.pad(images)
    assert padded.shape == (2, 3, *canvas.size)
    assert torch.equal(canvas.crop(padded), images)


def test_edges_are_repeated_on_all_sides():
    canvas = Canvas.fit(28, 28)
    images = torch.rand(1, 1, 28, 28)
    padded = canvas.pad(images)
    for row in (0, 1):
        assert torch.equal(padded[..., row, 2:-2], images[..., 0, :]) and torch.equal(padded[..., -1 - row, 2:-2], images[..., -1, :])
        assert torch.equal(padded[..., 2:-2, row], images[..., :, 0]) and torch.equal(padded[..., 2:-2, -1 - row], images[..., :, -1])


def test_data_that_fill_the_canvas_are_not_copied():
    images = torch.rand(1, 1, 32, 32)
    assert Canvas.fit(32, 32).pad(images) is images


def test_an_image_without_pixels_is_refused():
    with pytest.raises(GanvasError, match="at least one pixel"):
        Canvas.fit(0, 8)
