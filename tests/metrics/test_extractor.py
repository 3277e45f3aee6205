"""The extractors: what the classifier learns, how it is kept, and that it leaves the caller alone."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.data import idx
from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.data.idx import IdxSource
from ganvas.data.source import Request
from ganvas.errors import GanvasError
from ganvas.metrics import classifier, store
from ganvas.metrics.extractor import PixelExtractor, classifier_for

from .conftest import all_images, all_labels


def stripes(count=64, *, shape=(1, 8, 8), classes=("across", "down"), split="train", seed=0):
    """Labelled images of stripes across or down, with noise; a few classes anybody can tell apart."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    labels = torch.randint(len(classes), (count,), generator=generator)
    rows = (torch.arange(height)[:, None] + 0 * torch.arange(width)) % 2
    columns = (0 * torch.arange(height)[:, None] + torch.arange(width)) % 2
    pattern = torch.stack([rows, columns, rows * columns][: len(classes)])[labels] * 200
    noise = torch.randint(56, (count, height, width, channels), generator=generator)
    spec = DataSpec(kind="images", shape=shape, classes=classes)
    return MemoryImages(About(spec=spec, split=split), (pattern[..., None] + noise).to(torch.uint8).contiguous(), labels)


class Watch:
    """Keeps what a task reports."""

    def __init__(self):
        self.tasks, self.done, self.closed = [], 0, 0

    def start(self, total, what):
        self.tasks.append((total, what))

    def advance(self, n=1):
        self.done += n

    def close(self):
        self.closed += 1


@pytest.fixture
def brief(monkeypatch):
    """A training of some 20 steps instead of 310, the recipe being the same otherwise."""
    monkeypatch.setattr(classifier, "_FEWEST", 1_200)


def files(cache: Path) -> dict[str, Path]:
    return {path.suffix: path for path in (cache / "classifiers").iterdir()}


def test_digits_are_learnt(extractor, held_out):
    assert extractor.accuracy >= 0.97
    probabilities = extractor.probabilities(all_images(held_out))
    assert probabilities.shape == (len(held_out), 10)
    assert torch.allclose(probabilities.sum(1), torch.ones(len(held_out)), atol=1e-5)
    right = (probabilities.argmax(1) == all_labels(held_out)).float().mean()
    assert float(right) == pytest.approx(extractor.accuracy, abs=1e-6)


def test_features_are_penultimate_and_of_length_one(extractor, held_out):
    images = all_images(held_out)[:50]
    features = extractor.features(images)
    assert features.shape == (50, 128) and features.dtype == torch.float32 and not features.requires_grad
    assert torch.allclose(features.norm(dim=1), torch.ones(50), atol=1e-5)
    raw = classifier.look(extractor._network, images)[0]
    assert torch.allclose(features, raw / raw.norm(dim=1, keepdim=True), atol=1e-6) and bool((raw >= 0).all())
    head = extractor._network.head
    assert torch.allclose((raw @ head.weight.T + head.bias).softmax(1), extractor.probabilities(images), atol=1e-5)
    # An image's features do not depend on those beside it.
    assert torch.allclose(extractor.features(images[:3]), features[:3], atol=1e-5)


def test_protocol_says_what_a_number_needs(extractor, digits, held_out):
    protocol = extractor.protocol
    assert protocol["name"] == "classifier" and protocol["hash"] == extractor.hash and len(extractor.hash) == 64
    assert protocol["accuracy"] == extractor.accuracy
    assert protocol["accuracy_on"] == f"split 'test', {len(held_out)} images"
    assert protocol["trained_on"] == f"split 'train', {len(digits):,} images"


def test_second_time_is_read_from_the_cache(extractor, digits, held_out, classifier_cache):
    watch = Watch()
    started = time.process_time()  # not the clock on the wall: the machine may be busy
    again = classifier_for(digits, held_out, cache=classifier_cache, progress=watch)
    assert time.process_time() - started < 1.0 and watch.tasks == []
    assert again.hash == extractor.hash and again.protocol == extractor.protocol
    images = all_images(held_out)[:20]
    assert torch.equal(again.features(images), extractor.features(images))


def test_training_is_deterministic_and_blind_to_the_callers_state(brief, tmp_path):
    examples, other = stripes(), stripes(split="test", seed=1)
    first = classifier_for(examples, other, cache=tmp_path / "a")
    torch.manual_seed(99)
    torch.rand(7)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        second = classifier_for(examples, other, cache=tmp_path / "b")
    assert first.hash == second.hash and first.accuracy == second.accuracy == 1.0
    expected = first.features(all_images(other))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(second.features(all_images(other)), expected)


def test_nothing_global_moves(brief, tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    classifier_for(stripes(), None, cache=tmp_path)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert torch.is_grad_enabled()


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_flipped_bit_is_noticed_and_repaired(brief, tmp_path, ending, place):
    examples = stripes()
    first = classifier_for(examples, None, cache=tmp_path)
    path = files(tmp_path)[ending]
    whole = path.read_bytes()
    flip(path, int(place * len(whole)))
    watch = Watch()
    again = classifier_for(examples, None, cache=tmp_path, progress=watch)
    assert [what for _, what in watch.tasks] == ["training the classifier again: the stored one is damaged"]
    assert again.hash == first.hash and path.read_bytes() == whole


def test_truncated_and_missing_halves_are_repaired(brief, tmp_path):
    examples = stripes()
    first = classifier_for(examples, None, cache=tmp_path)
    files(tmp_path)[".safetensors"].write_bytes(b"")
    assert classifier_for(examples, None, cache=tmp_path).hash == first.hash
    files(tmp_path)[".json"].unlink()
    assert classifier_for(examples, None, cache=tmp_path).hash == first.hash
    assert set(files(tmp_path)) == {".safetensors", ".json"}


def test_other_data_get_another_classifier(brief, tmp_path):
    examples = stripes()
    classifier_for(examples, None, cache=tmp_path)
    classifier_for(stripes(seed=1), None, cache=tmp_path)
    classifier_for(examples, stripes(split="test", seed=2), cache=tmp_path)
    assert len(list((tmp_path / "classifiers").glob("*.json"))) == 3


def test_a_cache_that_cannot_be_written_costs_only_time(brief, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert classifier_for(stripes(), None, cache=blocked).accuracy == 1.0
    assert blocked.read_text() == "not a folder"


def test_the_users_cache_directory_is_the_default(brief, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    classifier_for(stripes(), None)
    assert set(files(tmp_path)) == {".safetensors", ".json"}


def test_interruption_leaves_nothing_behind(tmp_path):
    watch = Watch()

    def poll():
        if watch.done > 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classifier_for(stripes(), None, cache=tmp_path, poll=poll, progress=watch)
    assert watch.closed == 1 and not list(tmp_path.rglob("*.*"))


def test_progress_reaches_its_total(brief, tmp_path):
    watch = Watch()
    classifier_for(stripes(), None, cache=tmp_path, progress=watch)
    assert watch.tasks == [(watch.done, "training the classifier")] and watch.closed == 1


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 9, 31), (1, 28, 28), (4, 33, 40), (3, 64, 64), (1, 150, 90)])
def test_any_size_and_channels(monkeypatch, tmp_path, shape):
    monkeypatch.setattr(classifier, "_FEWEST", 128)
    found = classifier_for(stripes(16, shape=shape, classes=("a", "b", "c")), None, cache=tmp_path)
    images = all_images(stripes(5, shape=shape, classes=("a", "b", "c"), seed=1))
    assert found.features(images).shape == (5, 128) and found.probabilities(images).shape == (5, 3)
    reduced = {(1, 150, 90): "150 x 90 pixels, reduced to 64 x 38 by area averaging"}
    assert found.protocol["input"] == reduced.get(shape, f"{shape[1]} x {shape[2]} pixels")


def test_shifts_move_whole_images_and_repeat_the_border():
    images = torch.arange(2 * 28 * 28).float().view(2, 1, 28, 28)
    moved = classifier.shifted(images, torch.Generator().manual_seed(1))
    candidates = []
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            rows, columns = (torch.arange(28) + dy).clamp(0, 27), (torch.arange(28) + dx).clamp(0, 27)
            candidates.append(images[:, :, rows][..., columns])
    for n in range(2):
        assert sum(torch.equal(moved[n], candidate[n]) for candidate in candidates) == 1


def test_every_example_is_seen_equally_often():
    order = classifier.order(torch.arange(10, 20), 4, torch.Generator().manual_seed(0))
    drawn = [next(order) for _ in range(5)]
    assert all(len(batch) == 4 for batch in drawn)
    assert torch.bincount(torch.cat(drawn)[:20])[10:].tolist() == [2] * 10


def test_wrong_data_are_refused(extractor, digits, tmp_path):
    plain = MemoryImages(About(spec=DataSpec(kind="images", shape=(1, 8, 8)), split="all"), torch.zeros(4, 8, 8, 1, dtype=torch.uint8))
    with pytest.raises(GanvasError, match="at least 2 classes; these have 0"):
        classifier_for(plain, None, cache=tmp_path)
    with pytest.raises(GanvasError, match="split 'test' has images 3 x 8 x 8, split 'train' 1 x 8 x 8"):
        classifier_for(digits, stripes(shape=(3, 8, 8), split="test"), cache=tmp_path)
    with pytest.raises(GanvasError, match="classes of split 'test' are not those"):
        classifier_for(digits, stripes(split="test"), cache=tmp_path)
    with pytest.raises(GanvasError, match="at least 2 training images"):
        classifier_for(stripes(2), None, cache=tmp_path)
    with pytest.raises(GanvasError, match="trained on images 1 x 8 x 8, these are 1 x 9 x 8"):
        extractor.features(torch.zeros(2, 1, 9, 8))


def test_pixels_are_area_means():
    images = torch.arange(32 * 32).float().view(1, 1, 32, 32) / 1024
    features = PixelExtractor().features(images)
    assert features.shape == (1, 256)
    assert float(features[0, 17]) == pytest.approx(float(images[0, 0, 2:4, 2:4].mean()))
    assert PixelExtractor().features(torch.zeros(3, 3, 8, 8)).shape == (3, 192)
    assert PixelExtractor().features(torch.zeros(3, 1, 64, 32)).shape == (3, 128)
    assert PixelExtractor().name == "pixels" and "weak" in PixelExtractor().protocol["note"]
    assert PixelExtractor().read(images).probabilities is None


def test_the_store_keeps_a_bounded_amount(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LIMIT", 3_000)
    for index in range(6):
        entry = store.Entry({"x": torch.full((200,), float(index))}, {"index": index})
        assert store.write(tmp_path, f"entry{index}", entry)
        for path in tmp_path.glob(f"entry{index}.*"):
            os.utime(path, (index, index))
    assert store.read(tmp_path, "entry0") is None
    kept = store.read(tmp_path, "entry5")
    assert kept.card == {"index": 5} and torch.equal(kept.tensors["x"], torch.full((200,), 5.0))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3_000


@pytest.mark.slow
def test_mnist_is_learnt(tmp_path):
    folder = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "mnist"
    if not folder.is_dir():
        pytest.skip(f"no MNIST in {folder}; set GANVAS_DATA to the folder that holds it")
    source = IdxSource("mnist", idx.find(folder))
    train, test = (source.open(split, Request()) for split in ("train", "test"))
    assert classifier_for(train, test, cache=tmp_path).accuracy >= 0.99
