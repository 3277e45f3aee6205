"""Annealed importance sampling: against integrals in closed form, and the error it claims against the one it makes."""

import math

import pytest
import torch

from ganvas.parts.ais import anneal, log_mean


def gaussian(sigma, chains, steps, seed):
    """From exp(-x^2 / 2), Z_0 = sqrt(2 pi), to exp(-x^2 / 2 sigma^2), along precisions 1 - b + b / sigma^2; steps are exact draws."""
    g = torch.Generator().manual_seed(seed)

    def precision(b):
        return 1 - b + b / sigma**2

    return anneal(
        torch.randn(chains, generator=g, dtype=torch.float64),
        0.5 * math.log(2 * math.pi),
        torch.linspace(0, 1, steps + 1).tolist(),
        lambda x, low, high: 0.5 * (precision(low) - precision(high)) * x**2,
        lambda x, b: torch.randn(chains, generator=g, dtype=torch.float64) / math.sqrt(precision(b)),
    )


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_the_integral_of_a_gaussian(sigma):
    found = gaussian(sigma, chains=400, steps=200, seed=0)
    assert found.error < 0.02
    assert found.value == pytest.approx(0.5 * math.log(2 * math.pi) + math.log(sigma), abs=4 * found.error + 1e-9)


def test_the_error_is_the_spread_of_estimates():
    found = [gaussian(2.0, chains=100, steps=20, seed=seed) for seed in range(200)]
    values = torch.tensor([one.value for one in found])
    claimed = torch.tensor([one.error for one in found]).mean()
    assert float(values.std()) == pytest.approx(float(claimed), rel=0.2)


def test_one_step_is_importance_sampling_by_hand():
    x = torch.tensor([0.0, 1.0, 2.0])
    found = anneal(x, 1.5, [0.0, 1.0], lambda x, low, high: (high - low) * -x, lambda x, b: x)
    weights = (-x).exp()
    assert found.value == pytest.approx(1.5 + math.log(weights.mean()))
    assert found.error == pytest.approx(float(weights.std() / weights.mean()) / math.sqrt(3))


def test_weights_beyond_the_range_of_numbers():
    found = log_mean(torch.tensor([5000.0, 5000.0 + math.log(3)], dtype=torch.float64))
    assert found.value == pytest.approx(5000 + math.log(2))
    assert found.error == pytest.approx(math.sqrt(2) / 2 / math.sqrt(2))


def test_no_move_before_the_first_ratio_and_one_at_each_temperature_between():
    moved = []
    anneal(torch.zeros(2), 0.0, [0.0, 0.25, 0.5, 1.0], lambda x, low, high: x * 0 + high - low, lambda x, b: moved.append(b) or x)
    assert moved == [0.25, 0.5]
