"""LeCam regularisation: values by hand, when it starts, and the moving averages against their closed form."""

import pytest
import torch
from torch import tensor

from ganvas.parts.lecam import LeCam, lecam


def test_values_by_hand():
    found = lecam(tensor([1.0, 3.0]), tensor([0.0, -1.0]), tensor(2.0), tensor(-0.5))
    torch.testing.assert_close(found, tensor([1.5**2 + 2.0**2, 3.5**2 + 3.0**2]))


def test_patches_count_as_their_mean():
    real, fake = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    found = lecam(real, fake, tensor(0.3), tensor(-0.7))
    torch.testing.assert_close(found, ((real + 0.7) ** 2 + (fake - 0.3) ** 2).flatten(1).mean(1))


def test_only_scores_at_the_other_sides_mean_cost_nothing():
    assert float(lecam(tensor([-1.0]), tensor([2.0]), tensor(2.0), tensor(-1.0))) == 0.0


def test_its_gradient_draws_both_sides_together():
    real, fake = tensor([4.0], requires_grad=True), tensor([-4.0], requires_grad=True)
    lecam(real, fake, tensor(4.0), tensor(-4.0)).sum().backward()
    assert float(real.grad) == 16.0 and float(fake.grad) == -16.0


@pytest.mark.parametrize("start", [0, 1, 3])
def test_it_starts_after_its_updates_and_the_averages_are_the_last_batch_until_then(start):
    module = LeCam(decay=0.9, start=start)
    real, fake = tensor([1.0, 2.0]), tensor([0.5, 0.0])
    first = max(start, 1)
    for update in range(first):
        assert not module.penalty(real, fake).any()
        module.update(tensor(float(update)), tensor(-float(update)))
        assert (float(module.real), float(module.fake)) == (update, -update)
    torch.testing.assert_close(module.penalty(real, fake), lecam(real, fake, tensor(first - 1.0), tensor(1.0 - first)))


def test_the_averages_follow_the_closed_form():
    module, values = LeCam(decay=0.8, start=1), torch.randn(6).double()
    module.double()
    for value in values:
        module.update(value, 2 * value)
    weights = tensor([0.8**5, *(0.2 * 0.8 ** (5 - k) for k in range(1, 6))], dtype=torch.float64)
    torch.testing.assert_close(module.real, (weights * values).sum())
    torch.testing.assert_close(module.fake, 2 * module.real)


def test_the_averages_are_state_and_the_penalty_changes_none():
    module = LeCam(start=1)
    module.update(tensor(1.0), tensor(-1.0))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert before.keys() == {"real", "fake", "updates"}
    real = torch.randn(3, requires_grad=True)
    term = module.penalty(real, real)
    module.update(tensor(5.0), tensor(5.0))
    term.sum().backward()  # the graph holds what the averages were
    torch.testing.assert_close(real.grad, 2 * (real.detach() + 1) + 2 * (real.detach() - 1))
