"""f-divergences, as a discriminator can estimate them: by a bound on samples of two distributions.

For a convex f with f(1) = 0 the f-divergence is D_f(P || Q) = E_Q[f(p/q)]. P is the law of data and Q that of samples throughout;
exchanged, KL would be reverse KL. With the conjugate f*(t) = sup_u (t u - f(u)) every function T into the domain of f* gives a bound,

    D_f(P || Q)  >=  E_P[T(x)] - E_Q[f*(T(x))]        equal at T*(x) = f'(p(x) / q(x))

(Nguyen et al. 2010; Nowozin et al. 2016, arXiv:1606.00709, equations 4 and 5). A network gives any number v; the increasing map
T = g_f(v) brings it into the domain (section 3.1, table 2). With sp(t) = log(1 + e^t) and L = log(p/q):

    divergence          f(u)                              g_f(v)          domain       f*(t)             f*(g_f(v))       v at T*
    kl                  u log u                           v               all          e^(t - 1)         e^(v - 1)        1 + L
    reverse-kl          -log u                            -e^-v           t < 0        -1 - log(-t)      v - 1            L
    pearson             (u - 1)^2                         v               all          t^2/4 + t         v^2/4 + v        2 (p/q - 1)
    neyman              (1 - u)^2 / u                     1 - e^-v        t < 1        2 - 2 sqrt(1-t)   2 - 2 e^(-v/2)   2 L
    squared-hellinger   (sqrt(u) - 1)^2                   1 - e^-v        t < 1        t / (1 - t)       e^v - 1          L / 2
    jensen-shannon      u log u - (u+1) log((u+1) / 2)    log 2 - sp(-v)  t < log 2    -log(2 - e^t)     sp(v) - log 2    L
    gan                 u log u - (u+1) log(u+1)          -sp(-v)         t < 0        -log(1 - e^t)     sp(v)            L
    total-variation     |u - 1| / 2                       tanh(v) / 2     |t| <= 1/2   t                 tanh(v) / 2      +-infinity

The last column but one is what losses are computed from: the conjugate of an activation that was rounded to the domain's edge is infinite,
the composite is not. `jensen-shannon` is twice the usual one; `gan` is that less log 4, so that its f(1) is not 0. Where e^v or e^-v
appears v is held within +-10: the value stays where it is at the border, which is still a bound, and so does the slope, so that a sample
far outside draws the network back (a plain clamp would give it no gradient).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganvas.parts.objectives import Objective, per_sample, widen

__all__ = ["COSTS", "DIVERGENCES", "Cost", "Divergence", "Name", "objective"]

Name = Literal["kl", "reverse-kl", "pearson", "neyman", "squared-hellinger", "jensen-shannon", "gan", "total-variation"]
Cost = Literal["minimax", "non-saturating"]
COSTS: Final = ("minimax", "non-saturating")
LARGEST: Final = 10.0  # |v| where e^v or e^-v appears: e^10 = 22026
LOG_2: Final = math.log(2.0)

Map = Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True, kw_only=True)
class Divergence:
    """One row of the table; all functions work entry by entry.

    f:          the convex function, of the ratio u = p/q > 0.
    optimum:    T*, of the ratio: the derivative of f.
    activation: g_f, of a network's v.
    conjugate:  f*, of t within `domain`.
    composite:  f*(g_f(v)), computed from v directly.
    domain:     where f* is finite; its ends are limits that T only rounds to (total variation's belong to it).
    threshold:  T above it says "data": f'(1), T* where p = q.
    held:       whether v is held within +-10.
    """

    name: Name
    f: Map
    optimum: Map
    activation: Map
    conjugate: Map
    composite: Map
    domain: tuple[float, float]
    threshold: float
    held: bool

    def judge(self, v: Tensor) -> Tensor:
        """T = g_f(v) of a network's output, in single precision or better."""
        return self.activation(self._within(widen(v)))

    def price(self, v: Tensor) -> Tensor:
        """f*(T) of a network's output, in single precision or better."""
        return self.composite(self._within(widen(v)))

    def bound(self, real: Tensor, fake: Tensor) -> Tensor:
        """T(x) - f*(T(x_hat)) (B,) of outputs (B, ...) for data and samples; its mean bounds D_f(P || Q) from below."""
        return per_sample(self.judge(real)) - per_sample(self.price(fake))

    def _within(self, v: Tensor) -> Tensor:
        # Beyond +-LARGEST the second summand is 0 and carries the slope of the border.
        return v.detach().clamp(-LARGEST, LARGEST) + (v - v.detach()) if self.held else v


def objective(divergence: Divergence, cost: Cost) -> Objective:
    """What the two players minimise: the discriminator -bound; the generator -f*(T) ("minimax": the bound) or -T ("non-saturating").

    Nowozin et al. 2016, equation 6 and section 3.2. At the best discriminator the slope of the minimax cost is that of the divergence,
    the other's is that of another one: of E_Q[h(p/q)] with h(u) - u h'(u) = -T*(u). It is reverse KL for `kl`, half of Neyman's for
    `reverse-kl`, and twice KL for `pearson`.
    """

    def d(real: Tensor, fake: Tensor) -> Tensor:
        return -divergence.bound(real, fake)

    def g(fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -per_sample(divergence.price(fake) if cost == "minimax" else divergence.judge(fake))

    return Objective(d=d, g=g)


_ALL = (
    Divergence(
        name="kl",
        f=lambda u: torch.xlogy(u, u),
        optimum=lambda u: 1 + u.log(),
        activation=lambda v: v,
        conjugate=lambda t: (t - 1).exp(),
        composite=lambda v: (v - 1).exp(),
        domain=(-math.inf, math.inf),
        threshold=1.0,
        held=True,
    ),
    Divergence(
        name="reverse-kl",
        f=lambda u: -u.log(),
        optimum=lambda u: -1 / u,
        activation=lambda v: -(-v).exp(),
        conjugate=lambda t: -1 - (-t).log(),
        composite=lambda v: v - 1,
        domain=(-math.inf, 0.0),
        threshold=-1.0,
        held=True,
    ),
    Divergence(
        name="pearson",
        f=lambda u: (u - 1).square(),
        optimum=lambda u: 2 * (u - 1),
        activation=lambda v: v,
        conjugate=lambda t: t.square() / 4 + t,
        composite=lambda v: v.square() / 4 + v,
        domain=(-math.inf, math.inf),
        threshold=0.0,
        held=False,
    ),
    Divergence(
        name="neyman",
        f=lambda u: (1 - u).square() / u,
        optimum=lambda u: 1 - u.pow(-2),
        activation=lambda v: -torch.expm1(-v),
        conjugate=lambda t: 2 - 2 * (1 - t).sqrt(),
        composite=lambda v: -2 * torch.expm1(-v / 2),
        domain=(-math.inf, 1.0),
        threshold=0.0,
        held=True,
    ),
    Divergence(
        name="squared-hellinger",
        f=lambda u: (u.sqrt() - 1).square(),
        optimum=lambda u: 1 - u.rsqrt(),
        activation=lambda v: -torch.expm1(-v),
        conjugate=lambda t: t / (1 - t),
        composite=lambda v: torch.expm1(v),
        domain=(-math.inf, 1.0),
        threshold=0.0,
        held=True,
    ),
    Divergence(
        name="jensen-shannon",
        f=lambda u: torch.xlogy(u, u) - (u + 1) * ((u + 1) / 2).log(),
        optimum=lambda u: (2 * u / (u + 1)).log(),
        activation=lambda v: LOG_2 - softplus(-v),
        conjugate=lambda t: -(2 - t.exp()).log(),
        composite=lambda v: softplus(v) - LOG_2,
        domain=(-math.inf, LOG_2),
        threshold=0.0,
        held=False,
    ),
    Divergence(
        name="gan",
        f=lambda u: torch.xlogy(u, u) - (u + 1) * (u + 1).log(),
        optimum=lambda u: (u / (u + 1)).log(),
        activation=lambda v: -softplus(-v),
        conjugate=lambda t: -torch.log(-torch.expm1(t)),
        composite=lambda v: softplus(v),
        domain=(-math.inf, 0.0),
        threshold=-LOG_2,
        held=False,
    ),
    Divergence(
        name="total-variation",
        f=lambda u: (u - 1).abs() / 2,
        optimum=lambda u: (u - 1).sign() / 2,
        activation=lambda v: v.tanh() / 2,
        conjugate=lambda t: t,
        composite=lambda v: v.tanh() / 2,
        domain=(-0.5, 0.5),
        threshold=0.0,
        held=False,
    ),
)  # section 3.1, tables 1 and 2; Neyman's and the total variation's activations as in the appendix

DIVERGENCES: Final[Mapping[Name, Divergence]] = MappingProxyType({divergence.name: divergence for divergence in _ALL})
