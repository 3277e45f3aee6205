"""Diagonal Gaussians, as encoders give them: by their mean and log-variance, summed over the last axis."""

import math

import torch
from torch import Tensor

__all__ = ["gaussian_log_density", "kl_to_standard_normal"]

LOG_2_PI = math.log(2 * math.pi)


def gaussian_log_density(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(x; mean, diag exp(log_variance)) (B,), summed over the last axis; arguments broadcast to (B, D)."""
    return -0.5 * (LOG_2_PI + log_variance + (x - mean).square() * torch.exp(-log_variance)).sum(-1)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) in nats (B,), summed over the code (Kingma & Welling 2013, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
