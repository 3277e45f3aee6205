"""Objectives of scores that are compared: is this real more realistic than a fake? (Jolicoeur-Martineau 2018, arXiv:1807.00734)

Notation: a is a score, r a real, f a fake, m the mean of the scores of a batch (of patch-shaped scores (B, ...), at each place). A
criterion is a function that is small where its argument, the lead of one side over the other, is large. Only differences of scores
enter, so that a constant added to all of them changes nothing. The generator's loss needs the scores of reals as well, and treats them as
constants: its gradient goes through the fakes alone. Means are over the batch at hand.
"""

from collections.abc import Callable
from typing import Final

from torch import Tensor
from torch.nn.functional import softplus

from ganvas.parts.objectives import Objective, per_sample, widen

__all__ = ["CRITERIA", "averaged", "paired"]

Criterion = Callable[[Tensor], Tensor]


def _logistic(lead: Tensor) -> Tensor:
    """sp(-t) = -log sigma(t)."""
    return softplus(-lead)


def _squared(lead: Tensor) -> Tensor:
    """(t - 1)^2."""
    return (lead - 1).square()


def _hinge(lead: Tensor) -> Tensor:
    """max(0, 1 - t)."""
    return (1 - lead).clamp(min=0.0)


CRITERIA: Final[dict[str, Criterion]] = {"logistic": _logistic, "least-squares": _squared, "hinge": _hinge}


def paired(criterion: Criterion) -> Objective:
    """d = criterion(a_r - a_f) and g = criterion(a_f - a_r), real i beside fake i (section 4, relativistic GANs).

    With the criterion -t these are the losses of WGAN.
    """

    def d(real: Tensor, fake: Tensor) -> Tensor:
        return per_sample(criterion(widen(real) - widen(fake)))

    def g(fake: Tensor, real: Tensor | None = None) -> Tensor:
        return d(fake, _needed(real))

    return Objective(d=d, g=g)


def averaged(criterion: Criterion) -> Objective:
    """Each score beside the mean of the other side (section 4, relativistic average GANs):

        d = (criterion(a_r - m_f) + criterion(m_r - a_f)) / 2        g = (criterion(a_f - m_r) + criterion(m_f - a_r)) / 2

    Gradients go through the means as well. The halves are those of the author's code.
    """

    def d(real: Tensor, fake: Tensor) -> Tensor:
        real, fake = widen(real), widen(fake)
        return 0.5 * (per_sample(criterion(real - fake.mean(0))) + per_sample(criterion(real.mean(0) - fake)))

    def g(fake: Tensor, real: Tensor | None = None) -> Tensor:
        return d(fake, _needed(real))

    return Objective(d=d, g=g)


def _needed(real: Tensor | None) -> Tensor:
    """The scores of reals as constants."""
    assert real is not None, "a relativistic generator compares its fakes with reals: g(fake, real)"
    return real.detach()
