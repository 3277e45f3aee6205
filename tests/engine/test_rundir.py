"""The run directory: nothing is overwritten, names are taken once, and one living process owns it."""

import json
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ganvas.engine import rundir
from ganvas.errors import GanvasError
from tests.engine.faults import start

DATA = {"source": "digits", "fingerprint": "f", "spec": {}}
RESOLVED = {"images": 8, "device": "cpu", "bf16": False, "threads": 1, "ranks": 1}
WHOLE = {"format": 1, "model": "m", "config": {}, "run": {}, "data": DATA, "resolved": RESOLVED}

OWN = """
import sys
from pathlib import Path
from ganvas.engine.rundir import owned
with owned(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def owner(tmp_path):
    process = start(OWN, tmp_path)
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.communicate()


def owns(path):
    with rundir.owned(path):
        return (path / rundir.LOCK).read_text()


def test_a_living_owner_is_named_and_left_alone(tmp_path, owner):
    for _ in range(2):
        with pytest.raises(GanvasError, match=rf"{tmp_path}: in use by process {owner.pid}; wait for it or stop it"):
            owns(tmp_path)
    assert owner.poll() is None


def test_a_dead_owner_is_taken_over(tmp_path, owner):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert (tmp_path / rundir.LOCK).read_text() == str(owner.pid)
    assert owns(tmp_path) == str(os.getpid())


def test_an_owner_that_ended_has_given_it_back(tmp_path, owner):
    owner.communicate("\n")
    assert owner.returncode == 0
    assert owns(tmp_path) == str(os.getpid()) == owns(tmp_path)


def test_what_a_lock_file_says_is_no_claim(tmp_path):
    (tmp_path / rundir.LOCK).write_text(f"{os.getppid()} and a longer text")
    assert owns(tmp_path) == str(os.getpid())


def test_of_many_who_come_at_once_one_gets_it(tmp_path):
    """The system's lock belongs to the open file, so threads contend for it as processes do."""
    barrier, outcomes = threading.Barrier(8), []

    def contend(_):
        barrier.wait()
        try:
            with rundir.owned(tmp_path):
                barrier.wait()
                return True
        except GanvasError:
            barrier.wait()
            return False

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(contend, range(8)))
    assert outcomes.count(True) == 1


def test_a_new_run_is_readable_by_anybody(tmp_path):
    path = tmp_path / "deep" / "run"
    rundir.create(path, WHOLE)
    assert rundir.read_config(path) == WHOLE
    environment = json.loads((path / rundir.ENVIRONMENT).read_text())
    assert environment["packages"]["torch"] and environment["python"] and environment["cores"] >= 1
    assert (path / rundir.SAMPLES).is_dir()
    assert rundir.checkpoints(path).folder == path / rundir.CHECKPOINTS


def test_an_empty_directory_may_become_a_run(tmp_path):
    rundir.create(tmp_path, WHOLE)
    assert rundir.read_config(tmp_path) == WHOLE


def test_nothing_that_is_there_is_overwritten(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GanvasError, match=r"--run .*/file: is a file; name a directory"):
        rundir.create(tmp_path / "file", WHOLE)
    with pytest.raises(GanvasError, match=r"--run .*/file/below: cannot be written"):
        rundir.create(tmp_path / "file" / "below", WHOLE)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(GanvasError, match="the directory is not empty"):
        rundir.create(tmp_path, WHOLE)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    rundir.create(tmp_path / "run", WHOLE)
    with pytest.raises(GanvasError, match="already holds a run; continue it with `ganvas resume"):
        rundir.create(tmp_path / "run", WHOLE | {"model": "other"})
    assert rundir.read_config(tmp_path / "run")["model"] == "m"


def test_of_many_who_create_one_run_one_does(tmp_path):
    barrier = threading.Barrier(8)

    def create(number):
        barrier.wait()
        try:
            rundir.create(tmp_path / "run", WHOLE | {"format": number})
        except GanvasError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        made = [number for number in pool.map(create, range(8)) if number is not None]
    assert len(made) == 1 and rundir.read_config(tmp_path / "run")["format"] == made[0]


def test_fresh_paths_are_taken_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: rundir.fresh_path(tmp_path / "runs", "gan-ring"), range(40)))
    assert sorted(path.name for path in paths) == [f"gan-ring-{number:03d}" for number in range(1, 41)]


def test_a_place_that_can_hold_no_runs_is_an_error(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(GanvasError, match="cannot make a run directory in .*/runs"):
        rundir.fresh_path(tmp_path / "runs", "gan")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a run directory .it has no config.json"),
        ("{", "not valid JSON"),
        ("{}", "lacks format, model"),
        ("[1]", "holds no table"),
    ],
)
def test_what_is_no_run_is_said(tmp_path, content, message):
    if content is not None:
        (tmp_path / rundir.CONFIG).write_text(content)
    with pytest.raises(GanvasError, match=message):
        rundir.read_config(tmp_path)


def test_a_path_that_is_not_there_or_no_directory(tmp_path):
    with pytest.raises(GanvasError, match="no such run directory"):
        rundir.read_config(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(GanvasError, match="not a run directory"):
        rundir.read_config(tmp_path / "file")


@pytest.mark.parametrize("odd", [None, 3, "text", [], True, 1.5], ids=str)
@pytest.mark.parametrize("name", ["model", "config", "run", "data", "resolved"])
def test_an_entry_of_another_kind_is_named(tmp_path, name, odd):
    if name == "model" and odd == "text":
        odd = {}
    (tmp_path / rundir.CONFIG).write_text(json.dumps(WHOLE | {name: odd}))
    with pytest.raises(GanvasError, match=rf"config\.json: {name}: "):
        rundir.read_config(tmp_path)


@pytest.mark.parametrize(("table", "whole"), [("data", DATA), ("resolved", RESOLVED)])
def test_every_entry_of_a_table_is_there_and_of_its_kind(tmp_path, table, whole):
    for name in whole:
        lacking = {other: value for other, value in whole.items() if other != name}
        for wrong in (lacking, whole | {name: [1.5]}, whole | {name: -1}):
            (tmp_path / rundir.CONFIG).write_text(json.dumps(WHOLE | {table: wrong}))
            with pytest.raises(GanvasError, match=rf"config\.json: {table}\.{name}"):
                rundir.read_config(tmp_path)


@pytest.mark.parametrize("content", ["3", "null", '"text"', "[" * 100_000, b"\xff\xfe"], ids=["number", "null", "text", "deep", "bytes"])
def test_a_configuration_that_is_no_table(tmp_path, content):
    (tmp_path / rundir.CONFIG).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(GanvasError, match=r"config\.json"):
        rundir.read_config(tmp_path)


def test_the_lock_does_not_pass_to_processes_started_by_the_owner(tmp_path):
    """A child that outlives the owner may not keep the run locked."""
    with rundir.owned(tmp_path):
        child = subprocess.Popen(["sleep", "30"])
    try:
        assert owns(tmp_path) == str(os.getpid())
    finally:
        child.kill()
        child.wait()
