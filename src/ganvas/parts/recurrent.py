"""Residual LSTM layers over images: the Row LSTM and the Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759, section 3)."""

import math
from collections.abc import Callable
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.parts.gated import RowConv
from ganvas.parts.masked import MaskedConv2d
from ganvas.parts.objectives import widen
from ganvas.parts.scan import fronts, lstm

__all__ = ["LSTMLayer"]

Kind = Literal["row", "diagonal"]


@final
class LSTMLayer(nn.Module):
    """x + leave(h), h the states of A units over maps x (H, W, B, 2 A): figure 5, right.

    `row` runs down once: what comes from the input is a 1 x 3 convolution under mask B, from the states a 1 x 3 convolution of the row
    above. A pixel sees a triangle above it. `diagonal` runs from both upper corners, each time from the pixel beside and the one above; the
    run from the right would see what is not drawn yet, and is used one row later. Together they see all pixels before.
    """

    def __init__(self, kind: Kind, units: int, channels: int) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.units, taps, kernel = units, (3 if kind == "row" else 2), (3 if kind == "row" else 1)
        self.enter = RowConv("B", 2 * units, units, kernel, channels, gates=4)
        self.enter_right = RowConv("B", 2 * units, units, kernel, channels, gates=4) if kind == "diagonal" else None
        bound = 1 / math.sqrt(taps * units)
        self.state = nn.Parameter(torch.empty(1 if kind == "row" else 2, taps, units, 4 * units).uniform_(-bound, bound))
        self.leave = MaskedConv2d("B", units, 2 * units, 1, channels)

    def states(self, x: Tensor) -> Tensor:
        """(H, W, B, A); of a diagonal layer both runs added, that from the right moved down by a row."""
        height, width = x.shape[:2]
        inputs = [enter for enter in (self.enter, self.enter_right) if enter is not None]
        entered = [self._entered(enter, x) for enter in inputs]
        states = lstm(self.state, fronts(self.kind, height, width, x.device), *entered)
        left, *right = (h.unflatten(0, (height, width)) for h in states)
        return left + F.pad(right[0], (0, 0, 0, 0, 0, 0, 1, -1)) if right else left

    def _entered(self, enter: RowConv, x: Tensor) -> Tensor:
        """The row convolution of maps (H, W, B, M), as products of matrices: (H W, B, 4 A)."""
        *left, own = enter.rows().chunk(enter.reach + 1)
        gates = torch.addmm(enter.bias, x.flatten(0, 2), own).unflatten(0, x.shape[:3])
        for step_left, weight in enumerate(reversed(left), start=1):
            gates = gates + F.pad(x[:, :-step_left] @ weight, (0, 0, 0, 0, step_left, 0))
        return gates.flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # the recurrence adds up over a whole image
            x = widen(x)
            return x + torch.addmm(self.leave.bias, self.states(x).flatten(0, 2), self.leave.rows()).view_as(x)

    def walk(self, n: int, height: int, width: int) -> tuple[Callable[[int], None], Callable[[int, Tensor], Tensor]]:
        """The same in raster order: two functions.

        `begin(r)` is called before the first pixel of row r, when all before are known; `at(c, x)` gives the output (B, 2 A) at column c of
        the present row for its input (B, 2 A). The same pixel may be asked for again before the next.
        """
        return self._walk_rows(n, width) if self.kind == "row" else self._walk_diagonals(n, width)

    def _walk_rows(self, n: int, width: int) -> tuple[Callable[[int], None], Callable[[int, Tensor], Tensor]]:
        enter, leave, reach = self.enter.rows(), self.leave.rows(), self.enter.reach
        from_above = self.state[0].flatten(0, 1)
        hidden, cell = (from_above.new_zeros(n, width + 2, self.units) for _ in range(2))  # of the present row, a zero at either end
        inputs = from_above.new_zeros(n, width + reach, 2 * self.units)
        gates, above = from_above.new_zeros(n, width, 4 * self.units), torch.zeros_like(cell)

        def begin(r: int) -> None:
            gates.copy_(torch.cat([hidden[:, tap : tap + width] for tap in range(3)], 2) @ from_above)
            above.copy_(cell)

        def at(c: int, x: Tensor) -> Tensor:
            inputs[:, c + reach] = x
            h, cell[:, c + 1] = step(self.enter.at(inputs, c, enter) + gates[:, c], above[:, c + 1])
            hidden[:, c + 1] = h
            return x + torch.addmm(self.leave.bias, h, leave)

        return begin, at

    def _walk_diagonals(self, n: int, width: int) -> tuple[Callable[[int], None], Callable[[int, Tensor], Tensor]]:
        assert self.enter_right is not None
        enter, leave = self.enter.rows(), self.leave.rows()
        from_right, bias = self.enter_right.rows(), self.enter_right.bias
        beside, above = self.state.unbind(1)  # (2, A, 4 A) each
        left, right = (
            beside.new_zeros(n, width + 2, self.units) for _ in range(2)
        )  # states: `left` of the present row, `right` of the one above
        left_cell, right_cell = torch.zeros_like(left), torch.zeros_like(right)
        row_above = torch.zeros_like(left)
        inputs = beside.new_zeros(n, width, 2 * self.units)  # of the present row

        def begin(r: int) -> None:
            if r == 0:
                return
            row_above.copy_(left)
            entered = inputs @ from_right + bias + right[:, 1 : width + 1] @ above[1]
            for c in reversed(range(width)):  # the row above is whole: run over it from the right
                h, right_cell[:, c + 1] = step(entered[:, c] + right[:, c + 2] @ beside[1], right_cell[:, c + 2])
                right[:, c + 1] = h

        def at(c: int, x: Tensor) -> Tensor:
            inputs[:, c] = x
            gates = torch.addmm(self.enter.bias, x, enter) + left[:, c] @ beside[0] + row_above[:, c + 1] @ above[0]
            h, left_cell[:, c + 1] = step(gates, left_cell[:, c])
            left[:, c + 1] = h
            return x + torch.addmm(self.leave.bias, h + right[:, c + 1], leave)

        return begin, at


def step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """State and cell (B, A) of gates (B, 4 A) and the cell before."""
    i, f, o, g = gates.chunk(4, 1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell
