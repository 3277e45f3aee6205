"""The Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4).

    IS = exp( E_x KL( p(y|x) || p(y) ) )

with p(y) the mean of p(y|x) over a split of the samples; reported is the mean over splits. It lies between 1 and the number of classes,
sees neither the data nor variety inside a class, and is that of the paper only with the Inception network's classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.features import sound

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
    given = sound(probabilities, "Inception Score", least=splits)
    right = bool(given.min() >= 0) and bool((given.sum(dim=1) - 1).abs().max() < 1e-3)
    require(right, "Inception Score: rows of class probabilities are wanted, none negative, each with the sum 1")
    # Each row in the precision given, as are the means of classes, whose sums torch cascades; the mean over rows in float64.
    entropies = given.clamp(min=torch.finfo(given.dtype).tiny).log_().mul_(given).sum(dim=1).double()  # p log p, 0 at 0
    parts = zip(given.tensor_split(splits), entropies.tensor_split(splits), strict=True)
    scores = torch.stack([_divergence(rows.mean(dim=0).double(), own).exp() for rows, own in parts])
    return InceptionScore(score=float(scores.mean()), deviation=float(scores.std(correction=0)))


def _divergence(mean: Tensor, own: Tensor) -> Tensor:
    """The mean over rows of KL(row || mean row), in nats, from the mean (K,) and each row's sum of p log p (N,)."""
    return own.mean() - torch.xlogy(mean, mean).sum()
