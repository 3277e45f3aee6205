"""Pixels as numbers of levels, and images that are drawn pixel by pixel in raster order.

Van den Oord et al. 2016 (arXiv:1601.06759): the probability of an image is a product over its sub-pixels, row by row, in a row from left
to right, in a pixel channel by channel. Each factor is a distribution over K levels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from ganvas.engine.draws import Draws
from ganvas.errors import require
from ganvas.parts.objectives import widen

__all__ = ["Levels", "Walker", "draw", "fill"]

Walker = Callable[[int, int], Tensor]
"""Logits (B, K, C) of the pixel (row, column) of an image that is being drawn. They are asked for in raster order, often several times."""


@final
@dataclass(frozen=True)
class Levels:
    """K evenly spaced grey values between -1 and 1, numbered from 0. With two, `draw` makes a pixel of an image white with its own grey
    value as the probability; otherwise it gets the nearest level."""

    count: int
    binarise: Literal["threshold", "draw"] = "threshold"

    def __post_init__(self) -> None:
        require(self.count == 2 or self.binarise == "threshold", f"--config.binarise draw needs --config.levels 2, not {self.count}")

    def nearest(self, images: Tensor) -> Tensor:
        """Numbers (B, C, H, W) int64 of the nearest levels of images in [-1, 1]."""
        return ((widen(images) + 1) / 2 * (self.count - 1) + 0.5).floor().long().clamp(0, self.count - 1)

    def numbers(self, images: Tensor, rng: Draws) -> Tensor:
        """Numbers (B, C, H, W) int64 of images in [-1, 1], drawn or nearest."""
        if self.binarise == "draw":
            return (rng.uniform(*images.shape) < (widen(images) + 1) / 2).long()
        return self.nearest(images)

    def values(self, numbers: Tensor) -> Tensor:
        """Images in [-1, 1] of numbers."""
        return numbers * (2 / (self.count - 1)) - 1

    @property
    def said(self) -> str:
        """What is done to an image before it is measured."""
        if self.count == 2:
            return "binarised at random" if self.binarise == "draw" else "binarised at one half"
        return f"rounded to {self.count} levels"


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Numbers (B,) of logits (B, K): how many cumulated probabilities a uniform number (B,) has passed."""
    cumulated = logits.double().softmax(1).cumsum(1)[:, :-1]
    return (uniform[:, None] >= cumulated).sum(1)


def fill(given: Tensor, mask: Tensor, levels: Levels, margin: int, walk: Callable[[Tensor], Walker], rng: Draws) -> Tensor:
    """Images (B, C, H, W) equal to `given` where `mask` is 1; the rest is drawn in raster order, given all sub-pixels before.

    `walk` is handed the canvas (B, H + 2 margin, W + 2 margin, C): the image with zeros around it, drawn up to where it is asked about.
    """
    n, channels, height, width = given.shape
    uniform, known = rng.uniform(*given.shape), levels.values(levels.nearest(given))
    canvas = torch.zeros(n, height + 2 * margin, width + 2 * margin, channels, device=given.device)
    at = walk(canvas)
    for row in range(height):
        for column in range(width):
            pixel = canvas[:, row + margin, column + margin]
            for channel in range(channels):
                drawn = levels.values(draw(at(row, column)[:, :, channel], uniform[:, channel, row, column]))
                pixel[:, channel] = torch.where(mask[:, channel, row, column] > 0, known[:, channel, row, column], drawn)
    images = canvas[:, margin : margin + height, margin : margin + width].permute(0, 3, 1, 2)
    return torch.where(mask > 0, given, images)
