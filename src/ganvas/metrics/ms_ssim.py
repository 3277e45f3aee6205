"""Variety as likeness of pairs: the mean MS-SSIM of two samples (Odena et al. 2017, arXiv:1610.09585, section 4.2).

Lower is more various; the number of the data stands beside it. The paper takes pairs of one class, which is done here where classes are
known; five scales need 176 pixels, and the protocol says how many there were.
"""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.neighbours import nothing
from ganvas.metrics.similarity import ms_ssim

PAIRS = 1_000
"""Pairs compared in all; the paper takes 100 of each of 1,000 classes."""


@final
class Pairs:
    """Pairs of a stream of images: each with the one that came before it in its class, until there are enough."""

    def __init__(self, pairs: int = PAIRS) -> None:
        self._wanted = pairs
        self._waiting: dict[int, Tensor] = {}
        self._found: list[Tensor] = []

    def add(self, images: Tensor, labels: Tensor | None = None, *, poll: Callable[[], None] = nothing) -> None:
        """The next images (N, C, H, W) in [-1, 1], and their classes (N,), if known."""
        first: list[Tensor] = []
        second: list[Tensor] = []
        for image, label in zip(images, [0] * len(images) if labels is None else labels.tolist(), strict=True):
            if len(self._found) + len(first) >= self._wanted:
                break
            other = self._waiting.pop(label, None)
            if other is None:
                self._waiting[label] = image
            else:
                first.append(other)
                second.append(image)
        if first:
            poll()
            self._found += list(ms_ssim(torch.stack(first), torch.stack(second)))

    @property
    def pairs(self) -> int:
        """Pairs compared so far."""
        return len(self._found)

    def value(self) -> float:
        """The mean so far; `GanvasError` without a pair."""
        require(self.pairs > 0, "MS-SSIM: no two samples of one class came, so there is no pair to compare: use more samples")
        return float(torch.stack(self._found).mean())
