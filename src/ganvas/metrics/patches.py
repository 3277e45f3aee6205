"""The kernel distance between the patches of two sets of images; for one image, or for few.

    d^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = mean over w of exp(-|x - y|^2 / (2 D w^2))

with x, x' patches of one law and y, y' of the other (the squared maximum mean discrepancy, Gretton et al. 2012, Journal of Machine Learning
Research 13; the estimator is equation 3, as in the kernel inception distance of Binkowski et al. 2018, arXiv:1801.01401). A patch is a
square of D values, and |x - y|^2 / D the mean squared difference of two; the widths w are fixed, so numbers of different data have one
scale. The kernel is characteristic: the distance is 0 for equal laws only, and at most 2. Patches are taken from the images and from their
halves, quarters and so on, so small ones compare texture and the last ones layout.

The estimate is unbiased: its mean over draws is d^2, so it falls below 0 about as often as above where the laws are equal. Patches of one
image depend on each other, so pairs of them are left out, and images may be few; a set of one image stands for the patches of that image.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked_pair
from ganvas.metrics.incoming import choice
from ganvas.metrics.neighbours import nothing

RECIPE = 1
"""Raise it with any change that alters a number."""

WIDTHS = (0.1, 0.3, 1.0)
"""Of the Gaussian kernels, as root mean square differences of values in [-1, 1]."""

SIDE = 7
"""Of a patch, in pixels; that of the image where it is smaller."""

PATCHES = 4_096
"""Drawn of a set at each scale: equally many of each image, one each of so many images at most."""

_BLOCK = 1_000_000  # kernel values held at once: 8 MB, and as much for each of a few intermediate results


def kernel_distance(
    a: Tensor, b: Tensor, groups_a: Tensor | None = None, groups_b: Tensor | None = None, *, poll: Callable[[], None] = nothing
) -> float:
    """The unbiased estimate of d^2 from rows a (N, D) and b (M, D), in float64.

    Pairs of rows of one set count where their `groups` ((N,) and (M,) int64) differ; without groups all pairs of different rows do.
    Raises `GanvasError` for rows that are not finite or of different D, and where no pair of a set counts.
    """
    first, second = checked_pair(a, b, ("the first patches", "the second patches"), least=2)
    mean = first.mean(dim=0)  # smaller numbers are squared with smaller errors
    first, second = first - mean, second - mean
    across = sum(float(kernel(part, second).sum()) for part, _ in _parts(first, len(second), poll)) / (len(first) * len(second))
    return _within(first, groups_a, poll) + _within(second, groups_b, poll) - 2 * across


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """k (N, M), in [0, 1], between rows a (N, D) and b (M, D)."""
    squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
    apart = torch.addmm(squares, a, b.T, alpha=-2).clamp_(min=0).div_(a.shape[1])
    total = torch.zeros_like(apart)
    for width in WIDTHS:
        total += (apart / (-2 * width**2)).exp_()
    return total.div_(len(WIDTHS))


def _within(rows: Tensor, groups: Tensor | None, poll: Callable[[], None]) -> float:
    """Mean kernel of the pairs of rows (N, D) of different groups."""
    groups = torch.arange(len(rows)) if groups is None else groups
    require(len(groups) == len(rows), f"patches: {len(rows)} rows need as many groups, {len(groups)} came")
    total, pairs = 0.0, 0
    for part, at in _parts(rows, len(rows), poll):
        same = groups[at, None] == groups
        total += float(kernel(part, rows).masked_fill_(same, 0.0).sum())
        pairs += same.numel() - int(same.sum())
    require(pairs > 0, "patches: all are of one group, so no two of them can be compared")
    return total / pairs


def _parts(rows: Tensor, columns: int, poll: Callable[[], None]) -> Iterator[tuple[Tensor, slice]]:
    """Rows (N, D) in parts that together with so many columns make a block; and where each part lies."""
    height = max(1, _BLOCK // columns)
    for start in range(0, len(rows), height):
        poll()
        at = slice(start, start + height)
        yield rows[at], at


def levels(*sizes: tuple[int, int]) -> int:
    """How often images of all these sizes (H, W) can be halved until one is smaller than a patch; the images themselves count, so >= 1."""
    shortest = min(min(size) for size in sizes)
    return max(1, (shortest // SIDE).bit_length())


@final
class Patches:
    """Patches drawn from a stream of at most `count` images.

    Each image gives `each` patches at each of the `scales`, from places that are drawn by `seed` and `whose`, whatever batches the images
    come in. So one image has some thousand, and of thousands of images each has one.
    """

    def __init__(self, count: int, scales: int, side: int, *, seed: int, whose: str) -> None:
        self.each = -(-PATCHES // count)
        self._scales, self._side = scales, side
        self._taken = choice(count, PATCHES, seed)
        word = hashlib.sha256(f"ganvas patches {RECIPE}, {whose}, {seed}".encode()).digest()[:7]
        generator = Generator().manual_seed(int.from_bytes(word))
        self._places = torch.rand(scales, len(self._taken), self.each, 2, generator=generator, dtype=torch.float64)
        self._found: list[list[Tensor]] = [[] for _ in range(scales)]
        self._seen = self._given = 0

    def add(self, images: Tensor) -> None:
        """The next images (N, C, H, W) in [-1, 1], sides at least that of a patch at the smallest scale."""
        mine = (self._taken >= self._seen) & (self._taken < self._seen + len(images))
        numbers = self._taken[mine] - self._seen
        self._seen += len(images)
        if len(numbers) == 0:
            return
        given, self._given = self._given, self._given + len(numbers)
        images = images[numbers].detach().cpu().float()
        height, width = images.shape[2:]
        for scale in range(self._scales):
            size = height >> scale, width >> scale
            seen = F.interpolate(images, size=size, mode="area") if scale else images
            free = torch.tensor([size[0] - self._side + 1, size[1] - self._side + 1])
            rows, columns = (self._places[scale, given : self._given] * free).long().unbind(dim=-1)
            windows = seen.unfold(2, self._side, 1).unfold(3, self._side, 1)  # (N, C, places down, places across, side, side), a view
            drawn = windows[torch.arange(len(seen))[:, None], :, rows, columns]  # (N, each, C, side, side)
            self._found[scale].append(drawn.flatten(2))

    @property
    def images(self) -> int:
        """Images that gave patches."""
        return self._given

    def at(self, scale: int, images: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Patches (N, D) of (a part of) the images at a scale, and their groups (N,): the image of each, or, of one image, each its own."""
        drawn = torch.cat(self._found[scale])[images]
        alone = len(drawn) == 1
        count = self.each if alone else len(drawn)
        return drawn.flatten(0, 1), torch.arange(count).repeat_interleave(1 if alone else self.each)


def distances(a: Patches, b: Patches, scales: int, *, poll: Callable[[], None] = nothing) -> list[float]:
    """The kernel distance at each scale, the finest first."""
    return [_between(a.at(scale), b.at(scale), poll) for scale in range(scales)]


def own_distance(a: Patches, again: Patches, scales: int, *, poll: Callable[[], None] = nothing) -> float:
    """The mean distance of a set to itself: of one half of its images to the other, or, of one image, between two draws.

    What the best possible samples of as many images would get, chance included.
    """
    if a.images == 1:
        return sum(distances(a, again, scales, poll=poll)) / scales
    halves = slice(0, None, 2), slice(1, None, 2)
    return sum(_between(a.at(scale, halves[0]), a.at(scale, halves[1]), poll) for scale in range(scales)) / scales


def _between(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], poll: Callable[[], None]) -> float:
    return kernel_distance(a[0], b[0], a[1], b[1], poll=poll)


def protocol(scales: int, side: int) -> dict[str, Any]:
    """What to say beside the number."""
    recipe = f"ganvas patches {RECIPE}, {WIDTHS}, {SIDE}, {PATCHES}"
    reduced = "" if scales == 1 else f", in the images and reduced {', '.join(str(2**scale) for scale in range(1, scales))} times"
    return {
        "name": "patches",
        "hash": hashlib.sha256(recipe.encode()).hexdigest(),
        "input": f"{side} x {side} pixels{reduced}",
        "kernel": f"mean of Gaussians of widths {', '.join(map(str, WIDTHS))} per value; unbiased, so it may fall below 0",
        "recipe": RECIPE,
    }
