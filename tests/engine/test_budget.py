"""A budget in minutes becomes images by timing; staged games keep their proportions; the timing leaves no trace."""

import time

import pytest
import torch

from ganvas.engine.budget import SHARE, images_for, scaled
from ganvas.engine.loop import Trainer, stage_ends
from ganvas.engine.ranks import Ranks
from tests.engine.toys import MACHINE, Toy, plan, points


def test_one_stage_by_hand():
    assert scaled(1.0, [500], [0.01]) == int(SHARE * 60 / 0.01)
    assert scaled(0.5, [7], [0.01]) == int(SHARE * 30 / 0.01)


def test_stages_fill_the_minutes_in_the_proportions_of_their_lengths():
    lengths, seconds = [100, 300, 600], [0.001, 0.01, 0.1]
    total = scaled(2.0, lengths, seconds)
    spent = [total * length / 1000 * each for length, each in zip(lengths, seconds, strict=True)]
    assert sum(spent) == pytest.approx(SHARE * 120, rel=1e-3)
    stages = Toy(stages=3).stages()
    total = scaled(2.0, [stage.images for stage in stages], seconds)
    ends = stage_ends(stages, total)
    assert ends[0] == pytest.approx(total / 6, abs=1) and ends[1] == pytest.approx(total / 2, abs=1) and ends[2] == total


def test_too_short_a_time_is_still_a_run():
    assert scaled(1e-9, [100], [1.0]) == 1


class Sleepy(Toy):
    """The toy with a known least time: 5 ms for each of the two critic updates of a step of 16 images."""

    def critic_loss(self, step):
        time.sleep(0.005)
        return super().critic_loss(step)


@pytest.fixture(scope="module")
def probed():
    torch.set_num_threads(1)
    model = Sleepy(stages=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training, entered = model.training, list(model.entered)
    images = images_for(2.0, model, points(), plan(budget=300), MACHINE, Ranks())
    assert (model.training, model.entered) == (training, entered)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    return model, before, images


def test_the_time_of_a_step_is_measured(probed):
    """Sleeping bounds the images from above; a busy machine may lower them, by a factor of fifty at the very most."""
    most = SHARE * 120 / (0.010 / 16)
    assert most / 50 < probed[2] <= most


def test_the_probe_leaves_the_model_as_it_was(probed):
    model, before, _ = probed
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_run_after_a_probe_is_the_run_without_one(probed):
    """The probe has seeded the global generator, trained a copy and timed both stages: nothing of it may be left."""
    model, _, _ = probed
    runs = [Trainer(m, points(), plan(budget=48), MACHINE) for m in (model, Toy(stages=2))]
    for t in runs:
        while not t.done:
            t.play()
    a, b = (t.model.state_dict() for t in runs)
    assert all(torch.equal(a[name], b[name]) for name in a)
