"""Optimizer descriptions: what they build, schedules, and state shared through one object."""

import pytest
import torch
from torch.nn import Parameter

from ganvas.engine.clock import Clock
from ganvas.engine.optimizers import SGD, Adagrad, Adam, RMSProp, at, cosine, linear_decay
from tests.engine.toys import Toy, trainer


def clock(stage_images: int = 0, *, images: int | None = None, step: int = 0) -> Clock:
    images = stage_images if images is None else images
    return Clock(step=step, images=images, budget=400, stage_step=step, stage_images=stage_images, stage_budget=100)


def follow(description, gradients, start=1.0, clocks=None):
    """A scalar's course under given gradients."""
    p = Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = description.build([p])
    course = []
    for i, gradient in enumerate(gradients):
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.param_groups[0].update(description.settings(clocks[i] if clocks else clock()))
        optimizer.step()
        course.append(p.item())
    return course


def test_constants_and_schedules():
    assert at(0.5, clock()) == 0.5
    assert at(lambda c: c.stage_fraction, clock(25)) == 0.25
    assert at(lambda c: c.fraction, clock(25, images=100)) == 0.25


def test_linear_decay():
    assert [linear_decay(2.0)(clock(i)) for i in (0, 25, 50, 100)] == [2.0, 1.5, 1.0, 0.0]
    assert [linear_decay(2.0, start=0.5)(clock(i)) for i in (0, 25, 50, 75, 100)] == [2.0, 2.0, 2.0, 1.0, 0.0]


def test_cosine():
    """Half way after half of the share; 2 + 4 (1 + cos(pi / 4)) after a quarter of it."""
    assert [cosine(10.0, 2.0)(clock(i)) for i in (0, 50, 100)] == pytest.approx([10.0, 6.0, 2.0])
    course = [cosine(10.0, 2.0, 0.4)(clock(i)) for i in (0, 10, 20, 40, 41, 100)]
    assert course == pytest.approx([10.0, 2 + 4 * (1 + 0.5**0.5), 6.0, 2.0, 2.0, 2.0])


def test_fractions_stop_at_one():
    late = Clock(step=9, images=500, budget=400, stage_step=9, stage_images=130, stage_budget=100)
    assert late.fraction == late.stage_fraction == 1.0
    assert linear_decay(1.0)(late) == 0.0


def test_adam_is_the_papers():
    gradients, x, m, v, expected = [0.5, -2.0, 1.0], 1.0, 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        g = g + 0.1 * x  # weight decay in its coupled form
        m, v = 0.5 * m + 0.5 * g, 0.9 * v + 0.1 * g * g
        x -= 0.01 * (m / (1 - 0.5**t)) / ((v / (1 - 0.9**t)) ** 0.5 + 1e-8)
        expected.append(x)
    assert follow(Adam(lr=0.01, betas=(0.5, 0.9), weight_decay=0.1), gradients) == pytest.approx(expected, rel=1e-6)


def test_the_second_beta_follows_its_schedule():
    """As where the authors of a schedule write it into torch's groups: each update has its own beta, also in the correction of its bias."""
    clocks = [clock(i) for i in (0, 50, 100)]
    gradients, x, v, expected = [0.5, -2.0, 1.0], 1.0, 0.0, []
    for t, (g, beta) in enumerate(zip(gradients, (0.9, 0.945, 0.99), strict=True), start=1):
        v = beta * v + (1 - beta) * g * g
        x -= 0.01 * g / ((v / (1 - beta**t)) ** 0.5 + 1e-8)
        expected.append(x)
    description = Adam(lr=0.01, betas=(0.0, cosine(0.9, 0.99)))
    assert follow(description, gradients, clocks=clocks) == pytest.approx(expected, rel=1e-6)
    assert description.settings(clocks[0]) == {"lr": 0.01, "betas": (0.0, 0.9)}
    assert Adam(lr=0.01, betas=(0.0, 0.9)).settings(clocks[0]) == {"lr": 0.01}


def test_rmsprop_is_the_lectures():
    gradients, x, v, expected = [0.5, -2.0, 1.0], 1.0, 0.0, []
    for g in gradients:
        v = 0.99 * v + 0.01 * g * g
        x -= 0.01 * g / (v**0.5 + 1e-8)
        expected.append(x)
    assert follow(RMSProp(lr=0.01), gradients) == pytest.approx(expected, rel=1e-6)


def test_adagrad_is_the_papers():
    gradients, x, v, expected = [0.5, -2.0, 1.0], 1.0, 0.0, []
    for g in gradients:
        v += g * g
        x -= 0.1 * g / (v**0.5 + 1e-10)
        expected.append(x)
    assert follow(Adagrad(lr=0.1), gradients) == pytest.approx(expected, rel=1e-6)


def test_momentum_follows_its_schedule():
    clocks = [clock(images=images) for images in (0, 100, 200)]
    gradients, x, velocity, expected = [1.0, -0.5, 2.0], 1.0, None, []
    for g, c in zip(gradients, clocks, strict=True):
        velocity = g if velocity is None else (0.5 + 0.4 * c.fraction) * velocity + g
        x -= 0.1 * velocity
        expected.append(x)
    description = SGD(lr=0.1, momentum=lambda c: 0.5 + 0.4 * c.fraction)
    assert follow(description, gradients, clocks=clocks) == pytest.approx(expected, rel=1e-6)


def test_momentum_may_start_at_zero():
    """Without momentum torch keeps no velocity, so it begins at the first step that has some: velocities 1, 1, 0.5 * 1 + 1."""
    clocks = [clock(images=images) for images in (0, 200, 400)]
    description = SGD(lr=0.1, momentum=lambda c: c.fraction * 0.5)
    assert follow(description, [1.0, 1.0, 1.0], clocks=clocks) == pytest.approx([0.9, 0.8, 0.65], rel=1e-6)


def test_a_learning_rate_of_zero_moves_nothing():
    for description in (SGD(lr=0.0), Adam(lr=0.0, betas=(0.5, 0.9)), RMSProp(lr=0.0), Adagrad(lr=0.0)):
        assert follow(description, [3.0, -1.0]) == [1.0, 1.0]


def test_descriptions_are_compared_by_identity():
    a, b = Adam(lr=0.1, betas=(0.5, 0.9)), Adam(lr=0.1, betas=(0.5, 0.9))
    assert a != b and len({a, b, a}) == 2


def test_phases_that_hold_one_object_share_its_state():
    t = trainer(Toy(repeat=2, lazy=2))
    t.play()  # critic twice, lazy once: all three on the same moments
    slow, fast = (t.updates.optimizers[description] for description in t.updates.descriptions)
    assert {int(state["step"]) for state in slow.state.values()} == {3}
    assert {int(state["step"]) for state in fast.state.values()} == {1}
    t.play()  # no lazy term in the second step
    assert {int(state["step"]) for state in slow.state.values()} == {5}
