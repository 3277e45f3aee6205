"""The data sets that people start with, where they are at hand (`GANVAS_DATA`)."""

import os
import time
from pathlib import Path

import pytest
import torch

from ganvas.data.describe import scan
from ganvas.data.open import open_data, splits
from tests.data.pictures import pixels

pytestmark = pytest.mark.slow

FOLDER = Path(os.environ.get("GANVAS_DATA", Path(__file__).parents[2] / "../shared/data"))


def at(name: str) -> str:
    if not (FOLDER / name).exists():
        pytest.skip(f"{name} is not in {FOLDER}: set GANVAS_DATA")
    return str(FOLDER / name)


def test_mnist():
    source = at("mnist")
    train, test = open_data(source), open_data(source, split="test")
    assert (len(train), len(test)) == (60_000, 10_000) and train.spec.shape == (1, 28, 28)
    assert train.label_counts() == (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    assert pixels(train).mean() == pytest.approx(33.318, abs=0.01)  # 0.1307 of 255, the mean that everybody normalises by
    spent = []
    for _ in range(3):
        began = time.process_time()
        open_data(source)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.7


def test_fashion_mnist():
    assert open_data(at("fashion-mnist")).label_counts() == (6000,) * 10


def test_cifar10_in_its_zip():
    source = at("cifar10.zip")
    assert splits(source) == ("train", "test")
    train = open_data(source)
    assert len(train) == 50_000 and train.spec.shape == (3, 32, 32) and train.label_counts() == (5000,) * 10 and not train.rejected
    assert train.spec.classes == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    again = open_data(source)
    assert again.fingerprint == train.fingerprint
    rows = torch.randint(50_000, (64,))
    assert torch.equal(again.batch(rows).images, train.batch(rows).images)
    assert open_data(source, split="test").label_counts() == (1000,) * 10
    assert scan(source).sizes == ((32, 32, 60_000),)


def test_pairs_side_by_side():
    """The folder `facades`: whatever it shows, the right halves are drawings in grey, and its splits share files."""
    source = at("facades")
    assert splits(source) == ("train", "val") and open_data(source).spec.domains == ()
    train, held_out = open_data(source, layout="right-left"), open_data(source, split="val", layout="right-left")
    assert (len(train), len(held_out)) == (100, 155) and train.spec == held_out.spec and train.spec.aligned and not train.rejected
    assert train.spec.shape == (3, 256, 256) and train.spec.domains == ("right", "left")
    batch = train.batch(torch.arange(100))
    colour = [images.amax(1) - images.amin(1) for images in (batch.images, batch["target"])]
    assert colour[0].max() == 0 < colour[1].mean((1, 2)).min()
    note = "100 of the 155 images of split val are in split train, too: they are not held out"
    assert f"data: {note}" in train.notes() and f"data: {note}" in held_out.notes() and note in scan(source).conversions
