"""`ganvas reconstruct` and `ganvas encode`, and the number about codes, as a user types them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.cli.main import main
from ganvas.data.batch import Batch
from ganvas.data.open import open_data
from ganvas.model_measures import untrained
from ganvas.run import load


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory):
    return ganvas.train("vae", data="digits", preset="tiny", images=400, run=tmp_path_factory.mktemp("runs") / "v", quiet=True).path


@pytest.fixture(scope="module")
def points_run(tmp_path_factory):
    return ganvas.train("vae", data="ring", preset="tiny", images=400, run=tmp_path_factory.mktemp("runs") / "p", quiet=True).path


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_sheet_of_the_test_split(vae_run, capsys):
    assert main(["reconstruct", str(vae_run), "--count", "10", "--out", "r.png"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("10 reconstructions (digits, split test, the first 10, PSNR ") and said.endswith(" dB): r.png\n")
    with Image.open("r.png") as sheet:
        assert sheet.width > 8 * 56 and sheet.height > 4 * 56  # two rows of eight, what came back below each


def test_arrays_are_what_the_model_makes_of_the_split(vae_run):
    assert main(["reconstruct", str(vae_run), "train", "--count", "5", "--out", "r.npz"]) == 0
    found, model = np.load("r.npz"), load(vae_run).model
    batch = open_data("digits", split="train").batch(torch.arange(5))
    back = model.decode(model.encode(batch))
    assert found["given"].shape == found["made"].shape == (5, 8, 8, 1) and found["made"].dtype == np.uint8
    assert np.array_equal(found["given"], ((batch.images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    assert np.abs(found["made"].astype(int) - ((back + 1) * 127.5).permute(0, 2, 3, 1).numpy()).max() < 0.51
    np.testing.assert_allclose(found["codes"], model.encode(batch).numpy(), rtol=1e-5, atol=1e-6)


def test_pictures_of_another_size_and_colour_are_made_to_fit(vae_run, tmp_path, capsys):
    for i in range(3):
        save(tmp_path / "mine" / f"{i}.png", np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    assert main(["reconstruct", str(vae_run), "mine", "--out", "r.npz"]) == 0
    said = capsys.readouterr().out
    assert "resized" in said and "RGB turned into grey" in said and "3 reconstructions (mine, split all, all 3" in said
    assert np.load("r.npz")["made"].shape == (3, 8, 8, 1)
    assert main(["reconstruct", str(vae_run), "mine/0.png", "--out", "one.png"]) == 0
    assert "1 reconstructions (0.png" in capsys.readouterr().out


def test_points_come_back_in_the_data_s_units(points_run):
    assert main(["reconstruct", str(points_run), "--count", "50", "--out", "p.npz"]) == 0
    found, examples = np.load("p.npz"), open_data("ring", split="test")
    native = examples.spec.native(examples.batch(torch.arange(50)).points).numpy()
    np.testing.assert_allclose(found["given"], native, rtol=1e-5, atol=1e-6)
    assert found["made"].shape == (50, 2) and found["made"].dtype == np.float32
    assert main(["reconstruct", str(points_run), "--count", "50", "--out", "p.png"]) == 0


def test_codes_with_their_labels(vae_run, capsys):
    assert main(["encode", str(vae_run), "--data", "digits", "--out", "c.npz"]) == 0
    assert capsys.readouterr().out == "355 codes of 2 entries (digits, split test, all 355): c.npz\n"
    found, examples = np.load("c.npz"), open_data("digits", split="test")
    batch = examples.batch(torch.arange(355))
    np.testing.assert_allclose(found["codes"], load(vae_run).model.encode(batch).numpy(), rtol=1e-4, atol=1e-5)
    assert found["codes"].dtype == np.float32 and np.array_equal(found["labels"], batch.labels.numpy())
    assert tuple(found["classes"]) == examples.spec.classes
    assert main(["encode", str(vae_run), "--split", "train", "--count", "7", "--out", "c.npz"]) == 0
    assert len(np.load("c.npz")["codes"]) == 7


def test_codes_of_points_have_no_labels(points_run):
    assert main(["encode", str(points_run), "--out", "c.npz"]) == 0
    assert set(np.load("c.npz")) == {"codes"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reconstruct", "V", "--out", "r.jpg"], "--out r.jpg: is written to PATH.png (a sheet) or PATH.npz (arrays)"),
        (["reconstruct", "V", "--out", "none/r.png"], "--out none/r.png: the folder none does not exist"),
        (["reconstruct", "V", "--count", "0", "--out", "r.png"], "--count 0: must be greater than 0"),
        (["reconstruct", "V", "tset", "--out", "r.png"], "there is no data source 'tset'"),
        (["reconstruct", "V", "val", "--out", "r.png"], "val"),
        (["reconstruct", "V", "test", "--split", "train", "--out", "r.png"], "test: is a split; leave out --split train"),
        (["reconstruct", "V", "ring", "--out", "r.png"], "ring: holds points, and"),
        (["reconstruct", "D", "--out", "r.png"], "DCGAN does not map data to codes; `ganvas list` shows"),
        (["reconstruct", "R", "--out", "r.png"], "r: no such run directory"),
        (["encode", "D", "--out", "c.npz"], "DCGAN does not map data to codes"),
        (["encode", "V", "--out", "c.png"], "--out c.png: is written to PATH.npz"),
        (["encode", "V", "--out", "folder.npz"], "--out folder.npz: is a directory"),
        (["encode", "P", "--data", "digits", "--out", "c.npz"], "digits: holds images, and"),
    ],
)
def test_wrong_input_names_what_is_wrong(vae_run, points_run, digits_run, tmp_path, capsys, arguments, message):
    (tmp_path / "folder.npz").mkdir()
    runs = {"V": str(vae_run), "P": str(points_run), "D": str(digits_run), "R": "r"}
    assert main([runs.get(word, word) for word in arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder.npz"]


def test_other_points_are_brought_to_the_units_of_the_run(points_run):
    """Those of `grid` have another mean and deviation than those of `ring`, which the model was trained on."""
    assert main(["reconstruct", str(points_run), "grid", "--count", "50", "--out", "p.npz"]) == 0
    found, grid, run = np.load("p.npz"), open_data("grid", split="test"), load(points_run)
    native = grid.spec.native(grid.batch(torch.arange(50)).points)
    np.testing.assert_allclose(found["given"], native.numpy(), rtol=1e-4, atol=1e-5)
    x = (native - torch.tensor(run.spec.offset)) / torch.tensor(run.spec.scale)
    np.testing.assert_allclose(found["codes"], run.model.encode(Batch({"points": x})).numpy(), rtol=1e-4, atol=1e-5)


def test_classes_in_code_space_are_measured(vae_run, digits_run, capsys):
    assert main(["evaluate", str(vae_run), "--metrics", "codes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"].keys() == {"code_1nn", "code_1nn_untrained", "class_kept"}
    assert all(0 < value <= 1 for value in found["values"].values())
    assert "nearest of 1,442 training codes, split test, 355 images" in found["protocol"]["codes"]
    assert main(["evaluate", str(vae_run), "--metrics", "codes", "--features", "pixels"]) == 0
    said = capsys.readouterr().out
    assert "before training" in said and "class_kept" not in said
    assert main(["evaluate", str(digits_run), "--metrics", "codes"]) == 2
    assert "--metrics codes: DCGAN does not map data to codes" in capsys.readouterr().err


def test_the_untrained_model_is_that_of_the_run_before_its_first_step(tmp_path):
    """A run whose learning rate is next to nothing is still what it started from."""
    settings = {"lr": 1e-30, "decay_from": None}
    run = ganvas.train("vae", data="digits", preset="tiny", config=settings, images=16, seed=5, run=tmp_path / "r", quiet=True)
    before = torch.get_rng_state()
    fresh = untrained(load(run.path))
    assert torch.equal(torch.get_rng_state(), before)
    for (name, parameter), trained in zip(fresh.named_parameters(), load(run.path).model.parameters(), strict=True):
        torch.testing.assert_close(parameter, trained, rtol=0, atol=1e-12, msg=name)


def test_the_likelihood_says_nats_bits_and_what_was_binarised(vae_run, capsys):
    assert main(["evaluate", str(vae_run), "--metrics", "nll"]) == 0
    said = capsys.readouterr().out
    binarised = "a lower bound by 1 draw(s) of the code, of images binarised at one half"
    for words in ("nll_nats", "in nats", "bits_per_dim", "bits per value", binarised):
        assert words in said
