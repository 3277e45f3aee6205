"""Copies of training images are told from images like them."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.memorised import Nearest, copying


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(rows, among, parts=1):
    nearest = Nearest(rows)
    for part in among.chunk(parts):
        nearest.among(part)
    return nearest.distances()


def test_nearest_distances_by_hand():
    found = distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [3.0, 4.0]]).double())
    assert found.tolist() == pytest.approx([2.0 / 2**0.5, 0.0], abs=1e-7)


def test_the_law_itself_copies_go_and_strangers():
    training, held_out = normal(500, 8), normal(400, 8, seed=1)
    usual = distance(held_out, training)
    itself = copying(distance(normal(400, 8, seed=2), training), usual)
    assert itself.copying == pytest.approx(0.5, abs=0.06) and itself.copies == 0.0
    copies = copying(distance(training[:100], training, parts=7), usual)
    assert copies.copying == 1.0 and copies.copies == 1.0 and copies.distance == pytest.approx(0.0, abs=1e-6)
    far = copying(distance(20 * normal(100, 8, seed=3), training), usual)
    assert far.copying < 0.02


def test_a_stream_of_training_images_is_one_set():
    rows, among = normal(50, 4), normal(300, 4, seed=1)
    torch.testing.assert_close(distance(rows, among, parts=7), distance(rows, among), rtol=1e-9, atol=1e-9)


def test_ties_count_half():
    assert copying(torch.ones(4), torch.ones(9)).copying == 0.5


def test_other_sizes_are_refused():
    with pytest.raises(GanvasError, match="features each"):
        distance(normal(4, 2), normal(4, 3))
