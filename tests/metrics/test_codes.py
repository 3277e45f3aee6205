"""Classes in code space: the nearest code by hand and against scikit-learn, and the metric of models that are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from ganvas.data.progress import Silent
from ganvas.engine.capabilities import Encode, Latent
from ganvas.errors import GanvasError
from ganvas.metrics.codes import nearest_accuracy
from ganvas.model_measures import OF_MODELS, Setting
from tests.metrics.conftest import all_images, all_labels


def test_the_nearest_code_by_hand():
    known, labels = torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([3, 4])
    asked = torch.tensor([[1.0, 5.0], [4.0, 0.0], [6.0, 0.0], [20.0, 0.0]])
    assert nearest_accuracy(known, labels, asked, torch.tensor([3, 3, 3, 4])) == 3 / 4


def test_it_is_scikit_learns_whatever_the_block():
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(300, 5)) + 1e4, rng.normal(size=(101, 5)) + 1e4  # far from 0
    labels, truth = rng.integers(4, size=300), rng.integers(4, size=101)
    wanted = KNeighborsClassifier(1).fit(known, labels).score(asked, truth)
    for block in (1, 1000, 10**6):
        found = nearest_accuracy(*map(torch.tensor, (known, labels, asked, truth)), block=block)
        assert found == pytest.approx(wanted)


def test_codes_that_are_not_finite_and_labels_that_are_missing_are_refused():
    with pytest.raises(GanvasError, match="1 of 2 rows"):
        nearest_accuracy(torch.tensor([[0.0], [torch.nan]]), torch.zeros(2), torch.zeros(1, 1), torch.zeros(1))
    with pytest.raises(GanvasError, match="2 and 1 codes need as many labels, 1 and 1 came"):
        nearest_accuracy(torch.zeros(2, 1), torch.zeros(1), torch.zeros(1, 1), torch.zeros(1))


class Knows(torch.nn.Module, Encode, Latent):
    """Codes that are classes, of a share of `wrong` images the next one; decodes a real image of the class, or of the next one."""

    def __init__(self, images, labels, wrong=0.0, turned=0):
        super().__init__()
        self.of_class = torch.stack([images[labels == label][0] for label in range(10)])
        self.wrong, self.turned = wrong, turned

    def encode(self, batch):
        shift = (torch.arange(len(batch.labels)) % 10 < 10 * self.wrong).long()
        return ((batch.labels + shift) % 10)[:, None].float()

    def decode(self, z, *, condition=None):
        return self.of_class[(z[:, 0].long() + self.turned) % 10]

    def draw(self, n, rng):
        return rng.uniform(n, 1)

    @property
    def prior(self):
        return "uniform"


class Blind(torch.nn.Module, Encode):
    """One code for all."""

    def encode(self, batch):
        return torch.zeros(batch.size, 3)


def measured(monkeypatch, model, training, reference, extractor):
    monkeypatch.setattr("ganvas.model_measures.untrained", lambda run: Blind())
    run = SimpleNamespace(model=model, device="cpu", entry=SimpleNamespace(card=SimpleNamespace(title="Toy")))
    setting = Setting(run, training, reference, extractor, count=10, seed=0, poll=lambda: None, progress=Silent())
    return OF_MODELS["codes"](setting)


def test_an_encoder_that_knows_the_class_and_one_that_knows_nothing(monkeypatch, digits, held_out, extractor):
    model = Knows(all_images(digits), all_labels(digits))
    found = measured(monkeypatch, model, digits, held_out, extractor)
    assert found.values["code_1nn"] == 1.0 and found.values["class_kept"] == 1.0
    first = int(all_labels(digits)[0])  # all codes are equally near: the first training image answers for all
    assert found.values["code_1nn_untrained"] == pytest.approx(held_out.label_counts()[first] / len(held_out))
    assert "split test, 355 images" in found.protocol["codes"] and "what is decoded" in found.protocol["codes"]


def test_classes_that_are_lost_on_the_way_there_or_back(monkeypatch, digits, held_out, extractor):
    images, labels = all_images(digits), all_labels(digits)
    lost = measured(monkeypatch, Knows(images, labels, turned=1), digits, held_out, extractor)
    assert lost.values["code_1nn"] == 1.0 and lost.values["class_kept"] == 0.0
    half = measured(monkeypatch, Knows(images, labels, wrong=0.4), digits, held_out, extractor)
    assert half.values["class_kept"] == pytest.approx(1 - 144 / 355)  # batches of 250 and 105


def test_without_a_way_back_or_a_classifier_the_share_is_left_out(monkeypatch, digits, held_out, extractor):
    model = Knows(all_images(digits), all_labels(digits))
    assert measured(monkeypatch, Blind(), digits, held_out, extractor).values.keys() == {"code_1nn", "code_1nn_untrained"}
    assert measured(monkeypatch, model, digits, held_out, None).values.keys() == {"code_1nn", "code_1nn_untrained"}


def test_what_it_needs_is_said(monkeypatch, digits, held_out, extractor):
    with pytest.raises(GanvasError, match="--metrics codes: Toy does not map data to codes"):
        measured(monkeypatch, object(), digits, held_out, extractor)
    with pytest.raises(GanvasError, match="--metrics codes: needs a training split beside"):
        measured(monkeypatch, Blind(), held_out, held_out, extractor)
