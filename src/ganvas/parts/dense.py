"""The convolutional networks with a fully connected layer between code and maps that InfoGAN brought up and later papers compare on.

Chen et al. 2016 (arXiv:1606.03657, appendix C.1), taken over for all models of Lucic et al. 2017 (arXiv:1711.10337) and for the discrete
ones of Hjelm et al. 2017 (arXiv:1702.08431). Like `ganvas.parts.backbones` they take and give images of the data's own size, through a
canvas.
"""

import math
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from ganvas.parts.canvas import Canvas
from ganvas.parts.strided import double, halve

__all__ = ["DenseGenerator", "DenseTrunk", "dense_canvas"]

BASE = 7  # side of the smallest maps that is aimed at: 28 = 7 * 2^2


def dense_canvas(height: int, width: int) -> Canvas:
    """28 x 28 is 7 x 7 doubled twice, 32 x 32 is 8 x 8 doubled twice, 64 x 64 is 8 x 8 doubled three times."""
    return Canvas.fit(height, width, base=BASE)


def _maps(width: int, levels: int) -> tuple[int, ...]:
    """Maps from the largest to the smallest: `width`, doubled at each level up to 8 times."""
    return tuple(width * min(2**level, 8) for level in range(levels))


@final
class DenseGenerator(nn.Module):
    """Vectors (B, I) to values (B, C, H, W) before any squashing: a layer of `units`, one of h x w x maps, then one fractionally strided
    convolution a level; batch normalisation and ReLU after each but the last."""

    def __init__(self, inputs: int, canvas: Canvas, channels: int, *, width: int, units: int, kernel: int = 4) -> None:
        super().__init__()
        widths = _maps(width, canvas.levels)[::-1]
        self.canvas, self.maps = canvas, (*canvas.base, widths[0])
        entries = math.prod(self.maps)
        self.dense = nn.Sequential(
            *(nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(inplace=True)),
            *(nn.Linear(units, entries, bias=False), nn.BatchNorm1d(entries), nn.ReLU(inplace=True)),
        )
        layers: list[nn.Module] = []
        for below, above in pairwise(widths):
            layers += [double(below, above, kernel, bias=False), nn.BatchNorm2d(above), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, double(widths[-1], channels, kernel, bias=True))

    def forward(self, z: Tensor) -> Tensor:
        # The dense output is read as (h, w, maps), so that it is channels-last without a copy.
        return self.canvas.crop(self.layers(self.dense(z).view(-1, *self.maps).permute(0, 3, 1, 2)))


@final
class DenseTrunk(nn.Module):
    """Images (B, C, H, W) to `features` = `units` numbers (B, units): one strided convolution a level, then a dense layer, LeakyReLU of
    `slope` after each; with `norm`, batch normalisation on all but the first."""

    def __init__(
        self, channels: int, canvas: Canvas, *, width: int, units: int, kernel: int = 4, slope: float = 0.2, norm: bool = True
    ) -> None:
        super().__init__()
        widths = _maps(width, canvas.levels)
        self.canvas, self.features = canvas, units
        layers: list[nn.Module] = [halve(channels, widths[0], kernel, bias=True), nn.LeakyReLU(slope, inplace=True)]
        for below, above in pairwise(widths):
            layers += [halve(below, above, kernel, bias=not norm), *([nn.BatchNorm2d(above)] if norm else [])]
            layers += [nn.LeakyReLU(slope, inplace=True)]
        self.layers = nn.Sequential(*layers)
        entries = math.prod(canvas.base) * widths[-1]
        last: list[nn.Module] = [nn.Linear(entries, units, bias=not norm), *([nn.BatchNorm1d(units)] if norm else [])]
        self.dense = nn.Sequential(*last, nn.LeakyReLU(slope, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.layers(self.canvas.pad(x))
        return self.dense(torch.flatten(maps.permute(0, 2, 3, 1), 1))
