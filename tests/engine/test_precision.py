"""bfloat16 autocast is entered for each loss and nowhere else; second-order penalties under it are those of float32."""

import pytest
import torch
from torch import nn

from ganvas.engine.averages import Averaged
from ganvas.engine.contract import Loss
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.loop import Trainer
from ganvas.parts.penalties import gradient_penalty
from tests.engine.toys import Toy, plan, points, tensors

CPU = torch.device("cpu")
BF16 = Machine(device=CPU, bf16=True, threads=1)  # autocast can be entered on every processor, fast or not
FP32 = Machine(device=CPU, bf16=False, threads=1)


class Watched(Toy):
    """Records the precision in which each part of a step computes."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.seen: list[tuple[str, torch.dtype]] = []

    def look(self, where):
        self.seen.append((where, nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype))

    def critic_loss(self, step):
        self.look("loss")
        return super().critic_loss(step)

    def generator_loss(self, step):
        self.look("loss")
        return super().generator_loss(step)

    def after_update(self, phase, watch, scratch):
        self.look("after")
        super().after_update(phase, watch, scratch)

    def enter(self, batch, fresh):
        self.look("enter")

    def sample(self, n, *, condition=None, rng):
        self.look("sample")
        return super().sample(n, rng=rng)


def played(model, machine, steps=1, **numbers):
    torch.set_num_threads(1)
    t = Trainer(model, points(), plan(**numbers), machine)
    for _ in range(steps):
        t.play()
    return t


@pytest.mark.parametrize(("machine", "dtype"), [(BF16, torch.bfloat16), (FP32, torch.float32)])
def test_only_losses_are_under_autocast(machine, dtype):
    model = Watched()
    t = played(model, machine, accumulate=2)
    with torch.no_grad():
        t.averaged.model.sample(2, rng=SampleDraws(0))
    seen = set(model.seen) | set(t.averaged.model.seen)
    assert seen == {("loss", dtype), ("after", torch.float32), ("enter", torch.float32), ("sample", torch.float32)}


def test_weights_moments_and_averages_stay_in_float32():
    t = played(Toy(), BF16, steps=3)
    for name, value in tensors(t).items():
        assert value.dtype == (torch.int64 if "num_batches" in name else torch.float32), name
        assert torch.isfinite(value).all(), name
    assert isinstance(t.averaged, Averaged)


def test_a_step_is_close_to_that_in_float32_and_not_equal():
    a, b = (tensors(played(Toy(dropout=0.0, lazy=1), machine)) for machine in (BF16, FP32))
    name = "optimizer 0/critic.0.weight/square_avg"
    assert not torch.equal(a[name], b[name])
    torch.testing.assert_close(a[name], b[name], rtol=0.1, atol=1e-5)


class Twice(Toy):
    """Uses the critic's weights without gradient first, then with: a cached low-precision copy would lose the gradient."""

    def critic_loss(self, step):
        with torch.no_grad():
            self.critic(step.batch.points)
        return Loss({"score": self.critic(step.batch.points)[:, 0]})


def test_gradients_survive_an_earlier_use_without_gradient():
    grads = {}
    for machine in (BF16, FP32):
        t = played(Twice(dropout=0.0, repeat=1, lazy=100, norm=False), machine, budget=10**6)
        grads[machine] = t.updates.optimizers[t.updates.descriptions[0]].state[t.model.critic[0].weight]["square_avg"]
    assert grads[BF16].abs().sum() > 0
    torch.testing.assert_close(grads[BF16].sqrt(), grads[FP32].sqrt(), rtol=0.05, atol=1e-2)


class Penalised(Toy):
    """A critic held to slope 1 at points between reals and fixed fakes."""

    def critic_loss(self, step):
        real = step.batch.points
        return Loss({"penalty": 10.0 * gradient_penalty(self.critic, real, real.flip(0) * 1.5, step.rng)})


def test_a_second_order_penalty_under_autocast_is_that_of_float32():
    """Value, gradient and the update that follows are bit-equal: in bfloat16 the square of a slope would be off by a hundredth."""
    updates = {}
    for machine in (BF16, FP32):
        t = played(Penalised(dropout=0.0, repeat=1, lazy=100), machine)
        updates[machine] = tensors(t)["model/critic.0.weight"], tensors(t)["optimizer 0/critic.0.weight/square_avg"]
    for a, b in zip(updates[BF16], updates[FP32], strict=True):
        assert torch.equal(a, b) and torch.isfinite(a).all()


def test_the_penalty_of_a_linear_critic_under_autocast_is_exact():
    """A critic w x has slope |w| everywhere: (|w| - 1)^2, with gradient 2 (|w| - 1) w / |w|."""
    w = nn.Parameter(torch.tensor([[0.3, 0.4]]))
    rng = StepDraws(0, 0, 1, CPU)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = gradient_penalty(lambda x: nn.functional.linear(x, w)[:, 0], torch.randn(6, 2), torch.randn(6, 2), rng)
    torch.testing.assert_close(value, torch.full((6,), 0.25))
    value.mean().backward()
    torch.testing.assert_close(w.grad, torch.tensor([[-0.6, -0.8]]))
