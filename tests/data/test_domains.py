"""Folders of two domains: which names mean what, alignment, sizes, splits."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.api import resume
from ganvas.cli.main import main
from ganvas.data.batch import DataSpec
from ganvas.data.describe import describe, scan
from ganvas.data.layout import arrange
from ganvas.data.open import find, open_data, splits
from ganvas.data.pairs import Halves, Pairs
from ganvas.errors import GanvasError
from ganvas.run import load
from tests.data.pictures import noise, pixels, read, reasons, zipped
from tests.data.pictures import save as store


def save(path, value, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def grey(images):
    return images.add(1).mul(127.5).round().mean((1, 2, 3)).int().tolist()


def test_cyclegan_folders_are_not_aligned_whatever_their_files_are_called(tmp_path):
    for name, count in (("trainA", 5), ("trainB", 3), ("testA", 2), ("testB", 2)):
        for i in range(count):
            save(tmp_path / name / f"{i}.png", (10 if name.endswith("A") else 100) + i)
    data = open_data(str(tmp_path))
    assert splits(str(tmp_path)) == ("train", "test")
    assert not data.spec.aligned and data.spec.domains == ("A", "B") and data.spec.views == {"target": (3, 8, 8)} and len(data) == 5
    batch = data.batch(torch.arange(5))
    assert grey(batch.images) == [10, 11, 12, 13, 14] and set(grey(batch["target"])) == {100, 101, 102}
    assert not open_data(str(tmp_path), split="test").spec.aligned
    assert "not aligned" in data.notes()[0] and "not aligned" in describe(str(tmp_path))


def test_twin_folders_are_aligned_by_name(tmp_path):
    for i in range(4):
        save(tmp_path / "A" / f"{i}.png", 10 + i)
        save(tmp_path / "B" / f"{i}.bmp", 100 + i)
    data = open_data(str(tmp_path))
    assert data.spec.aligned and splits(str(tmp_path)) == ("all",)
    batch = data.batch(torch.tensor([2, 0]))
    assert grey(batch.images) == [12, 10] and grey(batch["target"]) == [102, 100]
    save(tmp_path / "B" / "one-more.png", 7)
    assert not open_data(str(tmp_path)).spec.aligned


def test_domains_inside_splits(tmp_path):
    for split in ("train", "val"):
        for domain in "AB":
            save(tmp_path / split / domain / "x.png", 5)
    assert splits(str(tmp_path)) == ("train", "val") and open_data(str(tmp_path), split="val").spec.aligned


def test_a_pair_that_lost_a_side_is_left_out_whole(tmp_path):
    for domain in "AB":
        save(tmp_path / domain / "1.png", 5)
        save(tmp_path / domain / "2.png", 6)
        save(tmp_path / domain / "3.png", 7)
    (tmp_path / "B" / "2.png").write_bytes(b"")
    data = open_data(str(tmp_path))
    assert data.spec.aligned and grey(data.batch(torch.arange(len(data)))["target"]) == [5, 7]
    assert reasons(data) == {"A/2.png": "is paired with 'B/2.png', which cannot be used", "B/2.png": "is empty (0 bytes)"}


def test_domains_of_two_sizes_need_a_resolution(tmp_path):
    save(tmp_path / "trainA" / "1.png", 5)
    save(tmp_path / "trainB" / "1.png", 5, size=(8, 12))
    with pytest.raises(GanvasError, match="domain A is 8 x 8 pixels, colour, domain B is 12 x 8 pixels, colour: give --resolution"):
        open_data(str(tmp_path))
    assert open_data(str(tmp_path), resolution=6).spec.views == {"target": (3, 6, 6)}


def test_the_training_split_decides_on_the_size_of_both_domains(tmp_path):
    for split, size in (("train", (8, 8)), ("test", (10, 10))):
        for domain in "AB":
            save(tmp_path / f"{split}{domain}" / "1.png", 5, size)
    test = open_data(str(tmp_path), split="test")
    assert open_data(str(tmp_path)).spec == test.spec and test.spec.shape == (3, 8, 8)
    assert any("2 images resized" in note for note in test.notes())


def test_a_lonely_first_domain_is_an_ordinary_folder(tmp_path):
    save(tmp_path / "trainA" / "1.png", 5)
    save(tmp_path / "other" / "1.png", 5)
    assert open_data(str(tmp_path)).spec.domains == ()


def domains(folder, *names):
    for name in names:
        store(folder / name, noise(sum(name.encode())))
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ["trainA/1.png", "trainB/2.png", "testA/3.png", "testB/3.png"],
        ["train_A/1.png", "train_B/1.png"],
        ["A/1.png", "B/2.png"],
        ["A/1.png", "B/1.jpg"],
        ["train/A/x/1.png", "train/B/x/1.png", "val/A/1.png", "val/B/1.png"],
        ["A/train/1.png", "B/train/1.png"],
    ],
)
def test_an_archive_of_two_domains_equals_its_folder(tmp_path, names):
    folder = domains(tmp_path / "set", *names)
    archive = zipped(tmp_path / "set.zip", folder, "wrapped/")
    assert splits(folder) == splits(archive)
    for split in splits(folder):
        one, other = open_data(str(folder), split=split), open_data(str(archive), split=split)
        assert isinstance(one, Pairs) and one.spec == other.spec and one.fingerprint == other.fingerprint
        assert one.spec.aligned == (len({name.rpartition("/")[2].partition(".")[0] for name in names}) == 1 and "_A" not in names[0])


def test_letters_that_are_classes_stay_classes(tmp_path):
    folder = domains(tmp_path, "A/1.png", "B/1.png")
    assert open_data(str(folder)).spec.domains == ("A", "B")
    plain = open_data(str(folder), layout="images")
    assert plain.spec.classes == ("A", "B") and plain.spec.domains == () and len(plain) == 2
    domains(folder, "C/1.png")
    assert open_data(str(folder)).spec.classes == ("A", "B", "C")


def test_names_of_splits_and_domains_are_parted_only_in_company():
    assert arrange(["trainA/1.png", "trainB/1.png"]).suffixed and arrange(["validationA/1.png", "validationB/1.png"]).splits == ("val",)
    assert not arrange(["trainA/1.png", "other/1.png"]).suffixed and not arrange(["A/1.png", "B/1.png"]).suffixed
    assert arrange(["trainA/1.png", "testB/1.png"]).classes == ("testB", "trainA")
    assert arrange(["planA/1.png", "planB/1.png"]).classes == ("planA", "planB")


def test_any_two_folders_are_domains_where_the_layout_says_so(tmp_path):
    folder = domains(tmp_path, *(f"{split}/{kind}/{i}.png" for split in ("train", "test") for kind in ("horse", "zebra") for i in range(3)))
    assert open_data(str(folder)).spec.classes == ("horse", "zebra")
    for layout, aligned in (("unpaired", False), ("pairs", True)):
        data = open_data(str(folder), layout=layout)
        assert data.spec.domains == ("horse", "zebra") and data.spec.aligned is aligned and data.spec.classes == () and len(data) == 3
        spec = DataSpec.from_json(data.spec.to_json())
        assert spec == data.spec == scan(folder, layout=layout).spec


def test_pairs_leave_out_and_name_what_has_no_partner(tmp_path):
    folder = domains(tmp_path, "A/1.png", "A/2.png", "B/2.png", "B/3.png", "B/4.jpg", "A/4.webp")
    assert not open_data(str(folder)).spec.aligned and "'A/1.png' has no partner in B" in open_data(str(folder)).notes()[0]
    data = open_data(str(folder), layout="pairs")
    assert data.spec.aligned and len(data) == 2
    assert reasons(data) == {"A/1.png": "has no partner of its name in B", "B/3.png": "has no partner of its name in A"}
    said = describe(folder, layout="pairs")
    assert "all: 2 pairs" in said and "aligned domains: A (2), B (2)" in said and "2 files" in said


def test_pairs_that_are_not_are_refused(tmp_path):
    folder = domains(tmp_path / "one", "A/1.png", "B/2.png")
    with pytest.raises(GanvasError, match=r"no file of A has its name in B \('A/1.png' has none\).*--layout unpaired"):
        open_data(str(folder), layout="pairs")
    twice = domains(tmp_path / "two", "A/1.png", "A/1.jpg", "B/1.png")
    assert "'A/1.jpg' has a namesake" in open_data(str(twice)).notes()[0]
    with pytest.raises(GanvasError, match="would be the same half of a pair"):
        open_data(str(twice), layout="pairs")
    three = domains(tmp_path / "three", "a/1.png", "b/1.png", "c/1.png")
    with pytest.raises(GanvasError, match="needs two folders, such as A and B or trainA and trainB; it has a, b, c"):
        open_data(str(three), layout="unpaired")
    with pytest.raises(GanvasError, match="it has none"):
        open_data(str(three / "a"), layout="pairs")
    with pytest.raises(GanvasError, match="Did you mean 'pairs'"):
        open_data(str(three), layout="pair")
    for source in ("digits", "inked", "ring"):
        with pytest.raises(GanvasError, match=f"--layout unpaired .* '{source}' is none"):
            open_data(source, layout="unpaired")


def test_a_split_without_one_of_the_domains_is_an_error_of_its_own(tmp_path):
    folder = domains(tmp_path, "trainA/1.png", "trainB/1.png", "testA/1.png")
    assert len(open_data(str(folder))) == 1
    with pytest.raises(GanvasError, match="split 'test' of .* has no usable image of domain B"):
        open_data(str(folder), split="test")
    assert "test: 1 image" in describe(folder) and "A (1), B (0)" in describe(folder)


def test_what_lies_beside_the_domains_is_left_out(tmp_path):
    folder = domains(tmp_path, "train/A/1.png", "train/B/1.png", "train/B/2.png", "train/cover.png", "val/1.png")
    assert reasons(open_data(str(folder)))["train/cover.png"] == "lies beside the class folders and has no class"
    with pytest.raises(
        GanvasError, match="split 'val' of .* holds no usable image: 'train/cover.png'|'val/1.png' lies outside the folders"
    ):
        open_data(str(folder), split="val")


def test_a_domain_in_grey_keeps_one_channel(tmp_path):
    store(tmp_path / "A" / "1.png", noise(1, mode="L"))
    store(tmp_path / "B" / "1.png", noise(2))
    data = open_data(str(tmp_path))
    assert data.spec.shape == (1, 16, 16) and data.spec.views == {"target": (3, 16, 16)} and data.compared.spec.shape == (3, 16, 16)
    assert scan(tmp_path).spec == data.spec


@pytest.mark.parametrize("layout", ["pairs", "unpaired"])
def test_domains_too_large_for_memory_are_streamed_and_lose_pairs_whole(tmp_path, layout, capsys):
    folder = domains(tmp_path, *(f"{domain}/{i}.png" for domain in "AB" for i in range(9)))
    memory, streamed = read(folder, layout=layout), read(folder, layout=layout, memory=100)
    rows = torch.tensor([8, 2, 3])
    for name in ("images", "target"):
        assert torch.equal(memory.batch(rows)[name], streamed.batch(rows)[name])
    assert memory.spec == streamed.spec
    assert any("decoded batch by batch" in note for note in streamed.notes())
    (folder / "B" / "2.png").unlink()
    streamed.expect(rows)
    batch = streamed.batch(rows)
    if layout == "pairs":  # both halves of the next pair stand in
        whole = memory.batch(torch.tensor([8, 3, 3]))
        assert torch.equal(batch.images, whole.images) and torch.equal(batch["target"], whole["target"])
        assert "'B/2.png'" in capsys.readouterr().err
    else:  # the other domain has nothing to do with it
        assert torch.equal(batch.images, memory.batch(rows).images)
        assert len(streamed.batch(torch.arange(9))["target"]) == 9 and "'B/2.png'" in capsys.readouterr().err


@pytest.fixture
def facades(tmp_path):
    """Pictures of 32 x 16 pixels: the left half is a photograph, the right half its map."""
    for split, count in (("train", 5), ("val", 7)):
        for i in range(count):
            whole = np.concatenate([np.asarray(noise(i + (split == "val") * 50)), np.asarray(noise(100 + i))], axis=1)
            store(tmp_path / "set" / split / f"{i}.png", Image.fromarray(whole))
    return tmp_path / "set"


def test_halves_of_pictures_are_pairs(facades, tmp_path):
    plain = open_data(str(facades))
    assert plain.spec.shape == (3, 16, 32) and plain.spec.domains == ()  # never guessed
    for source in (facades, zipped(tmp_path / "set.zip", facades)):
        data, turned = open_data(str(source), layout="left-right"), open_data(str(source), layout="right-left")
        assert isinstance(data, Halves) and data.spec.shape == (3, 16, 16) and data.spec.views == {"target": (3, 16, 16)}
        assert data.spec.aligned and data.spec.domains == ("left", "right") and turned.spec.domains == ("right", "left") and len(data) == 5
        batch, other = data.batch(torch.tensor([4, 1])), turned.batch(torch.tensor([4, 1]))
        assert np.array_equal(data.spec.native(batch.images)[1].numpy(), np.asarray(noise(1)))
        assert np.array_equal(data.spec.native(batch["target"])[1].numpy(), np.asarray(noise(101)))
        assert torch.equal(batch.images, other["target"]) and torch.equal(batch["target"], other.images)
        assert np.array_equal(pixels(data.compared)[3], np.asarray(noise(103))) and data.compared.spec.domains == ()
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert len({plain.fingerprint, data.fingerprint, turned.fingerprint, data.compared.fingerprint}) == 4
        assert scan(source, layout="left-right").spec == data.spec and splits(source) == ("train", "val")
    assert "val: 7 pairs" in describe(facades, layout="left-right") and "left (7), right (7)" in describe(facades, layout="left-right")
    assert "side by side" in data.notes()[0]


def test_halves_are_resized_each_by_itself(facades):
    data = open_data(str(facades), layout="left-right", resolution=8)
    left = Image.fromarray(np.asarray(noise(2))).resize((8, 8), Image.Resampling.BICUBIC)
    assert data.spec.shape == (3, 8, 8) and np.array_equal(pixels(data)[2], np.asarray(left))
    streamed = read(facades, layout="left-right", resolution=8, memory=10)
    for rows in (torch.tensor([2, 0]), torch.arange(5)):
        streamed.expect(rows)
        for name in ("images", "target"):
            assert torch.equal(data.batch(rows)[name], streamed.batch(rows)[name])
    assert streamed.to(torch.device("cpu")).fingerprint == streamed.fingerprint


def test_halves_of_odd_and_narrow_pictures(tmp_path):
    for i, width in enumerate((33, 33, 32, 6)):
        store(tmp_path / f"{i}.png", noise(i, width, 16))
    data = open_data(str(tmp_path), layout="left-right")
    assert data.spec.shape == (3, 16, 16) and reasons(data) == {"3.png": "has 6 x 16 pixels: too narrow for two halves"}
    whole = np.asarray(noise(0, 33, 16))
    batch = data.batch(torch.tensor([0]))
    assert np.array_equal(data.spec.native(batch.images)[0].numpy(), whole[:, :16])
    assert np.array_equal(data.spec.native(batch["target"])[0].numpy(), whole[:, 17:])


def test_the_layout_of_a_source_is_kept_apart_in_the_cache(facades):
    wide, halved = open_data(str(facades), resolution=8), open_data(str(facades), layout="left-right", resolution=8)
    assert wide.spec.shape == halved.spec.shape and not np.array_equal(pixels(wide), pixels(halved))
    assert find(facades, "left-right").arrangement == "left-right"


def test_a_run_keeps_its_layout_for_resuming_measuring_and_sampling(facades, tmp_path, monkeypatch):
    arguments = ["train", "cyclegan", "--data", str(facades), "--preset", "tiny", "--images", "12", "--threads", "1"]
    path = tmp_path / "run"
    assert main([*arguments, "--run", str(path), "--layout", "right-left", "--evaluate-every", "6"]) == 0
    stored = json.loads((path / "config.json").read_text())
    assert stored["run"]["layout"] == "right-left" and stored["data"]["spec"]["domains"] == ["right", "left"]
    run = load(path)
    assert run.sources.spec.domains == ("right", "left") and run.sources.split == "val"
    shutil.rmtree(path / "checkpoints")
    monkeypatch.chdir("/")
    assert main(["resume", str(path)]) == 0 and load(path).images >= 12
    assert main(["evaluate", str(path), "--count", "6"]) == 0
    del stored["run"]["layout"]  # as before there were layouts
    (path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(GanvasError, match="its content has changed"):
        resume(path, quiet=True)


def test_the_command_line_shows_domains(facades, capsys):
    assert main(["data", "scan", str(facades), "--layout", "left-right"]) == 0
    said = capsys.readouterr().out
    assert "train: 5 pairs" in said and "aligned domains: left (5), right (5)" in said and "training on  16 x 16 pixels" in said
    assert main(["data", "scan", str(facades), "--layout", "left-right", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spec"]["domains"] == ["left", "right"] and found["splits"]["val"] == {
        "count": 7,
        "classes": {},
        "domains": {"left": 7, "right": 7},
    }
    assert main(["data", "scan", str(facades), "--layout", "sideways"]) == 2 and "--layout" in capsys.readouterr().err
