"""Convolutions that see only the pixels before their own in raster order, and only the channels before theirs in their own pixel.

Van den Oord et al. 2016 (arXiv:1601.06759), section 3.4. The maps of a layer are dealt to the data's C channels in turn: map i belongs to
channel i mod C. In the pixel itself a map of channel c sees the channels before c (mask A, for the first layer), and also its own (mask B).
"""

from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import require

__all__ = ["MaskedConv2d", "causal_mask"]


def causal_mask(kind: Literal["A", "B"], below: int, above: int, kernel: int, channels: int) -> Tensor:
    """1 where a weight (above, below, kernel, kernel) may see its input, else 0; the kernel is odd."""
    require(kernel % 2 == 1, f"masked kernels have an odd side, not {kernel}")
    middle = kernel // 2
    mask = torch.zeros(above, below, kernel, kernel)
    mask[:, :, :middle] = 1
    mask[:, :, middle, :middle] = 1
    of_above, of_below = torch.arange(above)[:, None] % channels, torch.arange(below)[None, :] % channels
    mask[:, :, middle, middle] = (of_below < of_above if kind == "A" else of_below <= of_above).float()
    return mask


@final
class MaskedConv2d(nn.Module):
    """A convolution of stride 1 with zeros around the image, under a causal mask; maps (B, below, H, W) to (B, above, H, W)."""

    mask: Tensor

    def __init__(self, kind: Literal["A", "B"], below: int, above: int, kernel: int, channels: int) -> None:
        super().__init__()
        plain = nn.Conv2d(below, above, kernel)
        assert plain.bias is not None
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer("mask", causal_mask(kind, below, above, kernel, channels))

    @property
    def margin(self) -> int:
        """Pixels that the kernel reaches beyond its own."""
        return self.mask.shape[3] // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.margin)

    def rows(self) -> Tensor:
        """The masked weight of a pixel's row and those above it as a matrix (rows * kernel * below, above), for `at`."""
        seen = (self.weight * self.mask)[:, :, : self.margin + 1]
        return seen.permute(2, 3, 1, 0).reshape(-1, seen.shape[0])

    def at(self, padded: Tensor, row: int, column: int, rows: Tensor) -> Tensor:
        """The output (B, above) at one pixel, from the input with zeros around it, (B, H + 2 margin, W + 2 margin, below), and `rows()`."""
        patch = padded[:, row : row + self.margin + 1, column : column + 2 * self.margin + 1]
        return torch.addmm(self.bias, patch.reshape(len(padded), -1), rows)
