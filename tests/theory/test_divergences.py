"""docs/theory.md, sections 1, 2, 3 and 5: the best discriminator, likelihood, three costs, divergences."""

import math

import pytest
import torch
from docs.figures.divergences import (
    COSTS,
    LINE,
    TWO_HILLS,
    best_fits,
    best_logit,
    draw,
    entropy,
    fit,
    js,
    kl,
    normal,
    reverse,
    value,
)

from ganvas.parts.objectives import MAXIMUM_LIKELIHOOD, MINIMAX, NON_SATURATING

WIDE = normal(0.0, 2.0)
LOG_2 = math.log(2)
PAIRS = [(TWO_HILLS, WIDE), (WIDE, TWO_HILLS), (normal(-1.0, 1.0), normal(1.0, 0.7)), (normal(0.0, 1.0), normal(0.0, 1.0))]


# 1. The best discriminator


def test_the_best_discriminator_is_p_over_p_plus_q():
    """At every x, of 999 answers D the one nearest to p / (p + q) gives p log D + q log(1 - D) its largest value."""
    answers = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    for x in torch.linspace(-5, 5, 41, dtype=torch.float64):
        p, q = (float(law(x[None]).exp()) for law in (TWO_HILLS, WIDE))
        best = answers[(p * answers.log() + q * (1 - answers).log()).argmax()]
        assert float(best) == pytest.approx(min(max(p / (p + q), 0.001), 0.999), abs=0.0006)


def test_its_logit_is_the_log_ratio():
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    p, q = TWO_HILLS(x).exp(), WIDE(x).exp()
    torch.testing.assert_close(best_logit(TWO_HILLS, WIDE, x).sigmoid(), p / (p + q))


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_the_value_of_the_best_discriminator_is_twice_js_less_log_4(p, q):
    assert float(value(p, q, best_logit(p, q, LINE))) == pytest.approx(2 * float(js(p, q)) - 2 * LOG_2, abs=1e-9)


@pytest.mark.parametrize("change", [lambda a: a + 0.3, lambda a: 0.5 * a, lambda a: a + a.sin(), lambda a: 0 * a])
def test_any_other_discriminator_is_worth_less(change):
    best = best_logit(TWO_HILLS, WIDE, LINE)
    assert float(value(TWO_HILLS, WIDE, change(best))) < float(value(TWO_HILLS, WIDE, best)) - 1e-3


def test_equal_laws_leave_one_half_and_minus_log_4():
    assert float(value(WIDE, WIDE, best_logit(WIDE, WIDE, LINE))) == pytest.approx(-2 * LOG_2, abs=1e-9)


def test_a_discriminator_trained_on_samples_finds_the_log_ratio():
    """Of two Gaussians of one sigma the log-ratio is a straight line, which logistic regression finds: here 2 x, from N(-+1, 1)."""
    generator = torch.Generator().manual_seed(0)
    real, fake = draw(((1.0, 1.0, 1.0),), 20_000, generator), draw(((1.0, -1.0, 1.0),), 20_000, generator)
    line = torch.nn.Linear(1, 1)
    descent = torch.optim.LBFGS(line.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        descent.zero_grad()
        loss = MINIMAX.d(line(real).flatten(), line(fake).flatten()).mean()
        loss.backward()
        return loss

    descent.step(closure)
    assert float(line.weight.detach()) == pytest.approx(2.0, abs=0.06)
    assert float(line.bias.detach()) == pytest.approx(0.0, abs=0.04)


# 2. Likelihood


def test_likelihood_and_divergence_are_the_entropy_apart():
    """-E_p log q = H(p) + KL(p || q) for every model q."""
    for mean in (-3.0, -0.5, 2.0):
        for sigma in (0.8, 2.5):
            cross = -torch.trapezoid(TWO_HILLS(LINE).exp() * normal(mean, sigma)(LINE), LINE)
            assert float(cross) == pytest.approx(float(entropy(TWO_HILLS) + kl(TWO_HILLS, normal(mean, sigma))), abs=1e-9)


def test_the_likeliest_model_is_the_nearest_by_kl():
    """Of Gaussians both have the mean and the variance of p: here -0.5, and 0.36 + 0.6 * 0.4 * 5^2."""
    mean, sigma, _ = fit(TWO_HILLS, kl, (0.0, 2.0))
    points = draw(((0.6, -2.5, 0.6), (0.4, 2.5, 0.6)), 100_000, torch.Generator().manual_seed(0)).double()
    assert mean == pytest.approx(-0.5, abs=1e-6) and sigma == pytest.approx(math.sqrt(0.36 + 0.24 * 25), abs=1e-6)
    assert float(points.mean()) == pytest.approx(mean, abs=0.03) and float(points.std()) == pytest.approx(sigma, abs=0.02)


# 3. Three costs


def pull(objective, share):
    """The cost and minus its derivative by the logit where D(G(z)) = share."""
    logit = torch.tensor([share], dtype=torch.float64).logit().requires_grad_()
    cost = objective.g(logit)
    (slope,) = torch.autograd.grad(cost.sum(), logit)
    return float(cost.detach()), -float(slope)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99])
def test_the_three_costs_and_their_pulls(share):
    assert pull(MINIMAX, share) == pytest.approx((math.log(1 - share), share))
    assert pull(NON_SATURATING, share) == pytest.approx((-math.log(share), 1 - share))
    assert pull(MAXIMUM_LIKELIHOOD, share) == pytest.approx((-share / (1 - share), share / (1 - share)))
    assert set(COSTS.values()) == {MINIMAX, NON_SATURATING, MAXIMUM_LIKELIHOOD}


def test_minimax_saturates_where_the_discriminator_is_sure_and_the_other_does_not():
    """From D(G(z)) = 0.1 to 0.0001 the minimax pull falls a thousandfold; the non-saturating one rises to 1."""
    assert pull(MINIMAX, 1e-4)[1] / pull(MINIMAX, 1e-1)[1] == pytest.approx(1e-3)
    assert pull(NON_SATURATING, 1e-4)[1] > pull(NON_SATURATING, 1e-1)[1] > 0.89


def test_the_best_samples_rule_maximum_likelihood():
    """Of a batch judged 0.05 .. 0.95, the best tenth has nearly half the pull; under the non-saturating cost the worst half has most."""
    shares = torch.linspace(0.05, 0.95, 100, dtype=torch.float64)
    ml = torch.tensor([pull(MAXIMUM_LIKELIHOOD, float(s))[1] for s in shares])
    ns = torch.tensor([pull(NON_SATURATING, float(s))[1] for s in shares])
    assert ml[-10:].sum() > 0.45 * ml.sum() and ns[:50].sum() > 0.7 * ns.sum()


# 5. Divergences


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_js_is_symmetric_and_at_most_log_2(p, q):
    assert float(js(p, q)) == pytest.approx(float(js(q, p)), abs=1e-12)
    assert -1e-12 < float(js(p, q)) < LOG_2


def test_js_of_laws_that_do_not_overlap_is_log_2():
    assert float(js(normal(-6.0, 0.3), normal(6.0, 0.3))) == pytest.approx(LOG_2, abs=1e-9)


def test_kl_is_not_symmetric():
    """Of Gaussians: log(s / t) + (t^2 + m^2) / (2 s^2) - 1/2 for N(., t^2) from N(., s^2) at distance m."""
    p, q = normal(0.0, 1.5), normal(3.0, 1.0)
    assert float(kl(p, q)) == pytest.approx(math.log(1 / 1.5) + (2.25 + 9) / 2 - 0.5, abs=1e-9)
    assert float(kl(q, p)) == pytest.approx(math.log(1.5) + (1 + 9) / 4.5 - 0.5, abs=1e-9)


def test_forward_covers_and_reverse_seeks():
    fits = best_fits()
    mean, sigma, least = fits["KL(p || q)"]
    assert mean == pytest.approx(-0.5, abs=1e-5) and sigma > 2.4
    mean, sigma, least = fits["KL(q || p)"]
    assert mean == pytest.approx(-2.5, abs=1e-3) and sigma == pytest.approx(0.6, abs=1e-3)
    assert least == pytest.approx(-math.log(0.6), abs=1e-4)  # q is the hill itself, whose weight in p is 0.6
    worst = float(kl(TWO_HILLS, normal(mean, sigma)))
    assert worst > 10 > 1 > fits["KL(p || q)"][2]  # what reverse likes, forward punishes: 40 % of p lies where q has nothing


@pytest.mark.parametrize(("start", "hill"), [(-3.0, -2.5), (3.0, 2.5)])
def test_reverse_keeps_the_hill_it_starts_at(start, hill):
    assert fit(TWO_HILLS, reverse, (start, 1.0))[0] == pytest.approx(hill, abs=1e-3)
