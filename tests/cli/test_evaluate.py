"""`ganvas evaluate` picks what to compare on by what the data have, and says so."""

import json

import numpy as np
import pytest
from PIL import Image

from ganvas.cli.main import main
from ganvas.metrics import patches


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(patches, "PATCHES", 256)


def noise(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def measured(capsys, *arguments):
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_unlabelled_folders_are_compared_on_patches(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    for i, pixels in enumerate(noise(9, 12, 12, 3)):
        Image.fromarray(pixels).save(tmp_path / "data" / f"{i}.png")
    np.savez("x.npz", images=noise(20, 12, 12, 3, seed=1))
    np.savez("digits.npz", images=noise(20, 8, 8, 1, seed=1))
    found = measured(capsys, "x.npz", "--data", "data")
    assert found["protocol"]["chosen"] == "patches: the data have no labels and 9 images, fewer than 1,000"
    assert found["values"].keys() == {"patch_kd", "diversity", "diversity_of"} and found["protocol"]["samples"]["count"] == 9
    assert abs(found["values"]["patch_kd"]) < 0.05 and found["protocol"]["reference"]["resize"] == "none"
    smaller = measured(capsys, "digits.npz", "--data", "data", "--convert", "--features", "pixels")
    assert "resized from 8 x 8 to 12 x 12" in smaller["protocol"]["samples"]["changes"]
    pixels = measured(capsys, "x.npz", "--data", "data", "--features", "pixels")
    assert pixels["protocol"]["chosen"] == "pixels: asked for" and "fd" in pixels["values"]
    assert main(["evaluate", "x.npz", "--data", "data", "--features", "classifier"]) == 2
    assert "--features classifier: the data have no labels" in capsys.readouterr().err
    assert main(["evaluate", "x.npz", "--data", "data"]) == 0
    assert "patches: the data have no labels" in capsys.readouterr().out


def test_a_run_of_one_image_is_compared_with_it(tmp_path, capsys):
    train = ["train", "singan", "--data", "flower", "--resolution", "36", "--preset", "tiny", "--images", "48", "--threads", "1"]
    assert main([*train, "--run", "r", "--evaluate-every", "24"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert all("patch_kd" in row["values"] for row in rows if row["kind"] == "evaluate")
    capsys.readouterr()
    found = measured(capsys, "r", "--data", "flower")
    assert found["protocol"]["samples"]["count"] == 50 and found["protocol"]["chosen"].startswith("patches: 1 image is too few")
    assert found["values"]["patch_kd"] > 0.01  # hardly trained


def test_points_have_no_features(capsys):
    np.savez("p.npz", points=np.zeros((50, 2), np.float32))
    assert main(["evaluate", "p.npz", "--data", "ring", "--features", "patches"]) == 2
    assert "--features patches: points are compared as they are" in capsys.readouterr().err
