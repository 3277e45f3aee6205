"""SIGTERM and SIGINT end a run at the next safe point, with a checkpoint from which it goes on exactly."""

import os
import signal
import threading
import time

import pytest

from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.observers import Observer, Verdict
from ganvas.engine.signals import Interrupted, Signals
from tests.engine.faults import start
from tests.engine.toys import Toy, assert_equal, plan, tensors, trainer

LONG = plan(budget=10**7)

CHILD = """
import sys, time
from pathlib import Path
from ganvas.engine.checkpoints import Checkpoints
from tests.engine.test_signals import LONG, Busy
from tests.engine.toys import trainer

def ready():
    print("ready", flush=True)
    sys.stdin.readline()

t = trainer(plan=LONG, checkpoints=Checkpoints(Path(sys.argv[1])), observers={"busy": Busy(6, ready, sys.argv[2] == "deaf")})
outcome = t.run()
print(outcome, t.step, flush=True)
sys.exit(128 + t.signals.received)
"""


class Busy(Observer):
    """Calls `then` at a step; afterwards, if deaf, works for ever without looking at signals."""

    def __init__(self, step, then, deaf=False):
        self.step, self.then, self.deaf, self.outcome = step, then, deaf, ""

    def start(self, trainer):
        pass

    def after_step(self, trainer, row):
        if trainer.step == self.step:
            self.then()
            while self.deaf:
                time.sleep(0.01)
        return Verdict.GO_ON

    def finish(self, trainer, outcome):
        self.outcome = outcome

    def state(self):
        return {}

    def load_state(self, state):
        pass


def goes_on_exactly(folder):
    """From the checkpoint of an interrupted run, three more steps are those of a run that never stopped."""
    resumed, whole = trainer(plan=LONG, checkpoints=Checkpoints(folder)), trainer(plan=LONG)
    assert resumed.restore()
    for _ in range(3):
        resumed.play()
    while whole.step < resumed.step:
        whole.play()
    assert_equal(tensors(whole), tensors(resumed))


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    """Two runs in processes of their own, started together because starting takes long; each waits in its sixth step."""
    folders = {name: tmp_path_factory.mktemp("run") for name in ("terminated", "deaf")}
    processes = {name: start(CHILD, folder, name) for name, folder in folders.items()}
    yield {name: (processes[name], folder) for name, folder in folders.items()}
    for process in processes.values():
        process.kill()
        process.communicate()


def test_a_signal_ends_a_process_with_a_checkpoint(children):
    process, folder = children["terminated"]
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate("\n", timeout=240)
    assert time.monotonic() - began < 10
    assert (process.returncode, err, out) == (143, "", "interrupted 6\n")
    goes_on_exactly(folder)


def test_a_second_signal_ends_it_at_once(children):
    process, _ = children["deaf"]
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None  # it looks at the first one at a safe point only, which never comes
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)
    assert process.returncode == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_steps(tmp_path, number):
    busy = Busy(4, lambda: os.kill(os.getpid(), number))
    t = trainer(plan=LONG, checkpoints=Checkpoints(tmp_path), observers={"busy": busy})
    assert t.run() == "interrupted"
    assert (t.step, t.signals.received, busy.outcome) == (4, number, "interrupted")
    goes_on_exactly(tmp_path)


def test_a_closed_terminal_counts_as_sigterm(tmp_path):
    busy = Busy(4, lambda: os.kill(os.getpid(), signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        t = trainer(plan=LONG, checkpoints=Checkpoints(tmp_path), observers={"busy": busy})
        assert t.run() == "interrupted" and (t.step, t.signals.received) == (4, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
    goes_on_exactly(tmp_path)


def test_a_run_under_nohup_outlives_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.received
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


class Interruptible(Toy):
    """Is signalled in the middle of a step: between two critic updates."""

    def after_update(self, phase, watch, scratch):
        super().after_update(phase, watch, scratch)
        if self.signal_at == phase.name:
            os.kill(os.getpid(), signal.SIGTERM)
            self.signal_at = ""

    signal_at = ""


@pytest.mark.parametrize("phase", ["critic", "generator"])
def test_a_signal_within_a_step_lets_the_step_finish(tmp_path, phase):
    model = Interruptible()
    model.signal_at = phase
    t = trainer(model, plan=LONG, checkpoints=Checkpoints(tmp_path))
    assert t.run() == "interrupted" and t.step == 1
    goes_on_exactly(tmp_path)


def test_long_work_of_an_observer_can_be_left_early(tmp_path):
    def evaluate():
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            t.signals.poll()
            time.sleep(0.01)
        pytest.fail("an evaluation of ten seconds was not left")

    t = trainer(plan=LONG, checkpoints=Checkpoints(tmp_path), observers={"busy": Busy(4, evaluate)})
    assert t.run() == "interrupted" and t.step == 4
    goes_on_exactly(tmp_path)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Signals() as signals:
        assert signal.getsignal(signal.SIGTERM) not in before
        signals.poll()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            signals.poll()
        assert caught.value.number == signal.SIGTERM
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_outside_the_main_thread_nothing_is_installed():
    before, outcome = signal.getsignal(signal.SIGTERM), []

    def train():
        t = trainer()
        outcome.append(t.run())

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert outcome == ["finished"] and signal.getsignal(signal.SIGTERM) is before
