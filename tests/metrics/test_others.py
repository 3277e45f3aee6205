"""The same numbers as other libraries give on the same features."""

import ot
import pytest
import torch
from prdc import compute_prdc
from torchmetrics.image.fid import FrechetInceptionDistance, _compute_fid

from ganvas.metrics.density_coverage import density_coverage
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.precision_recall import precision_recall
from ganvas.metrics.wasserstein import sliced_wasserstein


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Given(torch.nn.Module):
    """Takes features for images."""

    num_features = 24

    def forward(self, x):
        return x


def test_frechet_distance_of_torchmetrics():
    a, b = normal(400, 24), normal(300, 24, seed=1) @ normal(24, 24, seed=2) + 1
    theirs = FrechetInceptionDistance(feature=Given(), input_img_size=(1, 4, 6)).set_dtype(torch.float64)
    theirs.update(a, real=True)
    theirs.update(b, real=False)
    mine = frechet_distance(*moments(a), *moments(b))
    assert mine == pytest.approx(float(theirs.compute()), rel=1e-8)
    mean_a, cov_a = moments(a)
    mean_b, cov_b = moments(b)
    assert mine == pytest.approx(float(_compute_fid(mean_a, cov_a, mean_b, cov_b)), rel=1e-8)


def test_bures_distance_of_pot():
    a, b = normal(400, 10), normal(300, 10, seed=1) @ normal(10, 10, seed=2) + 1
    mine = frechet_distance(*moments(a), *moments(b))
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    theirs = ot.gaussian.bures_wasserstein_distance(mean_a.numpy(), mean_b.numpy(), cov_a.numpy(), cov_b.numpy())
    assert mine == pytest.approx(float(theirs) ** 2, rel=1e-8)


def test_wasserstein_distance_of_pot():
    a, b = normal(300, 1), 2 * normal(200, 1, seed=1) + 0.5
    theirs = ot.wasserstein_1d(a[:, 0].numpy(), b[:, 0].numpy(), p=1)
    assert sliced_wasserstein(a, b) == pytest.approx(float(theirs), rel=1e-10)
    x, y = normal(300, 2), normal(300, 2, seed=1) + torch.tensor([1.0, 0.0])
    sliced = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), n_projections=2_000, p=1, seed=0)
    assert sliced_wasserstein(x, y) == pytest.approx(float(sliced), rel=0.03)


def test_precision_recall_density_coverage_of_prdc(capsys):
    real, fake = normal(400, 8), normal(300, 8, seed=1) * 0.8 + 0.2
    for k in (3, 5):
        theirs = compute_prdc(real.numpy(), fake.numpy(), nearest_k=k)
        manifold, spread = precision_recall(real, fake, k=k), density_coverage(real, fake, k=k)
        mine = {"precision": manifold.precision, "recall": manifold.recall, "density": spread.density, "coverage": spread.coverage}
        assert mine == pytest.approx({name: float(value) for name, value in theirs.items()}, abs=1e-9)
    capsys.readouterr()  # theirs prints


def test_coverage_of_the_law_itself():
    """1 - 2^-5 = 0.969 at k = 5, as sets grow."""
    found = density_coverage(normal(4_000, 4), normal(4_000, 4, seed=1))
    assert found.coverage == pytest.approx(0.969, abs=0.01)
    assert found.density == pytest.approx(1.0, abs=0.03)
