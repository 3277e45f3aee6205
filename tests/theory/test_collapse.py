"""docs/theory.md, sections 11 and 12: why a generator jumps between two cities, what cures it, and collapse on digits."""

import pytest
import torch
from docs.figures.collapse import CITIES, DIGITS, cities, drawn_digits, jumps, nearest_class, shares_of, variety, warm
from docs.figures.divergences import LINE, best_logit, mixture, normal

from ganvas.data.open import open_data
from ganvas.parts.objectives import NON_SATURATING

# 11. Two cities


def test_the_best_answer_to_a_fixed_discriminator_is_one_point():
    """min over G of E_z[-log D(G(z))] puts every sample where D is largest: 200 points, free to go anywhere, all go there."""
    judge = lambda x: -0.5 * (x - 1.5) ** 2  # a logit with one peak
    places = torch.linspace(-3, 3, 200, requires_grad=True)
    descent = torch.optim.Adam([places], lr=0.1)
    for _ in range(300):
        descent.zero_grad()
        NON_SATURATING.g(judge(places)).mean().backward()
        descent.step()
    torch.testing.assert_close(places.detach(), torch.full((200,), 1.5), atol=1e-3, rtol=0)


@pytest.mark.parametrize("sits", [-1.0, 1.0])
def test_against_a_generator_in_one_city_the_best_discriminator_points_to_the_other(sits):
    """So the best answer to the best answer is to move: the pure game of best answers has no rest."""
    data = mixture((0.5, -1.0, 0.3), (0.5, 1.0, 0.3))
    logit = best_logit(data, normal(sits, 0.3), LINE)
    inside = LINE.abs() < 2
    peak = float(LINE[inside][logit[inside].argmax()])
    assert peak * sits < 0


def test_jumps_are_counted_between_nearly_full_cities():
    assert jumps([0.0, 1.0, 1.0, 0.5, 0.05, 0.95]) == 3 and jumps([0.5, 0.6, 0.4]) == 0 and jumps([1.0, 0.6, 0.99]) == 0


def test_the_weak_setting_jumps():
    assert jumps(warm(cities(CITIES[0], 300, 10))) >= 2


@pytest.mark.parametrize("cure", CITIES[1:], ids=[setting.title for setting in CITIES[1:]])
def test_each_cure_stays_in_both_cities(cure):
    shares = warm(cities(cure, 200, 10))[14:]  # the beginning may lean to one side
    assert jumps(shares) == 0 and 0.25 < min(shares) and max(shares) < 0.75


# 12. Digits


def test_the_judge_of_digits_is_right():
    test = open_data("digits", split="test")
    batch = test.batch(torch.arange(len(test)))
    assert float((nearest_class()(batch.images) == batch.labels).float().mean()) > 0.97


def test_variety_and_shares_by_hand():
    image = torch.zeros(1, 1, 2, 2)
    assert variety(image.repeat(6, 1, 1, 1)) == 0
    assert variety(torch.cat([image, image, image + 1, image + 1])) == 2  # the root of four squares of 1
    assert shares_of(torch.tensor([3, 3, 9, 3])).tolist() == [0, 0, 0, 0.75, 0, 0, 0, 0, 0, 0.25]


def test_a_generator_too_fast_for_its_discriminator_loses_digits():
    """Within 200 updates the most uneven players have less than a third of the data's variety, and three classes at most."""
    data = open_data("digits", split="test")
    (collapsed,) = drawn_digits(DIGITS[2], [180])
    assert variety(collapsed) < variety(data.batch(torch.arange(len(data))).images) / 3
    assert int((shares_of(nearest_class()(collapsed)) > 0.02).sum()) <= 3


def test_a_discriminator_too_narrow_for_its_generator_loses_some_digits_and_not_their_variety():
    """Partial collapse: digits are missing or rare while others are drawn in many shapes, so that a grid alone would not tell."""
    data = open_data("digits", split="test")
    (partial,) = drawn_digits(DIGITS[1], [480])
    assert variety(partial) > 0.6 * variety(data.batch(torch.arange(len(data))).images)
    found = int((shares_of(nearest_class()(partial)) > 0.02).sum())
    assert 4 <= found <= 9
