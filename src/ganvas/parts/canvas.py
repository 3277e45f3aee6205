"""The canvas a strided network paints on: a base that is doubled a few times, at least as large as the data.

A network of n stride-2 layers makes sizes of the form base * 2^n, and data have any size. Rather than resize the data (which blurs
them, and every metric notices), real images are padded onto the canvas by repeating their edge pixels, and samples are cropped back.
"""

import math
from dataclasses import dataclass
from typing import final

from torch import Tensor
from torch.nn.functional import pad

from ganvas.errors import require

__all__ = ["Canvas"]


@final
@dataclass(frozen=True, kw_only=True)
class Canvas:
    """`height` x `width` data on a canvas of `base` (height, width) doubled `levels` times."""

    height: int
    width: int
    base: tuple[int, int]
    levels: int

    @staticmethod
    def fit(height: int, width: int, *, levels: int | None = None, base: int = 4) -> "Canvas":
        """The smallest canvas of `levels` doublings; without `levels`, as many as bring the shorter side nearest to `base`,
        and at least two: a critic of a single convolution sees no shape.

        28 x 28 gives 32 = 4 * 2^3; 64 x 64 gives 4 * 2^4; 48 x 64 gives 3 x 4 * 2^4; 20 x 44 gives 5 x 11 * 2^2.
        """
        require(min(height, width) >= 1, f"images must have at least one pixel a side, not {height} x {width}")
        if levels is None:
            levels = max(2, round(math.log2(min(height, width) / base)))
        return Canvas(height=height, width=width, base=(-(-height // 2**levels), -(-width // 2**levels)), levels=levels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        return self.base[0] * 2**self.levels, self.base[1] * 2**self.levels

    @property
    def _margins(self) -> tuple[int, int]:
        """Rows above and columns left of the data."""
        return (self.size[0] - self.height) // 2, (self.size[1] - self.width) // 2

    def pad(self, images: Tensor) -> Tensor:
        """Images (B, C, height, width) in the middle of the canvas, their edge pixels repeated outwards; (B, C, *size)."""
        (rows, columns), (top, left) = self.size, self._margins
        if (rows, columns) == (self.height, self.width):
            return images
        return pad(images, (left, columns - self.width - left, top, rows - self.height - top), mode="replicate")

    def crop(self, images: Tensor) -> Tensor:
        """The inverse of `pad`: (B, C, *size) to (B, C, height, width)."""
        top, left = self._margins
        return images[:, :, top : top + self.height, left : left + self.width]
