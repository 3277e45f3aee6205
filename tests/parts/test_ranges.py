"""Range checks name the flag, the range and what came."""

import math
from types import SimpleNamespace

import pytest

from ganvas.errors import GanvasError
from ganvas.parts.ranges import in_range, one_of, whole


@pytest.mark.parametrize("value", [0.0, 0.5, 1, None])
def test_numbers_of_the_range_pass(value):
    in_range(SimpleNamespace(x=value), 0.0, 1.0, "x")


@pytest.mark.parametrize(
    ("value", "open_low", "open_high", "message"),
    [
        (-0.1, False, False, "--config.x must be at least 0 and at most 1, not -0.1"),
        (0.0, True, False, "--config.x must be above 0 and at most 1, not 0.0"),
        (1.0, False, True, "--config.x must be at least 0 and below 1, not 1.0"),
        (math.nan, False, False, "not nan"),
        (math.inf, False, False, "not inf"),
        (True, False, False, "not True"),
        ("0.5", False, False, "not '0.5'"),
    ],
)
def test_others_are_refused(value, open_low, open_high, message):
    with pytest.raises(GanvasError, match=message):
        in_range(SimpleNamespace(x=value), 0.0, 1.0, "x", open_low=open_low, open_high=open_high)


def test_an_open_end_at_infinity_is_not_spoken_of():
    with pytest.raises(GanvasError, match=r"^--config.x must be at least 0, not -1$"):
        in_range(SimpleNamespace(x=-1), 0.0, math.inf, "x")


@pytest.mark.parametrize("value", [1, 7, None, (), (1, 2)])
def test_whole_numbers_pass(value):
    whole(SimpleNamespace(n=value), 1, "n")


@pytest.mark.parametrize("value", [0, -3, 2.5, 2.0, True, "3", (1, 0), (1, 2.5), [1, 2]])
def test_what_is_not_whole_is_refused(value):
    with pytest.raises(GanvasError, match=r"--config\.n must be"):
        whole(SimpleNamespace(n=value), 1, "n")


def test_a_choice_names_the_nearest_right_one():
    one_of(SimpleNamespace(cost="minimax"), ("minimax", "hinge"), "cost")
    with pytest.raises(GanvasError, match=r"^--config.cost must be one of minimax, hinge, not 'minmax'\. Did you mean 'minimax'\?$"):
        one_of(SimpleNamespace(cost="minmax"), ("minimax", "hinge"), "cost")
