"""Runs across processes: taken up again exactly, and shared by two ranks. One start of each for all games."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.contract import workers
from tests.contract.games import GAMES, STEPS
from tests.contract.workers import contents
from tests.engine.faults import ROOT

WORKER = str(Path(workers.__file__))


def launch(*command):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, text=True, capture_output=True, timeout=60 + 30 * len(GAMES)
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def resumed(tmp_path_factory):
    """Every game for two steps, saved, and taken up by one new process."""
    folder = tmp_path_factory.mktemp("resumed")
    workers.each(folder, "saved", lambda game: workers.saved(game, folder))
    launch(WORKER, "resume", folder)
    return folder


@pytest.fixture(scope="session")
def ranked(tmp_path_factory):
    """Every game on two ranks."""
    folder = tmp_path_factory.mktemp("ranked")
    launch("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", WORKER, "ranks", folder)
    return folder


def left(folder, game, what):
    error = folder / f"{game}-{what}.error"
    assert not error.exists(), error.read_text()
    return load_file(folder / f"{game}-{what}.safetensors")


def differing(a, b):
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def test_resuming_in_a_new_process_changes_no_bit(game, resumed):
    left(resumed, game, "saved")
    t = game.trainer()
    for _ in range(STEPS):
        t.play()
    assert differing(contents(t), left(resumed, game, "resumed")) == []


def shared(names, game):
    """What all ranks hold alike: not batch-norm statistics, which are averaged in checkpoints only, nor buffers by rank."""
    own = {f"model/{name}" for name in game.model().rank_buffers()}
    return [name for name in names if name not in own and not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]


def test_two_ranks_agree(game, ranked):
    first, second = left(ranked, game, "rank-0"), left(ranked, game, "rank-1")
    assert [name for name in shared(first, game) if not torch.equal(first[name], second[name])] == []


def test_two_ranks_equal_two_micro_batches(game, ranked):
    """To 1e-5."""
    t = game.trainer(accumulate=2)
    for _ in range(STEPS):
        t.play()
    first, alone = left(ranked, game, "rank-0"), contents(t)
    for name in shared(alone, game):
        torch.testing.assert_close(first[name], alone[name], rtol=1e-5, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}")
