"""The sliced Wasserstein distance of patches in a Laplacian pyramid (Karras et al. 2018, arXiv:1710.10196, section 5).

Each image is split into levels: what a blurred and halved image lacks, and the smallest image, of at least 16 pixels, itself. At each level
patches of 7 x 7 pixels are drawn, 128 of an image, scaled per channel to mean 0 and variance 1 over their set, and compared by the mean
1-Wasserstein distance of their projections. Printed times 1,000, as in the paper; the mean over levels is the number.
"""

from typing import final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ganvas.errors import require

SIDE, EACH, SMALLEST = 7, 128, 16
"""Of a patch in pixels, patches of an image, and pixels of the smallest level, as in the paper."""

DIRECTIONS, IMAGES = 128, 1_024
"""Of the projections, and images of a set that are read at most; the paper takes four times as many directions and 16,384 images."""

_KERNEL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_AT_ONCE = 64  # directions


@final
class Descriptors:
    """The patches of a stream of images in [-1, 1]; places are drawn by `seed`, whatever batches the images come in."""

    def __init__(self, *, seed: int, count: int = IMAGES) -> None:
        self._generator = Generator().manual_seed(seed)
        self._left = count
        self._found: list[list[Tensor]] = []
        self.sizes: list[tuple[int, int]] = []

    def add(self, images: Tensor) -> None:
        """The next images (N, C, H, W), both sides at least 7 pixels."""
        images = images[: self._left].detach().cpu().float()
        self._left -= len(images)
        if len(images) == 0:
            return
        levels = pyramid(images)
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        if not self._found:
            self._found, self.sizes = [[] for _ in levels], sizes
        require(self.sizes == sizes, "sliced Wasserstein: images of one size are wanted")
        for image in range(len(images)):  # in this order, so that batches make no difference to the places
            for level, found in zip(levels, self._found, strict=True):
                found.append(self._patches(level[image]))

    def _patches(self, level: Tensor) -> Tensor:
        """(128, C, 7, 7) of one level (C, h, w)."""
        height, width = level.shape[1:]
        rows = torch.randint(height - SIDE + 1, (EACH,), generator=self._generator)
        columns = torch.randint(width - SIDE + 1, (EACH,), generator=self._generator)
        windows = level.unfold(1, SIDE, 1).unfold(2, SIDE, 1)  # (C, places down, places across, 7, 7), a view
        return windows[:, rows, columns].transpose(0, 1)

    def at(self, level: int) -> Tensor:
        """Patches (P, C * 49) of a level, scaled."""
        patches = torch.cat(self._found[level]).float()
        patches = patches - patches.mean(dim=(0, 2, 3), keepdim=True)
        deviation = patches.square().mean(dim=(0, 2, 3), keepdim=True).sqrt()
        return (patches / deviation.clamp(min=1e-8)).flatten(1)

    @property
    def images(self) -> int:
        """Images read."""
        return len(self._found[0]) if self._found else 0


def pyramid(images: Tensor) -> list[Tensor]:
    """The levels of images (N, C, H, W), the finest first; one level where a half would be smaller than 16 pixels."""
    require(min(images.shape[2:]) >= SIDE, f"sliced Wasserstein: images of at least {SIDE} x {SIDE} pixels are wanted")
    levels = []
    while min(images.shape[2:]) >= 2 * SMALLEST:
        smaller = _blur(images)[:, :, ::2, ::2]
        levels.append(images - _double(smaller, (images.shape[2], images.shape[3])))
        images = smaller
    return [*levels, images]


def distances(a: Descriptors, b: Descriptors, *, seed: int = 0) -> list[float]:
    """The distance at each level, the finest first, times 1,000. Sets of unequal size are cut to the smaller one."""
    require(a.sizes == b.sizes and a.images > 0, f"sliced Wasserstein: images of one size are wanted, these have {a.sizes} and {b.sizes}")
    count = min(a.images, b.images) * EACH
    return [1_000 * _sliced(a.at(level)[:count], b.at(level)[:count], seed) for level in range(len(a.sizes))]


def _sliced(a: Tensor, b: Tensor, seed: int) -> float:
    """Mean over random directions of the mean difference of sorted projections."""
    lines = torch.randn(a.shape[1], DIRECTIONS, generator=Generator().manual_seed(seed))
    lines = lines / lines.norm(dim=0)
    total = 0.0
    for part in lines.split(_AT_ONCE, dim=1):
        first, second = ((points @ part).T.contiguous().sort(dim=1).values for points in (a, b))
        total += float((first - second).abs().mean(dim=1).double().sum())
    return total / DIRECTIONS


def _blur(images: Tensor) -> Tensor:
    """Binomial 5 x 5, the border mirrored."""
    channels = images.shape[1]
    kernel = _KERNEL.expand(channels, 1, 5)
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[:, :, None, :], groups=channels), kernel[:, :, :, None], groups=channels)


def _double(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Zeros between the pixels, blurred, four times as strong: the inverse step of the pyramid."""
    spread = images.new_zeros(*images.shape[:2], *size)
    spread[:, :, ::2, ::2] = images
    return 4 * _blur(spread)
