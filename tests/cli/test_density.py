"""Likelihoods from the command line: what is printed of a model whose constant is estimated, and labels that a configuration leaves out."""

import json
import math

import pytest

import ganvas
from ganvas.cli.main import main


def measured(capsys, path):
    assert main(["evaluate", str(path), "--metrics", "nll", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_estimated_constant_comes_with_its_error(tmp_path, capsys):
    run = ganvas.train("rbm", data="digits", preset="tiny", images=160, run=tmp_path / "rbm", quiet=True)
    found = measured(capsys, run.path)
    values = found["values"]
    assert values.keys() == {"nll_nats", "nll_error", "log_z", "log_z_error", "bits_per_dim"}
    assert all(math.isfinite(value) for value in values.values()) and values["log_z_error"] > 0
    assert values["bits_per_dim"] == pytest.approx(values["nll_nats"] / (64 * math.log(2)))
    said = "log Z estimated by annealed importance sampling, 10 runs of 20 steps, of images binarised at random"
    assert found["protocol"]["nll"] == f"{said}; split test, 355 examples"
    assert measured(capsys, run.path)["values"] == values, "the estimate follows the seed"
    assert main(["evaluate", str(run.path), "--metrics", "nll"]) == 0
    assert "standard error of that estimate, the same for all images" in capsys.readouterr().out


def test_a_model_configured_without_labels_is_not_asked_for_any(tmp_path, capsys):
    config = {"conditional": False, "levels": 2}
    run = ganvas.train("gated_pixelcnn", data="digits", preset="tiny", images=32, config=config, run=tmp_path / "g", quiet=True)
    assert (run.path / "samples" / "grid.png").exists()
    assert measured(capsys, run.path)["protocol"]["nll"].startswith("exact, of images binarised at one half")
    assert main(["sample", str(run.path), "--labels", "1", "--out", "x.png"]) != 0
    assert "not conditional" in capsys.readouterr().err
