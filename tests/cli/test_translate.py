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
        (["in", "--out", "in"], "'a.png' would be overwritten"),
        (["in", "--out", "in/a.png"], "is a file; translations are written to a folder"),
        (["twice", "--out", "out"], "several files would be written to a.png"),
        (["sheet", "--out", "out"], "would be overwritten by a sheet"),
        (["bad", "--out", "out"], "no picture is left to translate: 'a.png' is HTML"),
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


# Label maps, styles and truths

COLOURS = np.array([[255, 255, 255], [0, 0, 0], [200, 60, 60]], np.uint8)


def squares(seed, height=12, width=14):
    """A label map: squares of three colours."""
    numbers = np.random.default_rng(seed).integers(0, 3, (height // 2, width // 2))
    return COLOURS[numbers.repeat(2, 0).repeat(2, 1)]


def drawn(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """A few steps of a model that makes pictures of label maps, with an encoder of styles."""
    folder = tmp_path_factory.mktemp("painter")
    for split, count in (("train", 6), ("test", 5)):
        for i in range(count):
            drawn(folder / "data" / split / "A" / f"{i}.png", squares(i))
            save(folder / "data" / split / "B" / f"{i}.png", 12, 14, i)
    path = folder / "run"
    arguments = [
        "train",
        "spade",
        "--data",
        f"maps:{folder / 'data'}",
        "--preset",
        "tiny",
        "--images",
        "16",
        "--run",
        str(path),
        "--config.init",
        "1.0",
    ]
    assert main([*arguments, "--threads", "1"]) == 0
    return path


def test_the_palette_is_listed_and_kept_with_the_run(painter):
    loaded = load(painter)
    assert set(loaded.spec.palette) == set(map(tuple, COLOURS.tolist()))
    assert "label maps of 3 colours" in loaded.settings["data"]["notes"][-1]
    torch.testing.assert_close(loaded.model.palette, torch.tensor(loaded.spec.palette) / 127.5 - 1)


def test_the_style_of_an_example_is_taken(painter, tmp_path):
    """Of equal maps equal pictures come out, others for another example, whatever the seed."""
    files = [drawn(tmp_path / "in" / f"{name}.png", squares(1)) for name in "ab"]
    examples = [save(tmp_path / f"style{i}.png", 20, 30, i) for i in range(2)]
    made = []
    for seed, example in enumerate([examples[0], examples[0], examples[1]]):
        out = tmp_path / f"out{seed}"
        assert main(["translate", str(painter), str(tmp_path / "in"), "--out", str(out), "--style", str(example), "--seed", str(seed)]) == 0
        assert np.array_equal(opened(out / "a.png"), opened(out / "b.png"))
        made.append(opened(out / "a.png"))
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])
    loaded, x = load(painter), torch.from_numpy(opened(files[0])).permute(2, 0, 1)[None].float() / 127.5 - 1
    with Image.open(examples[1]) as picture:
        y = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    y = torch.nn.functional.interpolate(y, size=(12, 14), mode="bilinear", antialias=True)
    wanted = loaded.model.styled(x, y, to="B", rng=SampleDraws(0))
    assert np.array_equal(made[2], loaded.spec.native(wanted)[0].numpy())


def test_maps_of_another_size_are_not_blended(painter, tmp_path):
    """A map enlarged by repeating its pixels is reduced to the same map again."""
    small, large = squares(3), squares(3).repeat(3, 0).repeat(3, 1)
    made = []
    for name, pixels in (("small", small), ("large", large)):
        path = drawn(tmp_path / name / "a.png", pixels)
        assert main(["translate", str(painter), str(path), "--out", str(tmp_path / f"{name}-out")]) == 0
        made.append(opened(tmp_path / f"{name}-out" / "a.png"))
    assert made[1].shape == (36, 42, 3)
    x = torch.from_numpy(made[0]).permute(2, 0, 1)[None].float()
    wanted = torch.nn.functional.interpolate(x, size=(36, 42), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    assert np.abs(wanted.numpy() - made[1]).max() <= 1


def test_sheets_show_input_output_and_truth(painter, tmp_path, capsys):
    """Three rows for the pairs of the run's own data; the same with pictures and --truth."""
    assert main(["translate", str(painter), "--out", str(tmp_path / "own")]) == 0
    assert "5 translated" in capsys.readouterr().out
    data = load(painter).settings["data"]["source"].removeprefix("maps:")
    pictures = ["translate", str(painter), f"{data}/test/A"]
    assert main([*pictures, "--truth", f"{data}/test/B", "--out", str(tmp_path / "named")]) == 0
    assert main([*pictures, "--out", str(tmp_path / "bare")]) == 0
    for i in range(5):
        assert np.array_equal(opened(tmp_path / "own" / f"{i:04d}.png"), opened(tmp_path / "named" / f"{i}.png"))
    own, named, bare = (opened(tmp_path / name / "comparison.png") for name in ("own", "named", "bare"))
    cell = 56 + 2
    assert own.shape[0] - bare.shape[0] >= cell // 2 and named.shape[0] - bare.shape[0] >= cell // 2
    for page in (own, named):
        for pixels in (opened(f"{data}/test/A/0.png"), opened(f"{data}/test/B/0.png"), opened(tmp_path / "named" / "0.png")):
            assert holds(page, pixels.repeat(4, 0).repeat(4, 1))
    assert not holds(bare, opened(f"{data}/test/B/0.png").repeat(4, 0).repeat(4, 1))


def holds(page, picture):
    """Whether a picture stands somewhere on a page."""
    height, width = picture.shape[:2]
    places = np.lib.stride_tricks.sliding_window_view(page, (height, width, 3))[:, :, 0]
    corners = np.argwhere((page[: page.shape[0] - height + 1, : page.shape[1] - width + 1] == picture[0, 0]).all(axis=2))
    return any(np.array_equal(places[row, column], picture) for row, column in corners)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in", "--out", "out", "--style", "nothing.png"], "--style nothing.png: "),
        (["in", "--out", "out", "--style", "bad.png"], "--style bad.png: is HTML"),
        (["in", "--out", "out", "--truth", "nowhere"], "--truth nowhere: no such file or folder"),
        (["in", "--out", "out", "--truth", "others"], "--truth others: holds no picture called like 'a.png'"),
        (["in", "--out", "out", "--truth", "photo/b.png"], "one picture is the truth of one, and there are 2"),
        (["photo", "--out", "out"], "'b.png' is no label map: "),
        (["in", "--out", "out", "--truth", "damaged"], "'--truth damaged/a.png' is HTML"),
        (["in", "--out", "truths", "--truth", "truths"], "--out truths: 'a.png' would be overwritten"),
        (["photo", "--out", "truths", "--style", "truths/b.png"], "--out truths: 'b.png' would be overwritten"),
        (["in", "--out", "sheets", "--style", "sheets/comparison.png"], "--out sheets: 'comparison.png' would be overwritten"),
        (["--out", "truths", "--style", "truths/0000.png"], "--out truths: '0000.png' would be overwritten"),
        (["--out", "out", "--data", "photo"], "no picture is left to translate: 'example 0' is no label map: "),
        (["--out", "out", "--truth", "in"], "the examples of --data bring their own"),
        (["in", "--out", "out", "--count", "3"], "leave them out where pictures are named"),
        (["--out", "out", "--count", "0"], "--count 0: must be greater than 0"),
    ],
)
def test_wrong_styles_truths_and_maps_are_one_clear_line(painter, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"<html>")
    for name in ("in/a.png", "in/c.png"):
        drawn(tmp_path / name, squares(0))
    for name in ("photo/b.png", "truths/a.png", "truths/b.png", "truths/c.png", "truths/0000.png", "sheets/comparison.png"):
        save(tmp_path / name, 12, 14, 5)
    for name in ("damaged/a.png", "damaged/c.png"):
        drawn(tmp_path / name, squares(0)).write_bytes(b"<html>")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    save(tmp_path / "others/z.png", 12, 14, 5)
    assert main(["translate", str(painter), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert before == {path: path.read_bytes() for path in before}


def test_a_translator_without_styles_says_so(run, tmp_path, capsys):
    path = save(tmp_path / "a.png", 12, 14, 0)
    assert main(["translate", str(run), str(path), "--out", str(tmp_path / "out"), "--style", str(path)]) == 2
    assert "cyclegan knows no styles" in capsys.readouterr().err


def test_examples_of_a_source_go_to_the_second_domain_alone(run, tmp_path, capsys):
    assert main(["translate", str(run), "--out", str(tmp_path / "out"), "--count", "3"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000.png", "0001.png", "0002.png", "comparison.png"]
    assert main(["translate", str(run), "--out", str(tmp_path / "out"), "--to", "A"]) == 2
    assert "go to its second domain" in capsys.readouterr().err
