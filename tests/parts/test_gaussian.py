"""Diagonal Gaussians: by hand, and against torch.distributions."""

import math

import torch

from ganvas.parts.gaussian import gaussian_log_density, kl_to_standard_normal


def test_the_kl_of_one_code():
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(4.0)]])
    by_hand = 0.5 * (1 + 1 - 1 - 0) + 0.5 * (4 + 4 - 1 - math.log(4))
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), torch.tensor([by_hand]))
    library = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), library.sum(1))


def test_the_density_of_a_gaussian():
    x, mean, log_variance = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 3)
    library = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(x).sum(1)
    torch.testing.assert_close(gaussian_log_density(x, mean, log_variance), library)
