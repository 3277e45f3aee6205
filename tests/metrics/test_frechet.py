"""The Frechet distance against closed forms."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.frechet import frechet_distance, moments


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def between(a, b):
    return frechet_distance(*moments(a), *moments(b))


def test_moments_are_mean_and_covariance_over_n_minus_one():
    mean, covariance = moments(torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    assert mean.tolist() == [2.0, 2.0]
    assert covariance.tolist() == [[2.0, 4.0], [4.0, 8.0]]
    assert mean.dtype == covariance.dtype == torch.float64


def test_diagonal_covariances_by_hand():
    # |(3, 4)|^2 + (1 - 2)^2 + (3 - 5)^2 = 25 + 1 + 4, as roots of the variances are 1, 3 and 2, 5.
    a, b = torch.diag(torch.tensor([1.0, 9.0])), torch.diag(torch.tensor([4.0, 25.0]))
    assert frechet_distance(torch.zeros(2), a, torch.tensor([3.0, 4.0]), b) == pytest.approx(30.0, abs=1e-12)


def test_two_by_two_covariances_that_do_not_commute():
    # Tr (C_a C_b)^(1/2) of 2 x 2 matrices is (Tr(C_a C_b) + 2 (det C_a det C_b)^(1/2))^(1/2).
    a = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    b = torch.tensor([[3.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    root = ((a @ b).trace() + 2 * (torch.det(a) * torch.det(b)).sqrt()).sqrt()
    expected = a.trace() + b.trace() - 2 * root
    assert frechet_distance(torch.zeros(2), a, torch.zeros(2), b) == pytest.approx(float(expected), abs=1e-12)


def test_scaled_covariance_in_many_dimensions():
    # C_b = s^2 C_a commutes with C_a: the distance is (s - 1)^2 Tr C_a.
    features = normal(500, 40) @ normal(40, 40, seed=1)
    mean, covariance = moments(features)
    expected = 0.25 * float(covariance.trace())
    assert frechet_distance(mean, covariance, mean, 2.25 * covariance) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(400, 32), (20, 64), (2, 64)])
def test_zero_between_equal_sets_also_with_fewer_rows_than_features(n, d):
    features = 30 * normal(n, d)
    assert between(features, features) == pytest.approx(0.0, abs=1e-6)


def test_symmetric_and_blind_to_order():
    a, b = normal(300, 24), normal(200, 24, seed=1) @ normal(24, 24, seed=2) + 1
    assert between(a, b) == pytest.approx(between(b, a), rel=1e-10)
    shuffled = a[torch.randperm(300, generator=torch.Generator().manual_seed(3))]
    assert between(shuffled, b) == pytest.approx(between(a, b), rel=1e-10)


def test_rank_deficient_sets_against_a_rotation_into_full_rank():
    # Features in a plane of 50 dimensions: the distance is that of their two coordinates.
    basis = torch.linalg.qr(normal(50, 2, seed=5)).Q
    a, b = normal(30, 2), 3 * normal(30, 2, seed=1) + 1
    assert between(a @ basis.T, b @ basis.T) == pytest.approx(between(a, b), rel=1e-8)


@pytest.mark.parametrize(("d", "rank"), [(50, 2), (128, 20)])
def test_singular_against_regular_covariance_is_exact(d, rank):
    # Both diagonal in one rotated basis: the sum of (root a_i - root b_i)^2. Roots of rounding errors would show at 1e-9.
    basis = torch.linalg.qr(normal(d, d, seed=6)).Q
    a, b = normal(d, seed=7).square(), normal(d, seed=8).square()
    a[rank:] = 0
    expected = float((a.sqrt() - b.sqrt()).square().sum())
    zero = torch.zeros(d)
    found = frechet_distance(zero, basis @ torch.diag(a) @ basis.T, zero, basis @ torch.diag(b) @ basis.T)
    assert found == pytest.approx(expected, rel=1e-12)


def test_constant_features_have_the_distance_of_their_means():
    a, b = torch.full((10, 3), 1.0), torch.full((10, 3), 3.0)
    assert between(a, b) == pytest.approx(12.0)
    varied = normal(100, 3)
    mean, covariance = moments(varied)
    assert between(varied, a) == pytest.approx(float((mean - 1).square().sum() + covariance.trace()))


def test_known_gaussians_from_samples():
    # N(0, I) and N(1, 4 I) in 4 dimensions: 4 + 4 = 8; the estimate from 200,000 rows is within 1 %.
    assert between(normal(200_000, 4), 2 * normal(200_000, 4, seed=1) + 1) == pytest.approx(8.0, rel=0.01)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_features_are_refused(bad):
    features = normal(10, 3)
    features[4, 1] = bad
    with pytest.raises(GanvasError, match="1 of 10 rows"):
        moments(features)
    with pytest.raises(GanvasError, match="NaN or infinity"):
        frechet_distance(torch.tensor([bad]), torch.ones(1, 1), torch.zeros(1), torch.ones(1, 1))


def test_wrong_shapes_and_too_few_rows_are_refused():
    with pytest.raises(GanvasError, match="at least 2 rows"):
        moments(normal(1, 3))
    with pytest.raises(GanvasError, match=r"\(2, 3, 4\)"):
        moments(normal(2, 3, 4))
    with pytest.raises(GanvasError, match="of one D"):
        frechet_distance(torch.zeros(2), torch.eye(2), torch.zeros(3), torch.eye(3))


def test_float32_overflow_is_an_error_or_right_never_silent():
    # 1e30 squared overflows float32, and 1e200 overflows float64.
    assert between(torch.tensor([[1e30], [-1e30]]), torch.tensor([[1e30], [-1e30]])) == pytest.approx(0.0, abs=1e46)
    huge = torch.tensor([[1e200], [-1e200]], dtype=torch.float64)
    with pytest.raises(GanvasError, match="NaN or infinity"):
        between(huge, huge)
