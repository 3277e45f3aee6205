"""Annealed importance sampling: the normalising constant of a distribution that is known up to it.

Neal 2001, "Annealed importance sampling" (doi:10.1023/A:1008923215028); for a restricted Boltzmann machine Salakhutdinov & Murray 2008
(doi:10.1145/1390156.1390266). Between a distribution that can be drawn from, with known Z_0, and the one that is asked about lie f_b, b
from 0 to 1. Chains start with exact samples of the first and take one step at each temperature b; the weight of a chain,

    w = product over k of f_{b_k}(x_k) / f_{b_(k-1)}(x_k),      x_k drawn at b_(k-1),

has the mean Z_1 / Z_0 exactly, however badly the steps mix. So log of the mean of w is on average a little too low.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar, final

import torch
from torch import Tensor

__all__ = ["Estimate", "anneal", "log_mean"]

State = TypeVar("State")


@final
@dataclass(frozen=True)
class Estimate:
    """log Z, and its standard error: that of the mean weight, relative to it."""

    value: float
    error: float


def log_mean(log_weights: Tensor) -> Estimate:
    """log of the mean of M weights, from their logarithms (M,), and std(w) / (mean(w) sqrt(M))."""
    logs = log_weights.double()
    relative = (logs - logs.max()).exp()
    mean = relative.mean()
    return Estimate(float(logs.max() + mean.log()), float(relative.std() / mean) / math.sqrt(len(logs)))


def anneal(
    start: State,
    log_z: float,
    temperatures: Sequence[float],
    log_ratio: Callable[[State, float, float], Tensor],
    move: Callable[[State, float], State],
) -> Estimate:
    """log Z of f_1. `start`: M samples at temperature 0, whose constant has the logarithm `log_z`; temperatures rise from 0 to 1.

    `log_ratio(x, low, high)` is log f_high(x) - log f_low(x), (M,); `move(x, b)` a step that leaves f_b as it is.
    """
    state, weights = start, torch.zeros(())
    for number, (low, high) in enumerate(pairwise(temperatures)):
        if number:
            state = move(state, low)
        weights = weights + log_ratio(state, low, high).double()
    found = log_mean(weights)
    return Estimate(log_z + found.value, found.error)
