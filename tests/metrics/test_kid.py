"""The kernel distance by hand, unbiased, and against torchmetrics."""

import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from ganvas.errors import GanvasError
from ganvas.metrics.kid import kernel_inception_distance, polynomial_distance
from tests.metrics.conftest import all_images


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_rows_by_hand():
    # D = 1: k(0, 2) = 1 within a, k(1, 1) = 8 within b, across k(0, 1) = 1 and k(2, 1) = 27, each twice.
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])
    assert float(polynomial_distance(a.double(), b.double())) == pytest.approx(1 + 8 - 2 * 14)


def test_equal_to_torchmetrics():
    a, b = normal(300, 40), normal(250, 40, seed=1) + 0.3
    theirs = poly_mmd(a[:250], b)
    assert float(polynomial_distance(a[:250], b)) == pytest.approx(float(theirs), rel=1e-10)


@pytest.mark.filterwarnings("ignore:Metric:UserWarning")  # that features are kept
def test_subsets_equal_those_of_torchmetrics(monkeypatch):
    from torchmetrics.image.kid import KernelInceptionDistance

    class Given(torch.nn.Module):
        def forward(self, x):
            return x

    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))
    a, b = normal(300, 16).float(), (normal(300, 16, seed=1) + 0.3).float()
    theirs = KernelInceptionDistance(feature=Given(), subsets=2, subset_size=200)
    theirs.update(a, real=True)
    theirs.update(b, real=False)
    mean, _ = theirs.compute()
    found = kernel_inception_distance(a, b, subsets=2, size=200)
    assert found.distance == pytest.approx(float(mean), rel=1e-4)
    assert (found.subsets, found.size) == (2, 200)


def test_unbiased_on_halves_of_one_law():
    found = torch.stack([polynomial_distance(normal(40, 8, seed=2 * i), normal(40, 8, seed=2 * i + 1)) for i in range(400)])
    error = float(found.std() / 20)
    assert abs(float(found.mean())) < 3 * error
    assert (found < 0).any() and (found > 0).any()


def test_unbiased_on_halves_of_the_real_data(held_out, extractor):
    """Of two random halves of one set pairs within and across are drawn alike, so that the mean over halvings is exactly 0."""
    features = extractor.features(all_images(held_out)).double()
    generator = torch.Generator().manual_seed(0)
    halves = [torch.randperm(len(features), generator=generator)[:240].split(120) for _ in range(400)]
    found = torch.stack([polynomial_distance(features[a], features[b]) for a, b in halves])
    assert abs(float(found.mean())) < 3 * float(found.std()) / 20
    assert (found < 0).any() and (found > 0).any()
    whole = [kernel_inception_distance(features[::2], features[1::2], size=100, seed=seed) for seed in range(3)]
    assert all(abs(one.distance) < one.deviation for one in whole)


def test_it_tells_laws_apart_and_is_symmetric():
    a, b = normal(500, 8), normal(500, 8, seed=1) * 1.5
    there, back = kernel_inception_distance(a, b, size=200), kernel_inception_distance(b, a, size=200)
    assert there.distance > 10 * there.deviation / 10
    assert float(polynomial_distance(a, b)) == pytest.approx(float(polynomial_distance(b, a)), rel=1e-10)
    assert there.distance == pytest.approx(back.distance, rel=0.3)


def test_few_rows_make_smaller_subsets():
    assert kernel_inception_distance(normal(30, 4), normal(50, 4, seed=1)).size == 15
    with pytest.raises(GanvasError, match="at least 2 rows"):
        kernel_inception_distance(normal(1, 4), normal(5, 4))


def test_constant_features_have_distance_zero():
    assert kernel_inception_distance(torch.ones(40, 3), torch.ones(40, 3)).distance == pytest.approx(0.0, abs=1e-9)
