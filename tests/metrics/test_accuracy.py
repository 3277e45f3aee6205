"""The accuracy of a model that classifies: by counting, and refused where there is none."""

from types import SimpleNamespace

import pytest
import torch

from ganvas.data.batch import Batch
from ganvas.data.progress import Silent
from ganvas.engine.capabilities import Classify
from ganvas.errors import GanvasError
from ganvas.metrics.incoming import BATCH
from ganvas.model_measures import OF_MODELS, Setting

from .conftest import all_images, all_labels


class Always(Classify):
    """Says one class of every image."""

    def __init__(self, label: int) -> None:
        self.label = label

    def classify(self, batch: Batch) -> torch.Tensor:
        return torch.eye(10)[self.label].expand(len(batch.images), 10)


class Knows(Classify):
    """Knows the images and their classes by heart, some of them wrongly."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, wrong: int) -> None:
        self.images, self.labels = images.flatten(1), labels.clone()
        self.labels[:wrong] = (self.labels[:wrong] + 1) % 10

    def classify(self, batch: Batch) -> torch.Tensor:
        nearest = torch.cdist(batch.images.flatten(1), self.images).argmin(1)
        return torch.eye(10)[self.labels[nearest]]


def measured(model, reference, classes=None):
    card = SimpleNamespace(title="Toy")
    spec = SimpleNamespace(classes=reference.spec.classes if classes is None else classes)
    run = SimpleNamespace(model=model, device="cpu", spec=spec, entry=SimpleNamespace(card=card))
    setting = Setting(run, reference, reference, None, count=10, seed=0, poll=lambda: None, progress=Silent())
    return OF_MODELS["accuracy"](setting)


def test_one_class_for_all_is_right_as_often_as_the_class_is_there(held_out):
    counts = held_out.label_counts()
    found = measured(Always(3), held_out)
    assert found.values == {"accuracy": counts[3] / len(held_out)}
    assert found.protocol == {"accuracy": "the model's own classifier; split test, 355 images"}


def test_every_image_of_the_split_is_asked(held_out, monkeypatch):
    model = Knows(all_images(held_out), all_labels(held_out), wrong=7)
    assert measured(model, held_out).values["accuracy"] == pytest.approx(1 - 7 / len(held_out))
    monkeypatch.setattr("ganvas.model_measures.BATCH", 13)
    assert BATCH != 13 and measured(model, held_out).values["accuracy"] == pytest.approx(1 - 7 / len(held_out))


def test_a_model_without_classes_or_with_others_is_refused(held_out):
    with pytest.raises(GanvasError, match="--metrics accuracy: Toy does not tell classes"):
        measured(object(), held_out)
    with pytest.raises(GanvasError, match="needs the classes of the training data .a, b and 0, 1, 2"):
        measured(Always(0), held_out, classes=("a", "b"))
