"""The Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4).

    IS = exp( E_x KL( p(y|x) || p(y) ) )

with p(y) the mean of p(y|x) over a split of the samples; reported is the mean over splits. It lies between 1 and the number of classes,
sees neither the data nor variety inside a class, and is that of the paper only with the Inception network's classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked

SPLITS = 10
"""As in the paper, of 5,000 samples each."""


@dataclass(frozen=True)
class InceptionScore:
    """`score` is the mean over splits, `deviation` their standard deviation (divided by the number of splits; 0 for one split)."""

    score: float
    deviation: float


def inception_score(probabilities: Tensor, *, splits: int = SPLITS) -> InceptionScore:
    """The score of class probabilities (N, K), split in order into `splits` parts as equal as can be; N >= splits.

    A probability of exactly 0 adds nothing, as p log p does in the limit. Raises `GanvasError` for too few rows, and for rows that are not
    finite, negative or do not add up to 1.
    """
    require(splits >= 1, f"Inception Score: the number of splits must be at least 1, not {splits}")
    exact = checked(probabilities, "Inception Score", least=splits)
    right = bool((exact >= 0).all()) and bool((exact.sum(dim=1) - 1).abs().max() < 1e-3)
    require(right, "Inception Score: rows of class probabilities are wanted, none negative, each with the sum 1")
    scores = torch.stack([_divergence(part).exp() for part in exact.tensor_split(splits)])
    return InceptionScore(score=float(scores.mean()), deviation=float(scores.std(correction=0)))


def _divergence(rows: Tensor) -> Tensor:
    """The mean over rows of KL(row || mean row), in nats."""
    mean = rows.mean(dim=0)
    return torch.xlogy(rows, rows).sum(dim=1).mean() - torch.xlogy(mean, mean).sum()
