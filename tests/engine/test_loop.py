"""The loop: what moves, when, how often; and that a run taken up again is the run that was never left."""

import math

import pytest
import torch

from ganvas.engine.checkpoints import Checkpoints, load
from ganvas.engine.loop import crossed, stage_ends
from ganvas.engine.observers import Observer, Verdict
from ganvas.errors import GanvasError, TrainingStopped
from tests.engine.toys import Toy, assert_equal, plan, tensors, trainer
from tests.walk import facts, unsaved


def test_a_step_draws_one_batch_for_each_critic_update():
    t = trainer(Toy(repeat=3))
    t.play()
    assert (t.step, t.images) == (1, 24)


def test_repeat_may_follow_the_clock():
    t = trainer(Toy(repeat=lambda clock: 4 if clock.step == 0 else 1))
    t.play()
    t.play()
    assert t.images == 32 + 8


def test_each_phase_moves_its_own_parameters_only():
    t = trainer()
    before = tensors(t)
    t.model.control.fill_(1e7)  # `when` is now false: the generator must stand still
    t.play()
    after = tensors(t)
    for name in before:
        if name.startswith("model/generator") and "running" not in name and "batches" not in name:
            assert torch.equal(before[name], after[name])
        if name.startswith("model/critic"):
            assert not torch.equal(before[name], after[name])


def test_a_lazy_phase_is_played_every_kth_step_with_k_times_the_loss():
    gradients = {}
    for lazy in (1, 2):
        t = trainer(Toy(lazy=lazy, repeat=0))
        rows = [t.play() for _ in range(2)]
        assert [("lazy/decay" in row) for row in rows] == ([True, True] if lazy == 1 else [True, False])
        gradients[lazy] = rows[0]["lazy/gradient norm"]
    assert gradients[2] == pytest.approx(2 * gradients[1], rel=1e-5)


def test_the_gradient_is_clipped_and_its_norm_shown_before_clipping():
    t = trainer(Toy())
    t.model.critic[-1].weight.data.mul_(1000)
    row = t.play()
    assert row["generator/gradient norm"] > 1.0
    clipped = math.sqrt(sum(float(p.grad.square().sum()) for p in t.model.generator.parameters()))
    assert clipped == pytest.approx(1.0, rel=1e-4)


def test_schedules_follow_the_clock():
    t = trainer(plan=plan(budget=64))
    rates = []
    while not t.done:
        t.play()
        rates.append(t.updates.optimizers[t.updates.descriptions[0]].param_groups[0]["lr"])
    assert rates == pytest.approx([1e-2 * (1 - images / 64) for images in (0, 16, 32, 48)])


def test_the_average_is_the_closed_form():
    t = trainer(Toy(repeat=1))
    name = "generator.3.weight"
    expected = dict(t.model.named_parameters())[name].detach().clone()
    for _ in range(5):
        t.play()
        keep = 0.5 ** (8 / 50.0)
        expected = keep * expected + (1 - keep) * dict(t.model.named_parameters())[name].detach()
    torch.testing.assert_close(t.averaged.state()[name], expected)
    assert t.averaged.model.control is t.model.control  # buffers are the training model's own


def test_stages_share_a_budget_in_proportion():
    t = trainer(Toy(stages=2, repeat=1), plan=plan(budget=240))
    assert stage_ends(t.stages, 240) == [80, 240]
    names = []
    while not t.done:
        names.append(t.play()["stage"])
    assert names == ["stage 0"] * 10 + ["stage 1"] * 20
    assert t.model.entered == [(8, True), (8, True)]


def test_an_optimizer_goes_on_in_the_next_stage_and_a_new_one_starts_fresh():
    t = trainer(Toy(stages=2, repeat=1), plan=plan(budget=24))
    while t.stage == 0:
        t.play()
    critic = t.updates.optimizers[t.updates.descriptions[0]]
    t.play()
    assert t.updates.optimizers[t.updates.descriptions[0]] is critic
    assert t.updates.descriptions[1] not in t.updates.optimizers
    assert isinstance(t.updates.optimizers[t.updates.descriptions[2]], torch.optim.SGD)


@pytest.mark.parametrize("split", [1, 5, 9])
def test_resuming_changes_no_bit(tmp_path, split):
    whole = trainer(Toy(stages=2), plan=plan(budget=240))
    for _ in range(12):
        whole.play()
    first = trainer(Toy(stages=2), plan=plan(budget=240), checkpoints=Checkpoints(tmp_path))
    for _ in range(split):
        first.play()
    first.save()
    second = trainer(Toy(stages=2), plan=plan(budget=240), checkpoints=Checkpoints(tmp_path))
    torch.manual_seed(99)  # the process' random state must not matter
    assert second.restore()
    for _ in range(12 - split):
        second.play()
    assert_equal(tensors(whole), tensors(second))
    if split in (1, 9):  # within a stage a resumed run enters again, but not afresh
        assert second.model.entered[0] == (8, False)


def test_sampling_in_between_changes_no_bit():
    quiet, watched = trainer(), trainer()
    for _ in range(3):
        quiet.play()
        watched.play()
        torch.manual_seed(5)
        from ganvas.engine.draws import SampleDraws

        with torch.no_grad():
            watched.averaged.model.sample(16, rng=SampleDraws(0))
    assert_equal(tensors(quiet), tensors(watched))


def test_two_micro_batches_are_one_batch_when_nothing_mixes_it():
    whole = trainer(Toy(dropout=0.0, norm=False))
    halves = trainer(Toy(dropout=0.0, norm=False), plan=plan(accumulate=2))
    for _ in range(4):
        whole.play()
        halves.play()
    for name, value in tensors(whole).items():
        torch.testing.assert_close(value, tensors(halves)[name], rtol=1e-4, atol=1e-5)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(GanvasError, match=r"--config\.batch 8: not divisible by 3"):
        trainer(plan=plan(accumulate=3))


def test_a_non_finite_update_is_never_applied_and_is_named(tmp_path):
    t = trainer(checkpoints=Checkpoints(tmp_path))
    t.play()
    t.save()
    before = tensors(t)
    t.model.poison_at = 1
    with pytest.raises(TrainingStopped, match="step 2 in phase 'critic': drift, gradient norm"):
        t.play()
    after = tensors(t)
    for name in before:
        if "running" not in name and "batches" not in name:
            assert torch.equal(before[name], after[name]), name
    assert [path.name for path in Checkpoints(tmp_path).paths()] == ["step-000000000001"]


def test_crossed():
    assert crossed(0, 8, 8) and crossed(7, 9, 8) and not crossed(8, 15, 8)


class Asks(Observer):
    def __init__(self, verdicts):
        self.verdicts, self.seen, self.outcome = list(verdicts), 0, ""

    def start(self, trainer):
        pass

    def after_step(self, trainer, row):
        self.seen += 1
        return self.verdicts.pop(0) if self.verdicts else Verdict.GO_ON

    def finish(self, trainer, outcome):
        self.outcome = outcome

    def state(self):
        return {"seen": self.seen}

    def load_state(self, state):
        self.seen = state["seen"]


def test_an_observer_can_stop_a_run(tmp_path):
    asks = Asks([Verdict.GO_ON, Verdict.STOP])
    t = trainer(observers={"asks": asks}, checkpoints=Checkpoints(tmp_path))
    assert t.run() == "stopped" and t.step == 2 and asks.outcome == "stopped"
    assert len(Checkpoints(tmp_path).paths()) == 1


def test_an_observer_can_roll_a_run_back_and_it_then_takes_another_course(tmp_path):
    asks = Asks([Verdict.GO_ON, Verdict.GO_ON, Verdict.ROLL_BACK])
    t = trainer(observers={"asks": asks}, checkpoints=Checkpoints(tmp_path), plan=plan(save_every=16))
    straight = trainer()
    straight.run()
    assert t.run() == "finished" and t.attempt == 1
    assert not torch.equal(tensors(t)["model/critic.0.weight"], tensors(straight)["model/critic.0.weight"])


def test_rolling_back_for_ever_is_refused(tmp_path):
    t = trainer(
        observers={"asks": Asks([Verdict.GO_ON] + [Verdict.ROLL_BACK] * 9)}, checkpoints=Checkpoints(tmp_path), plan=plan(save_every=8)
    )
    with pytest.raises(TrainingStopped, match="rolled back 3 times"):
        t.run()


def test_a_changed_configuration_is_refused_with_the_difference(tmp_path):
    t = trainer(checkpoints=Checkpoints(tmp_path), identity={"config": {"width": 4}})
    t.play()
    t.save()
    other = trainer(checkpoints=Checkpoints(tmp_path), identity={"config": {"width": 8}})
    with pytest.raises(GanvasError, match=r"config\.width: 4 -> 8"):
        other.restore()


class Hides(Toy):
    """Keeps the last fake where no checkpoint finds it."""

    def after_update(self, phase, watch, scratch):
        super().after_update(phase, watch, scratch)
        if "fake" in scratch:
            self.last = {"fake": scratch["fake"]}


def test_every_tensor_that_outlives_a_step_is_in_the_checkpoint(tmp_path):
    t = trainer(checkpoints=Checkpoints(tmp_path))
    t.play()
    t.save()
    assert unsaved(t, load(Checkpoints(tmp_path).paths()[0]).tensors) == []


def test_a_tensor_that_is_hidden_from_the_checkpoint_is_found(tmp_path):
    t = trainer(Hides(), checkpoints=Checkpoints(tmp_path))
    before = facts(t.model)
    t.play()
    t.save()
    assert unsaved(t, load(Checkpoints(tmp_path).paths()[0]).tensors) == [".model.last.'fake'"]
    assert facts(t.model) != before
