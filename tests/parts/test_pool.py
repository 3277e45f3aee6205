"""The pool of earlier fakes: filled first, exchanged half of the time then, and changed only when told."""

import torch

from ganvas.engine.draws import StepDraws
from ganvas.parts.pool import keep, shown

CPU = torch.device("cpu")


def fakes(first, n):
    """n fakes (n, 1, 1, 1) numbered from `first`."""
    return torch.arange(first, first + n, dtype=torch.float32).view(n, 1, 1, 1)


def empty(capacity):
    return torch.zeros(capacity, 1, 1, 1), torch.zeros((), dtype=torch.int64)


def test_a_pool_fills_before_it_exchanges():
    pool, filled = empty(5)
    for number, room in enumerate((2, 2, 1)):
        images, slots = shown(pool, filled, fakes(10 + 2 * number, 2), StepDraws(number, 0, 1, CPU))
        assert torch.equal(images, fakes(10 + 2 * number, 2)) and slots.tolist() == [-1, -1]
        before = int(filled)
        keep(pool, filled, fakes(10 + 2 * number, 2), slots)
        assert int(filled) - before == room
    assert pool.flatten().tolist() == [10, 11, 12, 13, 14]


def test_half_of_the_fakes_are_exchanged_for_random_slots():
    pool, filled = fakes(0, 10), torch.tensor(10)
    images, slots = shown(pool, filled, fakes(100, 4000), StepDraws(0, 0, 1, CPU))
    swapped = slots >= 0
    assert abs(float(swapped.double().mean()) - 0.5) < 0.04
    assert torch.equal(images[swapped], pool[slots[swapped]]) and torch.equal(images[~swapped], fakes(100, 4000)[~swapped])
    assert (torch.bincount(slots[swapped], minlength=10) > 120).all()
    assert torch.equal(pool, fakes(0, 10))


def test_an_exchanged_fake_takes_the_slot():
    pool, filled = fakes(0, 4), torch.tensor(4)
    keep(pool, filled, fakes(50, 3), torch.tensor([2, -1, 0]))
    assert pool.flatten().tolist() == [52, 1, 50, 3] and int(filled) == 4


def test_of_two_fakes_for_one_slot_the_later_stays():
    pool, filled = fakes(0, 3), torch.tensor(3)
    keep(pool, filled, fakes(50, 4), torch.tensor([1, 2, 1, -1]))
    assert pool.flatten().tolist() == [0, 52, 51]


def test_more_fakes_than_room_leave_the_first_of_them():
    pool, filled = fakes(0, 4), torch.tensor(3)
    keep(pool, filled, fakes(50, 3), torch.tensor([-1, -1, -1]))
    assert pool.flatten().tolist() == [0, 1, 2, 50] and int(filled) == 4


def test_what_is_shown_is_a_function_of_the_draws():
    pool, filled = fakes(0, 8), torch.tensor(8)
    first, again, other = (shown(pool, filled, fakes(100, 64), StepDraws(seed, 0, 1, CPU)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1]) and not torch.equal(first[1], other[1])
    whole = shown(pool, filled, fakes(100, 64), StepDraws(1, 0, 1, CPU))[1]
    halves = [shown(pool, filled, fakes(100 + 32 * part, 32), StepDraws(1, part, 2, CPU))[1] for part in (0, 1)]
    assert torch.equal(whole, torch.cat(halves)), "ranks and micro-batches see parts of one draw"


def test_a_pool_of_nothing_shows_every_fake():
    pool, filled = empty(0)
    images, slots = shown(pool, filled, fakes(3, 2), StepDraws(0, 0, 1, CPU))
    keep(pool, filled, fakes(3, 2), slots)
    assert torch.equal(images, fakes(3, 2)) and slots.tolist() == [-1, -1] and int(filled) == 0
