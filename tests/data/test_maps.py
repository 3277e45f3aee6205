"""`maps:SOURCE`: palettes found in clean, blurred and index maps, and pictures that are none."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.batch import DataSpec
from ganvas.data.describe import describe
from ganvas.data.maps import NoMaps, counts_of, far, hexadecimal, palette_of, reach
from ganvas.data.open import open_data
from ganvas.errors import GanvasError

COLOURS = ((0, 0, 170), (0, 170, 255), (255, 255, 0), (255, 85, 0), (170, 0, 0))


def areas(seed, side=48, colours=5):
    """Numbers (side, side) of overlapping squares on class 0."""
    draw = np.random.default_rng(seed)
    numbers = np.zeros((side, side), np.uint8)
    for _ in range(14):
        top, left = draw.integers(0, side - 8, 2)
        numbers[top : top + draw.integers(6, 20), left : left + draw.integers(6, 20)] = draw.integers(colours)
    return numbers


def write(path, pixels, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **how)


def folder(root, map_of, count=6, suffix="png", splits=("train", "test"), **how):
    """Pairs A/B of every split: maps, and noise as photos."""
    for at, split in enumerate(splits):
        for i in range(count):
            write(root / split / "A" / f"{i}.{suffix}", map_of(10 * at + i), **how)
            noise = np.random.default_rng(i).integers(0, 256, (48, 48, 3), dtype=np.uint8)
            write(root / split / "B" / f"{i}.{suffix}", noise, **how)
    return root


def coloured(seed):
    return np.array(COLOURS, np.uint8)[areas(seed)]


def test_clean_maps_have_their_colours_the_commonest_first(tmp_path):
    data = open_data(f"maps:{folder(tmp_path, coloured)}")
    assert set(data.spec.palette) == set(COLOURS)
    pixels = np.concatenate([coloured(i).reshape(-1, 3) for i in range(6)])
    shares = [int((pixels == colour).all(axis=1).sum()) for colour in data.spec.palette]
    assert shares == sorted(shares, reverse=True)
    assert "label maps of 5 colours" in data.notes()[-1] and hexadecimal(data.spec.palette)[0] in data.notes()[-1]
    assert data.spec.has("palette") and DataSpec.from_json(data.spec.to_json()) == data.spec
    assert "label maps of 5 colours" in describe(f"maps:{tmp_path}")


def test_every_split_has_the_palette_of_the_training_split(tmp_path):
    """Though its own maps have only two of the colours."""
    folder(tmp_path, coloured, splits=("train",))
    folder(tmp_path, lambda i: np.array(COLOURS, np.uint8)[areas(i, colours=2)], splits=("test",))
    train, test = (open_data(f"maps:{tmp_path}", split=split) for split in ("train", "test"))
    assert train.spec.palette == test.spec.palette and len(test.spec.palette) == 5 and train.fingerprint != test.fingerprint
    whole = open_data(str(tmp_path), split="test")
    rows = torch.arange(3)
    assert all(torch.equal(test.batch(rows)[name], whole.batch(rows)[name]) for name in ("images", "target"))
    assert test.compared.fingerprint == whole.compared.fingerprint


@pytest.mark.parametrize("quality", [90, 60])
def test_jpeg_and_resizing_leave_the_colours_there(tmp_path, quality):
    """The commonest five are the colours, within a few levels; some blends of two follow."""
    folder(tmp_path, lambda i: coloured(i).repeat(4, 0).repeat(4, 1), suffix="jpg", splits=("train",), quality=quality)
    found = np.array(open_data(f"maps:{tmp_path}", resolution=48).spec.palette)
    away = np.abs(found[:5, None] - np.array(COLOURS)[None]).max(axis=2)
    assert (away.min(axis=0) <= 12).all() and len(found) <= 9


def test_index_images_have_their_numbers(tmp_path):
    data = open_data(f"maps:{folder(tmp_path, lambda i: areas(i) + 3)}")
    assert sorted(data.spec.palette) == [(3,), (4,), (5,), (6,), (7,)] and hexadecimal(data.spec.palette)[0].isdigit()
    with pytest.raises(GanvasError, match="index images blend when they are resized"):
        open_data(f"maps:{tmp_path}", resolution=24)


def photo(seed):
    """A picture of smooth colours and noise."""
    draw = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 1, 48), np.linspace(0, 1, 48))
    waves = np.stack([np.sin(9 * draw.random() * across + 9 * draw.random() * down + 6 * draw.random()) for _ in range(3)], axis=-1)
    return np.clip(128 + 100 * waves + draw.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("made", "reason"), [(photo, "gather around"), (lambda i: photo(i)[..., 0], "gather around")])
def test_photographs_are_no_label_maps(tmp_path, made, reason):
    with pytest.raises(GanvasError, match=rf"its A pictures are no label maps: they have [0-9,]+ colours, which {reason}") as caught:
        open_data(f"maps:{folder(tmp_path, made)}")
    assert "\n" not in str(caught.value)


def test_halves_the_wrong_way_round_are_told(tmp_path):
    for i in range(4):
        write(tmp_path / "train" / f"{i}.png", np.concatenate([photo(i), coloured(i)], axis=1))
    with pytest.raises(GanvasError, match="its left pictures are no label maps.*--layout right-left"):
        open_data(f"maps:{tmp_path}", layout="left-right")
    assert set(open_data(f"maps:{tmp_path}", layout="right-left").spec.palette) == set(COLOURS)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("maps:", "name a source of pairs after it"),
        ("maps:maps:inked-pairs", "label maps are told once; say maps:inked-pairs"),
        ("maps:digits", "'digits' has none such"),
        ("maps:inked", "'inked' has none such"),
        ("maps:nothing", "there is no data source 'nothing'"),
    ],
)
def test_names_that_mean_nothing(source, message):
    with pytest.raises(GanvasError, match=message):
        open_data(source)


def test_one_colour_is_no_map():
    with pytest.raises(NoMaps, match="one colour alone"):
        palette_of(torch.tensor([[3, 3, 3]]), torch.tensor([9]), 1.0)


def test_colours_are_counted():
    pixels = torch.tensor([[[[0, 0, 9], [255, 1, 0]], [[0, 0, 9], [0, 0, 9]]]], dtype=torch.uint8)
    colours, counts = counts_of(pixels)
    assert dict(zip(map(tuple, colours.tolist()), counts.tolist(), strict=True)) == {(0, 0, 9): 3, (255, 1, 0): 1}


def test_a_picture_of_other_colours_is_far():
    pixels = torch.tensor([[[0, 0, 0], [40, 0, 0]], [[41, 0, 0], [255, 255, 255]]], dtype=torch.uint8)
    assert far(pixels, ((0, 0, 0),)) == 0.5 and far(pixels, ((0, 0, 0), (255, 255, 255))) == 0.25


def test_between_two_numbers_of_classes_is_nothing():
    """Colours that are near to each other leave less room: half of what lies between them."""
    assert reach(((0, 0, 0), (255, 255, 255))) == 40 and reach(((0, 0, 0), (30, 50, 0))) == 25
    assert reach(((0,), (1,), (2,), (3,))) == 0
    pixels = torch.tensor([[[0], [3]], [[4], [7]]], dtype=torch.uint8)
    assert far(pixels, ((0,), (1,), (2,), (3,))) == 0.5


def test_blends_are_no_classes():
    """Levels evenly taken have no peak but at the ends, where half of the neighbours is missing. Two that hold most are the palette."""
    levels = torch.arange(0, 256)
    counts = torch.full((256,), 3)
    with pytest.raises(NoMaps, match="256 colours, which gather around one alone"):
        palette_of(levels[:, None], counts, 0.3)
    counts[20], counts[220] = 3_000, 9_000
    assert palette_of(levels[:, None], counts, 0.3) == ((220,), (20,))
