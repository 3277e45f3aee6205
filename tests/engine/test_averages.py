"""The moving average of weights, in closed form, and what it shares with the model it follows."""

import pytest
import torch

from ganvas.engine.averages import Averaged
from ganvas.engine.contract import Average
from tests.engine.toys import Toy, tensors, trainer


class Averages(Toy):
    rule: Average | None = None

    def average(self):
        return self.rule


def averaged(**rule):
    model = Averages()
    model.rule = Average(modules=(model.generator,), **rule) if rule else None
    return model, Averaged(model)


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
    t.averaged.update = lambda images, drawn: None
    t.play()
    assert all(torch.equal(stored[name], value) for name, value in t.averaged.state().items())
    assert not torch.equal(tensors(t)["model/generator.0.weight"], stored["generator.0.weight"])
