"""`hf:` sources, on data sets of the library `datasets` that lie on this machine. Nothing here reaches for the network."""

import importlib.util
import io
import shutil

import numpy as np
import pytest

from ganvas.api import resume, train
from ganvas.data.describe import describe, scan
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.errors import GanvasError
from tests.data.pictures import labels, noise, pixels, read, reasons, save

MISSING = importlib.util.find_spec("datasets") is None
pytestmark = pytest.mark.filterwarnings("default")  # the library's own
needs_library = pytest.mark.skipif(MISSING, reason="needs the library datasets: pip install 'ganvas[data]'")


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    if not MISSING:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "library")
        datasets.disable_progress_bars()


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise(seed).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def stored(tmp_path):
    """A data set of two splits with class labels, as `save_to_disk` writes it; image 3 of the training split is broken."""
    import datasets

    kinds = datasets.ClassLabel(names=["cat", "dog", "eel"])
    features = datasets.Features({"caption": datasets.Value("string"), "picture": datasets.Image(), "kind": kinds})

    def part(seeds, labels):
        rows = {
            "caption": ["x"] * len(seeds),
            "picture": [{"bytes": png(seed) if seed >= 0 else png(1)[:200], "path": None} for seed in seeds],
            "kind": labels,
        }
        return datasets.Dataset.from_dict(rows, features=features)

    both = {"train": part([0, 1, 2, -1, 4], [0, 1, 1, 0, 0]), "test": part([10, 11], [1, 0])}
    datasets.DatasetDict(both).save_to_disk(str(tmp_path / "stored"))
    return tmp_path / "stored"


@pytest.mark.skipif(not MISSING, reason="the library datasets is installed")
def test_without_the_library_the_error_says_what_to_install():
    with pytest.raises(GanvasError, match=r"pip install 'ganvas\[data\]'"):
        open_data("hf:anything")


@needs_library
def test_a_stored_data_set(stored):
    source = f"hf:{stored}"
    assert splits(source) == ("train", "test") and evaluation_split(source) == "test"
    data = open_data(source)
    assert data.spec.shape == (3, 16, 16) and data.spec.classes == ("cat", "dog") and labels(data) == [0, 1, 1, 0]
    assert np.array_equal(pixels(data)[3], np.asarray(noise(4))) and labels(open_data(source, split="test")) == [1, 0]
    assert "truncated or damaged" in reasons(data)["train/00000003"]
    assert any("images are column 'picture', labels are column 'kind'" in note for note in data.notes())
    assert scan(source).spec == data.spec and "train: 4 images" in describe(source) and "2 classes: cat (2), dog (2)" in describe(source)


@needs_library
def test_a_layout_is_for_folders_and_archives(stored):
    with pytest.raises(GanvasError, match="--layout pairs tells how the pictures of a folder or zip"):
        open_data(f"hf:{stored}", layout="pairs")


@needs_library
def test_streaming_and_the_cache(stored):
    source = f"hf:{stored}"
    assert np.array_equal(pixels(read(source, memory=0)), pixels(open_data(source)))
    before = open_data(source).fingerprint
    assert before == open_data(source).fingerprint
    shutil.move(stored, stored.with_name("moved"))
    assert open_data(f"hf:{stored.with_name('moved')}").fingerprint == before


@needs_library
def test_one_undivided_set(tmp_path):
    import datasets

    rows = {"image": [{"bytes": png(i), "path": None} for i in range(3)]}
    datasets.Dataset.from_dict(rows, features=datasets.Features({"image": datasets.Image()})).save_to_disk(str(tmp_path / "one"))
    data = open_data(f"hf:{tmp_path / 'one'}")
    assert data.split == "all" and len(data) == 3 and data.spec.classes == ()


@needs_library
def test_a_folder_that_the_library_understands(tmp_path):
    for split in ("train", "validation"):
        for kind in ("a", "b"):
            for i in range(2):
                save(tmp_path / "set" / split / kind / f"{i}.png", noise(i))
    data = open_data(f"hf:{tmp_path / 'set'}")
    assert splits(f"hf:{tmp_path / 'set'}") == ("train", "val")
    assert data.spec.classes == ("a", "b") and data.label_counts() == (2, 2)
    assert np.array_equal(pixels(data)[1], np.asarray(noise(1)))


@needs_library
def test_what_is_no_data_set_of_images(tmp_path):
    import datasets

    datasets.Dataset.from_dict({"text": ["a"], "n": [1]}).save_to_disk(str(tmp_path / "text"))
    with pytest.raises(GanvasError, match="has no column of images; its columns: text, n"):
        open_data(f"hf:{tmp_path / 'text'}")
    (tmp_path / "empty").mkdir()
    for source, message in [(f"hf:{tmp_path / 'empty'}", "cannot be read by the library datasets"), ("hf:", "wants the name or path")]:
        with pytest.raises(GanvasError, match=message) as caught:
            open_data(source)
        assert "\n" not in str(caught.value)


@needs_library
def test_training_and_resuming_from_another_directory(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(stored.parent)
    train("gan", data="hf:stored", preset="tiny", images=64, run=tmp_path / "run", quiet=True)
    monkeypatch.chdir("/")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.rmtree(tmp_path / "run" / "samples")
    (tmp_path / "run" / "samples").mkdir()
    assert resume(tmp_path / "run", quiet=True).images == 64
