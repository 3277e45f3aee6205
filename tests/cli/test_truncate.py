"""`ganvas truncate`, and `--truncation` of other commands, as a user types them."""

import json

import numpy as np
import pytest
from PIL import Image

import ganvas
from ganvas.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganvas.train("biggan", data="digits", preset="tiny", images=320, run=tmp_path_factory.mktemp("runs") / "r", quiet=True).path


def test_truncate_writes_a_sheet_and_a_curve_and_prints_a_table(run, capsys):
    words = ["truncate", str(run), "--values", "inf", "1", "0.2", "--columns", "4", "--count", "40", "--features", "pixels"]
    assert main([*words, "--out", "t.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["truncation", "precision", "recall", "density", "coverage"]
    assert [line[:10].strip() for line in lines[1:4]] == ["all codes", "1", "0.2"]
    assert lines[4].startswith("40 samples each against 40 images of split test, on pixels: asked for")
    assert lines[5:] == ["columns: 0, 1, 2, 3", "t.png, t-curve.png"]
    with Image.open("t.png") as sheet, Image.open("t-curve.png") as curve:
        assert sheet.width > 4 * 56 and sheet.height > 3 * 56 and min(curve.size) > 300


def test_truncate_says_what_it_cannot(run, digits_run, ring_run, capsys):
    for words, said in [
        ([str(run), "--out", "t.npz"], "--out t.npz: a sheet is written to NAME.png"),
        ([str(run), "--out", "nowhere/t.png"], "the folder nowhere does not exist"),
        ([str(run), "--values", "0", "--out", "t.png"], "--values 0: must be greater than 0"),
        ([str(digits_run), "--out", "t.png"], "codes of DCGAN cannot be truncated"),
        ([str(ring_run), "--out", "t.png"], "a sheet is of images, and this run makes points"),
    ]:
        assert main(["truncate", *words]) == 2
        assert said in capsys.readouterr().err


def test_samples_can_be_truncated(run, digits_run, capsys):
    spread = {}
    for value in ("inf", "0.05"):
        assert main(["sample", str(run), "--labels", "3", "--count", "40", "--truncation", value, "--out", f"{value}.npz"]) == 0
        spread[value] = np.load(f"{value}.npz")["images"].astype(float).std(0).mean()
    assert spread["0.05"] < spread["inf"]
    assert main(["sample", str(run), "--count", "4", "--truncation", "0.5", "--out", "s.png"]) == 0
    capsys.readouterr()
    for words, said in [
        ([str(run), "--truncation", "-1"], "--truncation -1: must be greater than 0"),
        (
            [str(digits_run), "--truncation", "0.5"],
            "codes of DCGAN cannot be truncated; `ganvas list` shows what each model can",
        ),
    ]:
        assert main(["sample", *words, "--out", "x.npz"]) == 2
        assert said in capsys.readouterr().err


def test_evaluations_can_be_truncated(run, capsys):
    words = ["--metrics", "prdc", "--features", "pixels", "--count", "40", "--truncation", "0.5"]
    assert main(["evaluate", str(run), *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"]["samples"]["weights"] == "biggan, averaged weights, 320 images seen, codes truncated at 0.5"
    np.savez("x.npz", images=np.zeros((40, 8, 8, 1), np.uint8))
    assert main(["evaluate", "x.npz", "--data", "digits", *words]) == 2
    assert "--truncation: needs the model itself" in capsys.readouterr().err
