"""Descriptions of optimizers. A phase holds one; the engine builds it. Phases that hold the same object share its state.

Any number may be a function of the clock (`Clock -> float`), so that a schedule is part of the description and a resumed run needs no
scheduler state.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch.nn import Parameter

from ganvas.engine.clock import Clock

Schedule = float | Callable[[Clock], float]


def at(value: Schedule, clock: Clock) -> float:
    """The value of a constant or of a schedule now."""
    return float(value(clock)) if callable(value) else value


def linear_decay(value: float, start: float = 0.0) -> Callable[[Clock], float]:
    """`value` until the fraction `start` of the stage, then linearly to 0 at its end."""
    return lambda clock: value * min(1.0, (1.0 - clock.stage_fraction) / (1.0 - start))


def cosine(start: float, end: float, share: float = 1.0) -> Callable[[Clock], float]:
    """From `start` to `end` along half a cosine, which takes this share of the stage; `end` from there on."""
    return lambda clock: end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, clock.stage_fraction / share)))


class Optimizer(ABC):
    """A description; compared by identity."""

    @abstractmethod
    def build(self, parameters: list[Parameter]) -> torch.optim.Optimizer:
        """The optimizer at work, fused where torch has a fused kernel."""

    @abstractmethod
    def settings(self, clock: Clock) -> dict[str, Any]:
        """What to write into its parameter groups before an update at this clock."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2014); with `weight_decay` in its original, coupled form. The second of `betas` may follow a schedule."""

    lr: Schedule
    betas: tuple[float, Schedule]
    eps: float = 1e-8
    weight_decay: float = 0.0

    def build(self, parameters: list[Parameter]) -> torch.optim.Optimizer:
        first, second = self.betas
        betas = (first, 0.0 if callable(second) else second)  # a schedule's value is written before every update
        return torch.optim.Adam(parameters, lr=0.0, betas=betas, eps=self.eps, weight_decay=self.weight_decay, fused=True)

    def settings(self, clock: Clock) -> dict[str, Any]:
        first, second = self.betas
        scheduled = {"betas": (first, at(second, clock))} if callable(second) else {}
        return {"lr": at(self.lr, clock), **scheduled}


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    lr: Schedule
    momentum: Schedule = 0.0
    weight_decay: float = 0.0

    def build(self, parameters: list[Parameter]) -> torch.optim.Optimizer:
        momentum = 0.0 if self.momentum == 0.0 else 0.5  # a placeholder that makes torch allocate its buffers
        return torch.optim.SGD(parameters, lr=0.0, momentum=momentum, weight_decay=self.weight_decay, fused=True)

    def settings(self, clock: Clock) -> dict[str, Any]:
        return {"lr": at(self.lr, clock), "momentum": at(self.momentum, clock)}


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class RMSProp(Optimizer):
    """RMSProp (Tieleman & Hinton 2012)."""

    lr: Schedule
    alpha: float = 0.99
    eps: float = 1e-8

    def build(self, parameters: list[Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=0.0, alpha=self.alpha, eps=self.eps)

    def settings(self, clock: Clock) -> dict[str, Any]:
        return {"lr": at(self.lr, clock)}


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011)."""

    lr: Schedule
    weight_decay: float = 0.0

    def build(self, parameters: list[Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(parameters, lr=0.0, weight_decay=self.weight_decay)

    def settings(self, clock: Clock) -> dict[str, Any]:
        return {"lr": at(self.lr, clock)}
