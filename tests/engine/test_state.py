"""What a checkpoint of a run must fit: the same model, settings and counters; what does not fit is named."""

import json

import pytest
import torch

from ganvas.engine import optimizer_state
from ganvas.engine.averages import load_tensors
from ganvas.engine.checkpoints import Checkpoints, load, replace_json
from ganvas.engine.observers import Observer, Verdict
from ganvas.engine.state import COUNTERS, refuse_changes
from ganvas.errors import GanvasError
from tests.engine.faults import forge
from tests.engine.toys import Toy, assert_equal, plan, tensors, trainer


def saved(folder, **more):
    t = trainer(checkpoints=Checkpoints(folder), **more)
    for _ in range(3):
        t.play()
    t.save()
    return t


def test_nothing_to_restore(tmp_path):
    assert trainer(checkpoints=Checkpoints(tmp_path)).restore() is False
    assert trainer().restore() is False


def test_restoring_gives_back_counters_and_tensors(tmp_path):
    t, again = saved(tmp_path), trainer(checkpoints=Checkpoints(tmp_path))
    assert again.restore()
    assert_equal(tensors(t), tensors(again))
    assert [getattr(t, name) for name in COUNTERS] == [getattr(again, name) for name in COUNTERS]


def test_a_checkpoint_is_not_written_twice(tmp_path):
    t = saved(tmp_path)
    (path,) = t.checkpoints.paths()
    written = (path / "manifest.json").stat().st_mtime_ns
    t.save()
    again = trainer(checkpoints=Checkpoints(tmp_path))
    again.restore()
    again.save()
    assert (path / "manifest.json").stat().st_mtime_ns == written


def test_saving_changes_no_bit(tmp_path):
    often, never = trainer(checkpoints=Checkpoints(tmp_path)), trainer()
    for _ in range(4):
        often.play()
        often.save()
        never.play()
    assert_equal(tensors(often), tensors(never))


def test_the_model_of_a_checkpoint_must_be_the_runs(tmp_path):
    saved(tmp_path)
    with pytest.raises(GanvasError, match=r"the checkpoint's model does not fit this model: missing \[\], unexpected \['generator\.1"):
        trainer(Toy(norm=False), checkpoints=Checkpoints(tmp_path)).restore()


def test_tensors_of_another_shape_are_refused():
    live = {"a": torch.zeros(2), "b": torch.zeros(3)}
    with pytest.raises(GanvasError, match=r"average 'b' has shape \(4,\), the model's \(3,\)"):
        load_tensors(live, {"a": torch.ones(2), "b": torch.ones(4)}, "average")
    with pytest.raises(GanvasError, match=r"missing \['b'\], unexpected \['c'\]"):
        load_tensors(live, {"a": torch.ones(2), "c": torch.ones(3)}, "average")


def test_every_changed_setting_is_listed():
    before = {"config": {"width": 4, "betas": [0.5, 0.9]}, "run": {"seed": 0}, "data": "a"}
    refuse_changes(before, json.loads(json.dumps(before)))
    now = {"config": {"width": 8, "betas": [0.5, 0.9], "depth": 2}, "run": {}, "data": "b"}
    with pytest.raises(GanvasError) as caught:
        refuse_changes(before, now)
    for difference in ("config.width: 4 -> 8", "config.depth: 'absent' -> 2", "run.seed: 0 -> 'absent'", "data: 'a' -> 'b'"):
        assert difference in str(caught.value)
    assert "betas" not in str(caught.value)


@pytest.mark.parametrize("name", [*COUNTERS, "observers", "config"])
def test_a_state_that_lacks_something_is_refused_by_name(tmp_path, name):
    (path,) = saved(tmp_path).checkpoints.paths()
    state = json.loads((path / "state.json").read_text())
    del state[name]
    forge(path, "state.json", json.dumps(state).encode())
    with pytest.raises(GanvasError, match=f"its state lacks {name}"):
        trainer(checkpoints=Checkpoints(tmp_path)).restore()


def test_damage_is_said_on_standard_error_and_the_run_goes_on(tmp_path, capsys):
    t = trainer(checkpoints=Checkpoints(tmp_path))
    for _ in range(2):
        t.play()
        t.save()
    newest = t.checkpoints.paths()[-1]
    replace_json(newest / "state.json", {})
    whole, again = trainer(), trainer(checkpoints=Checkpoints(tmp_path))
    assert again.restore() and again.step == 1
    assert f"WARNING: the checkpoint {newest} is damaged: state.json" in capsys.readouterr().err
    for t in (whole, again):
        while t.step < 3:
            t.play()
    assert_equal(tensors(whole), tensors(again))


def test_the_newest_damaged_one_is_given_up_for_good(tmp_path):
    """A run that fell back saves at an earlier step than the damaged checkpoint: from there it goes on the next time."""
    t = trainer(checkpoints=Checkpoints(tmp_path, keep=1), plan=plan(budget=10**6))
    t.play()
    t.save()
    (path,) = t.checkpoints.paths()
    path.rename(tmp_path / "step-000000000009")
    t.play()
    t.save()
    again = trainer(checkpoints=Checkpoints(tmp_path, keep=1), plan=plan(budget=10**6))
    assert again.restore() and again.step == 2


class Keeps(Observer):
    def __init__(self):
        self.seen = []

    def start(self, trainer):
        pass

    def after_step(self, trainer, row):
        self.seen.append(trainer.step)
        return Verdict.GO_ON

    def finish(self, trainer, outcome):
        pass

    def state(self):
        return {"seen": self.seen}

    def load_state(self, state):
        self.seen = list(state["seen"])


def test_observers_go_on_where_they_were(tmp_path):
    first = trainer(observers={"keeps": Keeps()}, checkpoints=Checkpoints(tmp_path), plan=plan(budget=64, save_every=32))
    assert first.run() == "finished"
    assert [load(path).state["observers"] for path in first.checkpoints.paths()] == [
        {"keeps": {"seen": [1, 2]}},
        {"keeps": {"seen": [1, 2, 3, 4]}},
    ]
    keeps = Keeps()
    again = trainer(observers={"keeps": keeps}, checkpoints=Checkpoints(tmp_path), plan=plan(budget=64, save_every=32))
    assert again.restore() and keeps.seen == [1, 2, 3, 4] and again.done
    fresh = trainer(observers={"keeps": Keeps(), "new": Keeps()}, checkpoints=Checkpoints(tmp_path), plan=plan(budget=64))
    assert fresh.restore() and fresh.observers["new"].seen == []


def test_optimizer_state_by_name():
    t = trainer()
    t.play()
    optimizer = t.updates.optimizers[t.updates.descriptions[1]]
    named = optimizer_state.to_tensors(optimizer, t.updates.names)
    assert {"generator.0.weight:exp_avg", "generator.0.weight:exp_avg_sq", "generator.0.weight:step"} <= named.keys()
    with pytest.raises(GanvasError, match="names 'elsewhere', which this optimizer does not train"):
        optimizer_state.from_tensors(optimizer, t.updates.names, {"elsewhere:exp_avg": torch.zeros(1)})
