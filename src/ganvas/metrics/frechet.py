"""The Frechet distance between Gaussians fitted to two sets of features (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500).

    d^2 = |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2))

Reported as `fd`. "FID" is this formula on one fixed Inception network, so it is called `fid` on the features of that network alone.
"""

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked

_CLEARLY = 1e-4  # smallest over largest entry of a Cholesky factor's diagonal


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D), divided by N - 1, of features (N, D), in float64.

    Raises `GanvasError` for fewer than two rows and for features that are not finite. N <= D is defined: the covariance is singular.
    """
    exact = checked(features, "Frechet distance", least=2)
    mean = exact.mean(dim=0)
    centred = exact - mean if exact.data_ptr() == features.data_ptr() else exact.sub_(mean)  # a copy of our own may change
    return mean, centred.T @ centred / (len(exact) - 1)


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """d^2 between N(mean_a, cov_a) and N(mean_b, cov_b): means (D,), symmetric covariances (D, D), of any rank.

    With factors C = F F^T the trace of (C_a C_b)^(1/2) is the sum of the singular values of F_a^T F_b. No root of a non-symmetric matrix
    is taken, so nothing turns complex, and singular covariances need no added diagonal. Raises `GanvasError` for moments that are
    not finite or do not fit together.
    """
    size = len(mean_a)
    fit = mean_a.shape == mean_b.shape == (size,) and cov_a.shape == cov_b.shape == (size, size)
    shapes = ", ".join(str(tuple(moment.shape)) for moment in (mean_a, cov_a, mean_b, cov_b))
    require(fit, f"Frechet distance: means (D,) and covariances (D, D) of one D are wanted, not {shapes}")
    m_a, c_a, m_b, c_b = (moment.detach().to("cpu", torch.float64) for moment in (mean_a, cov_a, mean_b, cov_b))
    finite = all(bool(moment.isfinite().all()) for moment in (m_a, c_a, m_b, c_b))
    require(finite, "Frechet distance: a mean or covariance holds NaN or infinity; look for non-finite features")
    cross = torch.linalg.svdvals(_factor(c_a).T @ _factor(c_b)).sum()
    squared = (m_a - m_b).square().sum() + c_a.trace() + c_b.trace() - 2 * cross
    return max(0.0, float(squared))  # rounding can leave -1e-15 for equal moments


def _factor(covariance: Tensor) -> Tensor:
    """F (D, R) with F F^T = covariance of rank R: Cholesky's where the covariance is clearly positive definite, which is ten times as fast.

    Otherwise eigenvalues within rounding of zero are dropped: their roots would turn an error of 1e-16 into one of 1e-8.
    """
    symmetric = (covariance + covariance.T) / 2
    lower, failed = torch.linalg.cholesky_ex(symmetric)
    diagonal = lower.diagonal()
    if not failed and bool(diagonal.min() > _CLEARLY * diagonal.max()):
        return lower
    values, vectors = torch.linalg.eigh(symmetric)
    kept = values > values.abs().max() * len(values) * torch.finfo(torch.float64).eps
    return vectors[:, kept] * values[kept].sqrt()
