"""The finite check: a refused update moves nothing, refusal is final, and the report names step, phase and values."""

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from ganvas.engine.guard import Guard
from ganvas.engine.optimizers import SGD, Adagrad, Adam, Optimizer, RMSProp
from ganvas.errors import TrainingStopped
from tests.engine.toys import Toy, tensors, trainer

CPU = torch.device("cpu")
CLOCK = trainer().clock
OPTIMIZERS = {
    "Adam": Adam(lr=0.1, betas=(0.5, 0.9), weight_decay=0.01),
    "SGD": SGD(lr=0.1, momentum=0.9),
    "RMSProp": RMSProp(lr=0.1),
    "Adagrad": Adagrad(lr=0.1),
}


def ready(description: Optimizer) -> tuple[torch.optim.Optimizer, list[Parameter]]:
    """An optimizer that has made one ordinary step, and its parameters with fresh gradients."""
    torch.manual_seed(0)
    parameters = [Parameter(torch.randn(3, 2)), Parameter(torch.randn(4))]
    optimizer = description.build(parameters)
    optimizer.param_groups[0].update(description.settings(CLOCK))
    for _ in range(2):
        for p in parameters:
            p.grad = torch.randn_like(p)
        if not optimizer.state.get(parameters[0], {}).get("step"):
            optimizer.step()
    return optimizer, parameters


def held(optimizer: torch.optim.Optimizer, parameters: list[Parameter]) -> list[Tensor]:
    """Weights and everything the optimizer remembers of them."""
    state = [value for p in parameters for value in optimizer.state[p].values() if torch.is_tensor(value)]
    return [tensor.detach().clone() for tensor in (*parameters, *state)]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("gated", [False, True], ids=["own path", "device path"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_refused_update_leaves_weights_and_moments_bit_equal(name, gated):
    optimizer, parameters = ready(OPTIMIZERS[name])
    guard = Guard(CPU)
    apply = guard._apply_gated if gated else guard.apply
    before = held(optimizer, parameters)
    guard.check(0, "critic", ("loss", "gradient norm"), torch.tensor([float("nan"), 1.0]))
    parameters[0].grad.fill_(float("nan"))
    apply(optimizer)
    assert same(held(optimizer, parameters), before)


@pytest.mark.parametrize("gated", [False, True], ids=["own path", "device path"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_finite_update_is_the_plain_optimizers(name, gated):
    optimizer, parameters = ready(OPTIMIZERS[name])
    plain, plain_parameters = ready(OPTIMIZERS[name])
    guard = Guard(CPU)
    before = held(optimizer, parameters)
    guard.check(0, "critic", ("loss", "gradient norm"), torch.tensor([3.0, 1.0]))
    (guard._apply_gated if gated else guard.apply)(optimizer)
    plain.step()
    assert not same(held(optimizer, parameters), before)
    assert same(held(optimizer, parameters), held(plain, plain_parameters))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_refusal_is_final(name):
    optimizer, parameters = ready(OPTIMIZERS[name])
    guard = Guard(CPU)
    guard.check(4, "critic", ("loss", "gradient norm"), torch.tensor([1.0, float("inf")]))
    before = held(optimizer, parameters)
    for step in (5, 6):
        guard.check(step, "generator", ("cost", "gradient norm"), torch.tensor([1.0, 1.0]))
        guard.apply(optimizer)
    guard.check(7, "generator", ("cost", "gradient norm"), torch.tensor([float("nan"), 1.0]))
    assert same(held(optimizer, parameters), before)
    for _ in range(2):  # the first refusal is reported, whenever and however often the host asks
        with pytest.raises(TrainingStopped, match="step 5 in phase 'critic': gradient norm"):
            guard.raise_if_failed()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_the_report_names_every_bad_value(bad):
    guard = Guard(CPU)
    guard.check(0, "critic", ("wasserstein", "penalty", "drift", "gradient norm"), torch.tensor([1.0, bad, 2.0, bad]))
    with pytest.raises(TrainingStopped, match=r"step 1 in phase 'critic': penalty, gradient norm\. The update was not applied"):
        guard.raise_if_failed()


def test_the_report_is_right_after_the_host_has_asked_before():
    guard = Guard(CPU)
    for step in range(3):
        guard.check(step, "critic", ("loss", "gradient norm"), torch.tensor([1.0, 1.0]))
        guard.raise_if_failed()
    guard.check(3, "critic", ("loss", "gradient norm"), torch.tensor([1.0, 1.0]))
    guard.check(3, "generator", ("cost", "gradient norm"), torch.tensor([float("nan"), 1.0]))
    with pytest.raises(TrainingStopped, match="step 4 in phase 'generator': cost"):
        guard.raise_if_failed()


def test_more_values_than_can_be_told_apart_are_still_judged():
    guard = Guard(CPU)
    names = [f"term {i}" for i in range(50)] + ["gradient norm"]
    values = torch.ones(51)
    values[40] = float("nan")
    guard.check(0, "critic", names, values)
    with pytest.raises(TrainingStopped, match="phase 'critic': gradient norm"):
        guard.raise_if_failed()


class Poisoned(Toy):
    """Finite terms whose gradient is not: the square root's slope at 0."""

    def lazy_loss(self, step):
        loss = super().lazy_loss(step)
        return type(loss)({"root": (self.critic[0].weight * 0).square().sum().sqrt()})


def test_a_gradient_that_overflows_is_caught_though_all_terms_are_finite():
    t = trainer(Poisoned(repeat=0))
    before = tensors(t)
    with pytest.raises(TrainingStopped, match="step 1 in phase 'lazy': gradient norm"):
        t.play()
    after = tensors(t)
    for name in before:
        if "running" not in name and "batches" not in name:
            assert torch.equal(before[name], after[name]), name


def test_a_poisoned_example_stops_the_run_before_it_reaches_the_weights():
    t = trainer()
    t.examples._points[:] = float("nan")
    before = tensors(t)
    with pytest.raises(TrainingStopped, match="phase 'critic': wasserstein, drift, gradient norm"):
        t.play()
    assert all(torch.equal(before[name], after) for name, after in tensors(t).items() if name.startswith("model/critic"))
