"""The Parzen window by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity

from ganvas.errors import GanvasError
from ganvas.metrics.parzen import SIGMAS, log_density, parzen


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def samples_beside(samples, each):
    """So many points a hundredth beside each sample."""
    return samples.repeat(each, 1) + 0.01 * uniform(len(samples) * each, samples.shape[1], seed=2)


def test_two_centres_by_hand():
    density = (math.exp(-0.5) + math.exp(-2.0)) / (2 * math.sqrt(2 * math.pi))
    assert float(log_density(torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0]]), 1.0)) == pytest.approx(math.log(density), abs=1e-12)


def test_equal_to_scikit_learn():
    centres, points = uniform(200, 12), uniform(50, 12, seed=1)
    theirs = KernelDensity(bandwidth=0.23).fit(centres.numpy()).score_samples(points.numpy())
    np.testing.assert_allclose(log_density(centres, points, 0.23).numpy(), theirs, rtol=1e-10)


def test_sigma_is_the_best_of_ten_on_validation_data():
    """Neither at an end of the ten, where no choice would be seen, nor the one that the test data would choose."""
    samples, validation, test = uniform(40, 5), uniform(300, 5, seed=1), samples_beside(uniform(40, 5), 10)
    found = parzen(samples, validation, test)
    by_validation, by_test = (
        max(SIGMAS, key=lambda sigma: float(log_density(samples, points, sigma).mean())) for points in (validation, test)
    )
    assert found.sigma == by_validation and by_test == SIGMAS[0] < found.sigma < SIGMAS[-1]
    values = log_density(samples, test, found.sigma)
    assert found.nats == pytest.approx(float(values.mean()))
    assert found.error == pytest.approx(float(values.std()) / 20)
    assert len(SIGMAS) == 10 and SIGMAS[0] == pytest.approx(0.1) and SIGMAS[-1] == pytest.approx(1.0)


def test_blocks_do_not_matter(monkeypatch):
    whole = log_density(uniform(30, 4), uniform(20, 4, seed=1), 0.2)
    monkeypatch.setattr("ganvas.metrics.parzen._BLOCK", 70)
    torch.testing.assert_close(log_density(uniform(30, 4), uniform(20, 4, seed=1), 0.2), whole, rtol=1e-12, atol=0)


def test_far_points_do_not_underflow():
    assert float(log_density(torch.zeros(10, 784), torch.ones(1, 784), 0.1)) == pytest.approx(
        -39200 - 784 * math.log(0.1 * math.sqrt(2 * math.pi))
    )


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(GanvasError, match="4 features each"):
        parzen(uniform(9, 4), uniform(9, 5), uniform(9, 4))
    with pytest.raises(GanvasError, match="2 test rows"):
        parzen(uniform(9, 4), uniform(9, 4), uniform(1, 4))
    with pytest.raises(GanvasError, match="sigma must be positive"):
        log_density(uniform(9, 4), uniform(9, 4), 0.0)
