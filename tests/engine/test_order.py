"""The order of the data: a permutation in each epoch, and a pure function of the position."""

import pytest
import torch

from ganvas.engine.order import Order


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_each_epoch_is_a_permutation(size):
    seen = Order(size, seed=1).indices(0, 5 * size).view(5, size)
    for epoch in seen:
        assert epoch.sort().values.tolist() == list(range(size))


def test_epochs_and_seeds_differ():
    seen = Order(64, seed=1).indices(0, 128)
    assert not torch.equal(seen[:64], seen[64:])
    assert not torch.equal(Order(64, seed=2).indices(0, 64), seen[:64])


@pytest.mark.parametrize(("start", "count"), [(0, 1), (9, 2), (10, 10), (7, 26), (95, 5), (3, 97)])
def test_a_position_has_its_example_however_it_is_reached(start, count):
    whole = Order(10, seed=3).indices(0, 100)
    assert torch.equal(Order(10, seed=3).indices(start, count), whole[start : start + count])


def test_going_back_gives_the_same_examples():
    order = Order(10, seed=3)
    first = order.indices(5, 20)
    order.indices(700, 4)
    assert torch.equal(order.indices(5, 20), first)


def test_a_set_smaller_than_a_batch_is_seen_evenly():
    counts = torch.bincount(Order(4, seed=0).indices(2, 10), minlength=4)
    assert counts.sum() == 10 and counts.min() >= 2 and counts.max() <= 4


def test_skipping_far_ahead_is_immediate():
    far = 10**12
    assert torch.equal(Order(1000, seed=0).indices(far, 3), Order(1000, seed=0).indices(far - 1, 4)[1:])


def test_the_order_knows_nothing_of_the_global_generator():
    torch.manual_seed(1)
    first = Order(50, seed=0).indices(0, 50)
    torch.manual_seed(2)
    assert torch.equal(Order(50, seed=0).indices(0, 50), first)
