"""The moving average of weights, in closed form, and what it shares with the model it follows."""

import pytest
import torch

from ganvas.engine.averages import Averaged
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Average
from ganvas.engine.optimizers import cosine
from tests.engine.toys import Toy, plan, tensors, trainer


class Averages(Toy):
    rule: Average | None = None

    def average(self):
        return self.rule


def averaged(**rule):
    model = Averages()
    model.rule = Average(modules=(model.generator,), **rule) if rule else None
    return model, Averaged(model)


def after(images, budget):
    """The clock when so many images were drawn."""
    return Clock(step=1, images=images, budget=budget, stage_step=1, stage_images=images, stage_budget=budget)


def test_a_constant_decay_counts_steps():
    _, average = averaged(decay=0.99)
    assert average.decay(0, 8) == average.decay(10**6, 640) == 0.99


def test_a_half_life_counts_images():
    _, average = averaged(half_life=1000.0)
    assert average.decay(10**6, 1000) == pytest.approx(0.5)
    assert average.decay(10**6, 64) ** (1000 / 64) == pytest.approx(0.5)


def test_a_ramp_lets_the_start_be_forgotten():
    _, average = averaged(half_life=1000.0, ramp=0.05)
    assert average.decay(2000, 50) == pytest.approx(0.5 ** (50 / 100))  # half-life 5 % of 2000
    assert average.decay(10**6, 50) == pytest.approx(0.5 ** (50 / 1000))
    assert average.decay(0, 50) == pytest.approx(0.0)


def test_until_its_start_the_average_is_the_weights():
    model, average = averaged(decay=0.75, start=16)
    assert [average.decay(images, 8) for images in (8, 16, 24)] == [0.0, 0.0, 0.75]
    name, weight = next(iter(model.generator.named_parameters()))
    for images in (8, 16):
        with torch.no_grad():
            weight += 4.0
        average.update(images, 8)
        assert torch.equal(average.state()[f"generator.{name}"], weight)
    before = weight.detach().clone()
    with torch.no_grad():
        weight += 4.0
    average.update(24, 8)
    torch.testing.assert_close(average.state()[f"generator.{name}"], before + 1.0)


def test_a_half_life_may_follow_the_clock():
    _, average = averaged(half_life=cosine(0.0, 1000.0, 0.5))
    start, half, whole, end = (average.decay(images, 50, after(images, 400)) for images in (0, 100, 200, 400))
    assert start == 0.0 and half == pytest.approx(0.5 ** (50 / 500))
    assert whole == end == pytest.approx(0.5 ** (50 / 1000))
    _, average = averaged(half_life=cosine(0.0, 1000.0, 0.5), ramp=0.25)
    assert average.decay(100, 50, after(100, 400)) == pytest.approx(0.5 ** (50 / 25))  # the ramp is the lower of the two


def test_a_run_hands_its_average_the_clock():
    """A half-life of 1e-3 until half of the run, and then so long that nothing moves: the average is what the weights were at half."""

    class Follows(Toy):
        def average(self):
            return Average(modules=(self.generator,), half_life=lambda clock: 1e-3 if clock.fraction <= 0.5 else 1e12)

    t = trainer(Follows(repeat=1), plan=plan(budget=8 * 4))
    weights = []
    while not t.done:
        t.play()
        weights.append(tensors(t)["model/generator.0.weight"].clone())
    torch.testing.assert_close(t.averaged.state()["generator.0.weight"], weights[1])
    assert not torch.equal(weights[1], weights[3])


def test_the_average_moves_towards_the_weights():
    model, average = averaged(decay=0.75)
    name, weight = next(iter(model.generator.named_parameters()))
    start = weight.detach().clone()
    with torch.no_grad():
        weight += 4.0
    average.update(8, 8)
    torch.testing.assert_close(average.state()[f"generator.{name}"], start + 1.0)
    average.update(16, 8)
    torch.testing.assert_close(average.state()[f"generator.{name}"], start + 4.0 * (1 - 0.75**2))


def test_what_is_not_averaged_is_the_models_own():
    model, average = averaged(decay=0.5)
    mine, copy = dict(model.state_dict(keep_vars=True)), dict(average.model.state_dict(keep_vars=True))
    own = set(average.state())
    assert own == {name for name, _ in model.named_parameters() if name.startswith("generator")}
    for name in mine:
        assert (copy[name].data_ptr() != mine[name].data_ptr()) == (name in own), name
    assert not average.model.training and model.training


def test_without_a_rule_samples_come_from_the_weights_themselves():
    model, average = averaged()
    average.update(8, 8)
    assert average.state() == {}
    for (name, mine), (_, copy) in zip(model.state_dict().items(), average.model.state_dict().items(), strict=True):
        assert mine.data_ptr() == copy.data_ptr(), name


def test_training_never_moves_the_average_except_by_its_update():
    t = trainer(Toy(repeat=1))
    t.play()
    stored = {name: value.clone() for name, value in t.averaged.state().items()}
    t.averaged.update = lambda images, drawn, clock: None
    t.play()
    assert all(torch.equal(stored[name], value) for name, value in t.averaged.state().items())
    assert not torch.equal(tensors(t)["model/generator.0.weight"], stored["generator.0.weight"])
