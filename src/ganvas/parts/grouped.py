"""Residual networks without normalisation: bottlenecks of grouped convolutions that start as nothing (R3GAN's backbone).

    x -> 1 x 1 -> bias, leaky ReLU -> 3 x 3 in groups -> bias, leaky ReLU -> 1 x 1 -> + x

(Huang et al. 2024, arXiv:2501.05441, section 3, and the authors' code.) In place of normalisation stands an initialisation that keeps the
variance of sums: with L blocks in a network, the first two layers of each start with gain sqrt(2 / (1 + 0.2^2)) L^(-1/4), the last one at 0
(Zhang et al. 2019, arXiv:1901.09321). So a network begins as its skip path, which is linear. Maps are doubled and halved by the filter
[1, 3, 3, 1] in either direction, which is bilinear resampling of the doubled side. Only blocks have biases.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import widen

__all__ = ["Down", "GroupedBlock", "GroupedGenerator", "GroupedTrunk", "Pointwise", "Up", "convolve", "variance", "widths_of"]

SLOPE: Final = 0.2
GAIN: Final = math.sqrt(2 / (1 + SLOPE**2))  # what a leaky ReLU takes from the size of its input, given back


def variance(weight: Tensor, gain: float = 1.0) -> nn.Parameter:
    """A weight (O, I, ...) drawn anew from N(0, gain^2 / fan_in) (He et al. 2015)."""
    return nn.Parameter(nn.init.normal_(weight, 0.0, gain / math.sqrt(weight[0].numel())))


Geometry = tuple[int, int, int]  # stride, padding, groups


@final
class _ByInput(torch.autograd.Function):
    """conv2d without bias, with a gradient by its input alone: a transposed convolution, which has gradients of its own.

    torch differentiates a gradient by making one more convolution for each group, with whole maps as kernels: hundreds of calls for wide
    layers. The weight's gradient of a transposed convolution is one. Height and width times the stride are those of the input.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        return F.conv2d(x, weight, None, how[0], how[1], 1, how[2])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (_, weight), (stride, padding, groups) = ctx.saved_tensors, ctx.how
        return F.conv_transpose2d(gradients[0], weight, None, stride, padding, 0, groups), None, None


@final
class _ByWeight(torch.autograd.Function):
    """Zeros of that convolution's shape, with its gradient by the weight alone: a node of its own, which torch passes by where the
    gradient by the input is asked for. It has no second derivative, and says so."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        return x.new_zeros(()).expand(len(x), len(weight), x.shape[2] // how[0], x.shape[3] // how[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x, weight), (stride, padding, groups) = ctx.saved_tensors, ctx.how
        how = [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, [False, True, False]
        return None, torch.ops.aten.convolution_backward(gradients[0], x, weight, None, *how)[1], None


def convolve(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int, groups: int) -> Tensor:
    """conv2d of x (B, C, H, W), without bias, that can be differentiated by its input, and that gradient again, at the cost of a few
    layers. Where autocast or a compiler is at work, and so nothing is differentiated twice, the library's own."""
    if torch.is_autocast_enabled(x.device.type) or torch.compiler.is_compiling():
        return F.conv2d(x, weight, None, stride, padding, 1, groups)
    how = stride, padding, groups
    y: Tensor = _ByInput.apply(x, weight, how)
    return y + _ByWeight.apply(x.detach(), weight, how) if weight.requires_grad and torch.is_grad_enabled() else y


@final
class Pointwise(nn.Module):
    """A 1 x 1 convolution, (B, below, H, W) to (B, above, H, W), as the matrix product it is; that is the faster form for few maps."""

    def __init__(self, below: int, above: int, *, gain: float = 1.0, bias: bool = False) -> None:
        super().__init__()
        self.weight = variance(torch.empty(above, below), gain)
        self.bias = nn.Parameter(torch.zeros(above)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


@final
class GroupedBlock(nn.Module):
    """Maps x (B, C, H, W) to x + branch(x): 1 x 1 to `expansion` C maps, 3 x 3 in groups of `group` of them, 1 x 1 back.

    `blocks` is L above; the last layer starts at 0. Where there are no more than `group` maps there is one group.
    """

    def __init__(self, maps: int, *, expansion: int, group: int, blocks: int) -> None:
        super().__init__()
        inner, gain = expansion * maps, GAIN * blocks ** (-1 / 4)
        self.groups = max(1, inner // group)
        self.first = Pointwise(maps, inner, gain=gain, bias=True)
        self.middle = variance(torch.empty(inner, inner // self.groups, 3, 3), gain)
        self.middle_bias = nn.Parameter(torch.zeros(inner))
        self.last = Pointwise(inner, maps, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.first(x), SLOPE)
        y = convolve(y, self.middle, padding=1, groups=self.groups)
        y = F.leaky_relu(y + self.middle_bias.to(y.dtype)[:, None, None], SLOPE)
        return x + self.last(y)


class _Resampling(nn.Module, ABC):
    """The filter, in single precision (which is the fast one on a processor), and a 1 x 1 convolution where the number of maps changes."""

    kernel: Tensor

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        side = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(side, side))
        self.change = nn.Identity() if below == above else Pointwise(below, above)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The maps at their new size."""


@final
class Up(_Resampling):
    """Maps (B, below, H, W) to (B, above, 2H, 2W): bilinear, with zeros beyond the border."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.change(x)
        with torch.autocast(x.device.type, enabled=False):
            kernel = self.kernel.expand(x.shape[1], 1, 4, 4)
            return F.conv_transpose2d(widen(x), kernel, None, 2, 1, 0, x.shape[1]).to(x.dtype)


@final
class Down(_Resampling):
    """Maps (B, below, H, W) to (B, above, H / 2, W / 2): a quarter of `Up`'s transpose, a weighted mean of 4 x 4 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            kernel = self.kernel.expand(x.shape[1], 1, 4, 4) / 4
            x = convolve(widen(x), kernel, stride=2, padding=1, groups=x.shape[1]).to(x.dtype)
        return self.change(x)


def widths_of(width: int, most: int, levels: int) -> tuple[int, ...]:
    """Maps of each stage from the largest maps to the smallest: `width` and twice as many on each next one, but at most `most`."""
    return tuple(min(width * 2**level, most) for level in range(levels + 1))


@final
class GroupedGenerator(nn.Module):
    """Codes (B, Z) to images (B, C, H, W), not limited to [-1, 1]: a learned h x w picture for each map, times a linear function of the
    code; then stages of blocks, with maps doubled between them; 1 x 1 at the end. `widths` are those of `widths_of`."""

    def __init__(
        self, inputs: int, canvas: Canvas, channels: int, widths: Sequence[int], *, depth: int, group: int, expansion: int = 2
    ) -> None:
        super().__init__()
        self.canvas = canvas
        widths, total = tuple(reversed(widths)), depth * len(widths)
        self.basis = nn.Parameter(torch.randn(widths[0], *canvas.base))
        self.weight = variance(torch.empty(widths[0], inputs))
        self.stages = nn.ModuleList(_stage(maps, depth, total, group, expansion) for maps in widths)
        self.resamplings = nn.ModuleList(Up(below, above) for below, above in pairwise(widths))
        self.last = Pointwise(widths[-1], channels)

    def forward(self, z: Tensor) -> Tensor:
        # (B, h, w, maps) by itself, read as (B, maps, h, w): channels-last without a copy.
        x = (F.linear(z, self.weight)[:, None, None, :] * self.basis.permute(1, 2, 0)).permute(0, 3, 1, 2)
        x = self.stages[0](x)
        for stage, resampling in zip(list(self.stages)[1:], self.resamplings, strict=True):
            x = stage(resampling(x))
        return self.canvas.crop(self.last(x))


@final
class GroupedTrunk(nn.Module):
    """Images (B, C, H, W) to features (B, F) in single precision: 1 x 1, stages of blocks with maps halved between them, and each of the
    last maps' product with a learned h x w picture, summed over its places. The mirror image of `GroupedGenerator`."""

    def __init__(self, channels: int, canvas: Canvas, widths: Sequence[int], *, depth: int, group: int, expansion: int = 2) -> None:
        super().__init__()
        self.canvas, self.features, total = canvas, widths[-1], depth * len(widths)
        self.first = Pointwise(channels, widths[0])
        self.stages = nn.ModuleList(_stage(maps, depth, total, group, expansion) for maps in widths)
        self.resamplings = nn.ModuleList(Down(below, above) for below, above in pairwise(widths))
        self.basis = variance(torch.empty(widths[-1], *canvas.base))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.canvas.pad(x))
        for stage, resampling in zip(list(self.stages)[:-1], self.resamplings, strict=True):
            x = resampling(stage(x))
        return (widen(self.stages[-1](x)) * self.basis).sum((2, 3))


def _stage(maps: int, depth: int, total: int, group: int, expansion: int) -> nn.Module:
    return nn.Sequential(*(GroupedBlock(maps, expansion=expansion, group=group, blocks=total) for _ in range(depth)))
