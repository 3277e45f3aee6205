"""Triples of grey images as the channels of one."""

import pytest
import torch

from ganvas.data.digits import DigitSource
from ganvas.data.open import open_data, splits
from ganvas.data.source import Request
from ganvas.data.stacked import SIZES
from ganvas.errors import GanvasError
from ganvas.metrics.choosing import choose
from ganvas.metrics.evaluate import evaluate


@pytest.fixture(scope="module")
def stacked():
    return open_data("stacked:digits", split="test")


def test_channels_are_digits_of_the_class(stacked):
    digits = DigitSource().open("test", Request())
    assert len(stacked) == SIZES["test"] == 26_000 and len(stacked.spec.classes) == 1_000
    assert stacked.spec.shape == (3, 8, 8) and splits("stacked:digits") == ("train", "test")
    rows = torch.tensor([0, 25_999, 17])
    batch = stacked.batch(rows)
    for image, label, triple in zip(batch.images, batch.labels.tolist(), stacked._rows[rows], strict=True):
        single = digits.batch(triple)
        assert torch.equal(image, single.images[:, 0])
        assert stacked.spec.classes[label] == "".join(map(str, single.labels.tolist()))


def test_the_draw_is_fixed_and_splits_differ(stacked):
    again, train = open_data("stacked:digits", split="test"), open_data("stacked:digits")
    assert again.fingerprint == stacked.fingerprint != train.fingerprint
    assert len(train) == 128_000 and min(train.label_counts()) > 60
    assert sum(stacked.label_counts()) == 26_000


def test_the_data_find_all_modes(stacked, tmp_path):
    train = open_data("stacked:digits")
    comparison = choose(train, stacked, cache=tmp_path)
    images = torch.cat([train.batch(rows).images for rows in torch.arange(20_000).split(5_000)])
    found = comparison.evaluate(images, stacked, count=20_000, metrics=("modes", "classes"), cache=tmp_path)
    assert found.values["modes_of"] == 1_000 and found.values["modes_found"] >= 995
    assert found.values["modes_kl"] < 0.1
    one = evaluate(images[:1].expand(50, -1, -1, -1), stacked, comparison.extractor, metrics=("modes",), cache=tmp_path)
    assert one.values["modes_found"] == 1 and one.values["modes_kl"] == pytest.approx(6.9, abs=0.4)


def test_other_sources_are_refused():
    with pytest.raises(GanvasError, match="grey images with classes are stacked, and 'flower'"):
        open_data("stacked:flower")
    with pytest.raises(GanvasError, match="a source is stacked once"):
        open_data("stacked:stacked:digits")
    with pytest.raises(GanvasError, match="there is no data source 'nowhere'"):
        open_data("stacked:nowhere")
