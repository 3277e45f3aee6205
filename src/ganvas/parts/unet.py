"""A U-Net: an encoder to the smallest maps and a decoder back, each of whose layers sees the encoder's maps of its own size (Ronneberger
et al. 2015, arXiv:1505.04597; as a generator Isola et al. 2016, arXiv:1611.07004, appendix 6.1.1)."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, relu

from ganvas.engine.draws import Draws
from ganvas.parts.strided import double, halve

__all__ = ["UNet", "hidden", "levels_for"]

NOISY = 3
"""Innermost layers of the decoder that have dropout (appendix 6.1.1: CD512-CD512-CD512)."""


def levels_for(height: int, width: int, most: int) -> int:
    """Halvings until the shorter side is one pixel, at least 2 and at most `most`; sides that are no power of 2 are rounded up."""
    return max(2, min(most, (min(height, width) - 1).bit_length()))


def hidden(x: Tensor, share: float, rng: Draws) -> Tensor:
    """x (B, ...) with entries hidden with probability `share`, the others larger by 1 / (1 - share): dropout drawn from `rng`."""
    kept = rng.uniform(len(x), *x.shape[1:]) >= share
    return x * (kept.to(x.dtype) / (1 - share))


@final
class UNet(nn.Module):
    """Images (B, C, H, W) to images (B, C', H, W) in [-1, 1], of any size; there is no state but parameters.

    `levels` convolutions of stride 2 lead to F, 2F, 4F, 8F, 8F, ... maps (F = `width`), as many fractionally strided ones back. Instance
    normalisation, not on the first and not on the smallest maps: of one pixel it would leave nothing. The innermost layers of the
    decoder hide a share `dropout` of their entries, drawn from the `rng` that `forward` is handed, in training and afterwards. Without
    `skips` it is an encoder and a decoder. Sides that are no multiple of 2^levels are padded by repeating their edge, and cropped back.
    """

    def __init__(self, below: int, above: int, *, width: int, levels: int, dropout: float, skips: bool = True) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(levels)]
        self.levels, self.dropout, self.skips = levels, dropout, skips
        inner = [0 < level < levels - 1 for level in range(levels)]  # whose maps are normalised
        ends = zip([below, *widths], widths, inner, strict=False)
        self.down = nn.ModuleList(halve(a, b, 4, bias=not normed) for a, b, normed in ends)
        self.down_norms = nn.ModuleList(norm(maps, normed) for maps, normed in zip(widths, inner, strict=True))
        joined = [maps * (2 if skips and level < levels - 1 else 1) for level, maps in enumerate(widths)]
        self.up = nn.ModuleList(double(joined[level], widths[level - 1], 4, bias=False) for level in range(levels - 1, 0, -1))
        self.up_norms = nn.ModuleList(norm(widths[level - 1], True) for level in range(levels - 1, 0, -1))
        self.last = double(joined[0], above, 4, bias=True)

    def forward(self, x: Tensor, rng: Draws) -> Tensor:
        height, width = x.shape[2:]
        step = 2**self.levels
        maps = pad(x, (0, -width % step, 0, -height % step), mode="replicate")
        kept: list[Tensor] = []
        for index, (layer, normalise) in enumerate(zip(self.down, self.down_norms, strict=True)):
            maps = normalise(layer(maps if index == 0 else leaky_relu(maps, 0.2)))
            kept.append(maps)
        kept.pop()  # the smallest maps are where the decoder begins
        for index, (layer, normalise) in enumerate(zip(self.up, self.up_norms, strict=True)):
            maps = normalise(layer(relu(maps)))
            if self.dropout and index < NOISY:
                maps = hidden(maps, self.dropout, rng)
            other = kept.pop()
            maps = torch.cat([maps, other], dim=1) if self.skips else maps
        return torch.tanh(self.last(relu(maps)))[:, :, :height, :width]


def norm(maps: int, normed: bool) -> nn.Module:
    """Instance normalisation with gain and bias: what batch normalisation is where a batch is one image (appendix 6.1.1)."""
    return nn.InstanceNorm2d(maps, affine=True) if normed else nn.Identity()
