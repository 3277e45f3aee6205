"""Divergences: each row of the table against formulas written here, conjugates by search, bounds on known distributions, both sides."""

import math

import pytest
import torch
from torch import tensor

from ganvas.parts.divergences import COSTS, DIVERGENCES, LARGEST, objective

ALL = DIVERGENCES.values()
every = pytest.mark.parametrize("divergence", ALL, ids=[divergence.name for divergence in ALL])
SMOOTH = [divergence for divergence in ALL if divergence.name != "total-variation"]
smooth = pytest.mark.parametrize("divergence", SMOOTH, ids=[divergence.name for divergence in SMOOTH])

P = torch.tensor([0.30, 0.25, 0.20, 0.15, 0.07, 0.03], dtype=torch.float64)
Q = torch.tensor([0.05, 0.10, 0.15, 0.20, 0.20, 0.30], dtype=torch.float64)


def kl(p, q):
    return (p * (p / q).log()).sum()


def jensen_shannon(p, q):
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


# The divergences of probabilities as textbooks write them, without f. Densities on a fine grid, times its spacing, are probabilities too.
EXACT = {
    "kl": kl,
    "reverse-kl": lambda p, q: kl(q, p),
    "pearson": lambda p, q: ((p - q).square() / q).sum(),
    "neyman": lambda p, q: ((p - q).square() / p).sum(),
    "squared-hellinger": lambda p, q: (p.sqrt() - q.sqrt()).square().sum(),
    "jensen-shannon": lambda p, q: 2 * jensen_shannon(p, q),
    "gan": lambda p, q: 2 * jensen_shannon(p, q) - math.log(4),
    "total-variation": lambda p, q: (p - q).abs().sum() / 2,
}

# A network's output at T*, of the ratio u = p/q (total variation: in the limit).
OUTPUT = {
    "kl": lambda u: 1 + u.log(),
    "reverse-kl": torch.log,
    "pearson": lambda u: 2 * (u - 1),
    "neyman": lambda u: 2 * u.log(),
    "squared-hellinger": lambda u: u.log() / 2,
    "jensen-shannon": torch.log,
    "gan": torch.log,
    "total-variation": lambda u: 40 * (u - 1).sign(),
}


def gaussians():
    """Probabilities of N(0.4, 0.9^2) and N(0, 1) on 20,001 cells of [-10, 10], and the cells' centres."""
    x = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    p, q = (torch.distributions.Normal(tensor(m).double(), tensor(s).double()).log_prob(x).exp() for m, s in ((0.4, 0.9), (0.0, 1.0)))
    return p * (x[1] - x[0]), q * (x[1] - x[0]), x


def test_there_are_eight():
    assert set(DIVERGENCES) == set(EXACT) and all(name == divergence.name for name, divergence in DIVERGENCES.items())


# The table


@every
@pytest.mark.parametrize("pair", ["points", "gaussians"])
def test_the_bound_is_the_divergence_at_its_optimum(divergence, pair):
    p, q = (P, Q) if pair == "points" else gaussians()[:2]
    exact = float(EXACT[divergence.name](p, q))
    assert float((q * divergence.f(p / q)).sum()) == pytest.approx(exact, rel=1e-9)
    t = divergence.optimum(p / q)
    assert float((p * t).sum() - (q * divergence.conjugate(t)).sum()) == pytest.approx(exact, rel=1e-9)


def test_gaussians_have_the_divergences_of_textbooks():
    """By quadrature, against the closed forms for N(m, s^2) and N(0, 1)."""
    p, q, _ = gaussians()
    m, s = 0.4, 0.9
    forward, backward = (s * s + m * m - 1) / 2 - math.log(s), (1 + m * m) / (2 * s * s) - 0.5 + math.log(s)
    affinity = math.sqrt(2 * s / (1 + s * s)) * math.exp(-m * m / (4 * (1 + s * s)))
    pearson = math.exp(m * m / (2 - s * s)) / (s * math.sqrt(2 - s * s)) - 1  # E_Q[(p/q)^2] - 1
    neyman = s * s / math.sqrt(2 * s * s - 1) * math.exp(m * m / (2 * s * s - 1)) - 1
    for name, closed in {
        "kl": forward,
        "reverse-kl": backward,
        "squared-hellinger": 2 - 2 * affinity,
        "pearson": pearson,
        "neyman": neyman,
    }.items():
        found = (q * DIVERGENCES[name].f(p / q)).sum()
        assert float(found) == pytest.approx(closed, rel=1e-6), name


@every
def test_any_other_function_gives_less(divergence):
    """Nguyen's bound, in terms of the network's output."""
    best = float(EXACT[divergence.name](P, Q))
    generator = torch.Generator().manual_seed(0)
    v = OUTPUT[divergence.name](P / Q)
    values = [(P * divergence.judge(v)).sum() - (Q * divergence.price(v)).sum()]
    for _ in range(50):
        w = 2 * torch.randn(6, dtype=torch.float64, generator=generator)
        values.append((P * divergence.judge(w)).sum() - (Q * divergence.price(w)).sum())
    assert float(values[0]) == pytest.approx(best, rel=1e-9)
    assert max(values[1:]) <= best + 1e-12 and min(values[1:]) < best - 1e-3


@every
def test_the_conjugate_of_the_conjugate_is_f(divergence):
    """f*(t) = sup_u (t u - f(u)), found on a fine grid of u; and f(u) = sup_t (t u - f*(t)), on a fine grid of t."""
    u = torch.linspace(-12, 12, 200_001, dtype=torch.float64).exp()
    v = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)
    for t in divergence.activation(v):
        assert float((t * u - divergence.f(u)).max()) == pytest.approx(float(divergence.conjugate(t)), rel=1e-6, abs=1e-6)
    t = divergence.activation(torch.linspace(-12, 12, 400_001, dtype=torch.float64))
    for ratio in (0.2, 0.7, 1.0, 1.6, 4.0):
        f = float(divergence.f(tensor(ratio, dtype=torch.float64)))
        assert float((t * ratio - divergence.conjugate(t)).max()) == pytest.approx(f, rel=1e-5, abs=1e-6)


@every
def test_f_is_convex_and_vanishes_where_laws_are_equal(divergence):
    u = torch.linspace(0.02, 5, 1001, dtype=torch.float64)
    f = divergence.f(u)
    assert (f[:-2] + f[2:] >= 2 * f[1:-1] - 1e-12).all()
    at_one = float(divergence.f(torch.ones((), dtype=torch.float64)))
    assert at_one == pytest.approx(-math.log(4) if divergence.name == "gan" else 0.0, abs=1e-15)


@every
def test_the_best_function_is_the_derivative_of_f_and_the_threshold_its_value_at_one(divergence):
    u = torch.tensor([0.1, 0.5, 0.9, 1.2, 3.0, 8.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(divergence.f(u).sum(), u)
    torch.testing.assert_close(divergence.optimum(u.detach()), slope)
    assert float(divergence.optimum(torch.ones((), dtype=torch.float64))) == pytest.approx(divergence.threshold, abs=1e-15)
    assert (divergence.optimum(u.detach()) > divergence.threshold).tolist() == (u > 1).tolist()


@smooth
def test_the_output_at_the_optimum(divergence):
    u = torch.tensor([0.2, 0.8, 1.0, 1.5, 4.0], dtype=torch.float64)
    torch.testing.assert_close(divergence.judge(OUTPUT[divergence.name](u)), divergence.optimum(u))


def test_the_total_variation_reaches_its_optimum_only_in_the_limit():
    divergence = DIVERGENCES["total-variation"]
    assert divergence.judge(tensor([-9.0, 0.0, 9.0])).tolist() == pytest.approx([-0.5, 0.0, 0.5], abs=1e-6)


# Outputs of networks


@every
def test_outputs_rise_with_the_network_and_stay_in_the_conjugate_s_domain(divergence):
    low, high = divergence.domain
    t = divergence.judge(torch.linspace(-9.9, 9.9, 1601, dtype=torch.float64))
    assert (t.diff() > 0).all() and t.min() > low and t.max() < high
    wide = divergence.judge(tensor([-1e30, -1e4, -200.0, -20.0, -10.0, 10.0, 20.0, 200.0, 1e4, 1e30]))
    assert wide.isfinite().all() and (wide.diff() >= 0).all()
    assert wide.min() >= low and wide.max() <= high + 1e-7  # the nearest single-precision number to log 2 is above it
    if divergence.held:
        assert wide.min() > low and wide.max() < high
        assert divergence.conjugate(wide).isfinite().all()


@every
def test_the_composite_is_the_conjugate_of_the_activation(divergence):
    v = torch.linspace(-9.9, 9.9, 199, dtype=torch.float64, requires_grad=True)
    expected = divergence.conjugate(divergence.activation(v))
    torch.testing.assert_close(divergence.price(v), expected, rtol=1e-7, atol=1e-9)
    (slope,) = torch.autograd.grad(divergence.price(v).sum(), v)
    (by_chain,) = torch.autograd.grad(expected.sum(), v)
    torch.testing.assert_close(slope, by_chain, rtol=1e-6, atol=1e-8)


def test_the_composite_is_finite_where_the_conjugate_of_a_rounded_activation_is_not():
    divergence, v = DIVERGENCES["gan"], tensor([30.0])
    assert divergence.conjugate(divergence.judge(v * 10)).isinf().all()
    torch.testing.assert_close(divergence.price(v * 10), tensor([300.0]))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_outputs_stay_finite(divergence, dtype):
    extreme = tensor([-1e4, -100.0, 0.0, 100.0, 1e4], dtype=dtype)
    for cost in COSTS:
        real, fake = extreme.clone().requires_grad_(), extreme.flip(0).clone().requires_grad_()
        players = objective(divergence, cost)
        values = [players.d(real, fake), players.g(fake)]
        torch.stack(values).sum().backward()
        assert all(found.isfinite().all() for found in (*values, real.grad, fake.grad))
        assert all(value.dtype == torch.float32 for value in values)


@pytest.mark.parametrize("name", [divergence.name for divergence in ALL if divergence.held])
@pytest.mark.parametrize("v", [-37.0, 37.0])
def test_a_held_output_keeps_the_value_and_the_slope_of_the_border(name, v):
    divergence, border = DIVERGENCES[name], math.copysign(LARGEST, v)
    for of in (divergence.judge, divergence.price):
        inside = tensor(border, dtype=torch.float64, requires_grad=True)
        outside = tensor(v, dtype=torch.float64, requires_grad=True)
        at_border, beyond = of(inside), of(outside)
        assert float(at_border.detach()) == float(beyond.detach())
        assert torch.autograd.grad(at_border, inside) == torch.autograd.grad(beyond, outside)


def test_only_exponentials_are_held():
    assert {divergence.name for divergence in ALL if divergence.held} == {"kl", "reverse-kl", "neyman", "squared-hellinger"}


# The two players


@every
def test_derivatives_are_exact(divergence):
    generator = torch.Generator().manual_seed(0)
    real, fake = (2 * torch.randn(5, dtype=torch.float64, generator=generator) for _ in "rf")
    real.requires_grad_()
    fake.requires_grad_()
    for cost in COSTS:
        players = objective(divergence, cost)
        assert torch.autograd.gradcheck(players.d, (real, fake)) and torch.autograd.gradcheck(players.g, (fake,))


@every
def test_patches_count_as_the_mean_of_their_losses(divergence):
    real, fake, players = torch.randn(3, 1, 4, 5), torch.randn(3, 1, 4, 5), objective(divergence, "minimax")
    each = torch.stack([players.d(real[:, 0, y, x], fake[:, 0, y, x]) for y in range(4) for x in range(5)])
    torch.testing.assert_close(players.d(real, fake), each.mean(0))
    assert players.g(torch.randn(3, 1, 2, 2)).shape == (3,)


def test_data_are_p_and_samples_are_q():
    """Trained on outputs for six points, weighed by P as data and by Q as samples, `kl` reaches KL(P || Q); exchanged, KL(Q || P)."""
    assert abs(float(kl(P, Q) - kl(Q, P))) > 0.05  # the two can be told apart
    nothing = torch.zeros(6, dtype=torch.float64)

    def best(name, data, samples):
        divergence = DIVERGENCES[name]
        v = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        descent = torch.optim.LBFGS([v], max_iter=300, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe")

        def value():
            # bound(real, fake) is a function of one output plus a function of the other: weighing points gives expectations.
            of_data = divergence.bound(v, nothing) + divergence.price(nothing)
            of_samples = divergence.bound(nothing, v) - divergence.judge(nothing)
            bound = (data * of_data).sum() + (samples * of_samples).sum()
            descent.zero_grad()
            (-bound).backward()
            return -bound

        descent.step(value)
        return -float(value().detach())

    assert best("kl", P, Q) == pytest.approx(float(kl(P, Q)), rel=1e-8)
    assert best("kl", Q, P) == pytest.approx(float(kl(Q, P)), rel=1e-8)
    assert best("reverse-kl", P, Q) == pytest.approx(float(kl(Q, P)), rel=1e-8)
    assert best("reverse-kl", Q, P) == pytest.approx(float(kl(P, Q)), rel=1e-8)


def slope_of(function):
    """The derivative of a function of the model by scores whose softmax it is."""
    scores = Q.log().clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(scores.softmax(0)), scores)
    return slope


@smooth
def test_against_the_best_critic_the_minimax_cost_descends_the_divergence(divergence):
    v = OUTPUT[divergence.name](P / Q)  # held fixed while the model moves
    cost = objective(divergence, "minimax").g(v)
    torch.testing.assert_close(
        slope_of(lambda q: (q * cost).sum()), slope_of(lambda q: EXACT[divergence.name](P, q)), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("kl", lambda q: kl(q, P)),
        ("reverse-kl", lambda q: EXACT["neyman"](P, q) / 2),
        ("pearson", lambda q: 2 * kl(P, q)),
        ("jensen-shannon", lambda q: kl(q, P) - 2 * jensen_shannon(P, q)),
        ("gan", lambda q: kl(q, P) - 2 * jensen_shannon(P, q)),
    ],
)
def test_against_the_best_critic_the_other_cost_descends_another_divergence(name, other):
    cost = objective(DIVERGENCES[name], "non-saturating").g(OUTPUT[name](P / Q))
    torch.testing.assert_close(slope_of(lambda q: (q * cost).sum()), slope_of(other), rtol=1e-9, atol=1e-12)
