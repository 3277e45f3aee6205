"""Relativistic objectives: hand numbers, WGAN as the case of a linear criterion, what a shift and a real can do, patches, extremes."""

import math

import pytest
import torch
from torch import tensor

from ganvas.parts.objectives import WASSERSTEIN
from ganvas.parts.relativistic import CRITERIA, averaged, paired

ALL = {f"{form.__name__} {name}": form(criterion) for form in (paired, averaged) for name, criterion in CRITERIA.items()}
every = pytest.mark.parametrize("objective", ALL.values(), ids=ALL.keys())


def test_the_criteria_by_hand():
    lead = tensor([-1.0, 0.0, 1.0, 3.0])
    torch.testing.assert_close(CRITERIA["logistic"](lead), tensor([math.log(1 + math.exp(-t)) for t in (-1, 0, 1, 3)]))
    torch.testing.assert_close(CRITERIA["least-squares"](lead), tensor([4.0, 1.0, 0.0, 4.0]))
    torch.testing.assert_close(CRITERIA["hinge"](lead), tensor([2.0, 1.0, 0.0, 0.0]))


def test_pairs_by_hand():
    """Leads of reals over their fakes: 2 and -3."""
    real, fake = tensor([1.0, -1.0]), tensor([-1.0, 2.0])
    objective = paired(CRITERIA["hinge"])
    torch.testing.assert_close(objective.d(real, fake), tensor([0.0, 4.0]))
    torch.testing.assert_close(objective.g(fake, real), tensor([3.0, 0.0]))


def test_averages_by_hand():
    """m_r = 2, m_f = 0: leads of reals over m_f are 1 and 3, of m_r over fakes 3 and 1; a_f - m_r = -3 and -1, m_f - a_r = -1 and -3."""
    real, fake = tensor([1.0, 3.0]), tensor([-1.0, 1.0])
    objective = averaged(CRITERIA["least-squares"])
    torch.testing.assert_close(objective.d(real, fake), tensor([(0 + 4) / 2, (4 + 0) / 2]))
    torch.testing.assert_close(objective.g(fake, real), tensor([(16 + 4) / 2, (4 + 16) / 2]))


def test_with_a_linear_criterion_both_forms_are_wgan():
    """Section 4: of the losses of an integral probability metric the relativistic form is the loss itself."""
    torch.manual_seed(0)
    real, fake = torch.randn(6), torch.randn(6)
    pairs, means = paired(torch.neg), averaged(torch.neg)
    torch.testing.assert_close(pairs.d(real, fake), WASSERSTEIN.d(real, fake))
    torch.testing.assert_close(pairs.g(fake, real), WASSERSTEIN.g(fake) + real)
    torch.testing.assert_close(means.d(real, fake).mean(), WASSERSTEIN.d(real, fake).mean())
    torch.testing.assert_close(means.g(fake, real).mean(), (WASSERSTEIN.g(fake) + real).mean())


@every
def test_only_differences_of_scores_count(objective):
    torch.manual_seed(0)
    real, fake = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    torch.testing.assert_close(objective.d(real + 7, fake + 7), objective.d(real, fake))
    torch.testing.assert_close(objective.g(fake + 7, real + 7), objective.g(fake, real))


@every
def test_the_generator_s_gradient_goes_through_fakes_alone_and_knows_the_reals(objective):
    real, fake = tensor([0.3, -0.2, 0.9], requires_grad=True), tensor([0.1, -0.4, 0.2], requires_grad=True)
    objective.g(fake, real).sum().backward()
    assert real.grad is None and fake.grad.abs().sum() > 0
    (other,) = torch.autograd.grad(objective.g(fake, real.detach() + tensor([0.5, 0.0, 0.0])).sum(), fake)
    assert objective.g(fake, real.detach() - 0.5).sum() < objective.g(fake, real.detach()).sum()
    if objective not in (ALL["paired hinge"], ALL["averaged hinge"]):  # whose slope is the same on all of the ramp
        assert not torch.equal(other, fake.grad)


@every
def test_a_generator_without_reals_is_refused(objective):
    with pytest.raises(AssertionError, match="compares its fakes with reals"):
        objective.g(torch.zeros(2))


@every
def test_derivatives_are_exact_and_go_through_the_means(objective):
    generator = torch.Generator().manual_seed(0)
    real, fake = (3 * torch.randn(5, dtype=torch.float64, generator=generator) for _ in "rf")
    assert torch.autograd.gradcheck(objective.d, (real.requires_grad_(), fake.requires_grad_()))
    assert torch.autograd.gradcheck(lambda scores: objective.g(scores, real), (fake,))


@every
def test_patches_count_as_the_mean_of_their_losses(objective):
    real, fake = torch.randn(3, 1, 4, 5), torch.randn(3, 1, 4, 5)
    places = [(real[:, 0, y, x], fake[:, 0, y, x]) for y in range(4) for x in range(5)]
    torch.testing.assert_close(objective.d(real, fake), torch.stack([objective.d(r, f) for r, f in places]).mean(0))
    torch.testing.assert_close(objective.g(fake, real), torch.stack([objective.g(f, r) for r, f in places]).mean(0))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_scores_stay_finite(objective, dtype):
    extreme = tensor([-1e4, -100.0, 0.0, 100.0, 1e4], dtype=dtype)
    real, fake = extreme.clone().requires_grad_(), extreme.flip(0).clone().requires_grad_()
    values, costs = objective.d(real, fake), objective.g(fake, real)
    (values.sum() + costs.sum()).backward()
    for found in (values, costs, real.grad, fake.grad):
        assert found.isfinite().all()
    assert values.dtype == costs.dtype == torch.float32
