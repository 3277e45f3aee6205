"""docs/theory.md, sections 8 and 10: the discriminator's vanishing slope, the critic's straight line, and what holds a critic's slope."""

import math

import pytest
import torch
from docs.figures.critics import Schooling, between, gaussian, ring, schooled, slopes, weights_of

from ganvas.engine.draws import SampleDraws
from ganvas.parts.objectives import MINIMAX, NON_SATURATING, WASSERSTEIN
from ganvas.parts.penalties import gradient_penalty, input_gradient, slope

SHORT = {"steps": 300, "batch": 128, "widths": (32, 32), "lr": 3e-3}
REAL, FAKE = gaussian(-2.0, 0.5), gaussian(2.0, 0.5)
AT_SAMPLES = torch.linspace(1.5, 2.5, 11)[:, None]


# 8. Vanishing slope


def test_the_best_discriminator_of_far_laws_has_no_slope_left_for_log_1_minus_d():
    """Of N(-2, s^2) and N(2, s^2) the best logit is -4 x / s^2; by the chain rule the slope of log(1 - D) is D times 4 / s^2."""
    x = torch.tensor([[2.0]], dtype=torch.float64)
    found = []
    for s in (1.0, 0.7, 0.5, 0.4):
        cost = lambda points, s=s: MINIMAX.g((-4 * points / s**2).flatten())
        found.append(float(slope(input_gradient(cost, x)).detach()))
        assert found[-1] == pytest.approx(4 / s**2 / (1 + math.exp(8 / s**2)), rel=1e-6)
    assert found == sorted(found, reverse=True) and found[-1] < 1e-18


def test_the_other_cost_has_slope_there_but_of_any_size():
    """-log D keeps (1 - D) 4 / s^2: 16 where s is 1/2, and without bound as the laws become narrow."""
    x = torch.tensor([[2.0]], dtype=torch.float64)
    for s in (1.0, 0.5, 0.1):
        cost = lambda points, s=s: NON_SATURATING.g((-4 * points / s**2).flatten())
        assert float(slope(input_gradient(cost, x)).detach()) == pytest.approx(4 / s**2, rel=1e-3)


def test_a_trained_discriminator_turns_off_and_a_trained_critic_does_not():
    discriminator = schooled(REAL, FAKE, 1, Schooling(objective=MINIMAX, leash="none", **SHORT))
    critic = schooled(REAL, FAKE, 1, Schooling(**SHORT))
    left = slope(input_gradient(lambda x: MINIMAX.g(discriminator(x)), AT_SAMPLES)).detach()
    assert float(left.max()) < 0.02
    assert slopes(critic, torch.linspace(-1, 2, 13)[:, None]) == pytest.approx(1.2, abs=0.15)


def slope_found(start, weight, *, one_sided=False):
    """Where gradient descent from `start` leads a critic s x of two points at distance 4, by the critic's whole loss."""
    x, x_hat = torch.full((8, 1), 3.0), torch.full((8, 1), -1.0)
    critic = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(critic.weight, start)
    descent = torch.optim.SGD(critic.parameters(), lr=0.2 / weight)
    for _ in range(100):
        descent.zero_grad()
        penalty = gradient_penalty(critic, x, x_hat, SampleDraws(0), one_sided=one_sided)
        (WASSERSTEIN.d(critic(x), critic(x_hat)) + weight * penalty).mean().backward()
        descent.step()
    return float(critic.weight.detach())


@pytest.mark.parametrize("weight", [0.1, 1.0, 10.0])
def test_the_penalised_slope_is_1_and_w_over_2_lambda(weight):
    """-s W + lambda (s - 1)^2 is least at s = 1 + W / (2 lambda), and so it is for the one-sided penalty."""
    for one_sided in (False, True):
        assert slope_found(0.5, weight, one_sided=one_sided) == pytest.approx(1 + 4 / (2 * weight), rel=1e-4)


# 10. What holds the slope


def test_the_two_penalties_by_hand():
    """Two-sided (s - 1)^2; one-sided the same above 1, and nothing below."""
    x, x_hat = torch.zeros(4, 2), torch.ones(4, 2)
    for s in (0.0, 0.25, 1.0, 3.0):
        critic = lambda points, s=s: s * points[:, 0] + 0 * points.square().sum(1)
        two = gradient_penalty(critic, x, x_hat, SampleDraws(0))
        one = gradient_penalty(critic, x, x_hat, SampleDraws(0), one_sided=True)
        torch.testing.assert_close(two, torch.full((4,), (s - 1) ** 2))
        torch.testing.assert_close(one, torch.full((4,), max(0.0, s - 1) ** 2))


def test_a_strong_two_sided_penalty_can_keep_a_critic_on_the_wrong_side():
    """-s W + lambda (|s| - 1)^2 has a second minimum at s = -(1 - W / (2 lambda)) where lambda > W / 2; one-sided there is no such trap."""
    assert slope_found(-0.5, 10.0) == pytest.approx(-(1 - 4 / 20), rel=1e-4)
    assert slope_found(-0.5, 10.0, one_sided=True) == pytest.approx(1 + 4 / 20, rel=1e-4)
    assert slope_found(-0.5, 1.0) == pytest.approx(1 + 4 / 2, rel=1e-4)


def test_clipping_pushes_the_weights_to_the_two_ends():
    clipped = schooled(ring(1.5), ring(0.5), 2, Schooling(leash="clipping", clip=0.1, **SHORT))
    held = weights_of(clipped)
    assert abs(held).max() <= 0.1 + 1e-7
    assert (abs(held) > 0.095).mean() > 0.5
    free = weights_of(schooled(ring(1.5), ring(0.5), 2, Schooling(**SHORT | {"steps": 100})))
    assert ((abs(free) > 0.095) & (abs(free) < 0.105)).mean() < 0.2


def test_the_slope_of_a_clipped_critic_is_a_matter_of_depth_and_bound():
    """At the ends of the clip a layer of F units multiplies by up to c F: the slope grows or dies exponentially with the layers."""
    for bound, low, high in ((0.01, 0.0, 0.01), (0.1, 3.0, math.inf)):
        network = torch.nn.Sequential(torch.nn.Linear(1, 64), *(torch.nn.Linear(64, 64) for _ in range(2)), torch.nn.Linear(64, 1))
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, bound)
        found = slope(input_gradient(network, torch.zeros(1, 1))).detach()
        assert float(found) == pytest.approx(64**3 * bound**4, rel=1e-4) and low < float(found) < high


def test_two_sided_keeps_slope_1_where_the_samples_equal_the_data_and_one_sided_lets_it_go():
    same = ring(1.5), ring(1.5)
    places = between(*same, n=256)
    two, one = (schooled(*same, 2, Schooling(leash=leash, **SHORT | {"steps": 150})) for leash in ("two-sided", "one-sided"))
    assert float(slopes(two, places).median()) == pytest.approx(1.0, abs=0.1)
    assert float(slopes(one, places).median()) < 0.8
