"""LSTMs over fronts: the order of diagonals by hand, a recurrence written plainly, and its gradients."""

import pytest
import torch

from ganvas.parts.scan import fronts, lstm

CPU = torch.device("cpu")
SIZES = [(3, 4), (4, 3), (1, 5), (5, 1), (3, 3)]


def neighbours(kind, r, c):
    """The taps of a pixel and, last, where its cell state comes from."""
    return [(r - 1, c - 1), (r - 1, c), (r - 1, c + 1), (r - 1, c)] if kind == "row" else [(r, c - 1), (r - 1, c), (r, c - 1)]


def plainly(kind, gates, weight, height, width):
    """The same recurrence pixel by pixel in raster order, on gates (H, W, B, 4 A) of one run."""
    zeros = torch.zeros(gates.shape[2], weight.shape[1], dtype=gates.dtype)
    h, c = {}, {}
    for row in range(height):
        for column in range(width):
            *taps, own = neighbours(kind, row, column)
            pre = gates[row, column]
            for tap, place in enumerate(taps):
                pre = pre + h.get(place, zeros) @ weight[tap]
            i, f, o, g = pre.chunk(4, -1)
            c[row, column] = f.sigmoid() * c.get(own, zeros) + i.sigmoid() * g.tanh()
            h[row, column] = o.sigmoid() * c[row, column].tanh()
    return torch.stack([torch.stack([h[row, column] for column in range(width)]) for row in range(height)])


def drawn(kind, height, width):
    g = torch.Generator().manual_seed(0)
    runs, taps = (1, 3) if kind == "row" else (2, 2)
    gates = [torch.randn(height, width, 2, 12, generator=g, dtype=torch.float64) for _ in range(runs)]
    return gates, torch.randn(runs, taps, 3, 12, generator=g, dtype=torch.float64)


def test_diagonals_by_hand():
    plan = fronts("diagonal", 3, 2, CPU)
    assert plan.orders[0].tolist() == [0, 1, 2, 3, 4, 5]  # (0,0) (0,1) (1,0) (1,1) (2,0) (2,1)
    assert plan.orders[1].tolist() == [1, 0, 3, 2, 5, 4]
    assert plan.spans == ((0, 0, 0), (1, 0, 1), (3, 1, 2), (5, 2, 2)) and plan.taps == (0, -1)
    assert fronts("diagonal", 2, 3, CPU).orders[0].tolist() == [0, 1, 3, 2, 4, 5]
    assert plan.overlap(0, 0) is None
    assert plan.overlap(1, 0) == (slice(1, 2), slice(0, 1)) and plan.overlap(1, -1) == (slice(2, 3), slice(0, 1))
    assert plan.overlap(2, 0) == (slice(3, 4), slice(2, 3)) and plan.overlap(2, -1) == (slice(3, 5), slice(1, 3))


@pytest.mark.parametrize("kind", ["row", "diagonal"])
@pytest.mark.parametrize("size", SIZES)
def test_fronts_hold_every_pixel_once(kind, size):
    plan, pixels = fronts(kind, *size, CPU), size[0] * size[1]
    assert all(sorted(order.tolist()) == list(range(pixels)) for order in plan.orders)
    ends = [start + high - low + 1 for start, low, high in plan.spans]
    assert [start for start, _, _ in plan.spans] == [0, *ends[:-1]] and ends[-1] == pixels


@pytest.mark.parametrize("kind", ["row", "diagonal"])
@pytest.mark.parametrize("size", SIZES)
def test_states_are_those_of_the_plain_recurrence(kind, size):
    gates, weight = drawn(kind, *size)
    found = lstm(weight, fronts(kind, *size, CPU), *(gate.flatten(0, 1) for gate in gates))
    torch.testing.assert_close(found[0].unflatten(0, size), plainly(kind, gates[0], weight[0], *size))
    if kind == "diagonal":
        mirrored = plainly(kind, gates[1].flip(1), weight[1], *size).flip(1)
        torch.testing.assert_close(found[1].unflatten(0, size), mirrored)


@pytest.mark.parametrize("kind", ["row", "diagonal"])
@pytest.mark.parametrize("size", [(3, 4), (4, 3), (1, 3), (3, 1)])
def test_gradients_are_those_of_finite_differences(kind, size):
    gates, weight = drawn(kind, *size)
    plan = fronts(kind, *size, CPU)
    flat = [gate.flatten(0, 1).requires_grad_() for gate in gates]
    assert torch.autograd.gradcheck(lambda w, *g: lstm(w, plan, *g), (weight.requires_grad_(), *flat))


def test_inputs_are_left_as_they_were():
    gates, weight = drawn("row", 3, 3)
    flat = gates[0].flatten(0, 1)
    before = flat.clone()
    lstm(weight, fronts("row", 3, 3, CPU), flat)
    assert torch.equal(flat, before)
