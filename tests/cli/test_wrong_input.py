"""Wrong input ends in one clear line and a non-zero exit: no traceback, nothing half-written."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.cli.main import main

TRAIN = ["train", "gan", "--preset", "tiny", "--images", "32", "--run", "out"]


def refused(arguments, capsys, tmp_path, *words, code=2):
    before = sorted(path for path in tmp_path.rglob("*") if path.name != ".lock")
    assert main(arguments) == code
    error = capsys.readouterr().err
    last = [line for line in error.splitlines() if line.startswith("ganvas: ")]
    assert len(last) == 1 and "Traceback" not in error and "---" not in last[0], error
    for word in words:
        assert word in last[0], last[0]
    assert sorted(path for path in tmp_path.rglob("*") if path.name != ".lock") == before


def test_data_that_is_not_there(capsys, tmp_path):
    refused([*TRAIN, "--data", "nowhere"], capsys, tmp_path, "nowhere")


def test_a_name_nearly_right(capsys, tmp_path):
    refused([*TRAIN, "--data", "digit"], capsys, tmp_path, "'digits'")


def test_an_empty_folder(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    refused([*TRAIN, "--data", "empty"], capsys, tmp_path, "empty")


def test_a_folder_of_text(capsys, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("hello")
    refused([*TRAIN, "--data", "text"], capsys, tmp_path, "text")


def test_a_truncated_image_among_good_ones_is_named_and_the_rest_used(capsys, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        Image.new("L", (8, 8), i * 20).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes((folder / "1.png").read_bytes()[:40])
    assert main([*TRAIN, "--data", "pictures"]) == 0
    error = capsys.readouterr().err
    assert "broken.png" in error and "12 images" in error


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("--images", "-5", "--images -5"),
        ("--images", "many", "--images"),
        ("--minutes", "nan", "--minutes"),
        ("--device", "gpu", "--device gpu"),
        ("--device", "cuda:99", "--device cuda:99"),
        ("--accumulate", "0", "--accumulate"),
        ("--precision", "fp8", "--precision"),
        ("--precision", "bf", "Did you mean 'bf16'?"),
        ("--split", "train2", "train2"),
        ("--config.batch", "0", "--config.batch"),
        ("--config.bacth", "4", "Did you mean '--config.batch'?"),
        ("--config.widht", "4", "Did you mean '--config.generator-widths'?"),
        ("--config.cost", "minimax", "Did you mean '--config.generator-cost'?"),
        ("--config.lr_g", "1", "no option '--config.lr_g'. Did you mean '--config.lr-generator'?"),
        ("--batch", "4", "Did you mean '--config.batch'?"),
        ("--imgaes", "4", "Did you mean '--images'?"),
        ("--img", "4", "Did you mean '--images'?"),
        ("--preset", "quik", "'quick'"),
    ],
)
def test_a_wrong_option(flag, value, word, capsys, tmp_path):
    arguments = [a for a in TRAIN if flag != "--images" or a not in ("--images", "32")]
    if flag == "--minutes":
        arguments = [a for a in TRAIN if a not in ("--images", "32")]
    refused([*arguments, "--data", "ring", flag, value], capsys, tmp_path, word)


def test_an_unknown_model_and_command(capsys, tmp_path):
    refused(["train", "dcgna", "--data", "digits"], capsys, tmp_path, "'dcgan'")
    refused(["info", "wgan-gp"], capsys, tmp_path, "'wgan_gp'")
    refused(["trian"], capsys, tmp_path, "'train'")


def test_a_wrong_option_is_answered_though_something_is_missing_as_well(capsys, tmp_path):
    refused(["sample", "--cuont", "3", "run"], capsys, tmp_path, "Did you mean '--count'?", "ganvas sample --help")
    refused(["evaluate", "run", "--jsn"], capsys, tmp_path, "Did you mean '--json'?")
    refused(["train", "--data", "digits", "--config.width", "3"], capsys, tmp_path, "name a model")


def test_a_number_that_is_not_known(capsys, tmp_path):
    refused(["evaluate", "x", "--metrics", "fid"], capsys, tmp_path, "Did you mean 'fd'?")


def test_samples_and_data_of_two_kinds(capsys, tmp_path, digits_run, ring_run):
    refused(["evaluate", str(digits_run), "--data", "ring"], capsys, tmp_path, "samples are images", "points")
    refused(["evaluate", str(ring_run), "--data", "digits"], capsys, tmp_path, "samples are points", "images")


def test_a_run_path_that_is_taken(capsys, tmp_path, digits_run):
    (tmp_path / "out").write_text("a file")
    refused([*TRAIN, "--data", "ring"], capsys, tmp_path, "is a file")
    refused([*TRAIN[:-1], str(digits_run), "--data", "ring"], capsys, tmp_path, "already holds a run")


def test_images_for_a_model_of_images(capsys, tmp_path):
    refused(["train", "dcgan", "--preset", "tiny", "--data", "ring", "--run", "out"], capsys, tmp_path, "dcgan takes images")


def test_not_a_run(capsys, tmp_path):
    (tmp_path / "folder").mkdir()
    for command in (["resume", "folder"], ["sample", "folder", "--out", "x.png"], ["report", "folder"], ["resume", "missing"]):
        refused(command, capsys, tmp_path, command[1])


def test_samples_that_cannot_be_asked_for(capsys, tmp_path, digits_run, ring_run):
    run = str(digits_run)
    refused(["sample", run, "--count", "0", "--out", "x.png"], capsys, tmp_path, "--count 0")
    refused(["sample", run, "--labels", "3", "--out", "x.png"], capsys, tmp_path, "--labels")
    refused(["sample", run, "--out", "x.jpeg"], capsys, tmp_path, "x.jpeg")
    refused(["sample", run, "--out", "no/where/x.png"], capsys, tmp_path, "no/where")
    refused(["sample", str(ring_run), "--out", "folder"], capsys, tmp_path, "points")
    refused(["sample", run, str(ring_run), "--out", "x.npz"], capsys, tmp_path, "ring")


def test_an_array_file_that_is_none(capsys, tmp_path):
    (tmp_path / "x.npz").write_bytes(b"not a zip")
    refused(["evaluate", "x.npz", "--data", "digits"], capsys, tmp_path, "x.npz")


def test_flipped_bytes_in_every_checkpoint(capsys, tmp_path, digits_run):
    shutil.copytree(digits_run, tmp_path / "copy")
    for file in (tmp_path / "copy" / "checkpoints").glob("*/model.safetensors"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    refused(["sample", "copy", "--out", "x.png"], capsys, tmp_path, "damaged")


def test_one_damaged_checkpoint_is_named_and_the_one_before_used(capsys, tmp_path, digits_run):
    shutil.copytree(digits_run, tmp_path / "copy")
    newest = sorted((tmp_path / "copy" / "checkpoints").iterdir())[-1]
    (newest / "model.safetensors").write_bytes(b"")
    assert main(["sample", "copy", "--count", "2", "--out", "x.npz"]) == 0
    assert "WARNING" in capsys.readouterr().err


@pytest.mark.parametrize(("table", "name", "odd"), [("run", None, None), ("data", "spec", 3), ("resolved", "threads", "many")])
def test_a_damaged_configuration(capsys, tmp_path, digits_run, table, name, odd):
    shutil.copytree(digits_run, tmp_path / "copy")
    config = tmp_path / "copy" / "config.json"
    stored = json.loads(config.read_text())
    config.write_text(json.dumps(stored | {table: odd if name is None else stored[table] | {name: odd}}))
    for command in (["resume", "copy"], ["sample", "copy", "--out", "x.png"], ["report", "copy"]):
        refused(command, capsys, tmp_path, "config.json", table)


@pytest.mark.parametrize("ask", [lambda: torch.empty(10**15), lambda: np.empty(10**15)], ids=["torch", "numpy"])
def test_more_than_memory_holds(monkeypatch, capsys, tmp_path, ask):
    """Petabytes, which are refused before anything is taken: one line that says how much was asked for and what needs less."""
    monkeypatch.setattr("ganvas.cli.list.main", lambda arguments: ask())
    refused(["list"], capsys, tmp_path, "not enough memory (asked for", "--config.batch", code=1)


def test_other_faults_of_the_house_are_not_hidden(monkeypatch):
    def broken(arguments):
        raise RuntimeError("a fault of the house")

    monkeypatch.setattr("ganvas.cli.list.main", broken)
    with pytest.raises(RuntimeError, match="of the house"):
        main(["list"])


def test_a_changed_configuration(capsys, tmp_path, digits_run):
    shutil.copytree(digits_run, tmp_path / "copy")
    config = tmp_path / "copy" / "config.json"
    stored = json.loads(config.read_text())
    before = stored["config"]["lr_generator"]
    stored["config"]["lr_generator"] = 0.123
    config.write_text(json.dumps(stored))
    refused(["resume", "copy"], capsys, tmp_path, "config.lr_generator", str(before), "0.123")
