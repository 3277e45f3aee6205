"""A picture enlarged, redrawn and set in motion, and samples of any size, as a user types it."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.cli.main import main
from ganvas.engine.draws import SampleDraws
from ganvas.explore.editing import opened_mask
from ganvas.explore.pictures import to_tensor
from ganvas.run import load


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def opened(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model of one photograph, 36 x 24 pixels, after a few steps at each of its scales."""
    path = tmp_path_factory.mktemp("editor") / "run"
    arguments = ["train", "singan", "--data", "flower", "--resolution", "36", "--preset", "tiny", "--images", "48", "--threads", "1"]
    assert main([*arguments, "--run", str(path)]) == 0
    assert load(path).spec.shape == (3, 24, 36) and load(path).model.scales == 3
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_samples_of_another_size(run, capsys):
    assert main(["sample", str(run), "--count", "18", "--size", "20", "50", "--out", "wide.npz"]) == 0
    images = np.load("wide.npz")["images"]
    assert images.shape == (18, 20, 50, 3)
    made = load(run).model.sample_sized(1, 20, 50, rng=SampleDraws(0, indices=[17]))
    wanted = made[0].add(1).mul(127.5).round().byte().permute(1, 2, 0)
    assert np.abs(images[17].astype(int) - wanted.numpy().astype(int)).max() <= 1
    assert main(["sample", str(run), "--size", "0", "50", "--out", "x.npz"]) == 2 and "--size 0 50" in capsys.readouterr().err


def test_models_of_one_size_refuse_another(tmp_path, capsys):
    assert main(["train", "gan", "--data", "ring", "--preset", "tiny", "--images", "32", "--run", "r", "--threads", "1"]) == 0
    assert main(["sample", "r", "--size", "4", "4", "--out", "x.npz"]) == 2
    assert "--size: GAN draws images of one size" in capsys.readouterr().err
    assert main(["edit", "r", "animate", "--out", "x.gif"]) == 2 and "gan does not edit" in capsys.readouterr().err


def test_super_resolution_of_the_image_that_was_learnt_and_of_another(run, capsys):
    assert main(["edit", str(run), "super-resolution", "--factor", "2.5", "--out", "large.png"]) == 0
    assert opened("large.png").shape == (60, 90, 3) and "super-resolution: large.png" in capsys.readouterr().out
    save_as = save(load(run).path.parent / "small.png", noise(15, 11, 3))
    assert main(["edit", str(run), "super-resolution", str(save_as), "--factor", "2", "--out", "other.png"]) == 0
    assert opened("other.png").shape == (30, 22, 3)


def test_a_painting_of_any_size_is_redrawn_at_the_scale_of_the_model(run, tmp_path):
    painting = save(tmp_path / "in" / "painting.png", noise(48, 72, 3))
    assert main(["edit", str(run), "paint", str(painting), "--out", "made.png"]) == 0
    assert opened("made.png").shape == (24, 36, 3)
    sheet = opened("made-starts.png")
    assert sheet.shape[1] >= 4 * 36  # what was given, and one for each of three scales
    assert main(["edit", str(run), "paint", str(painting), "--out", "same.png", "--start", "1"]) == 0
    assert np.array_equal(opened("same.png"), opened("made.png")) and not (tmp_path / "same-starts.png").exists()
    assert main(["edit", str(run), "paint", str(painting), "--out", "seed.png", "--start", "1", "--seed", "4"]) == 0
    assert not np.array_equal(opened("seed.png"), opened("made.png"))


@pytest.mark.parametrize("task", ["harmonise", "edit"])
def test_outside_the_mask_the_picture_stays(run, tmp_path, task):
    given, white = save(tmp_path / "given.png", noise(24, 36, 3)), np.zeros((48, 72), np.uint8)
    white[10:30, 20:50] = 255
    mask = save(tmp_path / "mask.png", white)
    assert main(["edit", str(run), task, str(given), "--mask", str(mask), "--widen", "0", "--out", "made.png"]) == 0
    may = opened_mask(mask, (24, 36), 0).numpy() > 0
    made, before = opened("made.png"), opened(given)
    assert np.array_equal(made[~may], before[~may]) and not np.array_equal(made[may], before[may])
    image = to_tensor(before, torch.device("cpu"))[0]
    wanted = load(run).model.edit(image, mask=opened_mask(mask, (24, 36), 0), start=None, rng=SampleDraws(0))[0]
    assert np.array_equal(made, wanted.add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy())
    assert main(["edit", str(run), task, str(given), "--mask", str(mask), "--out", "wider.png"]) == 0
    assert (opened("wider.png") != before).any(2).sum() > (made != before).any(2).sum()


def test_a_widened_mask_is_soft_at_its_border(tmp_path):
    white = np.zeros((40, 40), np.uint8)
    white[18:22, 18:22] = 255
    plain, wide = (opened_mask(save(tmp_path / "m.png", white), (40, 40), widen) for widen in (0, 6))
    assert set(plain.unique().tolist()) == {0.0, 1.0} and plain.sum() == 16
    assert wide.max() > 0.9 and wide[0, 0] == 0 and len(wide.unique()) > 10 and wide.sum() > 16 * 16 - 1


def test_a_film_goes_forth_and_back(run, tmp_path):
    assert main(["edit", str(run), "animate", "--frames", "5", "--rate", "20", "--out", "film.gif"]) == 0
    with Image.open("film.gif") as film:
        assert film.size == (36, 24) and film.n_frames == 8 and film.info["duration"] == 50 and film.info["loop"] == 0
    assert main(["edit", str(run), "animate", "--frames", "5", "--start", "2", "--out", "frames"]) == 0
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"{i:06d}.png" for i in range(5)]
    assert opened("frames/000000.png").shape == (24, 36, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paint", "--out", "x.png"], "paint needs a picture: ganvas edit RUN paint PICTURE"),
        (["paint", "nothing.png", "--out", "x.png"], "nothing.png: cannot be read"),
        (["paint", "html.png", "--out", "x.png"], "'html.png' is HTML"),
        (["paint", "a.png", "--out", "x.jpg"], "the result is written to PATH.png"),
        (["paint", "a.png", "--out", "a.png"], "the picture would be overwritten"),
        (["paint", "a.png", "--out", "none/x.png"], "the folder none does not exist"),
        (["paint", "a.png", "--out", "x.png", "--start", "9"], "--start 9: this model has been trained to scale 3"),
        (["paint", "a.png", "--out", "x.png", "--mask", "a.png"], "--mask: paint takes none"),
        (["harmonise", "a.png", "--out", "x.png", "--mask", "tall.png"], "a mask has the proportions of its picture, 36 x 24"),
        (["harmonise", "a.png", "--out", "x.png", "--mask", "black.png"], "is black all over"),
        (["harmonise", "a.png", "--out", "x.png", "--mask", "a.png", "--widen", "-1"], "--widen -1: must be at least 0"),
        (["harmonise", "a.png", "--out", "x.png", "--widen", "3"], "--widen: there is no --mask"),
        (["animate", "a.png", "--out", "x.gif"], "animate takes no picture"),
        (["animate", "--out", "x.png"], "a film is written to PATH.gif"),
        (["animate", "--out", "x.gif", "--frames", "1"], "--frames 1"),
        (["animate", "--out", "x.gif", "--rate", "0"], "--rate 0"),
        (["super-resolution", "--out", "x.png", "--start", "1"], "--start: super-resolution always starts"),
        (["super-resolution", "--out", "x.png", "--factor", "1000"], "the picture would be 36,000 pixels long"),
    ],
)
def test_wrong_input_names_what_is_wrong(run, tmp_path, capsys, arguments, message):
    save(tmp_path / "a.png", noise(24, 36, 3))
    save(tmp_path / "tall.png", noise(36, 24))
    save(tmp_path / "black.png", np.zeros((24, 36), np.uint8))
    (tmp_path / "html.png").write_text("<html>")
    assert main(["edit", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not {path.name for path in tmp_path.iterdir()} - {"a.png", "tall.png", "black.png", "html.png"}
