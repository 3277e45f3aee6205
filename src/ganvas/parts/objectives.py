"""What a discriminator and a generator minimise: pairs of pure functions of logits.

Notation: a is a logit, sigma the sigmoid, sp(t) = log(1 + e^t) = -log sigma(-t) the softplus. All losses are minimised, are computed
from logits (never from probabilities, whose logarithm overflows) in single precision or better, and have one value per sample: of
patch-shaped logits (B, ...) the mean over all but the batch axis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

__all__ = [
    "HINGE",
    "LEAST_SQUARES",
    "MAXIMUM_LIKELIHOOD",
    "MINIMAX",
    "NON_SATURATING",
    "WASSERSTEIN",
    "Objective",
    "least_squares",
    "per_sample",
    "widen",
]

LARGEST_LOGIT: Final = 20.0  # e^20 = 4.9e8: beyond it the maximum-likelihood cost is flat, so that it stays finite


class GeneratorLoss(Protocol):
    """g(fake, real): logits (B, ...) to (B,). Only relativistic objectives look at the logits of reals."""

    def __call__(self, fake: Tensor, real: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Objective:
    """`d(real, fake)` for the discriminator and `g(fake, real)` for the generator; logits (B, ...) in, losses (B,) out."""

    d: Callable[[Tensor, Tensor], Tensor]
    g: GeneratorLoss


def widen(x: Tensor) -> Tensor:
    """The same numbers in single precision, or in their own where that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def per_sample(values: Tensor) -> Tensor:
    """(B, ...) to (B,): the mean over all but the batch axis, so that a map of patches counts as one opinion."""
    return values if values.dim() == 1 else values.flatten(1).mean(1)


def _logistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """sp(-a_r) + sp(a_f) = -log D(x) - log(1 - D(G(z))): Goodfellow et al. 2014, equation 1."""
    return per_sample(softplus(-widen(real))) + per_sample(softplus(widen(fake)))


def _minimax_g(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-sp(a_f) = log(1 - D(G(z))), equation 1; its derivative by the logit is -sigma(a_f), which vanishes where D is sure."""
    return -per_sample(softplus(widen(fake)))


def _non_saturating_g(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """sp(-a_f) = -log D(G(z)), Goodfellow et al. 2014, section 3; derivative -(1 - sigma(a_f)), strong where D is sure."""
    return per_sample(softplus(-widen(fake)))


def _maximum_likelihood_g(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-exp(a_f), Goodfellow 2016 (arXiv:1701.00160), section 3.2.4; derivative -exp(a_f), ruled by the few best samples."""
    return -per_sample(widen(fake).clamp(max=LARGEST_LOGIT).exp())


def _hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - a_r) + max(0, 1 + a_f): Lim & Ye 2017 (arXiv:1705.02894), Miyato et al. 2018, equation 16; sure logits cost nothing."""
    return per_sample(relu(1 - widen(real))) + per_sample(relu(1 + widen(fake)))


def _wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """f(G(z)) - f(x): Arjovsky et al. 2017, equation 2; its negative estimates the Wasserstein-1 distance."""
    return per_sample(widen(fake)) - per_sample(widen(real))


def _wasserstein_g(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-f(G(z)): Arjovsky et al. 2017, theorem 3; with the hinge Miyato et al. 2018, equation 17. Derivative -1 everywhere."""
    return -per_sample(widen(fake))


def least_squares(a: float, b: float, c: float) -> Objective:
    """Mao et al. 2016 (arXiv:1611.04076), equation 2: a is the target of fakes, b that of reals, c what the generator wants fakes to get.

        d = ((a_r - b)^2 + (a_f - a)^2) / 2        g = (a_f - c)^2 / 2

    The derivative of g by the score is a_f - c: strong for fakes that are taken for reals by far, too. Where b - c = 1 and b - a = 2
    (equation 8), G against the best D descends a Pearson chi-square divergence.
    """

    def d(real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (per_sample((widen(real) - b).square()) + per_sample((widen(fake) - a).square()))

    def g(fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * per_sample((widen(fake) - c).square())

    return Objective(d=d, g=g)


MINIMAX: Final = Objective(d=_logistic_d, g=_minimax_g)
NON_SATURATING: Final = Objective(d=_logistic_d, g=_non_saturating_g)
MAXIMUM_LIKELIHOOD: Final = Objective(d=_logistic_d, g=_maximum_likelihood_g)
LEAST_SQUARES: Final = least_squares(0, 1, 1)  # equation 9
WASSERSTEIN: Final = Objective(d=_wasserstein_d, g=_wasserstein_g)
HINGE: Final = Objective(d=_hinge_d, g=_wasserstein_g)
