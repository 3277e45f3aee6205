"""The nearest training images: copies are found, oneself is not, and memory does not grow with the data."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.data.open import open_data
from ganvas.diagnostics import neighbours
from ganvas.diagnostics.neighbours import NeighboursObserver, nearest, searched
from ganvas.diagnostics.report import write_report
from ganvas.diagnostics.rows import read_rows
from tests.diagnostics.runs import begin, trainer


def tones(*values, side=4):
    """Images that are each of one tone, 0 to 255."""
    pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, side, side, 1).contiguous()
    return MemoryImages(About(spec=DataSpec(kind="images", shape=(1, side, side)), split="train"), pixels)


def asked(*values, side=4):
    return (torch.tensor(values).float() / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 1, side, side)


def test_differences_are_in_grey_levels():
    found = nearest(asked(100.0, 12.0), tones(0, 10, 90, 103, 200), k=2)
    assert found.numbers.tolist() == [[3, 2], [1, 0]]
    torch.testing.assert_close(found.differences, torch.tensor([[3.0, 10.0], [2.0, 12.0]], dtype=torch.float64), rtol=0, atol=1e-3)


def test_a_copy_has_no_difference_and_oneself_is_not_looked_at():
    data = tones(0, 50, 60, 255)
    images = data.batch(torch.arange(4)).images
    assert nearest(images, data, k=1).differences.max() == 0
    found = nearest(images, data, k=1, own=torch.tensor([0, 1, -1, 3]))
    assert found.numbers.flatten().tolist() == [1, 2, 2, 2]
    assert found.differences.flatten().tolist() == pytest.approx([50, 10, 0, 195], abs=1e-3)


def test_chunks_change_nothing(monkeypatch):
    data = open_data("digits")
    queries = open_data("digits", split="test").batch(torch.arange(5)).images
    whole = nearest(queries, data, k=3)
    by_hand = torch.cdist(queries.flatten(1).double(), data.batch(torch.arange(len(data))).images.flatten(1).double())
    assert torch.equal(whole.numbers, by_hand.topk(3, largest=False).indices)
    monkeypatch.setattr(neighbours, "CHUNK", 7)
    asked_for = []
    batch = data.batch
    monkeypatch.setattr(MemoryImages, "batch", lambda self, rows: asked_for.append(len(rows)) or batch(rows))
    again = nearest(queries, data, k=3)
    assert torch.equal(again.numbers, whole.numbers) and max(asked_for) == 7


def test_at_most_so_many_are_searched_spread_evenly():
    assert searched(5, 10).tolist() == [0, 1, 2, 3, 4] and searched(10, 4).tolist() == [0, 2, 5, 7]
    assert nearest(asked(255.0), tones(*range(0, 250, 10)), k=1, limit=5).numbers.tolist() == [[20]]


def test_large_images_are_compared_small():
    """A pattern of single pixels looks grey from afar."""
    pattern = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    found = nearest(pattern.view(1, 1, 64, 64), tones(0, 127, 255, side=64), k=1)
    assert found.numbers.tolist() == [[1]] and float(found.differences[0, 0]) < 1


def test_at_the_end_a_run_shows_them(tmp_path):
    _, model, examples = begin(tmp_path / "run")
    observer = NeighboursObserver(tmp_path / "run")
    t = trainer(model, examples)
    observer.finish(t, "finished")
    picture = tmp_path / "run" / "samples" / "neighbours.png"
    assert not picture.exists(), "no grid was drawn"
    copies = examples.batch(torch.arange(0, 64)).images
    observer.shown(t, copies)
    observer.finish(t, "interrupted")
    assert not picture.exists()
    for _ in range(2):
        observer.finish(t, "finished")
    (row,) = [row for row in read_rows(tmp_path / "run" / "metrics.jsonl") if row["kind"] == "neighbours"]
    assert row["values"]["samples"] == 0 < row["values"]["data"] and row["searched"] == row["examples"] == len(examples)
    with Image.open(picture) as drawn:
        assert np.asarray(drawn).std() > 0
    text = write_report(tmp_path / "run").read_text()
    assert "Nearest training images" in text and f"all {len(examples):,} training images" in text


def test_a_single_image_has_no_neighbours(tmp_path):
    begin(tmp_path / "run")
    _, model, _ = begin(tmp_path / "other")
    t = trainer(model, open_data("digits"))
    t.examples = open_data("flower", resolution=16)
    observer = NeighboursObserver(tmp_path / "run")
    observer.shown(t, torch.zeros(4, 3, 11, 16))
    observer.finish(t, "finished")
    assert read_rows(tmp_path / "run" / "metrics.jsonl") == []
