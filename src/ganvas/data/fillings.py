"""What mends a picture without having learned anything: the answers that a network trained on `task:` (see `tasks`) has to beat.

Each is a pure function of the first halves of pairs x (B, C, H, W) in [-1, 1] and the strength of the task; results lie in [-1, 1] and have
the channels of the second halves where the task says so. `FILLINGS` names them by task; tasks without one have no answer as simple.
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data.degradations import hole_in_centre

__all__ = ["FILLINGS", "bicubic", "coloured", "mean_filled", "median"]


def bicubic(x: Tensor, strength: int) -> Tensor:
    """Of coarse images the mean of each square of `strength` x `strength` pixels, and between those bicubic interpolation; cut to [-1, 1].

    Squares that the lower or right border cuts count as whole ones: what lies over the border is cut off again.
    """
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % strength, 0, -height % strength), mode="replicate")
    small = F.avg_pool2d(padded, strength)
    return F.interpolate(small, size=padded.shape[2:], mode="bicubic")[:, :, :height, :width].clamp(-1, 1)


def median(x: Tensor, strength: int) -> Tensor:
    """Of each pixel the median of the 3 x 3 around it, channel by channel; edges are repeated."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    height, width = x.shape[2:]
    around = [padded[:, :, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return torch.stack(around).median(dim=0).values


def mean_filled(x: Tensor, strength: int) -> Tensor:
    """The middle rectangle, whose sides are `strength` percent of the image's, has the mean of the rest, channel by channel; grey (0) where
    there is no rest."""
    hole = hole_in_centre(x.shape[2], x.shape[3], strength).to(x.device)
    mean = x[:, :, ~hole].sum(dim=2)[:, :, None, None] / max(1, int((~hole).sum()))
    return torch.where(hole, mean, x)


def coloured(x: Tensor, strength: int) -> Tensor:
    """Grey images in three equal channels: no colour at all."""
    return x.expand(-1, 3, -1, -1)


FILLINGS: Final[dict[str, Callable[[Tensor, int], Tensor]]] = {
    "super-resolve": bicubic,
    "denoise": median,
    "inpaint-centre": mean_filled,
    "colourise": coloured,
}
