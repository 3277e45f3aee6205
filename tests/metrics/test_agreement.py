"""Agreement of categories with classes: by hand, against all orders, with more of one than of the other; and of a model that is known."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from ganvas.data.progress import Silent
from ganvas.engine.capabilities import Encode, Factors, Latent
from ganvas.errors import GanvasError
from ganvas.metrics.agreement import agreement
from ganvas.model_measures import OF_MODELS, Setting
from tests.metrics.conftest import all_images, all_labels


def of(categories, classes, k=3, c=3):
    return agreement(torch.tensor(categories), torch.tensor(classes), of_categories=k, of_classes=c)


def test_the_order_of_categories_does_not_matter():
    found = of([0, 0, 1, 1, 2, 2], [2, 2, 0, 0, 1, 1])
    assert (found.share, found.matched) == (1.0, (2, 0, 1))


def test_by_hand_the_best_match_is_not_the_greedy_one():
    """Category 0 has 3 of class 0 and 2 of class 1, category 1 has 2 of class 0 alone: matching 0 with 0 first would give 3 of 7."""
    found = of([0] * 5 + [1] * 2, [0, 0, 0, 1, 1, 0, 0], 2, 2)
    assert (found.share, found.matched) == (4 / 7, (1, 0))


def test_it_is_the_best_of_all_orders():
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        categories, classes = torch.randint(5, (40,), generator=generator), torch.randint(5, (40,), generator=generator)
        found = agreement(categories, classes, of_categories=5, of_classes=5)
        every = [float((torch.tensor(order)[categories] == classes).float().mean()) for order in itertools.permutations(range(5))]
        assert found.share == pytest.approx(max(every))
        assert float((torch.tensor(found.matched)[categories] == classes).float().mean()) == pytest.approx(found.share)


def test_each_class_is_matched_once():
    more = of([0, 1, 2, 2], [0, 0, 1, 1], 3, 2)
    assert more.share == 3 / 4 and sorted(more.matched) == [-1, 0, 1]
    fewer = of([0, 0, 1, 1], [0, 1, 2, 2], 2, 3)
    assert fewer.share == 3 / 4 and fewer.matched[1] == 2


def test_one_category_for_all_agrees_with_one_class():
    assert of([1] * 9, [0, 1, 2] * 3).share == pytest.approx(1 / 3)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(GanvasError, match="categories of 0 .. 2 are wanted"):
        of([3], [0])
    with pytest.raises(GanvasError, match="classes of 0 .. 2 are wanted"):
        of([0], [-1])
    with pytest.raises(GanvasError, match="2 categories need as many classes, 1 came"):
        of([0, 1], [0])


class Album(Latent, Factors, Encode):
    """Shows real digits: the categories are the classes, one later; of c1 with a share of `wrong` ones. c2 means nothing."""

    def __init__(self, images, labels, wrong):
        self.images, self.labels, self.wrong = images, labels, wrong
        self.of_class = [(labels == label).nonzero()[:, 0] for label in range(10)]

    @property
    def prior(self):
        return "uniform"

    def draw(self, n, rng):
        return torch.cat([rng.uniform(n, 2), torch.zeros(n, 3)], 1)

    def decode(self, z, *, condition=None):
        wanted = torch.where(z[:, 1] < self.wrong, (z[:, 2] + 1) % 10, z[:, 2]).long()
        rows = [
            int(self.of_class[(label + 1) % 10][int(place * 20)]) for label, place in zip(wanted.tolist(), z[:, 0].tolist(), strict=True)
        ]
        return self.images[rows]

    @property
    def factors(self):
        return {"c1": 10, "c2": 2, "c3": 0}

    def turn(self, z, factor, value):
        z = z.clone()
        z[:, 1 + int(factor[1])] = value.float()
        return z

    def read(self, z, factor):
        return z[:, 1 + int(factor[1])].long()

    def encode(self, batch):
        z = torch.zeros(batch.size, 5)
        z[:, 2] = (batch.labels - 1) % 10
        return z


def measured(model, held_out, extractor, count=500):
    run = SimpleNamespace(model=model, entry=SimpleNamespace(card=SimpleNamespace(title="Album")), device="cpu")
    setting = Setting(run, held_out, held_out, extractor, count=count, seed=0, poll=lambda: None, progress=Silent())
    return OF_MODELS["factors"](setting)


def test_a_model_that_shows_its_categories(digits, held_out, extractor):
    images, labels = all_images(digits), all_labels(digits)
    good = measured(Album(images, labels, 0.0), held_out, extractor)
    assert good.values["factor_agreement"] > 0.97 and good.values["factor_agreement_of_data"] == 1.0
    assert "samples of c1" in good.protocol["factors"] and "matched with 1, 2, 3, 4, 5, 6, 7, 8, 9, 0" in good.protocol["factors"]
    half = measured(Album(images, labels, 0.4), held_out, extractor)
    assert half.values["factor_agreement"] == pytest.approx(0.6, abs=0.06)
    assert half.values["factor_agreement_of_data"] == 1.0


def test_a_code_without_categories_is_refused(held_out, extractor):
    class Numbers(Album):
        @property
        def factors(self):
            return {"c3": 0}

    with pytest.raises(GanvasError, match="no part of this code has categories .there are: c3."):
        measured(Numbers(all_images(held_out), all_labels(held_out), 0.0), held_out, extractor)
