"""Training rows: complete, and continuous over resumes and roll-backs."""

import time

from ganvas.diagnostics.recorder import MetricsObserver
from ganvas.diagnostics.rows import read_rows
from ganvas.engine.observers import Observer, Verdict
from tests.diagnostics.runs import begin, trainer


def test_every_logged_step_is_a_row_with_time_speed_and_memory(finished):
    rows = read_rows(finished / "metrics.jsonl")
    assert [row["images"] for row in rows] == list(range(8, 88, 8)) and {row["kind"] for row in rows} == {"train"}
    assert {"discriminator/value", "discriminator/gradient norm", "generator/cost"} <= rows[0].keys()
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert rows[-1]["images_per_second"] > 0 and rows[-1]["memory_mb"] > 50


def test_a_resumed_run_drops_what_it_plays_again_and_goes_on_counting_seconds(tmp_path):
    path = tmp_path / "run"
    _, model, examples = begin(path)
    first = trainer(model, examples, checkpoints=path, observers={"metrics": MetricsObserver(path)}, save_every=40)
    metrics = first.observers["metrics"]
    metrics.start(first)
    for _ in range(5):
        metrics.after_step(first, first.play())
    time.sleep(0.3)
    first.save()
    for _ in range(3):  # these are lost when the process dies here
        metrics.after_step(first, first.play())
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "tra')
    second = trainer(begin(tmp_path / "other")[1], examples, checkpoints=path, observers={"metrics": MetricsObserver(path)})
    assert second.restore()
    second.run()
    rows = read_rows(path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 11))
    assert rows[5]["seconds"] >= rows[4]["seconds"] + 0.3


class OneRollBack(Observer):
    """Asks once for a roll-back, at step 7."""

    def __init__(self):
        self.asked = False

    def start(self, trainer):
        return None

    def after_step(self, trainer, row):
        if trainer.step == 7 and not self.asked:
            self.asked = True
            return Verdict.ROLL_BACK
        return Verdict.GO_ON

    def finish(self, trainer, outcome):
        return None

    def state(self):
        return {}

    def load_state(self, state):
        return None


def test_a_roll_back_replaces_its_rows_and_keeps_the_clock(tmp_path):
    path = tmp_path / "run"
    _, model, examples = begin(path)
    observers = {"metrics": MetricsObserver(path), "roll back": OneRollBack()}
    t = trainer(model, examples, checkpoints=path, observers=observers, save_every=32)
    assert t.run() == "finished" and t.attempt == 1
    rows = read_rows(path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 11))
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert rows[0]["seconds"] < rows[-1]["seconds"] <= observers["metrics"].state()["seconds"]
