"""Differentiable augmentation (Zhao et al. 2020, arXiv:2006.10738): a fixed policy for everything a discriminator is shown.

Reals and fakes are changed alike, in the updates of both players, so that the generator learns the data and not their changed copies; its
gradient goes through the change. Numbers are those of the authors' code: colours are moved, what is shifted in from outside and what is cut
out is 0, the middle of the range. Each example has its own draws.
"""

from collections.abc import Callable, Collection
from typing import Final, Literal

import torch
from torch import Tensor

from ganvas.engine.draws import Draws

__all__ = ["POLICIES", "Policy", "brightened", "contrasted", "cut", "diff_augment", "picked", "saturated", "shifted"]

Policy = Literal["colour", "translation", "cutout"]
REACH: Final = 1 / 8  # largest shift, as a share of the side
HOLE: Final = 1 / 2  # side of what is cut out, as a share of the side


def diff_augment(x: Tensor, rng: Draws, policy: Collection[Policy] = ("colour", "translation", "cutout")) -> Tensor:
    """Images x (B, C, H, W), changed by the parts of the policy in the order colour, translation, cutout; the same shape."""
    for name, change in POLICIES.items():
        if name in policy:
            x = change(x, rng)
    return x


def brightened(x: Tensor, shift: Tensor) -> Tensor:
    """x + shift, one number (B,) for each image."""
    return x + _each(shift, x)


def saturated(x: Tensor, factor: Tensor) -> Tensor:
    """Each pixel's distance from the mean of its channels times `factor` (B,): 0 is grey; a single channel stays as it is."""
    return _stretched(x, x.mean(1, keepdim=True), factor)


def contrasted(x: Tensor, factor: Tensor) -> Tensor:
    """The distance of all values of an image from their mean times `factor` (B,)."""
    return _stretched(x, x.mean((1, 2, 3), keepdim=True), factor)


def picked(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Image i made of the rows `rows[i]` (B, H) and the columns `columns[i]` (B, W) of image i of x (B, C, H, W)."""
    image = torch.arange(len(x), device=x.device)[:, None, None]
    return x.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def shifted(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Image i moved by `down[i]` rows and `right[i]` columns, whole numbers (B,); 0 comes in from outside."""
    height, width = x.shape[2:]
    rows = torch.arange(height, device=x.device) - down[:, None]
    columns = torch.arange(width, device=x.device) - right[:, None]
    inside = _within(rows, height)[:, None, :, None] & _within(columns, width)[:, None, None, :]
    return picked(x, rows.clamp(0, height - 1), columns.clamp(0, width - 1)) * inside.to(x.dtype)


def cut(x: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """x with 0 in a rectangle of half the height and width, its middle at `row` (B,) and `column` (B,); it may hang over the border."""
    (height, width), (tall, wide) = x.shape[2:], _hole(x)
    rows = torch.arange(height, device=x.device) - row[:, None] + tall // 2
    columns = torch.arange(width, device=x.device) - column[:, None] + wide // 2
    hole = _within(rows, tall)[:, None, :, None] & _within(columns, wide)[:, None, None, :]
    return x * (~hole).to(x.dtype)


def _colour(x: Tensor, rng: Draws) -> Tensor:
    """Brightness by U[-1/2, 1/2), saturation by a factor U[0, 2), contrast by a factor U[1/2, 3/2)."""
    draws = rng.uniform(len(x), 3).to(x.dtype)
    x = brightened(x, draws[:, 0] - 0.5)
    x = saturated(x, 2 * draws[:, 1])
    return contrasted(x, draws[:, 2] + 0.5)


def _translation(x: Tensor, rng: Draws) -> Tensor:
    """All shifts up to an eighth of the side alike."""
    height, width = (int(side * REACH + 0.5) for side in x.shape[2:])
    down = rng.integers(len(x), 2 * height + 1) - height
    return shifted(x, down, rng.integers(len(x), 2 * width + 1) - width)


def _cutout(x: Tensor, rng: Draws) -> Tensor:
    """All middles alike; a rectangle of even side has its middle between pixels, and so one place more."""
    row, column = (rng.integers(len(x), side + 1 - hole % 2) for side, hole in zip(x.shape[2:], _hole(x), strict=True))
    return cut(x, row, column)


POLICIES: Final[dict[Policy, Callable[[Tensor, Draws], Tensor]]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
}


def _hole(x: Tensor) -> tuple[int, int]:
    return int(x.shape[2] * HOLE + 0.5), int(x.shape[3] * HOLE + 0.5)


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


def _each(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype)[:, None, None, None]


def _stretched(x: Tensor, middle: Tensor, factor: Tensor) -> Tensor:
    return middle + (x - middle) * _each(factor, x)
