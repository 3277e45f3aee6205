"""Residual networks of generators and discriminators, without strides: maps are doubled by repetition and halved by averaging.

The blocks of Gulrajani et al. 2017 (arXiv:1704.00028) as Miyato et al. 2018 (arXiv:1802.05957, appendix B.4, and the authors' code) use
them. Activation stands before the convolutions, so that a sum of blocks is a sum. `wrap` is a function of a layer, such as `spectral`;
first weights are Glorot's uniform ones, with gain sqrt(2) on the way and 1 on the way round.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import widen

__all__ = [
    "DiscriminatorBlock",
    "GeneratorBlock",
    "ProjectionHead",
    "ResidualGenerator",
    "ResidualTrunk",
    "Shape",
    "glorot",
    "level_of",
    "plain",
    "widths_down",
    "widths_up",
]

Wrap = Callable[[nn.Module], nn.Module]
Norm = Callable[[int], nn.Module]
Shape = Literal["constant", "doubling"]
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.Embedding)


def plain(layer: nn.Module) -> nn.Module:
    """The layer as it is."""
    return layer


def glorot(layer: Layer, gain: float = 1.0) -> Layer:
    """First weights uniform with variance gain^2 2 / (fan_in + fan_out), biases 0 (Glorot & Bengio 2010)."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def normed(norm: nn.Module, x: Tensor, c: Tensor | None) -> Tensor:
    """norm(x), or norm(x, c) where there is a condition."""
    return norm(x) if c is None else norm(x, c)


@final
class GeneratorBlock(nn.Module):
    """Maps x (B, below, H, W) to (B, above, 2H, 2W), or (B, above, H, W) without `upsample`; c (B, F) goes to the norms.

        x -> norm -> ReLU -> [repeat pixels] -> 3 x 3 -> norm -> ReLU -> 3 x 3 -> + shortcut(x)

    The shortcut is a 1 x 1 convolution and the same repetition (in either order: they commute), or x itself where the shape stays. There
    are no biases: a number added to a whole map is taken away by the next norm on the way, and by the network's last norm on the way round.
    """

    def __init__(self, below: int, above: int, *, norm: Norm, upsample: bool = True, wrap: Wrap = plain) -> None:
        super().__init__()
        self.upsample = upsample
        self.first_norm, self.second_norm = norm(below), norm(above)
        self.first = wrap(glorot(nn.Conv2d(below, above, 3, padding=1, bias=False), math.sqrt(2)))
        self.second = wrap(glorot(nn.Conv2d(above, above, 3, padding=1, bias=False), math.sqrt(2)))
        self.shortcut = wrap(glorot(nn.Conv2d(below, above, 1, bias=False))) if upsample or below != above else nn.Identity()

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        hidden = self.first(self._repeated(relu(normed(self.first_norm, x, c))))
        return self.second(relu(normed(self.second_norm, hidden, c))) + self._repeated(self.shortcut(x))

    def _repeated(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2.0, mode="nearest") if self.upsample else x


@final
class DiscriminatorBlock(nn.Module):
    """Maps x (B, below, H, W) to (B, above, H / 2, W / 2), or (B, above, H, W) without `downsample`.

        x -> [ReLU] -> 3 x 3 -> ReLU -> 3 x 3 -> [mean of 2 x 2] -> + shortcut(x)

    The shortcut is the same mean and a 1 x 1 convolution (in either order: they commute), or x itself where the shape stays. The `first`
    block of a network, the optimised one, sees pixels and has no ReLU before them. `hidden` are the maps between the two convolutions:
    `below` as in the authors' code unless given, and `above` in the first block.
    """

    def __init__(
        self, below: int, above: int, *, downsample: bool = True, first: bool = False, hidden: int | None = None, wrap: Wrap = plain
    ) -> None:
        super().__init__()
        self.downsample, self.bare = downsample, first
        hidden = (above if first else below) if hidden is None else hidden
        self.first = wrap(glorot(nn.Conv2d(below, hidden, 3, padding=1), math.sqrt(2)))
        self.second = wrap(glorot(nn.Conv2d(hidden, above, 3, padding=1), math.sqrt(2)))
        self.shortcut = wrap(glorot(nn.Conv2d(below, above, 1))) if downsample or below != above else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x if self.bare else relu(x))
        return self._mean(self.second(relu(hidden))) + self.shortcut(self._mean(x))

    def _mean(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, 2) if self.downsample else x


def widths_up(shape: Shape, width: int, levels: int) -> tuple[int, ...]:
    """Maps of a generator from the smallest on: those of the linear layer, then of each block.

    `constant`: F everywhere. `doubling`: F on the largest and twice as many on each smaller one, at most 16 F (levels 3: 8-4-2-1 F; levels
    5: 16-16-8-4-2-1 F).
    """
    return tuple(width * (1 if shape == "constant" else min(2**level, 16)) for level in range(levels, -1, -1))


def widths_down(shape: Shape, width: int, canvas: Canvas) -> tuple[tuple[int, bool], ...]:
    """Maps of a discriminator's blocks, and whether each halves.

    `constant`: F everywhere; maps are halved to twice the canvas' base, and two blocks follow there (32 x 32: halved twice). `doubling`: F
    first and twice as many in each block, at most 16 F; maps are halved to the base, once more where that is even and above 4 (48 x 48:
    halved four times to 3 x 3; 128 x 128: five times to 4 x 4), and one block follows.
    """
    if shape == "constant":
        return ((width, True),) * (canvas.levels - 1) + ((width, False),) * 2
    more = min(canvas.base) > 4 and all(side % 2 == 0 for side in canvas.base)
    halvings = canvas.levels + more
    return tuple((width * min(2**place, 16), place < halvings) for place in range(halvings + 1))


def level_of(canvas: Canvas, side: int) -> int:
    """How often the base is doubled to maps whose shorter side is nearest to `side`: at least once, and less often than to the canvas."""
    return min(max(1, round(math.log2(side / min(canvas.base)))), canvas.levels - 1)


@final
class ResidualGenerator(nn.Module):
    """Codes (B, Z) and conditions (B, F), if any, or one of them for each block, to images (B, C, H, W) in [-1, 1]: a linear layer, a block
    a level, norm, ReLU, 3 x 3 convolution, tanh. `norm` makes the norms of blocks; `attention` (a function of maps) stands where maps are
    nearest to `attended`."""

    def __init__(
        self,
        inputs: int,
        canvas: Canvas,
        channels: int,
        widths: Sequence[int],
        *,
        norm: Norm = nn.BatchNorm2d,
        wrap: Wrap = plain,
        attention: Norm | None = None,
        attended: int = 32,
    ) -> None:
        super().__init__()
        self.canvas, self.maps = canvas, (*canvas.base, widths[0])
        self.project = wrap(glorot(nn.Linear(inputs, math.prod(self.maps))))
        self.blocks = nn.ModuleList(GeneratorBlock(below, above, norm=norm, wrap=wrap) for below, above in pairwise(widths))
        self.place = level_of(canvas, attended)
        self.attention = nn.Identity() if attention is None else attention(widths[self.place])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.last = wrap(glorot(nn.Conv2d(widths[-1], channels, 3, padding=1)))

    def forward(self, z: Tensor, c: Tensor | Sequence[Tensor] | None = None) -> Tensor:
        own = (c,) * len(self.blocks) if c is None or isinstance(c, Tensor) else c
        # The projection is read as (h, w, maps), so that its output is channels-last without a copy.
        x = self.project(z).view(-1, *self.maps).permute(0, 3, 1, 2)
        for place, (block, condition) in enumerate(zip(self.blocks, own, strict=True), 1):
            x = block(x, condition)
            x = self.attention(x) if place == self.place else x
        return self.canvas.crop(torch.tanh(self.last(relu(self.norm(x)))))


@final
class ResidualTrunk(nn.Module):
    """Images (B, C, H, W) to the sums over all places of the last maps after ReLU (B, features), in single precision. `blocks` are maps
    and whether they halve; in `wide` ones maps are already widened between the two convolutions."""

    def __init__(
        self,
        channels: int,
        canvas: Canvas,
        blocks: Sequence[tuple[int, bool]],
        *,
        wide: bool = False,
        wrap: Wrap = plain,
        attention: Norm | None = None,
        attended: int = 32,
    ) -> None:
        super().__init__()
        self.canvas, self.features = canvas, blocks[-1][0]
        belows = (channels, *(above for above, _ in blocks))
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(below, above, downsample=halves, first=place == 0, hidden=above if wide else None, wrap=wrap)
            for place, (below, (above, halves)) in enumerate(zip(belows, blocks, strict=False))
        )
        self.place = canvas.levels - level_of(canvas, attended)  # blocks before it, all of which halve
        self.attention = nn.Identity() if attention is None else attention(blocks[self.place - 1][0])

    def forward(self, x: Tensor) -> Tensor:
        x = self.canvas.pad(x)
        for place, block in enumerate(self.blocks, 1):
            x = block(x)
            x = self.attention(x) if place == self.place else x
        return widen(relu(x)).sum((2, 3))


@final
class ProjectionHead(nn.Module):
    """Features f (B, F) and classes y (B,) to logits (B,): e_y . f + psi(f), psi linear, both layers wrapped and without biases (Miyato &
    Koyama 2018, arXiv:1802.05637, equation 3)."""

    def __init__(self, features: int, classes: int, *, wrap: Wrap = plain) -> None:
        super().__init__()
        self.embedding = wrap(glorot(nn.Embedding(classes, features)))
        self.unconditional = wrap(glorot(nn.Linear(features, 1, bias=False)))

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return self.projected(f, y) + widen(self.unconditional(f)).squeeze(1)

    def projected(self, f: Tensor, y: Tensor) -> Tensor:
        """e_y . f (B,): the part of the logit that knows the class."""
        return (widen(self.embedding(y)) * f).sum(1)
