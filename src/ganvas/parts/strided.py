"""Strided convolutions that double or halve a map exactly."""

from torch import nn

__all__ = ["double", "doubled", "halve"]


def double(below: int, above: int, kernel: int, *, bias: bool) -> nn.Module:
    """A fractionally strided convolution that doubles height and width exactly, whatever its kernel."""
    return nn.ConvTranspose2d(below, above, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2, bias=bias)


def halve(below: int, above: int, kernel: int, *, bias: bool) -> nn.Module:
    """A strided convolution that halves even heights and widths exactly, whatever its kernel."""
    return nn.Conv2d(below, above, kernel, stride=2, padding=(kernel - 1) // 2, bias=bias)


def doubled(width: int, levels: int) -> tuple[int, ...]:
    """Maps of the hidden layers from the largest maps to the smallest: doubled at each of `levels`, the last 4 to 8 times `width`."""
    return tuple(width * min(2**level, 8) for level in range(max(0, 3 - levels), max(3, levels)))
