"""Causal convolutions along a row, of several maps for each unit, and the layer of two stacks that sees all pixels before its own.

Van den Oord et al. 2016 (arXiv:1606.05328), section 2. Maps are dealt to the data's C channels in turn, as in `masked`: unit i belongs to
channel i mod C, whichever of its maps (gates) is looked at.
"""

from collections.abc import Callable
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.parts.masked import MaskedConv2d, causal_mask
from ganvas.parts.objectives import widen

__all__ = ["GatedLayer", "RowConv", "gate"]

Row = Callable[[int, Tensor], Tensor]
At = Callable[[int, Tensor, Tensor | None], Tensor]


def gate(x: Tensor) -> Tensor:
    """tanh(a) sigmoid(b) of maps a and b side by side, (B, 2 A, ...) to (B, A, ...): equation 2.

    The processor's tanh of half-precision numbers takes twice the time of that in single precision.
    """
    a, b = x.chunk(2, 1)
    return widen(a).tanh().to(x.dtype) * b.sigmoid()


@final
class RowConv(nn.Module):
    """A masked 1 x kernel convolution: a pixel sees those to its left, and of itself what mask A or B allows; `gates` maps for each unit.

    Maps (B, below, H, W) to (B, gates * above, H, W), first all units of one gate, then all of the next. What lies to the right has no
    weights at all.
    """

    mask: Tensor

    def __init__(self, kind: Literal["A", "B"], below: int, above: int, kernel: int, channels: int, gates: int = 1) -> None:
        super().__init__()
        self.reach = kernel // 2
        plain = nn.Conv1d(below, gates * above, self.reach + 1)
        assert plain.bias is not None
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer(
            "mask", causal_mask(kind, below, above, kernel, channels)[:, :, self.reach, : self.reach + 1].repeat(gates, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (self.reach, 0)), (self.weight * self.mask)[:, :, None], self.bias)

    def rows(self) -> Tensor:
        """The masked weight as a matrix ((reach + 1) * below, gates * above), for `at`."""
        return (self.weight * self.mask).permute(2, 1, 0).reshape(-1, len(self.weight))

    def at(self, padded: Tensor, column: int, rows: Tensor) -> Tensor:
        """The output (B, gates * above) at one pixel of a row (B, reach + W, below) with zeros on its left, from `rows()`."""
        patch = padded[:, column : column + self.reach + 1]
        return torch.addmm(self.bias, patch.reshape(len(padded), -1), rows)


@final
class GatedLayer(nn.Module):
    """One layer of both stacks (figure 2); A units each, of B, C, H, W as everywhere.

    The vertical stack at row r has seen whole rows up to r. The horizontal stack is handed it one row later, and itself sees the pixels to
    the left; the first layer has mask A and leaves itself out. Labels (B,) move both gates of both stacks. Only the horizontal stack has a
    residual connection, not in the first layer.
    """

    def __init__(self, kind: Literal["A", "B"], below: int, units: int, kernel: int, channels: int, classes: int = 0) -> None:
        super().__init__()
        self.reach, self.residual = kernel // 2, kind == "B"
        self.vertical = nn.Conv2d(below, 2 * units, (self.reach + 1, kernel))
        self.horizontal = RowConv(kind, below, units, kernel, channels, gates=2)
        self.across = nn.Conv2d(2 * units, 2 * units, 1)
        self.leave = MaskedConv2d("B", units, units, 1, channels)
        self.label = nn.Embedding(classes, 4 * units) if classes else None

    def labels(self, y: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
        """What labels add to the maps of each stack, (B, 2 A) each."""
        if self.label is None or y is None:
            return 0.0, 0.0
        vertical, horizontal = self.label(y).chunk(2, 1)
        return vertical, horizontal

    def forward(self, v: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        to_v, to_h = (part[:, :, None, None] if isinstance(part, Tensor) else part for part in self.labels(y))
        seen = self.vertical(F.pad(v, (self.reach, self.reach, self.reach, 0))) + to_v
        beside = self.horizontal(h) + self.across(F.pad(seen, (0, 0, 1, -1))) + to_h
        out = self.leave(gate(beside))
        return gate(seen), h + out if self.residual else out

    def walk(self, n: int, height: int, width: int, y: Tensor | None) -> tuple[Row, At]:
        """The same in raster order: two functions.

        `row(r, v)` is told the vertical input (B, below, W) of row r and gives its output (B, A, W), which the pixels of row r + 1 see.
        `at(c, h, last)` is told the horizontal input (B, below) of the pixel in column c of the present row and gives its output (B, A).
        `last` is the input of the pixel before, where it has changed since: a pixel is drawn after it was asked for.
        """
        below, reach = self.vertical.in_channels, self.reach
        weight, (to_v, to_h) = self.horizontal.weight, self.labels(y)
        above = weight.new_zeros(n, below, height + reach, width + 2 * reach)
        beside = weight.new_zeros(n, width + reach, below)
        rows, leave = self.horizontal.rows(), self.leave.rows()
        handed = self.across(weight.new_zeros(n, self.across.in_channels, 1, width)).squeeze(2)

        def row(r: int, v: Tensor) -> Tensor:
            above[:, :, r + reach, reach : reach + width] = v
            seen = self.vertical(above[:, :, r : r + reach + 1])
            seen = seen + (to_v[:, :, None, None] if isinstance(to_v, Tensor) else to_v)
            handed.copy_(self.across(seen).squeeze(2))
            return gate(seen).squeeze(2)

        def at(c: int, h: Tensor, last: Tensor | None = None) -> Tensor:
            beside[:, c + reach] = h
            if last is not None and c > 0 and reach > 0:
                beside[:, c + reach - 1] = last
            maps = self.horizontal.at(beside, c, rows) + handed[:, :, c] + to_h
            out = torch.addmm(self.leave.bias, gate(maps), leave)
            return h + out if self.residual else out

        return row, at
