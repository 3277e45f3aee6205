"""Levels by hand, numbers that find their level, and images that are filled pixel by pixel."""

import pytest
import torch

from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError
from ganvas.parts.raster import Levels, draw, fill

GREY = torch.tensor([0.0, 0.16, 0.17, 0.5, 0.99, 1.0]).view(6, 1, 1, 1)


def test_levels_by_hand():
    rng = SampleDraws(0)
    assert Levels(4).numbers(2 * GREY - 1, rng).flatten().tolist() == [0, 0, 1, 2, 3, 3]
    assert Levels(2).numbers(2 * GREY - 1, rng).flatten().tolist() == [0, 0, 0, 1, 1, 1]
    every = torch.arange(256).view(-1, 1, 1, 1)
    assert torch.equal(Levels(256).numbers(every / 127.5 - 1, rng), every)
    assert Levels(256).values(every).min() == -1 and Levels(256).values(every).max() == 1


def test_drawn_levels_are_white_with_the_grey_value_as_probability():
    levels = Levels(2, "draw")
    drawn = levels.numbers(torch.full((200, 1, 8, 8), -0.4), SampleDraws(0))
    assert set(drawn.unique().tolist()) == {0, 1} and float(drawn.double().mean()) == pytest.approx(0.3, abs=0.015)
    assert levels.numbers(torch.full((2, 1, 8, 8), -1.0), SampleDraws(0)).max() == 0
    assert levels.numbers(torch.full((2, 1, 8, 8), 1.0), SampleDraws(0)).min() == 1
    with pytest.raises(GanvasError, match="--config.binarise draw needs --config.levels 2, not 4"):
        Levels(4, "draw")


def test_what_is_done_to_images_is_said():
    said = [levels.said for levels in (Levels(2, "draw"), Levels(2), Levels(8))]
    assert said == ["binarised at random", "binarised at one half", "rounded to 8 levels"]


@pytest.mark.parametrize(("u", "level"), [(0.0, 0), (0.199, 0), (0.201, 1), (0.499, 1), (0.501, 2), (0.9999999, 2)])
def test_a_uniform_number_finds_its_level(u, level):
    logits = torch.tensor([[0.2, 0.3, 0.5]]).log()
    assert draw(logits, torch.tensor([u])).tolist() == [level]


def test_filling_asks_in_raster_order_and_shows_what_was_drawn():
    """A model that repeats the sub-pixel before with certainty: what is given spreads to the next given one."""
    levels, asked = Levels(3), []

    def walk(canvas):
        def at(row, column):
            asked.append((row, column))
            seen = canvas[:, 1:-1, 1:-1].flatten(1)
            place = (row * 3 + column) * 2
            logits = torch.full((len(canvas), 3, 2), -1e4)
            for channel in range(2):
                last = seen[:, place + channel - 1] if place + channel else seen.new_zeros(len(canvas))
                logits[torch.arange(len(canvas)), (last + 1).long(), channel] = 1e4
            return logits

        return at

    given, mask = torch.zeros(2, 2, 2, 3), torch.zeros(2, 2, 2, 3)
    mask[:, 1, 0, 1] = 1  # the second channel of the second pixel
    given[0, 1, 0, 1], given[1, 1, 0, 1] = 1.0, -0.9
    found = fill(given, mask, levels, 1, walk, SampleDraws(0))
    order = found.permute(0, 2, 3, 1).flatten(1)
    assert order[0].tolist() == [0] * 3 + [1] * 9
    torch.testing.assert_close(order[1], torch.tensor([0.0] * 3 + [-0.9] + [-1.0] * 8))  # what is given is kept, and seen by its level
    assert asked == [(r, c) for r in range(2) for c in range(3) for _ in range(2)]
