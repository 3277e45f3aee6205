"""Naming a source, and what `ganvas data scan` says of it."""

import json
import os
import subprocess
import sys

import pytest

from ganvas.data.describe import describe, scan
from ganvas.data.open import open_data
from ganvas.errors import GanvasError
from tests.data.pictures import noise, save, zipped


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digist", "neither built in .* Did you mean 'digits'"),
        ("two_cities", "Did you mean 'two-cities'"),
        ("/no/such/folder", "no data source '/no/such/folder'"),
        ("", "no data source ''"),
        ("bad\0name", r"no data source 'bad\\x00name'"),
        ("two\nlines", r"no data source 'two\\nlines'"),
        ("x" * 5000, "not a usable path: File name too long"),
    ],
)
def test_an_unknown_source_is_one_clear_error(source, message):
    with pytest.raises(GanvasError, match=message) as caught:
        open_data(source)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_source(tmp_path):
    (tmp_path / "one.tar").write_bytes(b"not an archive")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"")
    for name, message in [
        ("one.tar", "not a zip archive"),
        ("pipe", "neither a folder nor a file"),
        ("train-images-idx3-ubyte", "folder it lies"),
    ]:
        with pytest.raises(GanvasError, match=message):
            open_data(str(tmp_path / name))


def test_a_built_in_name_wins_and_a_path_reaches_the_folder(tmp_path, monkeypatch):
    save(tmp_path / "digits" / "1.png", noise(1))
    monkeypatch.chdir(tmp_path)
    assert len(open_data("digits")) > 1000 and len(open_data("./digits")) == 1


def test_importing_loads_neither_pillow_nor_scikit_learn():
    probe = "import sys, ganvas.data.open, ganvas.data.describe; print([m for m in ('PIL', 'sklearn', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_scan_says_all_that_training_sees(tmp_path):
    for split, count in (("train", 5), ("test", 2)):
        for name in ("ant", "bee"):
            for i in range(count):
                save(tmp_path / "set" / split / name / f"{i}.png", noise(i, 24 if i == 4 else 16, 16, "L"))
    for i in range(25):
        (tmp_path / "set" / f"{i:02}.txt").write_text("text")
    archive = zipped(tmp_path / "set.zip", tmp_path / "set", "top/")
    for source in (tmp_path / "set", archive):
        found = scan(source)
        assert found.spec.shape == (1, 16, 16) and found.spec.classes == ("ant", "bee")
        assert {name: (one.count, dict(one.classes)) for name, one in found.splits.items()} == {
            "train": (10, {"ant": 5, "bee": 5}),
            "test": (4, {"ant": 2, "bee": 2}),
        }
        assert found.sizes == ((16, 16, 12), (24, 16, 2)) and found.modes == {"L": 14} and len(found.rejected) == 25
        stored = json.loads(json.dumps(found.to_json()))
        assert len(stored["rejected"]) == 25 and stored["splits"]["train"]["count"] == 10 and stored["sizes"][0]["count"] == 12
        said = describe(source)
        for part in (
            "train: 10 images",
            "test: 4 images",
            "2 classes: ant (5), bee (5)",
            "16 x 16 pixels, grey",
            "16 x 16 (12), 24 x 16 (2)",
            "2 images resized",
            "25 files",
            "19.txt' is text",
            "and 5 more",
            found.cache,
        ):
            assert part in said, part
        assert "20.txt" not in said


def test_a_scan_agrees_with_what_is_opened(tmp_path):
    for i in range(6):
        save(tmp_path / f"{i}.png", noise(i, 16 + 8 * (i == 0), 16))
    (tmp_path / "bad.png").write_bytes(b"")
    for resolution in (None, 8):
        found, opened = scan(tmp_path, resolution=resolution), open_data(str(tmp_path), resolution=resolution)
        assert found.spec == opened.spec and found.rejected == opened.rejected and found.splits["all"].count == len(opened)
        assert all(f"data: {line}" in opened.notes() for line in found.conversions)


@pytest.mark.parametrize("source", ["digits", "ring", "two-cities"])
def test_built_in_sources_are_described(source):
    found, opened = scan(source), open_data(source)
    assert found.spec == opened.spec and found.splits["train"].count == len(opened) and found.rejected == ()
    assert f"train: {len(opened):,} {'image' if source == 'digits' else 'point'}s" in describe(source)
