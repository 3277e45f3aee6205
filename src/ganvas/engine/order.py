"""The order in which a run sees its data: a permutation for each epoch, keyed by the seed; position n is a pure function of n."""

from typing import final

import torch
from torch import Generator, Tensor

from ganvas.engine.draws import key


@final
class Order:
    """Indices of a data set of `size` examples in training order; skipping ahead costs nothing."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._cached: tuple[int, Tensor] | None = None  # one epoch's permutation: a cache, not state

    def _permutation(self, epoch: int) -> Tensor:
        if self._cached is None or self._cached[0] != epoch:
            generator = Generator().manual_seed(key("order", self._seed, epoch))
            self._cached = (epoch, torch.randperm(self._size, generator=generator))
        return self._cached[1]

    def indices(self, start: int, count: int) -> Tensor:
        """(count,) int64: the examples at positions start .. start + count - 1, across epoch borders where needed."""
        pieces = []
        while count > 0:
            epoch, offset = divmod(start, self._size)
            piece = self._permutation(epoch)[offset : offset + count]
            pieces.append(piece)
            start, count = start + len(piece), count - len(piece)
        return torch.cat(pieces)
