"""Two processes share an evaluation: each sample and each reference image is read by one of them, and all numbers are those of one."""

import json
import subprocess
import sys

import pytest

import ganvas
from ganvas.cli.main import main

METRICS = ("fd", "kid", "is", "prdc", "modes", "swd", "spectrum", "ms-ssim", "parzen", "birthday", "copying", "ppl", "gan-test", "intra-fd")


def test_two_processes_find_what_one_finds(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = ganvas.train("cgan", data="digits", preset="tiny", images=64, run=tmp_path / "run", quiet=True)
    asked = ["evaluate", str(run.path), "--metrics", *METRICS, "--count", "310", "--json"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "ganvas.cli.main"]
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "two"))  # each way starts with nothing to read
    done = subprocess.run([*launch, *asked], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)  # one of them prints
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "one"))
    capsys.readouterr()
    assert main(asked) == 0
    one = json.loads(capsys.readouterr().out)
    assert two["values"] == pytest.approx(one["values"], rel=1e-9, abs=1e-12)
    assert {"fd", "kid", "recall", "parzen", "support", "copying", "ppl", "gan_test", "intra_fd"} <= set(one["values"])
    del one["protocol"]["seconds"], two["protocol"]["seconds"]
    assert two["protocol"] == one["protocol"] and two["shares"] == one["shares"]
