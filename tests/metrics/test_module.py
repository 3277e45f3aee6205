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


def test_what_is_no_feature_is_refused(digits):
    with pytest.raises(GanvasError, match=r"features \(N, D\) of 9 images are wanted, \(\) came"):
        ModuleExtractor(Wrong(), "wrong").features(all_images(digits)[:9])
    with pytest.raises(GanvasError, match="needs a name"):
        ModuleExtractor(Means(), "")
