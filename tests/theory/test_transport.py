"""docs/theory.md, sections 6 and 7: the cheapest plan, its dual, and laws that do not overlap."""

import math

import numpy as np
import ot
import pytest
import torch
from docs.figures.divergences import js, normal
from docs.figures.transport import (
    discrete_js,
    dual,
    monotone_plan,
    parallel_lines,
    potential,
    primal,
    programmed,
    two_histograms,
)

from ganvas.metrics.wasserstein import sliced_wasserstein


def laws(seed):
    """Places on a line at uneven distances, and two laws on them."""
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(0, 10, 25))
    p, q = random.dirichlet(np.full(25, 0.5)), random.dirichlet(np.full(25, 0.5))
    return x, p, q


every = pytest.mark.parametrize("problem", [two_histograms(), *(laws(seed) for seed in range(4))], ids=["page", "a", "b", "c", "d"])


# 6. Plan and dual


@every
def test_the_plan_moves_p_to_q(problem):
    _, p, q = problem
    plan = monotone_plan(p, q)
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(1), p, atol=1e-12)
    np.testing.assert_allclose(plan.sum(0), q, atol=1e-12)


@every
def test_no_plan_is_cheaper(problem):
    """POT's network simplex, over all plans, finds the same work."""
    x, p, q = problem
    assert primal(monotone_plan(p, q), x, x) == pytest.approx(float(ot.emd2(p, q, np.abs(x[:, None] - x[None, :]))), rel=1e-9)


@every
def test_the_dual_has_the_value_of_the_primal(problem):
    x, p, q = problem
    f = potential(p, q, x)
    assert (np.abs(np.diff(f)) <= np.diff(x) + 1e-12).all()  # slope at most 1
    assert dual(f, p, q) == pytest.approx(primal(monotone_plan(p, q), x, x), rel=1e-9)
    assert programmed(p, q, x) == pytest.approx(dual(f, p, q), rel=1e-7)


@every
def test_the_critic_falls_by_the_distance_wherever_something_is_moved(problem):
    """Complementary slackness: f(a) - f(b) = |a - b| on the plan's pairs, which is why neither side can do better."""
    x, p, q = problem
    f = potential(p, q, x)
    rows, columns = np.nonzero(monotone_plan(p, q) > 1e-9)
    np.testing.assert_allclose(f[rows] - f[columns], np.abs(x[rows] - x[columns]), atol=1e-9)


def test_any_critic_of_slope_1_is_worth_at_most_the_distance():
    x, p, q = two_histograms()
    distance = primal(monotone_plan(p, q), x, x)
    random = np.random.default_rng(0)
    for _ in range(200):
        f = np.concatenate([[0.0], np.cumsum(random.uniform(-1, 1, len(x) - 1) * np.diff(x))])
        assert dual(f, p, q) <= distance


def test_the_distance_is_the_area_between_distribution_functions():
    x, p, q = two_histograms()
    area = float((np.abs(np.cumsum(p - q))[:-1] * np.diff(x)).sum())
    assert area == pytest.approx(primal(monotone_plan(p, q), x, x), rel=1e-9)


# 7. Laws that do not overlap


@pytest.mark.parametrize("theta", [-1.0, -0.01, 0.003, 0.5, 3.0])
def test_on_parallel_lines_js_is_flat_and_wasserstein_is_not(theta):
    places, p, q = parallel_lines(theta)
    assert discrete_js(p, q) == pytest.approx(math.log(2), abs=1e-12)
    assert float(ot.emd2(p, q, ot.dist(places, places, metric="euclidean"))) == pytest.approx(abs(theta), rel=1e-9)


def test_on_one_line_both_are_0():
    places, p, q = parallel_lines(0.0)
    assert discrete_js(p, q) == 0 and float(ot.emd2(p, q, ot.dist(places, places))) == 0


def test_far_gaussians_give_js_no_slope_and_wasserstein_slope_1():
    def slopes(shift, step=1e-3):
        moved = [float(js(normal(0.0, 0.5), normal(at, 0.5))) for at in (shift - step, shift + step)]
        quantiles = 0.5 * torch.special.ndtri((torch.arange(500, dtype=torch.float64) + 0.5) / 500)[:, None]
        far = [sliced_wasserstein(quantiles, quantiles + at) for at in (shift - step, shift + step)]
        return (moved[1] - moved[0]) / (2 * step), (far[1] - far[0]) / (2 * step)

    assert slopes(0.5) == pytest.approx((0.40, 1.0), abs=0.02)
    assert abs(slopes(5.0)[0]) < 1e-4 and slopes(5.0)[1] == pytest.approx(1.0, rel=1e-9)
