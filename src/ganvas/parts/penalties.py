"""Penalties on the slope of a critic: functions of (critic, real, fake, rng), one value per sample; the weight stays with the model.

A critic here is a function of samples alone; one that also sees labels is handed over as a closure. It must not mix the samples of a
batch (no batch normalisation): then the gradient of the summed scores holds each sample's own gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ganvas.engine.draws import Draws
from ganvas.parts.objectives import per_sample, widen

__all__ = ["gradient_penalty", "input_gradient", "local_penalty", "slope", "zero_centred"]

Critic = Callable[[Tensor], Tensor]


def input_gradient(critic: Critic, x: Tensor) -> Tensor:
    """The gradient (B, ...) of each sample's score by that sample, itself differentiable by the critic's parameters.

    x is (B, ...). Scores are those of `per_sample`. Autocast is switched off: the square of a gradient in half precision is noise.
    A compiled critic runs eagerly here, because compiled graphs cannot be differentiated twice.
    """
    return _scored(critic, x)[1]


def _scored(critic: Critic, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B,) and the gradient (B, ...) of `input_gradient`, from one pass."""
    x = widen(x.detach()).requires_grad_()
    with torch.compiler.set_stance("force_eager"), torch.autocast(x.device.type, enabled=False), torch.enable_grad():
        scores = per_sample(critic(x))
        (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return scores, gradient


def slope(gradient: Tensor) -> Tensor:
    """The Euclidean norm (B,) over all but the batch axis; where it is 0 its derivative is taken as 0."""
    return torch.linalg.vector_norm(gradient.flatten(1), dim=1)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, rng: Draws, *, target: float = 1.0, one_sided: bool = False) -> Tensor:
    """(|| grad_u critic(u) || - target)^2 (B,) at random points u between reals and fakes (B, ...).

    u = x + alpha (x_hat - x) with one alpha ~ U[0, 1) for each pair; one-sided, slopes below the target are free. Gulrajani et al.
    2017, equation 3 and section 4 (two-sided is the paper's choice, one-sided its alternative).
    """
    x, x_hat = widen(real.detach()), widen(fake.detach())
    alpha = rng.uniform(len(x)).view(-1, *[1] * (x.dim() - 1))
    excess = slope(input_gradient(critic, x + alpha * (x_hat - x))) - target
    return (excess.clamp(min=0.0) if one_sided else excess).square()


def local_penalty(critic: Critic, real: Tensor, rng: Draws, *, noise: float = 0.5, target: float = 1.0) -> Tensor:
    """(|| grad_u critic(u) || - target)^2 (B,) at points u = x + delta around reals (B, ...); fakes play no part.

    delta = `noise` * std * U[-1, 1), independent for every entry and symmetric about 0; std is that of all entries of `real`, one number.
    Kodali et al. 2017 (arXiv:1705.07215); the scale is that of the authors' notebook, whose noise is one-sided. Nothing is clipped:
    at the ends of the data's range that would push the noise to one side.
    """
    x = widen(real.detach())
    delta = noise * x.std(correction=0) * (2 * rng.uniform(*x.shape) - 1)
    return (slope(input_gradient(critic, x + delta)) - target).square()


def zero_centred(critic: Critic, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B,) of samples x (B, ...) and || grad_x critic(x) ||^2 (B,), from one pass in single precision.

    On reals the second is the penalty R1, on fakes R2 (Mescheder et al. 2018, arXiv:1801.04406, section 4.1); the weight, there
    gamma / 2, stays with the model. An objective of the same scores costs no second pass.
    """
    scores, gradient = _scored(critic, x)
    return scores, gradient.flatten(1).square().sum(1)
