"""From folders of two domains to translated pictures, as a user types it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.cli.main import main
from ganvas.data.open import open_data
from ganvas.engine.draws import SampleDraws
from ganvas.run import load


def save(path, height, width, seed, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)
    return path


def opened(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A few steps of a translator on folders trainA, trainB, testA, testB."""
    folder = tmp_path_factory.mktemp("translator")
    for split, count in (("train", 6), ("test", 7)):
        for domain in "AB":
            for i in range(count):
                save(folder / "data" / f"{split}{domain}" / f"{i}.png", 12, 14, i + 10 * ord(domain))
    path = folder / "run"
    arguments = ["train", "cyclegan", "--data", str(folder / "data"), "--preset", "tiny", "--images", "24", "--run", str(path)]
    assert main([*arguments, "--evaluate-every", "12", "--threads", "1"]) == 0
    return path


def test_training_leaves_pictures_and_numbers(run):
    assert opened(run / "samples" / "grid.png").shape[1] > 8 * 14 and not (run / "samples" / "interpolation.png").exists()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any(row.get("kind") == "evaluate" for row in rows)
    assert load(run).spec.domains == ("A", "B") and not load(run).spec.aligned


def test_samples_are_translations_of_held_out_images(run, tmp_path):
    loaded = load(run)
    data = open_data(loaded.settings["data"]["source"], split="test")
    wanted = loaded.model.translate(data.batch(torch.arange(7)).images, to="B", rng=SampleDraws(0))
    torch.testing.assert_close(loaded.tensors(9), wanted[[*range(7), 0, 1]])
    assert main(["sample", str(run), "--count", "3", "--out", str(tmp_path / "x.npz")]) == 0
    assert np.load(tmp_path / "x.npz")["images"].shape == (3, 12, 14, 3)


def test_pictures_of_any_size_and_colour_are_translated(run, tmp_path, capsys):
    files = [save(tmp_path / "in" / "a.png", 9, 30, 1), save(tmp_path / "in" / "b.jpg", 40, 21, 2, mode="L")]
    (tmp_path / "in" / "broken.png").write_bytes(b"<html>")
    assert main(["translate", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--to", "A"]) == 1
    said = capsys.readouterr()
    assert "2 translated" in said.out and "'broken.png' is HTML" in said.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png", "comparison.png"]
    for path in files:
        assert opened(tmp_path / "out" / f"{path.stem}.png").shape[:2] == opened(path).shape[:2]
    x = torch.from_numpy(opened(files[0])).permute(2, 0, 1)[None].float() / 127.5 - 1
    wanted = load(run).model.translate(x, to="A", rng=SampleDraws(0))[0].add(1).mul(127.5).round().byte().permute(1, 2, 0)
    assert np.array_equal(opened(tmp_path / "out" / "a.png"), wanted.numpy())


def test_one_picture_goes_to_the_second_domain(run, tmp_path):
    path = save(tmp_path / "one.png", 12, 14, 3)
    assert main(["translate", str(run), str(path), "--out", str(tmp_path / "out")]) == 0
    first = opened(tmp_path / "out" / "one.png")
    assert main(["translate", str(run), str(path), "--out", str(tmp_path / "out"), "--to", "B"]) == 0
    assert np.array_equal(first, opened(tmp_path / "out" / "one.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.png", "--out", "out"], "nothing.png: no such file or folder"),
        (["empty", "--out", "out"], "empty: holds no picture"),
        (["in", "--out", "out", "--to", "C"], "there is no such domain, only A and B"),
        (["in", "--out", "in"], "'a.png' would be overwritten by its translation"),
        (["in", "--out", "in/a.png"], "is a file; translations are written to a folder"),
        (["twice", "--out", "out"], "several files would be written to a.png"),
        (["sheet", "--out", "out"], "would be overwritten by a sheet"),
        (["bad", "--out", "out"], "no picture could be read: 'a.png' is HTML"),
    ],
)
def test_wrong_input_is_one_clear_line(run, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"<html>")
    for name in ("in/a.png", "twice/a.png", "twice/a.jpg", "sheet/comparison.png"):
        save(tmp_path / name, 8, 8, 0)
    assert main(["translate", str(run), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_model_that_does_not_translate_says_so(digits_run, tmp_path, capsys):
    assert main(["translate", str(digits_run), str(save(tmp_path / "a.png", 8, 8, 0)), "--out", str(tmp_path / "out")]) == 2
    assert "does not translate" in capsys.readouterr().err
