"""Strided bfloat16 convolutions on the processor, computed as matrix products where those are faster.

A convolution's weight gradient is the product of two matrices: the input's patches, a row for each place of the kernel, and the output's
gradient (Chellapilla et al. 2006, "High performance convolutional neural networks for document processing"). On maps of at most 4 x 4 that
product takes about 0.6 of the time of the library's routine for strided layers. A transposed convolution to one channel is a product
whose columns are added up where patches overlap. All other layers, and all other devices and precisions, are left to the library.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

MOST_PLACES, LEAST_INNER, LEAST_OUTER = 16, 512, 64
"""Where products were measured to be faster: places of the kernel in an image, entries of a patch, channels on the small side."""


def patches(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], places: tuple[int, int]) -> Tensor:
    """The patches of x (B, C, H, W) under a kernel at `places` (h, w), zeros beyond the border: (B h w, kernel height * width * C)."""
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0])).contiguous()
    b, row, column, c = padded.stride()
    size = (x.shape[0], *places, *kernel, x.shape[1])
    return padded.as_strided(size, (b, row * stride[0], column * stride[1], row, column, c)).reshape(-1, math.prod(size[3:]))


def weight_gradient(large: Tensor, small: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """d L / d weight of shape (C of `small`, C of `large`, *kernel).

    For a convolution `large` is its input and `small` the gradient of its output; for a transposed one the other way round.
    """
    rows = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1])
    product = rows.t() @ patches(large, kernel, stride, padding, (small.shape[2], small.shape[3]))
    return product.view(small.shape[1], *kernel, large.shape[1]).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Geometry:
    """How a convolution, or a transposed one, moves over its input."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    output_padding: tuple[int, int] = (0, 0)
    transposed: bool = False


@final
class Convolution(torch.autograd.Function):
    """conv2d or conv_transpose2d without bias, with `weight_gradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        return torch.convolution(x, weight, None, how.stride, how.padding, (1, 1), how.transposed, how.output_padding, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (x, weight), how = ctx.saved_tensors, ctx.how
        towards_x = towards_weight = None
        if ctx.needs_input_grad[0]:
            wanted = [True, False, False]
            towards_x, _, _ = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, how.stride, how.padding, (1, 1), how.transposed, how.output_padding, 1, wanted
            )
        if ctx.needs_input_grad[1]:
            large, small = (gradient, x) if how.transposed else (x, gradient)
            towards_weight = weight_gradient(large, small, (weight.shape[2], weight.shape[3]), how.stride, how.padding)
        return towards_x, towards_weight, None


def single_channel(x: Tensor, weight: Tensor, how: Geometry) -> Tensor:
    """conv_transpose2d of x (B, C, h, w) by a weight (C, 1, *kernel), without bias: (B, 1, H, W)."""
    kernel, (height, width) = (weight.shape[2], weight.shape[3]), x.shape[2:]
    columns = weight.flatten(1).t() @ x.permute(0, 2, 3, 1).reshape(len(x), height * width, -1).transpose(1, 2)
    sides = zip((height, width), kernel, how.stride, how.padding, how.output_padding, strict=True)
    size = [(side - 1) * step - 2 * less + reach + more for side, reach, step, less, more in sides]
    return F.fold(columns, (size[0], size[1]), kernel, padding=how.padding, stride=how.stride)


@final
class Products(TorchFunctionMode):
    """While it is entered, convolutions under autocast are computed as said above."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.conv2d:
            return convolve(*args, **(kwargs or {}))
        if func is F.conv_transpose2d:
            return transpose(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """`F.conv2d`, with the same arguments."""
    if not isinstance(padding, str) and _plain(x, stride, dilation, groups):
        how = Geometry(stride=_pair(stride), padding=_pair(padding))
        sides = zip(x.shape[2:], how.padding, weight.shape[2:], how.stride, strict=True)
        if _worth(weight, math.prod((side + 2 * more - reach) // step + 1 for side, more, reach, step in sides)):
            kind = torch.get_autocast_dtype(x.device.type)
            return _biased(Convolution.apply(x.to(kind), weight.to(kind), how), bias)
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """`F.conv_transpose2d`, with the same arguments."""
    if _plain(x, stride, dilation, groups):
        how = Geometry(stride=_pair(stride), padding=_pair(padding), output_padding=_pair(output_padding), transposed=True)
        kind = torch.get_autocast_dtype(x.device.type)
        if weight.shape[1] == 1:
            return _biased(single_channel(x.to(kind), weight.to(kind), how), bias)
        if _worth(weight, math.prod(x.shape[2:])):
            return _biased(Convolution.apply(x.to(kind), weight.to(kind), how), bias)
    return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _plain(x: Tensor, stride: Any, dilation: Any, groups: int) -> bool:
    """A strided convolution of a batch under autocast, neither dilated nor in groups."""
    strided = x.dim() == 4 and groups == 1 and _pair(dilation) == (1, 1) and _pair(stride) != (1, 1)
    return strided and torch.is_autocast_enabled(x.device.type)


def _worth(weight: Tensor, places: int) -> bool:
    """Whether a weight (small, large, h, w) will want a gradient that is faster as a product."""
    shaped = places <= MOST_PLACES and weight[0].numel() >= LEAST_INNER and weight.shape[0] >= LEAST_OUTER
    return shaped and weight.requires_grad and torch.is_grad_enabled()


def _biased(y: Any, bias: Tensor | None) -> Tensor:
    biased: Tensor = y if bias is None else y + bias.to(y.dtype)[:, None, None]
    return biased
