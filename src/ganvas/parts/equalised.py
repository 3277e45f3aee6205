"""Layers with an equalised learning rate, and the normalisation that goes with them.

Adam moves every weight by about the same amount, whatever its scale, so layers whose weights start small would learn faster than others.
Here all weights start from N(0, 1), and He's constant gain / sqrt(fan_in) is applied at run time: all have the same range, and so the
same speed (Karras et al. 2017, arXiv:1710.10196, section 4.1).
"""

import math
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.parts.objectives import widen

__all__ = ["HE", "EqualConv2d", "EqualLinear", "pixel_norm"]

HE: Final = math.sqrt(2.0)  # the gain before a rectifier; 1 before nothing


@final
class EqualLinear(nn.Module):
    """(B, I) to (B, O): x (scale w)^T + rate b with w ~ N(0, 1 / rate^2), b = 0 and scale = rate * gain / sqrt(I).

    `rate` divides the speed of learning without a change of the first outputs: with 0.01 all steps are a hundredth (Karras et al. 2018,
    arXiv:1812.04948, appendix C).
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float = HE, bias: bool = True, rate: float = 1.0) -> None:
        super().__init__()
        self.scale, self.rate = rate * gain / math.sqrt(inputs), rate
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, None if self.bias is None else self.bias * self.rate)


@final
class EqualConv2d(nn.Module):
    """(B, I, H, W) to (B, O, H', W'): a convolution by scale w + b with w ~ N(0, 1), b = 0 and scale = gain / sqrt(I kernel^2).

    Without `padding` an odd kernel keeps height and width.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, gain: float = HE, bias: bool = True, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        self.scale = gain / math.sqrt(inputs * kernel**2)
        self.stride, self.padding = stride, kernel // 2 if padding is None else padding
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


def pixel_norm(x: Tensor) -> Tensor:
    """x / sqrt(mean over channels of x^2 + 1e-8) for x (B, C, ...): each pixel's vector gets length sqrt(C) (section 4.2).

    The mean is taken in single precision; the result has the precision of x.
    """
    return x * widen(x).square().mean(1, keepdim=True).add(1e-8).rsqrt().to(x.dtype)
