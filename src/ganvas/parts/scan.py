"""LSTMs that run over an image front by front: row after row, or diagonal after diagonal.

Van den Oord et al. 2016 (arXiv:1601.06759), sections 3.1 and 3.2. All pixels of a front depend on the front before alone, so they are
computed together. Within a run pixels are kept in the order of the fronts: P = H W of them, none wasted on the corners of a skewed map.

Shapes: D runs, P pixels, B batch, A units, T taps (pixels of the front before that a state is computed from).
"""

from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor

__all__ = ["Fronts", "fronts", "lstm"]


@final
@dataclass(frozen=True)
class Fronts:
    """How an image is run over.

    `orders`: of each run the number r W + c of each pixel (P,) in the order of the fronts. `spans`: of each front the first pixel in that
    order, and the first and last place; the place of a pixel is its column in a row, its row in a diagonal. `taps`: which places of the
    front before a pixel sees, relative to its own; the cell state comes from the same place. `places`: how many there are.
    """

    orders: tuple[Tensor, ...]
    spans: tuple[tuple[int, int, int], ...]
    taps: tuple[int, ...]
    places: int

    def overlap(self, front: int, offset: int) -> tuple[slice, slice] | None:
        """Pixels of a front that see one `offset` places away in the front before, and those that they see; None if there are none."""
        if front == 0:
            return None
        (start, low, high), (before, first, last) = self.spans[front], self.spans[front - 1]
        lowest, highest = max(low, first - offset), min(high, last - offset)
        if lowest > highest:
            return None
        here, there = start + lowest - low, before + lowest + offset - first
        return slice(here, here + highest - lowest + 1), slice(there, there + highest - lowest + 1)


def fronts(kind: Literal["row", "diagonal"], height: int, width: int, device: torch.device) -> Fronts:
    """Rows, whose pixels see the three above; or diagonals, once from the left and once from the right, whose pixels see the one beside
    (tap 0) and the one above (tap -1).

    The diagonals r + c = d are the columns of the paper's skewed map, in which row r is moved r places to the right.
    """
    pixels = torch.arange(height * width, device=device)
    if kind == "row":
        return Fronts((pixels,), tuple((r * width, 0, width - 1) for r in range(height)), (-1, 0, 1), width)
    row, column = pixels // width, pixels % width
    left = torch.argsort((row + column) * height + row)
    right = row[left] * width + width - 1 - column[left]
    ends = [(max(0, d - width + 1), min(d, height - 1)) for d in range(height + width - 1)]
    starts = [sum(high - low + 1 for low, high in ends[:d]) for d in range(len(ends))]
    return Fronts((left, right), tuple((start, *end) for start, end in zip(starts, ends, strict=True)), (0, -1), height)


def lstm(weight: Tensor, plan: Fronts, *gates: Tensor) -> tuple[Tensor, ...]:
    """States h (P, B, A) of each run, from the weight of the taps (D, T, A, 4 A) and what comes from the input, (P, B, 4 A) for each run.

    Pixels are in raster order, numbers of single or double precision.

    With the states of the pixels before, and the sigmoid s: i, f, o, g = gates + sum_t h[t] weight[t];  c = s(f) c' + s(i) tanh(g);
    h = s(o) tanh(c).
    """
    states: tuple[Tensor, ...] = _Scan.apply(weight, plan, *gates)
    return states


class _Scan(torch.autograd.Function):
    """The recurrence and its gradient, written out: a front costs a few kernels, and what the gradient needs is stored once."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, plan: Fronts, *inputs: Tensor) -> tuple[Tensor, ...]:
        pixels, n, _ = inputs[0].shape
        runs, units = len(inputs), weight.shape[2]
        gates = ordered(inputs, plan)
        cells, states, previous = (gates.new_empty(runs, pixels, n, units) for _ in range(3))
        hidden, cell = (gates.new_zeros(runs, plan.places + 2, n, units) for _ in range(2))  # a place of zeros at either end
        for start, low, high in plan.spans:
            here, own = slice(start, start + high - low + 1), slice(low + 1, high + 2)
            now = gates[:, here]
            for run in range(runs):  # products of two matrices need no copy of what is a slice in each run
                for tap, offset in enumerate(plan.taps):
                    seen = hidden[run, low + 1 + offset : high + 2 + offset]
                    now[run].flatten(0, 1).addmm_(seen.flatten(0, 1), weight[run, tap])
            sigmoids = now[..., : 3 * units]
            sigmoids.mul_(0.5)  # s(x) = (1 + tanh(x / 2)) / 2: one kernel for all four gates, and tanh is the faster one
            now.tanh_()
            sigmoids.add_(1).mul_(0.5)
            i, f, o, g = now.split(units, -1)
            previous[:, here] = cell[:, own]
            torch.addcmul(f * cell[:, own], i, g, out=cells[:, here])
            cell[:, own] = cells[:, here]
            torch.mul(o, cells[:, here].tanh(), out=states[:, here])
            hidden[:, own] = states[:, here]
        ctx.save_for_backward(weight, gates, states, cells, previous)
        ctx.plan = plan
        return tuple(raster(states, plan))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, gates, states, cells, previous = ctx.saved_tensors
        plan, n, units = ctx.plan, gates.shape[2], weight.shape[2]
        from_above, to_gates, to_weight = ordered(gradients, plan), torch.empty_like(gates), torch.zeros_like(weight)
        back = weight.transpose(2, 3).contiguous()
        to_hidden, to_cell = (gates.new_zeros(len(gates), plan.places + 2, n, units) for _ in range(2))
        for front in reversed(range(len(plan.spans))):
            start, low, high = plan.spans[front]
            here, own = slice(start, start + high - low + 1), slice(low + 1, high + 2)
            i, f, o, g = gates[:, here].split(units, -1)
            d_i, d_f, d_o, d_g = to_gates[:, here].split(units, -1)
            d_h, tanh = from_above[:, here].add_(to_hidden[:, own]), cells[:, here].tanh()
            torch.mul(d_h * tanh, o * (1 - o), out=d_o)
            d_c = torch.addcmul(to_cell[:, own], d_h * o, 1 - tanh * tanh)
            torch.mul(d_c * g, i * (1 - i), out=d_i)
            torch.mul(d_c * previous[:, here], f * (1 - f), out=d_f)
            torch.mul(d_c * i, 1 - g * g, out=d_g)
            torch.mul(d_c, f, out=to_cell[:, own])
            to_hidden.zero_()
            for run in range(len(gates)):
                for tap, offset in enumerate(plan.taps):
                    seen = to_hidden[run, low + 1 + offset : high + 2 + offset].flatten(0, 1)
                    seen.addmm_(to_gates[run, here].flatten(0, 1), back[run, tap])
                    pair = plan.overlap(front, offset)
                    if pair is not None:
                        product = states[run, pair[1]].flatten(0, 1).T, to_gates[run, pair[0]].flatten(0, 1)
                        to_weight[run, tap].addmm_(*product)
        return to_weight, None, *raster(to_gates, plan)


def ordered(runs: tuple[Tensor, ...], plan: Fronts) -> Tensor:
    """(D, P, ...) in the order of the fronts, of D tensors (P, ...) in raster order; always a copy."""
    found = runs[0].new_empty(len(runs), *runs[0].shape)
    for place, x, order in zip(found, runs, plan.orders, strict=True):
        torch.index_select(x, 0, order, out=place)
    return found


def raster(runs: Tensor, plan: Fronts) -> list[Tensor]:
    """The inverse of `ordered`."""
    found = torch.empty_like(runs)
    for place, x, order in zip(found, runs, plan.orders, strict=True):
        place.index_copy_(0, order, x)
    return list(found.unbind())
