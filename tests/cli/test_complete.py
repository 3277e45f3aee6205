"""`ganvas complete` as a user types it: what is given stays, what is hidden is drawn, and wrong input is named."""

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.cli.main import main
from ganvas.data.open import open_data
from ganvas.engine.draws import SampleDraws
from ganvas.explore.given import hidden
from ganvas.run import load


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganvas.train("pixelcnn", data="digits", preset="tiny", images=64, run=tmp_path_factory.mktemp("runs") / "c", quiet=True).path


def completed(*arguments):
    assert main(["complete", *arguments, "--out", "c.npz"]) == 0
    return np.load("c.npz")


@pytest.mark.parametrize("mask", ["lower", "upper", "left", "right"])
def test_what_is_given_stays_and_the_rest_is_drawn(run, mask):
    found = completed(str(run), "--mask", mask, "--count", "4", "--draws", "3")
    truth, made, cut = found["truth"], found["made"], found["mask"]
    assert truth.shape == (4, 8, 8, 1) and made.shape == (4, 3, 8, 8, 1) and cut.sum() == 32
    assert cut[{"lower": (7, 0), "upper": (0, 0), "left": (0, 0), "right": (0, 7)}[mask]]
    assert cut[{"lower": (7, 7), "upper": (0, 7), "left": (7, 0), "right": (7, 7)}[mask]]
    assert np.array_equal(made[:, :, ~cut], np.broadcast_to(truth[:, None, ~cut], made[:, :, ~cut].shape))
    assert not np.array_equal(made[:, 0][:, cut], made[:, 1][:, cut])  # completions differ
    images = open_data("digits", split="test").batch(torch.arange(4)).images
    assert np.array_equal(truth, ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


def test_completions_are_the_model_s_and_follow_their_seed(run, capsys):
    found = completed(str(run), "--data", "digits", "--split", "train", "--count", "2", "--draws", "2", "--seed", "3")
    assert capsys.readouterr().out == "2 completions each of 2 images (digits, split train, the first 2): c.npz\n"
    images = open_data("digits", split="train").batch(torch.arange(2)).images.repeat_interleave(2, 0)
    shown = torch.zeros(4, 1, 8, 8)
    shown[:, :, :4] = 1
    with torch.no_grad():
        wanted = load(run).model.complete(images * shown, shown, rng=SampleDraws(3, indices=range(4)))
    assert np.array_equal(found["made"].reshape(4, 8, 8, 1), ((wanted + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    other = completed(str(run), "--data", "digits", "--split", "train", "--count", "2", "--draws", "2", "--seed", "4")
    assert not np.array_equal(other["made"], found["made"])


def test_the_model_never_sees_what_is_hidden(run, monkeypatch):
    """What is handed to it is 0 there."""
    seen, kind = {}, type(load(run).model)

    def complete(self, given, mask, *, rng):
        seen.update(given=given, mask=mask)
        return given

    monkeypatch.setattr(kind, "complete", complete)
    completed(str(run), "--mask", "right", "--count", "2", "--draws", "1")
    assert not seen["given"][seen["mask"] == 0].any() and (seen["mask"][..., 4:] == 0).all() and (seen["mask"][..., :4] == 1).all()


def test_a_sheet_has_a_row_for_each_image(run):
    assert main(["complete", str(run), "--count", "3", "--draws", "2", "--out", "c.png"]) == 0
    with Image.open("c.png") as sheet:
        assert sheet.width > 4 * 56 and sheet.height > 3 * 56
        colours = {colour for _, colour in sheet.getcolors(1 << 24)}
    assert (176, 190, 212) in colours  # the veil


def test_a_mask_is_white_where_the_model_draws(run, tmp_path):
    white = np.zeros((16, 16), np.uint8)
    white[4:12, 2:6] = 255
    Image.fromarray(white).save(tmp_path / "m.png")
    found = completed(str(run), "--mask", "m.png", "--count", "2", "--draws", "1")
    assert found["mask"].sum() == 4 * 2 and found["mask"][2:6, 1:3].all()


def test_halves_of_odd_sides_cover_the_image_together():
    for one, other in (("lower", "upper"), ("left", "right")):
        both = hidden(one, 5, 7).int() + hidden(other, 5, 7).int()
        assert both.min() == 1 and both.sum() in (35 + 7, 35 + 5)  # the middle line belongs to both


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "lowr"], "--mask lowr: neither lower, upper, left nor right, nor a picture. Did you mean 'lower'"),
        (["--mask", "black.png"], "--mask black.png: is black all over"),
        (["--mask", "tall.png"], "a mask has the proportions of its picture, 8 x 8"),
        (["--draws", "0"], "--draws 0: must be greater than 0"),
        (["--count", "0"], "--count 0: must be greater than 0"),
        (["--data", "ring"], "ring: holds points, and"),
        (["--split", "val"], "val"),
    ],
)
def test_wrong_input_names_what_is_wrong(run, tmp_path, capsys, arguments, message):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(np.full((16, 8), 255, np.uint8)).save(tmp_path / "tall.png")
    assert main(["complete", str(run), *arguments, "--out", "c.png"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "c.png").exists()


def test_models_that_do_not_complete_and_wrong_paths(run, digits_run, capsys):
    assert main(["complete", str(digits_run), "--out", "c.png"]) == 2
    assert "DCGAN does not complete images; `ganvas list` shows" in capsys.readouterr().err
    assert main(["complete", str(run), "--out", "c.gif"]) == 2
    assert "--out c.gif: is written to PATH.png (a sheet) or PATH.npz (arrays)" in capsys.readouterr().err
