"""A folder of images as people have them: mixed, damaged, linked, oddly named."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.describe import scan
from ganvas.data.images import commonest
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.errors import GanvasError
from tests.data.pictures import labels, noise, pixels, png, reasons, save


@pytest.fixture
def classes(tmp_path):
    """Two splits of three classes, PNG, 16 x 16 colour."""
    for split, count in (("train", 4), ("test", 2)):
        for c, name in enumerate(("ant", "bee", "cow")):
            for i in range(count):
                save(tmp_path / "set" / split / name / f"{i}.png", noise(100 * count + 10 * c + i))
    return tmp_path / "set"


def test_splits_and_classes(classes):
    assert splits(classes) == ("train", "test") and evaluation_split(classes) == "test"
    train, test = open_data(str(classes)), open_data(str(classes), split="test")
    assert train.spec == test.spec and train.spec.shape == (3, 16, 16) and train.spec.classes == ("ant", "bee", "cow")
    assert labels(train) == [0] * 4 + [1] * 4 + [2] * 4 and labels(test) == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(pixels(train)[5], np.asarray(Image.open(classes / "train" / "bee" / "1.png")))
    assert train.label_counts() == (4, 4, 4) and test.notes()[0].endswith("split test: 6 images of 16 x 16 pixels, colour")


def test_splits_are_named_or_refused(classes):
    assert len(open_data(str(classes), split="t10k")) == 6
    with pytest.raises(GanvasError, match="no 'val' split, it has: train, test"):
        open_data(str(classes), split="val")
    with pytest.raises(GanvasError, match="never mixed"):
        open_data(str(classes), split=None)
    shutil.rmtree(classes / "train")
    assert open_data(str(classes), split=None).split == "test" and evaluation_split(classes) == "test"
    with pytest.raises(GanvasError, match="no 'train' split"):
        open_data(str(classes))


def test_validation_is_evaluated_where_there_is_no_test(tmp_path):
    for split in ("train", "validation"):
        save(tmp_path / split / "1.png", noise(1))
    assert evaluation_split(tmp_path) == "val" and splits(tmp_path) == ("train", "val")


def test_an_undivided_set_answers_to_train_and_all_but_not_to_test(tmp_path):
    save(tmp_path / "1.png", noise(1))
    for split in ("train", "all", None):
        assert open_data(str(tmp_path), split=split).split == "all"
    assert splits(tmp_path) == ("all",) and evaluation_split(tmp_path) == "all"
    with pytest.raises(GanvasError, match="undivided set without a 'test' split"):
        open_data(str(tmp_path), split="test")


def test_a_test_split_without_classes_has_no_labels(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "test/1.png"):
        save(tmp_path / name, noise(1))
    assert open_data(str(tmp_path)).spec.classes == ("a", "b")
    test = open_data(str(tmp_path), split="test")
    assert test.spec.classes == () and "labels" not in test.batch(torch.arange(1))


def test_the_training_split_decides_on_size_and_channels(tmp_path):
    for i in range(3):
        save(tmp_path / "train" / f"{i}.png", noise(i, 16, 16, "L"))
        save(tmp_path / "test" / f"{i}.png", noise(i, 40, 20))
    train, test = open_data(str(tmp_path)), open_data(str(tmp_path), split="test")
    assert train.spec == test.spec and test.spec.shape == (1, 16, 16)
    assert any("3 images in colour: made grey" in note for note in test.notes())
    assert any("40 x 20: 3" in note and "cropped at the centre to 16 x 16" in note for note in test.notes())


def test_the_commonest_size_is_kept_and_the_others_are_brought_to_it(tmp_path):
    sizes = [(24, 16)] * 3 + [(48, 32), (16, 24)]
    for i, (width, height) in enumerate(sizes):
        save(tmp_path / f"{i}.png", noise(i, width, height))
    opened = open_data(str(tmp_path))
    assert opened.spec.shape == (3, 16, 24)
    assert any("2 images resized" in note and "16 x 24: 1" in note and "48 x 32: 1" in note for note in opened.notes())
    assert np.array_equal(pixels(opened)[1], np.asarray(noise(1, 24, 16)))


def test_no_extreme_decides_between_equally_common_sizes():
    assert commonest(Counter([(10, 10), (20, 20), (4000, 3000)])) == (20, 20)
    assert commonest(Counter([(10, 10), (4000, 3000), (4000, 3000)])) == (4000, 3000)


def test_a_resolution_makes_squares(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png", noise(i, 48, 32))
    opened = open_data(str(tmp_path), resolution=16)
    assert opened.spec.shape == (3, 16, 16) and any("4 images resized" in note for note in opened.notes())
    for bad in (0, -3, 3, 100_000):
        with pytest.raises(GanvasError, match="--resolution"):
            open_data(str(tmp_path), resolution=bad)


def test_all_grey_files_make_one_channel_and_one_colour_file_makes_three(tmp_path):
    save(tmp_path / "1.png", noise(1, mode="L"))
    save(tmp_path / "2.png", Image.new("LA", (16, 16), (9, 200)))
    save(tmp_path / "3.gif", noise(3, mode="L"))
    assert open_data(str(tmp_path)).spec.shape == (1, 16, 16)
    save(tmp_path / "4.png", noise(4))
    opened = open_data(str(tmp_path))
    assert opened.spec.shape == (3, 16, 16) and any("3 images grey among coloured ones" in note for note in opened.notes())
    grey = np.asarray(noise(1, mode="L"))
    assert np.array_equal(pixels(opened)[0], np.stack([grey] * 3, axis=2))


def _good(folder) -> Iterator[str]:
    """Files that are all usable, odd as they are."""
    for name, image, options in [
        ("plain.png", noise(0), {}),
        ("no suffix", noise(1), {"format": "PNG"}),
        ("wrong suffix.jpg", noise(2), {"format": "PNG"}),
        ("cmyk.jpg", Image.new("CMYK", (16, 16), (0, 90, 40, 10)), {}),
        ("deep.png", Image.fromarray(np.full((16, 16), 40_000, np.uint16)), {}),
        ("bit.png", Image.new("1", (16, 16), 1), {}),
        ("palette.png", noise(3).quantize(16), {}),
        ("la.png", Image.new("LA", (16, 16), (10, 128)), {}),
        ("rgba.webp", Image.new("RGBA", (16, 16), (10, 20, 30, 128)), {}),
        ("moving.gif", noise(4), {"save_all": True, "append_images": [noise(5)]}),
        ("ünïcödé 图像.png", noise(6), {}),
        ("new\nline.png", noise(7), {}),
        ("other size.bmp", noise(8, 20, 30), {}),
    ]:
        save(folder / name, image, **options)
        yield name
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "turned.jpg", noise(9), exif=exif)
    yield "turned.jpg"
    os.symlink(folder / "plain.png", folder / "link.png")
    yield "link.png"
    with open(os.fsencode(folder) + b"/latin-\xff.png", "wb") as file:
        file.write((folder / "plain.png").read_bytes())
    yield os.fsdecode(b"latin-\xff.png")


def _bad(folder) -> Iterator[tuple[str, str]]:
    """Files that are not, with a part of the reason expected."""
    whole = (folder / "plain.png").read_bytes()
    for name, content, reason in [
        ("empty.png", b"", "is empty (0 bytes)"),
        ("truncated.png", whole[: len(whole) // 2], "truncated or damaged"),
        ("page.jpg", b"<!DOCTYPE html><html>not found</html>", "is HTML"),
        ("notes.txt", b"remember the milk\n", "is text"),
        ("huge.png", png(20_000, 20_000, 8, 2, bytes(100)), "declares"),
        ("tiny.png", png(1, 1, 8, 0, b"\0\0"), "1 x 1 pixels"),
        ("scan.tif.png", b"II*\0" + bytes(100), "is TIFF"),
    ]:
        (folder / name).write_bytes(content)
        yield name, reason
    os.mkfifo(folder / "pipe.png")
    yield "pipe.png", "is a fifo"
    os.symlink(folder / "missing.png", folder / "broken.png")
    yield "broken.png", "is a broken link"
    os.symlink(folder / "self.png", folder / "self.png")
    yield "self.png", "leads to itself"
    os.symlink(folder, folder / "loop")
    yield "loop", "a folder that is read already"
    if os.geteuid() != 0:
        (folder / "secret.png").write_bytes(whole)
        (folder / "secret.png").chmod(0)
        yield "secret.png", "permission denied"


def test_a_dirty_folder_is_read_and_every_reject_has_its_reason(tmp_path):
    good = set(_good(tmp_path))
    bad = dict(_bad(tmp_path))
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._plain.png").write_bytes(b"junk")
    opened = open_data(str(tmp_path))
    assert len(opened) == len(good) and opened.spec.shape == (3, 16, 16)
    found = reasons(opened)
    assert found.keys() == bad.keys()
    for name, reason in bad.items():
        assert reason in found[name], name
    notes = "\n".join(opened.notes())
    assert f"{len(bad)} files rejected" in notes and all(f"'{name}' {found[name]}" in notes for name in bad)
    for trait in (
        "1 image CMYK",
        "1 image of 16 bits",
        "1 image of 1 bit",
        "2 images with transparency",
        "1 image of several frames",
        "1 image turned",
    ):
        assert trait in notes, trait
    assert all(line.isprintable() for line in opened.notes())
    assert (pixels(opened)[sorted(good).index("deep.png")] == round(40_000 / 257)).all()


def test_linked_folders_are_read_once_and_under_their_real_name(tmp_path):
    for name in ("b/1.png", "b/2.png", "c/3.png"):
        save(tmp_path / "set" / name, noise(len(name)))
    save(tmp_path / "far" / "4.png", noise(9))
    os.symlink(tmp_path / "set" / "b", tmp_path / "set" / "a")
    os.symlink(tmp_path / "far", tmp_path / "set" / "d")
    opened = open_data(str(tmp_path / "set"))
    assert opened.spec.classes == ("b", "c", "d") and opened.label_counts() == (2, 1, 1)
    assert reasons(opened) == {"a": "is a link to a folder that is read already"}


def test_a_class_without_a_usable_image_is_dropped_and_an_absent_one_counts_zero(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "train/c/1.png", "test/a/1.png", "test/b/1.png"):
        save(tmp_path / name, noise(1))
    (tmp_path / "train" / "d").mkdir()
    (tmp_path / "train" / "d" / "1.png").write_bytes(b"")
    train, test = open_data(str(tmp_path)), open_data(str(tmp_path), split="test")
    assert train.spec.classes == test.spec.classes == ("a", "b", "c") and test.label_counts() == (1, 1, 0)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no image: it is empty"),
        ({".hidden.png": b"x"}, "holds no image: it is empty"),
        ({"a.txt": b"one", "b.txt": b"two"}, "no usable image among 2 files: 'a.txt' is text"),
        ({f"{i}.txt": b"x" for i in range(9)}, "and 6 more"),
        ({"train/a.png": b""}, "no usable image"),
    ],
)
def test_nothing_usable_is_one_clear_error(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GanvasError, match=message) as caught:
        open_data(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_split_without_usable_images_is_an_error_of_its_own(tmp_path):
    save(tmp_path / "train" / "1.png", noise(1))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "1.png").write_bytes(b"")
    assert len(open_data(str(tmp_path))) == 1
    with pytest.raises(GanvasError, match=r"split 'test' .* holds no usable image: 'test/1.png' is empty"):
        open_data(str(tmp_path), split="test")


def test_files_that_two_splits_share_are_counted(tmp_path):
    for split, seeds in (("train", range(6)), ("val", range(100, 103)), ("test", [4, 5, 200, 4])):
        for i, seed in enumerate(seeds):
            save(tmp_path / split / f"{i}.png", noise(seed))
    line = "data: 3 of the 4 images of split test are in split train, too: they are not held out"
    assert line in open_data(str(tmp_path)).notes() and line in open_data(str(tmp_path), split="test").notes()
    assert not any("held out" in note for note in open_data(str(tmp_path), split="val").notes())
    assert [f"data: {said}" for said in scan(tmp_path).conversions] == [line]
