"""Runs that are killed at any moment and resumed by new processes end with the bits of the run that never was."""

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

GANVAS = [sys.executable, "-m", "ganvas.cli.main"]
TRAIN = [*GANVAS, "train", "dcgan", "--data", "digits", "--preset", "tiny", "--images", "24000", "--save-every", "400", "--threads", "1"]
KILLS = 50


def start(command, folder: Path) -> subprocess.Popen:
    environment = os.environ | {"GANVAS_CACHE": str(folder / "cache")}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def end_of(run: Path) -> dict[str, str]:
    """SHA-256 of every tensor file of the newest checkpoint."""
    newest = sorted((run / "checkpoints").glob("step-????????????"))[-1]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in newest.glob("*.safetensors")} | {"at": newest.name}


def test_kill_9_at_fifty_random_moments(tmp_path):
    began = time.perf_counter()
    finish(start([*TRAIN, "--run", "whole"], tmp_path))
    lasted = time.perf_counter() - began
    moments, kills, killed = random.Random(0), 0, 0
    while kills < KILLS:
        # A run of its own whenever the one before has come to its end between two kills.
        killed += 1
        run = tmp_path / f"run-{killed}"
        process = start([*TRAIN, "--run", run.name], tmp_path)
        while True:
            try:
                process.wait(timeout=moments.uniform(0.5, lasted / 2))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
            begun = (run / "config.json").exists()
            process = start([*GANVAS, "resume", run.name] if begun else [*TRAIN, "--run", run.name], tmp_path)
            if kills >= KILLS:
                break
        finish(process)
        assert end_of(run) == end_of(tmp_path / "whole"), f"run {killed}, after {kills} kills"
    print(f"\n{kills} kills in {killed} runs")
