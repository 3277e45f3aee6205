"""What spoils a picture, so that a network can learn to mend it: the first halves of the pairs of `task:` (see `tasks`).

Each is a pure function of an image x (C, H, W), its values in [0, 1], a generator `g` and a `strength`; what is random is drawn from `g` on
the processor, in an order that hangs on the size alone. Results lie in [0, 1]; `tasks` rounds them to the 256 levels of a file, so that
nothing passes that a picture could not hold. Borders are continued by repeating the edge.
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601
GREY: Final = 128 / 255
"""What fills a hole: the level 128 in all channels."""
_CUTOFF: Final = 4.0  # of the mean squared gradient, above which a pixel is an edge


def grey(x: Tensor, g: Generator, strength: int) -> Tensor:
    """Luma (1, H, W) of a colour image; a grey one as it is."""
    return x if len(x) == 1 else (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(dim=0, keepdim=True)


def coarse(x: Tensor, g: Generator, strength: int) -> Tensor:
    """Every square of `strength` x `strength` pixels (at the lower and right border what there is of it) has its mean."""
    small = F.avg_pool2d(x[None], strength, ceil_mode=True, count_include_pad=False)
    large = small.repeat_interleave(strength, dim=2).repeat_interleave(strength, dim=3)
    return large[0, :, : x.shape[1], : x.shape[2]]


def noisy(x: Tensor, g: Generator, strength: int) -> Tensor:
    """x + n, n ~ N(0, s^2) in each value, with a deviation of s = `strength` grey levels; cut to [0, 1]."""
    return (x + strength / 255 * _normal(x, g)).clamp(0, 1)


def blurred(x: Tensor, g: Generator, strength: int) -> Tensor:
    """The mean over a straight line of `strength` pixels, at an angle drawn for each image: what a moving camera sees."""
    return filtered(x, line(strength, math.pi * _uniform(g)))


def rainy(x: Tensor, g: Generator, strength: int) -> Tensor:
    """Bright streaks: x + 0.8 r (1 - x), where r in [0, 1] are drops drawn out along one direction near the vertical, the same in all
    channels. So many drops fall that streaks touch about `strength` percent of the pixels; an eighth of the height is their length."""
    length = max(3, x.shape[1] // 8)
    kernel = line(length, math.pi / 2 + math.pi / 9 * (2 * _uniform(g) - 1))
    drops = (torch.rand(1, *x.shape[1:], generator=g) < strength / 100 / length).to(x)
    streaks = (filtered(drops, kernel) / kernel.max().to(x)).clamp(0, 1)
    return x + 0.8 * streaks * (1 - x)


def hazy(x: Tensor, g: Generator, strength: int) -> Tensor:
    """x t + a (1 - t), the law of Koschmieder: t = e^(-b d), with a depth d that grows from 0 at the lower border to 1 at the upper one,
    b drawn from `strength` percent of [0.5, 1.5], and the airlight a from [0.7, 1], both for each image."""
    b, air = strength / 100 * (0.5 + _uniform(g)), 0.7 + 0.3 * _uniform(g)
    depth = torch.linspace(1, 0, x.shape[1], device=x.device).view(1, -1, 1)
    through = (-b * depth).exp()
    return x * through + air * (1 - through)


def mosaic(x: Tensor, g: Generator, strength: int) -> Tensor:
    """What a sensor sees behind Bayer's filter, (1, H, W): red where row and column are even, blue where both are odd, else green."""
    raw = x[1:2].clone()
    raw[:, 0::2, 0::2] = x[0:1, 0::2, 0::2]
    raw[:, 1::2, 1::2] = x[2:3, 1::2, 1::2]
    return raw


def shadowed(x: Tensor, g: Generator, strength: int) -> Tensor:
    """x (1 - s m), s = `strength` percent: m is 1 in a band across the image, 0 outside, with soft borders. Direction, place and width (a
    fifth to a half of the longer side) of the band are drawn for each image."""
    height, width = x.shape[1:]
    longer = max(height, width)
    angle, wide = math.pi * _uniform(g), longer * (0.2 + 0.3 * _uniform(g))
    across, along = width * _uniform(g), height * _uniform(g)
    rows, columns = _places(x)
    away = ((columns - across) * math.cos(angle) + (rows - along) * math.sin(angle)).abs()
    soft = max(1.0, 0.04 * longer)
    mask = ((wide / 2 - away) / soft + 0.5).clamp(0, 1)
    return x * (1 - strength / 100 * mask)


def without_centre(x: Tensor, g: Generator, strength: int) -> Tensor:
    """Grey in the middle rectangle, whose sides are `strength` percent of the image's."""
    return torch.where(hole_in_centre(x.shape[1], x.shape[2], strength).to(x.device), GREY, x)


def hole_in_centre(height: int, width: int, strength: int) -> Tensor:
    """True (H, W) in the middle rectangle, whose sides are `strength` percent of the image's."""
    tall, wide = max(1, round(height * strength / 100)), max(1, round(width * strength / 100))
    top, left = (height - tall) // 2, (width - wide) // 2
    hole = torch.zeros(height, width, dtype=torch.bool)
    hole[top : top + tall, left : left + wide] = True
    return hole


def without_pixels(x: Tensor, g: Generator, strength: int) -> Tensor:
    """Grey in each pixel with a probability of `strength` percent, in all its channels."""
    hole = (torch.rand(x.shape[1:], generator=g) < strength / 100).to(x.device)
    return torch.where(hole, GREY, x)


def without_strokes(x: Tensor, g: Generator, strength: int) -> Tensor:
    """Grey under `strength` strokes of a round brush, each of four straight pieces that begin anywhere and lead up to a quarter of the
    longer side on; the brush is a fortieth to a tenth of that side wide."""
    height, width = x.shape[1:]
    longer = max(height, width)
    rows, columns = _places(x)
    hole = torch.zeros(height, width, dtype=torch.bool, device=x.device)
    for _ in range(strength):
        reach = max(0.5, longer * (0.0125 + 0.0375 * _uniform(g)))
        row, column, angle = height * _uniform(g), width * _uniform(g), 2 * math.pi * _uniform(g)
        for _ in range(4):
            angle, far = angle + math.pi / 2 * (2 * _uniform(g) - 1), longer / 4 * _uniform(g)
            down, right = far * math.sin(angle), far * math.cos(angle)
            share = ((rows - row) * down + (columns - column) * right) / max(far**2, 1e-6)
            share = share.clamp(0, 1)
            hole |= (rows - row - share * down).square() + (columns - column - share * right).square() <= reach**2
            row, column = row + down, column + right
    return torch.where(hole, GREY, x)


def outlines(x: Tensor, g: Generator, strength: int) -> Tensor:
    """Black edges on white, (1, H, W): Sobel's gradient of the luma where its square exceeds 4 times its mean, one pixel wide, for of
    neighbours across an edge the steepest stays (Pratt 1991, chapter 16)."""
    framed = F.pad(grey(x, g, 0)[None], (1, 1, 1, 1), mode="replicate")[0]
    level = (framed[:, :, :-2] + 2 * framed[:, :, 1:-1] + framed[:, :, 2:]) / 4
    upright = (framed[:, :-2] + 2 * framed[:, 1:-1] + framed[:, 2:]) / 4
    right, down = (upright[:, :, 2:] - upright[:, :, :-2]) / 2, (level[:, 2:] - level[:, :-2]) / 2
    squared = right.square() + down.square()
    framed = F.pad(squared, (1, 1, 1, 1))
    left_of, right_of, above, below = framed[:, 1:-1, :-2], framed[:, 1:-1, 2:], framed[:, :-2, 1:-1], framed[:, 2:, 1:-1]
    steepest = torch.where(right.abs() >= down.abs(), (squared > left_of) & (squared >= right_of), (squared > above) & (squared >= below))
    return 1 - (steepest & (squared > _CUTOFF * squared.mean())).to(x)


def line(length: int, angle: float) -> Tensor:
    """A kernel (K, K), K odd, of sum 1: a straight line of `length` pixels through its middle, at `angle` from the horizontal, each of its
    points shared by the four pixels around it."""
    half = length // 2 + 1
    side = 2 * half + 1
    kernel = [0.0] * side**2
    for at in range(length):
        away = at - (length - 1) / 2
        row, column = half - away * math.sin(angle), half + away * math.cos(angle)
        top, left = math.floor(row), math.floor(column)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - abs(row - top - i)) * (1 - abs(column - left - j))
            if share > 0:
                kernel[(top + i) * side + left + j] += share
    return torch.tensor(kernel).view(side, side) / length


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of x (C, H, W) weighted with a kernel (K, K), K odd, laid over every pixel; edges are repeated."""
    reach = kernel.shape[0] // 2
    padded = F.pad(x[:, None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(padded, kernel.to(x)[None, None])[:, 0]


def _uniform(g: Generator) -> float:
    return float(torch.rand((), generator=g))


def _normal(x: Tensor, g: Generator) -> Tensor:
    return torch.randn(x.shape, generator=g).to(x.device)


def _places(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W) of the middles of an image's pixels."""
    height, width = x.shape[1:]
    return torch.arange(height, device=x.device)[:, None] + 0.5, torch.arange(width, device=x.device)[None] + 0.5
