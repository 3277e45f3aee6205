"""Objectives: hand numbers, exact derivatives, patches, extreme logits."""

import math

import pytest
import torch
from torch import tensor

from ganvas.parts.objectives import (
    HINGE,
    LEAST_SQUARES,
    MAXIMUM_LIKELIHOOD,
    MINIMAX,
    NON_SATURATING,
    WASSERSTEIN,
    least_squares,
    per_sample,
    widen,
)

ALL = {
    "minimax": MINIMAX,
    "non-saturating": NON_SATURATING,
    "maximum-likelihood": MAXIMUM_LIKELIHOOD,
    "wasserstein": WASSERSTEIN,
    "least-squares": LEAST_SQUARES,
    "chi-square": least_squares(-1, 1, 0),
    "hinge": HINGE,
}
every = pytest.mark.parametrize("objective", ALL.values(), ids=ALL.keys())

LOG_3 = math.log(3.0)  # the logit of 3/4


@pytest.mark.parametrize("objective", [MINIMAX, NON_SATURATING, MAXIMUM_LIKELIHOOD])
def test_the_logistic_discriminator_by_hand(objective):
    """D(x) = 3/4 and D(G(z)) = 1/4: each costs log(4/3). D = 1/2 everywhere: 2 log 2."""
    found = objective.d(tensor([LOG_3, 0.0]), tensor([-LOG_3, 0.0]))
    torch.testing.assert_close(found, tensor([2 * math.log(4 / 3), 2 * math.log(2)]))


@pytest.mark.parametrize(
    ("objective", "at_three_quarters", "at_half"),
    [
        (MINIMAX, -math.log(4), -math.log(2)),
        (NON_SATURATING, math.log(4 / 3), math.log(2)),
        (MAXIMUM_LIKELIHOOD, -3.0, -1.0),
        (WASSERSTEIN, -LOG_3, 0.0),
        (LEAST_SQUARES, (LOG_3 - 1) ** 2 / 2, 0.5),
        (least_squares(-1, 1, 0), LOG_3**2 / 2, 0.0),
        (HINGE, -LOG_3, 0.0),
    ],
    ids=ALL.keys(),
)
def test_generator_costs_by_hand(objective, at_three_quarters, at_half):
    torch.testing.assert_close(objective.g(tensor([LOG_3, 0.0])), tensor([at_three_quarters, at_half]))


def test_the_wasserstein_critic_by_hand():
    torch.testing.assert_close(WASSERSTEIN.d(tensor([2.0, -1.0]), tensor([0.5, 3.0])), tensor([-1.5, 4.0]))


def test_the_hinge_by_hand():
    """max(0, 1 - a_r) + max(0, 1 + a_f): 0 + 1.5, 2 + 0, 1 + 1; beyond the margin neither cost nor slope."""
    real, fake = tensor([2.0, -1.0, 0.0], requires_grad=True), tensor([0.5, -3.0, 0.0], requires_grad=True)
    value = HINGE.d(real, fake)
    torch.testing.assert_close(value.detach(), tensor([1.5, 2.0, 2.0]))
    value.sum().backward()
    torch.testing.assert_close(real.grad, tensor([0.0, -1.0, -1.0]))
    torch.testing.assert_close(fake.grad, tensor([1.0, 0.0, 1.0]))


def test_the_hinge_s_best_discriminator_is_the_sign_of_the_difference():
    """p max(0, 1 - a) + q max(0, 1 + a) is least at a = 1 where p > q and at -1 where p < q: 2 min(p, q), a total variation."""
    a = torch.linspace(-2, 2, 401)
    for p, q in ((0.7, 0.2), (0.1, 0.6)):
        value = p * HINGE.d(a, tensor(-9.0).expand(401)) + q * HINGE.d(tensor(9.0).expand(401), a)
        assert float(a[value.argmin()]) == pytest.approx(1.0 if p > q else -1.0, abs=1e-5)
        assert float(value.min()) == pytest.approx(2 * min(p, q), abs=1e-5)


def test_the_least_squares_discriminator_by_hand():
    torch.testing.assert_close(LEAST_SQUARES.d(tensor([2.0, 1.0]), tensor([0.5, 0.0])), tensor([0.625, 0.0]))
    torch.testing.assert_close(least_squares(-1, 1, 0).d(tensor([2.0, 1.0]), tensor([0.5, -1.0])), tensor([1.625, 0.0]))


def test_each_target_of_least_squares_has_its_place():
    """a = 2 for fakes, b = 5 for reals, c = 7 for the generator's fakes: each loss is 0 there alone."""
    objective = least_squares(2, 5, 7)
    torch.testing.assert_close(objective.d(tensor([5.0, 4.0, 5.0]), tensor([2.0, 2.0, 4.0])), tensor([0.0, 0.5, 2.0]))
    torch.testing.assert_close(objective.g(tensor([7.0, 5.0])), tensor([0.0, 2.0]))


@every
def test_derivatives_are_exact(objective):
    generator = torch.Generator().manual_seed(0)
    real, fake = (3 * torch.randn(5, dtype=torch.float64, generator=generator) for _ in "rf")
    real.requires_grad_()
    fake.requires_grad_()
    assert torch.autograd.gradcheck(objective.d, (real, fake))
    assert torch.autograd.gradcheck(objective.g, (fake,))
    assert torch.autograd.gradgradcheck(objective.d, (real, fake))


@every
def test_patches_count_as_the_mean_of_their_losses(objective):
    real, fake = torch.randn(3, 1, 4, 5), torch.randn(3, 1, 4, 5)
    each = torch.stack([objective.d(real[:, 0, y, x], fake[:, 0, y, x]) for y in range(4) for x in range(5)])
    torch.testing.assert_close(objective.d(real, fake), each.mean(0))
    each = torch.stack([objective.g(fake[:, 0, y, x]) for y in range(4) for x in range(5)])
    torch.testing.assert_close(objective.g(fake), each.mean(0))
    assert objective.g(torch.randn(3, 1)).shape == (3,)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_stay_finite(objective, dtype):
    extreme = tensor([-1e4, -100.0, 0.0, 100.0, 1e4], dtype=dtype)
    real, fake = extreme.clone().requires_grad_(), extreme.flip(0).clone().requires_grad_()
    values = objective.d(real, fake)
    (values.sum() + objective.g(fake).sum()).backward()
    for found in (values, objective.g(fake), real.grad, fake.grad):
        assert found.isfinite().all()
    assert values.dtype == torch.float32


def test_a_sure_discriminator_pays_its_whole_logit_for_a_mistake():
    torch.testing.assert_close(NON_SATURATING.d(tensor([-1e4]), tensor([1e4])), tensor([2e4]))
    torch.testing.assert_close(NON_SATURATING.g(tensor([-1e4])), tensor([1e4]))


def test_widening_never_narrows():
    assert [widen(torch.zeros(1, dtype=d)).dtype for d in (torch.bfloat16, torch.float16, torch.float32, torch.float64)] == [
        torch.float32,
        torch.float32,
        torch.float32,
        torch.float64,
    ]
    x = torch.randn(4)
    assert per_sample(x) is x
