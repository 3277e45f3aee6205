"""Consistency regularisation: a discriminator has to say the same of an image and of its harmlessly changed copy.

    CR    d: E[(a(x) - a(T x))^2]                                         Zhang et al. 2019 (arXiv:1910.12027), weight 10
    bCR   d: CR + E[(a(G(z)) - a(T G(z)))^2]                              Zhao et al. 2020 (arXiv:2002.04724), weights 10 and 10
    zCR   d: E[(a(G(z)) - a(G(z + e)))^2]   g: -E[(G(z) - G(z + e))^2]    the same, weights 5 and 0.5, e ~ N(0, 0.03^2 to 0.07^2)
    ICR   bCR and zCR

T mirrors with probability 1/2 and shifts by up to an eighth of the side (4 of 32 pixels); what comes in is the image mirrored at its edge
pixels. Unlike with the other augmentations the generator never sees a changed image.
"""

from typing import Final

import torch
from torch import Tensor

from ganvas.engine.draws import Draws
from ganvas.parts.diff_augment import picked
from ganvas.parts.objectives import per_sample, widen

__all__ = ["difference", "mirrored", "spread", "transformed"]

REACH: Final = 1 / 8  # largest shift, as a share of the side


def difference(first: Tensor, second: Tensor) -> Tensor:
    """(a - b)^2 (B,) of scores (B, ...)."""
    return per_sample((widen(first) - widen(second)).square())


def spread(fake: Tensor, other: Tensor) -> Tensor:
    """The mean square (B,) over all entries of the difference of samples (B, ...): what a generator that hears its code keeps large."""
    return (widen(fake) - widen(other)).square().flatten(1).mean(1)


def transformed(x: Tensor, rng: Draws, *, mirror: bool = True) -> Tensor:
    """T x of images x (B, C, H, W): each shifted by its own draw, and with `mirror` every other one mirrored, on average."""
    down, right = (rng.integers(len(x), 2 * int(side * REACH + 0.5) + 1) - int(side * REACH + 0.5) for side in x.shape[2:])
    turned = rng.integers(len(x), 2) if mirror else torch.zeros_like(down)
    return mirrored(x, down, right, turned)


def mirrored(x: Tensor, down: Tensor, right: Tensor, turned: Tensor) -> Tensor:
    """Images moved by `down` rows and `right` columns (B,) after those with `turned` 1 were mirrored left to right."""
    height, width = x.shape[2:]
    rows = _reflected(torch.arange(height, device=x.device) - down[:, None], height)
    columns = _reflected(torch.arange(width, device=x.device) - right[:, None], width)
    columns = torch.where(turned[:, None] == 1, width - 1 - columns, columns)
    return picked(x, rows, columns)


def _reflected(places: Tensor, side: int) -> Tensor:
    """Places of -side < p < 2 side - 1 mirrored at the first and the last pixel."""
    return side - 1 - (side - 1 - places.abs()).abs()
