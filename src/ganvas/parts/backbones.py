"""The networks that paper after paper takes over: DCGAN's strided convolutions for images, perceptrons for points.

A paper that is about a loss borrows its networks; here they are lent. Samples go in and come out in the data's own size: the generator
crops its canvas, and the trunk pads what it is shown, so that reals and fakes have the same border and a model needs not know of it.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from ganvas.data.batch import DataSpec
from ganvas.parts.canvas import Canvas
from ganvas.parts.strided import double, doubled, halve

__all__ = ["Critic", "Perceptron", "StridedGenerator", "StridedTrunk", "generator_for", "trunk_for"]

HIDDEN = 3  # layers of a perceptron
Norm = Callable[[int], nn.Module]


@final
class StridedGenerator(nn.Module):
    """Vectors (B, I) to images (B, C, H, W) in [-1, 1]: a linear layer, then one fractionally strided convolution a level (Radford et al.
    2015, figure 1), `norm` and ReLU before each, tanh at the end."""

    def __init__(self, inputs: int, canvas: Canvas, channels: int, *, width: int, kernel: int, norm: Norm | None) -> None:
        super().__init__()
        widths = doubled(width, canvas.levels)[::-1]
        self.canvas, self.maps = canvas, (*canvas.base, widths[0])
        self.project = nn.Linear(inputs, math.prod(self.maps), bias=norm is None)
        layers: list[nn.Module] = [*_after(widths[0], norm), nn.ReLU(inplace=norm is not None)]
        for below, above in pairwise(widths):
            layers += [double(below, above, kernel, bias=norm is None), *_after(above, norm), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, double(widths[-1], channels, kernel, bias=True), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        # The projection is read as (h, w, maps), so that its output is channels-last without a copy.
        return self.canvas.crop(self.layers(self.project(z).view(-1, *self.maps).permute(0, 3, 1, 2)))


@final
class StridedTrunk(nn.Module):
    """Images (B, I, H, W) to `features` numbers (B, features): one strided convolution a level, LeakyReLU of slope 0.2, `norm` on all but
    the first, dropout if any; the mirror image of `StridedGenerator`."""

    def __init__(self, inputs: int, canvas: Canvas, *, width: int, kernel: int, norm: Norm | None, dropout: float = 0.0) -> None:
        super().__init__()
        widths = doubled(width, canvas.levels)
        self.canvas = canvas
        bend = lambda: [nn.LeakyReLU(0.2, inplace=True), *([nn.Dropout(dropout)] if dropout else [])]
        layers: list[nn.Module] = [halve(inputs, widths[0], kernel, bias=True), *bend()]
        for below, above in pairwise(widths):
            layers += [halve(below, above, kernel, bias=norm is None), *_after(above, norm), *bend()]
        self.layers = nn.Sequential(*layers)
        self.features = math.prod(canvas.base) * widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.canvas.pad(x)).permute(0, 2, 3, 1).flatten(1)


def _after(maps: int, norm: Norm | None) -> list[nn.Module]:
    return [] if norm is None else [norm(maps)]


@final
class Perceptron(nn.Module):
    """Vectors (B, I) to `features` numbers (B, features): layers of the given widths, each followed by ReLU, or by LeakyReLU of `slope`.

    With `outputs` one more linear layer follows, without an activation, and `features` is `outputs`."""

    def __init__(self, inputs: int, widths: tuple[int, ...], outputs: int | None = None, *, slope: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for below, above in pairwise((inputs, *widths)):
            layers += [nn.Linear(below, above), nn.LeakyReLU(slope) if slope else nn.ReLU()]
        if outputs is not None:
            layers.append(nn.Linear((inputs, *widths)[-1], outputs))
        self.layers = nn.Sequential(*layers)
        self.features = (inputs, *widths)[-1] if outputs is None else outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


Trunk = StridedTrunk | Perceptron


@final
class Critic(nn.Module):
    """A trunk and one linear unit: samples (B, ...) to scores or logits (B,)."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk, self.score = trunk, nn.Linear(trunk.features, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.trunk(x)).squeeze(1)


def generator_for(data: DataSpec, inputs: int, *, width: int, kernel: int = 4, norm: Norm | None = nn.BatchNorm2d) -> nn.Module:
    """A generator of such data: vectors (B, inputs) to images (B, C, H, W) in [-1, 1] by `StridedGenerator`, `width` maps in its last
    hidden layer; or to points (B, D) by three hidden layers of `width` ReLU units."""
    if data.kind == "images":
        channels, height, side = data.shape
        return StridedGenerator(inputs, Canvas.fit(height, side), channels, width=width, kernel=kernel, norm=norm)
    return Perceptron(inputs, (width,) * HIDDEN, data.shape[0])


def trunk_for(
    data: DataSpec,
    *,
    width: int,
    inputs: int | None = None,
    kernel: int = 4,
    norm: Norm | None = nn.BatchNorm2d,
    dropout: float = 0.0,
) -> Trunk:
    """What a discriminator of such data starts with: images (B, inputs, H, W) through `StridedTrunk`, `width` maps in its first layer; or
    points (B, inputs) through three hidden layers of `width` ReLU units. `inputs` is the data's own unless more is joined to a sample."""
    inputs = data.shape[0] if inputs is None else inputs
    if data.kind == "images":
        canvas = Canvas.fit(data.shape[1], data.shape[2])
        return StridedTrunk(inputs, canvas, width=width, kernel=kernel, norm=norm, dropout=dropout)
    return Perceptron(inputs, (width,) * HIDDEN)


def label_maps(labels: Tensor, classes: int, x: Tensor) -> Tensor:
    """x with `classes` more channels (images) or coordinates (points), one-hot: (B, C + K, H, W) or (B, D + K)."""
    hot = torch.nn.functional.one_hot(labels, classes).to(x.dtype)
    if x.dim() == 4:
        hot = hot[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, hot], 1)
