"""Runs that are killed at any moment and resumed by new processes end with the bits of the run that never was."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

KILLS = 50
TRAIN = ["-m", "ganvas.cli.main", "train", "dcgan", "--data", "digits", "--preset", "tiny", "--save-every", "400", "--grid-every", "4000"]


def command(arguments, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GANVAS_CACHE": str(cwd / "cache")}
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def final_sums(run: Path) -> dict[str, str]:
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in newest.glob("*.safetensors")} | {"step": newest.name}


def test_kill_9_at_fifty_random_moments(tmp_path):
    images = "24000"
    whole = command([*TRAIN, "--images", images, "--run", "whole"], tmp_path)
    start = time.perf_counter()
    _, errors = whole.communicate(timeout=600)
    assert whole.returncode == 0, errors
    lasted = time.perf_counter() - start
    killed, moments = tmp_path / "killed", random.Random(0)
    kills = 0
    process = command([*TRAIN, "--images", images, "--run", "killed"], tmp_path)
    while True:
        try:
            process.wait(timeout=moments.uniform(1.0, max(3.0, lasted / 3)) if kills < KILLS else 600)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0, process.stderr.read()
            if kills >= 8:  # finished: that many kills fitted into the run
                break
        if not (killed / "config.json").exists():  # killed before the run existed
            process = command([*TRAIN, "--images", images, "--run", "killed"], tmp_path)
        else:
            process = command([*TRAIN[:2], "resume", "killed"], tmp_path)
            if process.poll() is None and final_exists(killed, tmp_path / "whole"):
                process.wait()
                break
    print(f"\n{kills} kills")
    assert final_sums(killed) == final_sums(tmp_path / "whole")


def final_exists(run: Path, whole: Path) -> bool:
    last = sorted((whole / "checkpoints").glob("step-*"))[-1].name
    return (run / "checkpoints" / last / "manifest.json").exists()
