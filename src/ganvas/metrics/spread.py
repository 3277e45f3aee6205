"""How much images of a set differ from each other, in the plainest terms; beside a distance that a single copied image could win.

    spread = ( mean over pixels of the variance over images )^(1/2)

which is the root of half the mean squared difference of two images. For samples of a model of one image, Shaham et al. 2019
(arXiv:1905.01164, section 4) compare it with the variation of the image's own pixels.
"""

from typing import final

import torch
from torch import Tensor

from ganvas.errors import require


@final
class Spread:
    """The spread of images that come in batches; memory for three images."""

    def __init__(self) -> None:
        self._first: Tensor | None = None
        self._sum = self._squares = torch.zeros((), dtype=torch.float64)
        self._count = 0

    def add(self, images: Tensor) -> None:
        """The next images (N, C, H, W); `GanvasError` unless all are of one size."""
        exact = images.detach().to("cpu", torch.float64)
        if len(exact) == 0:
            return
        if self._first is None:
            self._first = exact[0].clone()
        first, came = tuple(self._first.shape), tuple(exact.shape[1:])
        require(first == came, f"samples of one size are wanted, these are {' x '.join(map(str, first))} and {' x '.join(map(str, came))}")
        apart = exact - self._first  # equal images differ by exactly nothing
        self._sum = self._sum + apart.sum(dim=0)
        self._squares = self._squares + apart.square().sum(dim=0)
        self._count += len(exact)

    def value(self) -> float:
        """The spread so far, variances divided by N - 1; `GanvasError` for fewer than two images."""
        require(self._count >= 2, f"a spread needs at least 2 images, and there are {self._count}")
        variance = (self._squares - self._sum.square() / self._count) / (self._count - 1)
        return float(variance.clamp(min=0).mean().sqrt())


def contrast(image: Tensor) -> float:
    """The spread of the pixels of one image (C, H, W): the root of the mean over channels of their variance over places."""
    return float(image.detach().to("cpu", torch.float64).flatten(1).var(dim=1, correction=0).mean().sqrt())
