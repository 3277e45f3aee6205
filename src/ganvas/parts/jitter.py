"""Pairs of images shown a little differently each time: enlarged, cropped and mirrored alike (Isola et al. 2016, arXiv:1611.07004,
appendix 6.2)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganvas.engine.draws import Draws

__all__ = ["jittered"]


def jittered(x: Tensor, y: Tensor, factor: float, mirror: bool, rng: Draws, *, maps: bool = False) -> tuple[Tensor, Tensor]:
    """Pairs (B, C, H, W) and (B, C', H, W) enlarged and cropped alike, each pair at a place of its own, half of them mirrored.

    Where x are label `maps`, pixels of x are repeated, not blended, so that no colour comes up that none of them has.
    """
    count, (height, width) = len(x), x.shape[2:]
    tall, wide = round(factor * height), round(factor * width)
    both = torch.cat([x, y], dim=1)
    if (tall, wide) != (height, width):
        both = interpolate(both, size=(tall, wide), mode="bilinear")
        if maps:
            both = torch.cat([interpolate(x, size=(tall, wide), mode="nearest-exact"), both[:, x.shape[1] :]], dim=1)
    place = rng.uniform(count, 3)
    rows = (place[:, :1] * (tall - height + 1)).long() + torch.arange(height, device=x.device)
    columns = (place[:, 1:2] * (wide - width + 1)).long() + torch.arange(width, device=x.device)
    turned = mirror & (place[:, 2:] < 0.5)
    columns = torch.where(turned, columns.flip(1), columns)
    number = torch.arange(count, device=x.device)[:, None, None]
    cut = both.permute(0, 2, 3, 1)[number, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return cut[:, : x.shape[1]], cut[:, x.shape[1] :]
