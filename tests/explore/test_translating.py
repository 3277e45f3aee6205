"""Pictures of any size through translators of any kind: padded, in tiles, or resized; and the sheets that show them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.data.batch import DataSpec
from ganvas.data.open import open_data
from ganvas.engine.capabilities import Translate
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError
from ganvas.explore import translating
from ganvas.explore.given import given
from ganvas.explore.translating import inputs, reduced, sheet, source_channels, translate, translated

CPU = torch.device("cpu")


class Pixelwise(Translate):
    """Takes each pixel for its negative; remembers the sizes it was given. Grey of it where `channels` is 1."""

    def __init__(self, multiple=1, channels=3):
        self.sizes, self._multiple, self._channels = [], multiple, channels

    @property
    def targets(self):
        return ("day", "night")

    @property
    def multiple(self):
        return self._multiple

    def translate(self, images, *, to, rng):
        self.sizes.append(tuple(images.shape[2:]))
        return -images[:, : self._channels]


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def moved(model, picture, size=(12, 14)):
    return translated(model, picture, "night", size, SampleDraws(0), CPU)


def test_a_picture_of_a_size_the_network_takes_is_translated_as_it_is():
    model, picture = Pixelwise(multiple=4), noise(16, 24, 3)
    assert np.array_equal(moved(model, picture), 255 - picture) and model.sizes == [(16, 24)]


def test_other_sizes_are_padded_and_cropped_back():
    model, picture = Pixelwise(multiple=8), noise(13, 30, 3)
    assert np.array_equal(moved(model, picture), 255 - picture) and model.sizes == [(16, 32)]


@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures_are_tiled_without_seams(monkeypatch, channels):
    """With a map that changes each pixel alone, tiles and the whole are the same picture."""
    monkeypatch.setattr(translating, "TILE", 20)
    monkeypatch.setattr(translating, "OVERLAP", 6)
    model, picture = Pixelwise(multiple=4, channels=channels), noise(53, 9, 3)
    assert np.array_equal(moved(model, picture), 255 - picture[:, :, :channels])
    assert len(model.sizes) == 4 and set(model.sizes) == {(20, 12)}
    model, picture = Pixelwise(multiple=4, channels=channels), noise(53, 70, 3)
    assert np.array_equal(moved(model, picture), 255 - picture[:, :, :channels])
    assert len(model.sizes) == 4 * 5 and set(model.sizes) == {(20, 20)}


def test_borders_of_tiles_are_blended(monkeypatch):
    """Tiles of constants 1, 2, .. meet in ramps: no step from pixel to pixel is near the whole difference of two tiles."""
    monkeypatch.setattr(translating, "TILE", 20)
    monkeypatch.setattr(translating, "OVERLAP", 6)

    class Counts(Pixelwise):
        def translate(self, images, *, to, rng):
            self.sizes.append(images.shape)
            return torch.full_like(images, -1 + 0.5 * len(self.sizes))

    made = moved(Counts(), noise(16, 48, 3))[8, :, 0].astype(int)
    assert [made[0], made[-1]] == [64, 191] and (np.diff(made) >= 0).all() and np.diff(made).max() < 0.35 * 64


def test_a_network_of_one_size_sees_that_size():
    model = Pixelwise(multiple=0)
    made = moved(model, np.full((31, 45, 3), 200, np.uint8))
    assert model.sizes == [(12, 14)] and made.shape == (31, 45, 3) and (made == 55).all()


def test_of_two_domains_each_has_its_channels():
    two = DataSpec(kind="images", shape=(1, 8, 8), views={"target": (3, 8, 8)}, domains=("grey", "colour"))
    assert source_channels(two, "colour") == 1 and source_channels(two, "grey") == 3
    assert source_channels(DataSpec(kind="images", shape=(3, 8, 8), classes=("a", "b", "c")), "a") == 3


def test_sheets_show_pictures_of_several_sizes_undistorted():
    tall, wide = np.full((40, 10, 1), 0, np.uint8), np.full((300, 600, 3), 0, np.uint8)
    assert reduced(tall).shape == (40, 10, 3) and reduced(wide).shape == (128, 256, 3)
    drawn = np.asarray(sheet([(reduced(tall), reduced(tall)), (reduced(wide), reduced(wide))], ""))
    black = (drawn == 0).all(axis=2).sum()
    assert black >= 2 * (400 + 128 * 256)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganvas.train("cyclegan", data="inked", preset="tiny", images=8, run=tmp_path_factory.mktemp("runs") / "inked", quiet=True)


def save(path, *shape):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(*shape)).save(path)
    return path


def test_many_pictures_fill_several_sheets(run, tmp_path, monkeypatch):
    monkeypatch.setattr(translating, "PER_SHEET", 2)
    monkeypatch.setattr(translating, "SHEETS", 2)
    for count, sheets in (
        (3, ["comparison.png", "comparison-2.png"]),
        (6, ["comparison.png", "comparison-2.png"]),
        (2, ["comparison.png"]),
    ):
        out = tmp_path / f"out{count}"
        done = translate(run, [save(tmp_path / "in" / f"{i}.png", 8, 9, 3) for i in range(count)], out)
        assert [path.name for path in done.sheets] == sheets
        assert sorted(path.name for path in out.iterdir()) == sorted([*sheets, *(f"{i}.png" for i in range(count))])


def test_a_translation_is_that_of_the_model_whatever_stands_beside_it(run, tmp_path):
    files = [save(tmp_path / "in" / f"{i}.png", 8 + i, 11, 3) for i in range(2)]
    translate(run, files, tmp_path / "both", to="plain")
    translate(run, files[1:], tmp_path / "one", to="plain")
    both, one = (np.asarray(Image.open(tmp_path / name / "1.png")) for name in ("both", "one"))
    x = torch.from_numpy(noise(9, 11, 3)).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert np.array_equal(both, one) and np.array_equal(one, run.spec.native(run.model.translate(x, to="plain", rng=SampleDraws(0)))[0])


def test_pictures_are_not_overwritten_by_their_translations(run, tmp_path):
    path = save(tmp_path / "a.png", 8, 8, 3)
    before = path.read_bytes()
    with pytest.raises(GanvasError, match=r"'a.png' would be overwritten; name another folder"):
        translate(run, inputs(tmp_path), tmp_path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_named(run, tmp_path):
    path = save(tmp_path / "a.png", 8, 8, 3)
    with pytest.raises(GanvasError, match=r"a\.png/out/a\.png: cannot be written"):
        translate(run, [path], path / "out")


def test_hidden_files_and_other_files_are_no_pictures(tmp_path):
    for name in ("b.PNG", "a.jpg", "._a.jpg", "notes.txt", "folder.png/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in inputs(tmp_path)] == ["a.jpg", "b.PNG"]


def test_index_maps_of_another_size_are_refused(tmp_path):
    """Between class 0 and class 3, when a map is resized, stand pixels of classes 1 and 2."""
    for name, side in (("known", 16), ("other", 24)):
        for half in "AB":
            (tmp_path / name / half).mkdir(parents=True)
            for i in range(2):
                pixels = np.random.default_rng(i).integers(0, 4, (side // 4, side // 4)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
                Image.fromarray(pixels).save(tmp_path / name / half / f"{i}.png")
    source = f"maps:{tmp_path / 'known'}"
    spec = open_data(source, layout="pairs").spec
    settings = {"data": {"source": source}, "run": {"resolution": None, "layout": "pairs"}}
    run = SimpleNamespace(path=tmp_path, device="cpu", spec=spec, settings=settings)
    assert given(run).count == 2
    for other in (str(tmp_path / "other"), f"maps:{tmp_path / 'other'}"):
        with pytest.raises(GanvasError, match="other: its pictures are 24 x 24, the run's label maps 16 x 16, and index images blend"):
            given(run, other)
