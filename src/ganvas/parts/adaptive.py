"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676): how much a discriminator's images are changed follows from
how sure it is of reals.

Each image is changed by each of twelve operations with probability p: pixel blits (mirror, quarter turns, whole-pixel shifts), geometry
(scale, turn, stretch, turn, shift) and colour (brightness, contrast, inversion of luma, hue, saturation), with the ranges of the authors'
code. Below p of about 0.8 a generator can only match changed data by making unchanged ones, since an operation that is done with
probability p < 1 can be told from the distribution it leaves (section 2.2).

    r = E[sign(a(x))]        p <- p + sign(r - target) 4 B / speed        every fourth update, p in [0, 1]

r is 0 where the discriminator guesses and 1 where it knows all reals, as it does once it has learned the training set by heart.

A geometry is one affine map of pixel places about the middle of the image, read bilinearly; outside the image lies its mirror image. There
the image is doubled by a wavelet filter before; here it is not. Colour is a map of the channels: with v = (1, .., 1) / sqrt(C) every
operation keeps v and what is orthogonal to it apart, and so they make up

    x -> c ((1 - 2 i) v v^T + s R) x + b c (1 - 2 i)        R = cos t (1 - v v^T) + sin t [v]

with brightness b, contrast c, inversion i, saturation s, hue t, and [v] the cross product with v; of other than three channels R is
1 - v v^T, of one it is 0.
"""

import math
from collections.abc import Collection
from typing import Final, Literal, final

import torch
from torch import Tensor, nn

from ganvas.engine.draws import Draws
from ganvas.parts.objectives import widen

__all__ = ["GROUPS", "Adaptive", "Group", "colour", "looked_up", "sampled", "warp"]

Group = Literal["blit", "geometry", "colour"]
GROUPS: Final = ("blit", "geometry", "colour")
EVERY: Final = 4  # updates between adjustments
SHIFT: Final = 0.125  # whole-pixel shifts up to this share of the side; deviation of fractional ones
SCALE: Final = 0.2  # deviation of the logarithms, to base 2, of scale and stretch
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # deviations; of the latter two of logarithms to base 2


@final
class Adaptive(nn.Module):
    """The strength p of the augmentation, a buffer, and what it follows: `signs`, the sum of r since p moved last, over `seen` updates.

    target: r that is aimed at (0.6 in the paper).
    speed:  images in which p goes from 0 to 1 (500,000 in the paper).
    groups: which operations are done.
    """

    strength: Tensor
    signs: Tensor
    seen: Tensor

    def __init__(self, *, target: float = 0.6, speed: float = 500_000.0, groups: Collection[Group] = GROUPS) -> None:
        super().__init__()
        self.target, self.speed, self.groups = target, speed, tuple(groups)
        self.register_buffer("strength", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def augment(self, x: Tensor, rng: Draws) -> Tensor:
        """Images x (B, C, H, W), changed; in single precision. One that no operation falls to stays as it is, bit for bit."""
        x, p = widen(x), self.strength
        # As many draws at any strength and for any groups: what is done at p is done at every larger p, in the same way.
        happens, uniform, normal = rng.uniform(len(x), 13), rng.uniform(len(x), 8), rng.normal(len(x), 7)
        with torch.autocast(x.device.type, enabled=False):
            if "blit" in self.groups or "geometry" in self.groups:
                x = self._moved(x, p, happens[:, :8], uniform, normal[:, :4])
            if "colour" in self.groups:
                x = self._coloured(x, p, happens[:, 8:], uniform[:, 6:], normal[:, 4:])
        return x

    @torch.no_grad()
    def update(self, sign: Tensor, batch: int) -> None:
        """After an update of the discriminator on `batch` images, with r of these: move p if it is time."""
        self.signs += sign
        self.seen += 1
        due = self.seen >= EVERY
        step = torch.sign(self.signs / EVERY - self.target) * (EVERY * batch / self.speed)
        self.strength.copy_(torch.where(due, (self.strength + step).clamp(0.0, 1.0), self.strength))
        self.signs.copy_(torch.where(due, 0.0, self.signs))
        self.seen.copy_(torch.where(due, 0, self.seen))

    def _moved(self, x: Tensor, p: Tensor, happens: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """Blits and geometry: from the place of a pixel to where it is read."""
        height, width = x.shape[2:]
        turned = 1 - (1 - p).clamp(min=0.0).sqrt()  # for each of two turns: one of them happens with probability p
        often = torch.stack([p, p, p, p, turned, p, turned, p])
        done = happens < often
        names = ("blit",) * 3 + ("geometry",) * 5
        done = done & torch.tensor([name in self.groups for name in names], device=x.device)
        mirror, quarter, jump, scale, first, stretch, second, drift = done.unbind(1)
        one, none = torch.ones_like(uniform[:, 0]), torch.zeros_like(uniform[:, 0])
        sides = torch.tensor([float(width), float(height)], device=x.device)
        flip = torch.where(mirror, 1 - 2 * (2 * uniform[:, 0]).floor(), one)
        angle = torch.where(quarter, (4 * uniform[:, 1]).floor() * (math.pi / 2), none)
        whole = (jump[:, None] * SHIFT * (2 * uniform[:, 2:4] - 1) * sides).round()
        size = torch.where(scale, torch.exp2(-SCALE * normal[:, 0]), one)
        before, after = ((2 * u - 1) * math.pi * yes for u, yes in ((uniform[:, 4], first), (uniform[:, 5], second)))
        ratio = torch.where(stretch, torch.exp2(-SCALE * normal[:, 1]), one)
        rest = drift[:, None] * SHIFT * normal[:, 2:4] * sides
        left = _scaled(flip, one) @ _turn(angle)
        right = _scaled(size, size) @ _turn(before) @ _scaled(ratio, 1 / ratio) @ _turn(after)
        linear = left @ right
        offset = -(left @ (whole[:, :, None] + right @ rest[:, :, None]))[:, :, 0]
        return torch.where(done.any(1)[:, None, None, None], warp(x, linear, offset), x)

    def _coloured(self, x: Tensor, p: Tensor, happens: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        done = happens < p
        bright, contrast, invert, turn, saturate = done.unbind(1)
        changed = colour(
            x,
            brightness=bright * BRIGHTNESS * normal[:, 0],
            contrast=torch.exp2(contrast * CONTRAST * normal[:, 1]),
            inverted=invert * (2 * uniform[:, 0]).floor(),
            hue=turn * (2 * uniform[:, 1] - 1) * math.pi,
            saturation=torch.exp2(saturate * SATURATION * normal[:, 2]),
        )
        return torch.where(done.any(1)[:, None, None, None], changed, x)


def warp(x: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """Images x (B, C, H, W) read at other places: the pixel at u is the value of x at `linear` u + `offset`.

    Places (column, row) are in pixels from the middle of the image; linear is (B, 2, 2), offset (B, 2). Between pixels values are
    interpolated linearly; beyond the border the image is mirrored at its outer edge, as often as needed.
    """
    height, width = x.shape[2:]
    columns = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
    rows = torch.arange(height, device=x.device, dtype=x.dtype) - (height - 1) / 2
    places = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], -1)  # (H, W, 2)
    read = torch.einsum("bij,hwj->bhwi", linear, places) + offset[:, None, None]
    # On CUDA the gradient of `grid_sample` is summed in no fixed order, so that a run could not be repeated bit for bit.
    return sampled(x, read) if x.device.type == "cpu" else looked_up(x, read)


def sampled(x: Tensor, read: Tensor) -> Tensor:
    """Images x (B, C, H, W) at the places read (B, H, W, 2), by torch's own kernel: ten times as fast on a processor."""
    sides = torch.tensor([x.shape[3] / 2, x.shape[2] / 2], device=x.device, dtype=x.dtype)
    return nn.functional.grid_sample(x, read / sides, mode="bilinear", padding_mode="reflection", align_corners=False)


def looked_up(x: Tensor, read: Tensor) -> Tensor:
    """The same as rows of pixels that are looked up by number, whose gradient is summed in a fixed order."""
    height, width = x.shape[2:]
    (left, right, across), (top, bottom, down) = _neighbours(read[..., 0], width), _neighbours(read[..., 1], height)
    image = torch.arange(len(x), device=x.device)[:, None, None] * (height * width)
    corners = [(top, left, (1 - down) * (1 - across)), (top, right, (1 - down) * across)]
    corners += [(bottom, left, down * (1 - across)), (bottom, right, down * across)]
    numbers, weights = zip(*((image + row * width + column, weight) for row, column, weight in corners), strict=True)
    pixels = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])[torch.stack(numbers)]  # (4, B, H, W, C)
    return (pixels * torch.stack(weights)[..., None]).sum(0).permute(0, 3, 1, 2)


def _neighbours(place: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels on both sides of places from the middle, mirrored into 0 .. side - 1, and how near they are to the second."""
    around = (place + side / 2).remainder(2 * side)
    inside = (torch.minimum(around, 2 * side - around) - 0.5).clamp(0.0, side - 1.0)
    low = inside.floor()
    return low.long(), (low.long() + 1).clamp(max=side - 1), inside - low


def _scaled(across: Tensor, down: Tensor) -> Tensor:
    """Diagonal matrices (B, 2, 2)."""
    return torch.diag_embed(torch.stack([across, down], 1))


def _turn(angle: Tensor) -> Tensor:
    """Rotations (B, 2, 2) by angles (B,)."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)


def colour(x: Tensor, *, brightness: Tensor, contrast: Tensor, inverted: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """The map of channels above, for images x (B, C, H, W), with one number (B,) of each kind for an image; `hue` in radians."""
    channels = x.shape[1]
    eye = torch.eye(channels, device=x.device, dtype=x.dtype)
    along = torch.full_like(eye, 1 / channels)
    across = (eye - along).expand(len(x), channels, channels)
    if channels == 3:
        spin = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=x.device, dtype=x.dtype) / math.sqrt(3)
        across = _wide(hue.cos()) * across + _wide(hue.sin()) * spin
    sign = 1 - 2 * inverted
    matrix = _wide(contrast) * (_wide(sign) * along + _wide(saturation) * across)
    return torch.einsum("bij,bjhw->bihw", matrix, x) + _wide(brightness * contrast * sign)[..., None]


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None]
