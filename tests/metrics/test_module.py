"""A user's network as the extractor."""

import pytest
import torch
from torch import nn

from ganvas.errors import GanvasError
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.module import ModuleExtractor
from tests.metrics.conftest import all_images


class Means(nn.Module):
    """The mean of each quarter of an image."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return self.weight * nn.functional.adaptive_avg_pool2d(x, 2)


class Wrong(nn.Module):
    def forward(self, x):
        return x.mean()


def test_its_features_are_used_and_named(digits, held_out, tmp_path):
    extractor = ModuleExtractor(Means(), "quarters")
    images = all_images(digits)[:50]
    expected = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
    torch.testing.assert_close(extractor.features(images), expected)
    found = evaluate(images, held_out, extractor, metrics=("fd", "kid"), cache=tmp_path)
    assert found.protocol["features"]["name"] == "quarters" and found.values["fd"] < 0.1
    with pytest.raises(GanvasError, match="needs class probabilities"):
        evaluate(images, held_out, extractor, metrics=("is",), cache=tmp_path)


def test_the_hash_follows_weights_name_and_code():
    hashes = {ModuleExtractor(module, name).hash for module in (Means(), Means(2.0), Wrong()) for name in ("a", "b")}
    assert len(hashes) == 6
    assert ModuleExtractor(Means(), "a").hash in hashes


class Scaled(nn.Module):
    """Holds what decides its output in every way a module can."""

    def __init__(self, *, number=1.0, pair=(1.0, 2.0), unregistered=1.0, unsaved=1.0):
        super().__init__()
        self.number, self.pair, self._unregistered = number, pair, {"weight": torch.tensor([unregistered])}
        self.register_buffer("unsaved", torch.tensor(unsaved), persistent=False)

    def forward(self, x):
        return self.number * self.pair[0] * self._unregistered["weight"] * self.unsaved * x.flatten(1)


def test_the_hash_follows_what_is_held_beside_weights(digits, held_out, tmp_path):
    """Otherwise features of the reference that another module of that name and class left behind would be taken for this one's."""
    changes = ({"number": 2.0}, {"pair": (2.0, 2.0)}, {"unregistered": 2.0}, {"unsaved": 2.0})
    modules = [Scaled(), *(Scaled(**change) for change in changes), nn.AvgPool2d(2), nn.AvgPool2d(4), nn.MaxPool2d(2)]
    assert len({ModuleExtractor(module, "a").hash for module in modules}) == len(modules)
    assert ModuleExtractor(Scaled(), "a").hash == ModuleExtractor(Scaled(), "a").hash
    images = all_images(held_out)
    for module in modules[:5]:  # the reference is the samples, so that features of another module would be far from theirs
        found = evaluate(images, held_out, ModuleExtractor(module, "a"), metrics=("fd",), cache=tmp_path)
        assert found.values["fd"] == pytest.approx(0.0, abs=1e-6)


def test_what_is_no_feature_is_refused(digits):
    with pytest.raises(GanvasError, match=r"features \(N, D\) of 9 images are wanted, \(\) came"):
        ModuleExtractor(Wrong(), "wrong").features(all_images(digits)[:9])
    with pytest.raises(GanvasError, match="needs a name"):
        ModuleExtractor(Means(), "")
