"""docs/theory.md, section 5: every f-divergence is the value of a game; Nowozin et al. 2016 (arXiv:1606.00709), equation 4."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

P = torch.tensor([0.30, 0.25, 0.20, 0.15, 0.07, 0.03], dtype=torch.float64)
Q = torch.tensor([0.05, 0.10, 0.15, 0.20, 0.20, 0.30], dtype=torch.float64)
LOG_2 = math.log(2)


@dataclass(frozen=True)
class Divergence:
    """f of u = p / q, its convex conjugate, and the best T of the game."""

    f: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    best: Callable[[Tensor], Tensor]


TABLE = {
    "KL(p || q)": Divergence(lambda u: u * u.log(), lambda t: (t - 1).exp(), lambda u: 1 + u.log()),
    "KL(q || p)": Divergence(lambda u: -u.log(), lambda t: -1 - (-t).log(), lambda u: -1 / u),
    "Pearson": Divergence(lambda u: (u - 1) ** 2, lambda t: t * t / 4 + t, lambda u: 2 * (u - 1)),
    "Neyman": Divergence(lambda u: (1 - u) ** 2 / u, lambda t: 2 - 2 * (1 - t).sqrt(), lambda u: 1 - u**-2),
    "squared Hellinger": Divergence(lambda u: (u.sqrt() - 1) ** 2, lambda t: t / (1 - t), lambda u: 1 - u**-0.5),
    "twice JS": Divergence(
        lambda u: u * u.log() - (u + 1) * ((1 + u) / 2).log(), lambda t: -(2 - t.exp()).log(), lambda u: (2 * u / (u + 1)).log()
    ),
    "GAN": Divergence(lambda u: u * u.log() - (u + 1) * (u + 1).log(), lambda t: -(1 - t.exp()).log(), lambda u: (u / (u + 1)).log()),
}
every = pytest.mark.parametrize("divergence", TABLE.values(), ids=TABLE.keys())


def game(divergence, t):
    """E_p[T] - E_q[f*(T)]."""
    return float((P * t).sum() - (Q * divergence.conjugate(t)).sum())


@every
def test_the_game_is_worth_the_divergence(divergence):
    assert game(divergence, divergence.best(P / Q)) == pytest.approx(float((Q * divergence.f(P / Q)).sum()), rel=1e-12)


@every
def test_any_other_critic_is_worth_less(divergence):
    best = divergence.best(P / Q)
    for share in (0.8, 0.95, 1.01):
        moved = best.mean() + share * (best - best.mean()) if share < 1 else best - 0.01 * (best.abs() + 0.1)
        assert game(divergence, moved) < game(divergence, best)


@every
def test_the_best_critic_is_the_slope_of_f(divergence):
    u = (P / Q).requires_grad_()
    (slope,) = torch.autograd.grad(divergence.f(u).sum(), u)
    torch.testing.assert_close(divergence.best(P / Q), slope)


def test_the_first_game_is_twice_js_less_log_4():
    twice, gan = (float((Q * TABLE[name].f(P / Q)).sum()) for name in ("twice JS", "GAN"))
    middle = (P + Q) / 2
    assert twice == pytest.approx(float((P * (P / middle).log()).sum() + (Q * (Q / middle).log()).sum()))
    assert gan == pytest.approx(twice - 2 * LOG_2)
