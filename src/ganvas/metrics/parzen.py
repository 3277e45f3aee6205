"""The Parzen-window log-likelihood (Breuleux et al. 2011; Goodfellow et al. 2014, arXiv:1406.2661, table 1).

    log p(x) = log (1/N) sum_i N(x; x_i, sigma^2 I)

A Gaussian stands on each of N generated samples x_i; sigma is the one of ten that gives validation data the highest mean. A historical
number: Theis et al. 2016 (arXiv:1511.01844, section 3.3) show that it ranks models wrongly, samples of k-means above the data themselves.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked_pair
from ganvas.metrics.neighbours import nothing

SIGMAS = tuple(float(sigma) for sigma in torch.logspace(-1, 0, 10, dtype=torch.float64))
"""The widths tried, for values in [0, 1]."""

VALIDATION = 1_000

_BLOCK = 4_000_000  # distances held at once


@dataclass(frozen=True)
class Parzen:
    """Mean log-likelihood of the test rows in nats, its standard error (std / sqrt N), and the sigma that validation chose."""

    nats: float
    error: float
    sigma: float


def parzen(samples: Tensor, validation: Tensor, test: Tensor, *, poll: Callable[[], None] = nothing) -> Parzen:
    """The log-likelihood of test rows (T, D) under samples (N, D), sigma chosen on validation rows (V, D); values in [0, 1].

    A sigma at either end of the ten was not enclosed: `sigma` shows it. Raises `GanvasError` for rows that are not finite, of another D, or
    fewer than 1, of the test 2.
    """
    _, chosen_on = checked_pair(samples, validation, ("the samples", "the validation rows"), least=1)
    centres, measured = checked_pair(samples, test, ("the samples", "the test rows"), least=1)
    require(len(measured) >= 2, "Parzen window: a standard error needs at least 2 test rows")
    distances = squared_distances(chosen_on, centres, poll=poll)
    scores = [float(_log_density(distances, centres.shape[1], sigma).mean()) for sigma in SIGMAS]
    sigma = SIGMAS[scores.index(max(scores))]
    found = log_density(centres, measured, sigma, poll=poll)
    return Parzen(float(found.mean()), float(found.std()) / math.sqrt(len(found)), sigma)


def log_density(centres: Tensor, points: Tensor, sigma: float, *, poll: Callable[[], None] = nothing) -> Tensor:
    """log p (T,) float64 of points (T, D) under equal Gaussians of width sigma on centres (N, D)."""
    require(sigma > 0, f"Parzen window: sigma must be positive, not {sigma}")
    centres, points = checked_pair(centres, points, ("the centres", "the points"), least=1)
    height = max(1, _BLOCK // len(centres))
    parts = [_log_density(squared_distances(part, centres, poll=poll), centres.shape[1], sigma) for part in points.split(height)]
    return torch.cat(parts)


def squared_distances(points: Tensor, centres: Tensor, *, poll: Callable[[], None] = nothing) -> Tensor:
    """(T, N) float64, never negative."""
    poll()
    squares = points.square().sum(dim=1)[:, None] + centres.square().sum(dim=1)
    return torch.addmm(squares, points, centres.T, alpha=-2).clamp_(min=0)


def _log_density(distances: Tensor, dimension: int, sigma: float) -> Tensor:
    normaliser = math.log(distances.shape[1]) + dimension * math.log(sigma * math.sqrt(2 * math.pi))
    return torch.logsumexp(distances / (-2 * sigma**2), dim=1) - normaliser
