"""What samples are compared on, by what the data have; and that the protocol says it."""

import pytest
import torch

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.data.open import open_data
from ganvas.errors import GanvasError
from ganvas.metrics import choosing, patches, rotations
from ganvas.metrics.choosing import choose

from .conftest import all_images
from .test_rotations import arrows


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(rotations, "_STEPS", 40)
    monkeypatch.setattr(patches, "PATCHES", 256)


def unlabelled(count, split="train"):
    return arrows(count, split=split, seed=count)


def labelled(count, classes):
    spec = DataSpec(kind="images", shape=(1, 10, 10), classes=classes)
    labels = torch.arange(count) % len(classes)
    return MemoryImages(About(spec=spec, split="train"), arrows(count)._pixels, labels)


def test_labels_come_first(digits, held_out, classifier_cache):
    found = choose(digits, held_out, cache=classifier_cache)
    assert found.extractor.name == "classifier" and found.why == "classifier: the data have labels"
    measured = found.evaluate(all_images(digits)[:200], held_out, cache=classifier_cache)
    assert next(iter(measured.protocol)) == "chosen" and measured.protocol["chosen"] == found.why and "classes" in measured.values


def test_many_images_without_labels_are_compared_on_rotations(tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "ENOUGH", 100)
    found = choose(unlabelled(100), unlabelled(30, "test"), cache=tmp_path)
    assert found.extractor.name == "rotations" and found.why == "rotations: the data have no labels and 100 images"
    measured = found.evaluate(all_images(unlabelled(31)), unlabelled(30, "test"), cache=tmp_path)
    assert set(measured.values) == {"fd", "precision", "recall", "density", "coverage"} and measured.protocol["chosen"] == found.why
    one_class = labelled(100, ("only",))
    assert choose(one_class, None, cache=tmp_path).extractor.name == "rotations"


def test_fewer_are_compared_on_patches(tmp_path):
    found = choose(unlabelled(999), None, cache=tmp_path)
    assert found.extractor is None and found.why == "patches: the data have no labels and 999 images, fewer than 1,000"
    measured = found.evaluate(all_images(unlabelled(20)), unlabelled(30, "test"))
    assert "patch_kd" in measured.values and measured.protocol["chosen"] == found.why and "999" in measured.to_text()


def test_images_that_look_alike_when_turned_are_compared_on_patches(tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "ENOUGH", 100)
    data, held_out = arrows(100, upright=False), arrows(60, split="test", seed=1, upright=False)
    found = choose(data, held_out, cache=tmp_path)
    assert found.extractor is None and "they look alike however they are turned" in found.why
    asked = choose(data, held_out, features="rotations", cache=tmp_path)
    assert asked.extractor.name == "rotations" and asked.why == "rotations: asked for"


def test_one_image_and_a_handful(tmp_path):
    flower = open_data("flower", resolution=32)
    one = choose(flower, None, cache=tmp_path)
    assert one.extractor is None and one.why == "patches: 1 image is too few for features"
    assert one.count(flower) == 50 and one.count(unlabelled(30), 20) == 20 and one.count(unlabelled(30)) == 30
    few = choose(labelled(12, ("a", "b")), labelled(5, ("a", "b")), cache=tmp_path)
    assert few.extractor is None and few.why == "patches: 5 images are too few for features"


def test_numbers_of_features_are_refused_where_patches_are_compared(tmp_path):
    flower = open_data("flower", resolution=32)
    with pytest.raises(GanvasError, match=r"--metrics fd: these data are compared by patches .*--features"):
        choose(flower, None, cache=tmp_path).evaluate(all_images(flower).repeat(8, 1, 1, 1), flower, metrics=("fd",))


@pytest.mark.parametrize("features", ["pixels", "patches", "rotations"])
def test_what_is_asked_for_is_taken(digits, held_out, tmp_path, features):
    found = choose(digits, held_out, features=features, cache=tmp_path)
    assert found.why == f"{features}: asked for"
    assert (found.extractor is None) == (features == "patches")
    assert features == "patches" or found.extractor.name == features
    measured = found.evaluate(all_images(digits)[:50], held_out, cache=tmp_path)
    assert measured.protocol["features"]["name"] == features


def test_what_cannot_be_is_an_error_that_names_the_flag(tmp_path):
    with pytest.raises(GanvasError, match="--features classifier: the data have no labels: use --features rotations or patches"):
        choose(unlabelled(40), None, features="classifier", cache=tmp_path)
    with pytest.raises(GanvasError, match="--features classifier: the data have only one class"):
        choose(labelled(40, ("only",)), None, features="classifier", cache=tmp_path)
    with pytest.raises(GanvasError, match="--features pixels: features need at least 6 images, and there are 1: use --features patches"):
        choose(open_data("flower", resolution=32), None, features="pixels", cache=tmp_path)
