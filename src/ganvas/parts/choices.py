"""Objectives and penalties of slopes by name, with what one has to know of each to combine them freely."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, final

from torch import Tensor

from ganvas.engine.draws import Draws
from ganvas.parts import divergences, objectives
from ganvas.parts.objectives import Objective
from ganvas.parts.penalties import gradient_penalty, local_penalty, zero_centred
from ganvas.parts.relativistic import CRITERIA, averaged, paired

__all__ = ["OBJECTIVES", "SLOPES", "Choice", "Name"]

Name = Literal[
    "minimax", "non-saturating", "maximum-likelihood", "least-squares", "hinge", "wasserstein",
    "f-kl", "f-reverse-kl", "f-pearson", "f-neyman", "f-squared-hellinger", "f-jensen-shannon", "f-gan", "f-total-variation",
    "paired-logistic", "paired-least-squares", "paired-hinge", "averaged-logistic", "averaged-least-squares", "averaged-hinge",
]  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True)
class Choice:
    """An objective; the score `middle` on which it says neither real nor fake, None where only differences of scores count; and whether
    the generator's loss `compares` fakes with reals."""

    objective: Objective
    middle: float | None = 0.0
    compares: bool = False


_TABLE: Final[dict[str, Choice]] = {
    "minimax": Choice(objective=objectives.MINIMAX),
    "non-saturating": Choice(objective=objectives.NON_SATURATING),
    "maximum-likelihood": Choice(objective=objectives.MAXIMUM_LIKELIHOOD),
    "least-squares": Choice(objective=objectives.LEAST_SQUARES, middle=0.5),
    "hinge": Choice(objective=objectives.HINGE),
    "wasserstein": Choice(objective=objectives.WASSERSTEIN, middle=None),
    # All outputs v of the table of divergences are 0 where p = q, but kl's, which is 1 there.
    **{
        f"f-{name}": Choice(objective=divergences.objective(row, "non-saturating"), middle=1.0 if name == "kl" else 0.0)
        for name, row in divergences.DIVERGENCES.items()
    },
    **{f"paired-{name}": Choice(objective=paired(f), middle=None, compares=True) for name, f in CRITERIA.items()},
    **{f"averaged-{name}": Choice(objective=averaged(f), middle=None, compares=True) for name, f in CRITERIA.items()},
}
OBJECTIVES: Final[Mapping[str, Choice]] = MappingProxyType(_TABLE)

Critic = Callable[[Tensor], Tensor]
Penalty = Callable[[Critic, Critic, Tensor, Tensor, Draws], Tensor]


def _flat(critic: Critic, x: Tensor) -> Tensor:
    return 0.5 * zero_centred(critic, x)[1]


SLOPES: Final[dict[str, Penalty]] = {
    "r1": lambda of_reals, of_fakes, real, fake, rng: _flat(of_reals, real),
    "r2": lambda of_reals, of_fakes, real, fake, rng: _flat(of_fakes, fake),
    "r1-r2": lambda of_reals, of_fakes, real, fake, rng: _flat(of_reals, real) + _flat(of_fakes, fake),
    "wgan-gp": lambda of_reals, of_fakes, real, fake, rng: gradient_penalty(of_reals, real, fake, rng),
    "one-sided": lambda of_reals, of_fakes, real, fake, rng: gradient_penalty(of_reals, real, fake, rng, one_sided=True),
    "local": lambda of_reals, of_fakes, real, fake, rng: local_penalty(of_reals, real, rng),
}
"""Penalties on slopes (B,): of the scores of reals and of fakes (each with its labels), of what is shown of both, and draws. r1 and r2 hold
the half of gamma / 2 (Mescheder et al. 2018, arXiv:1801.04406, section 4.1), so that their weight is gamma."""
