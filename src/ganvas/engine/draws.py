"""Random numbers that are functions of a key, never of what was drawn before.

In training the key is (seed, step, phase, repeat): a resumed run draws what the uninterrupted one would have drawn, and evaluation
cannot disturb it. Draws are made for the global batch and sliced, so that ranks and micro-batches see parts of one draw. For samples
the key is (seed, index): a sample does not depend on the batch it was drawn in.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Generator, Tensor

Fill = Callable[[tuple[int, ...], Generator], Tensor]


def key(*parts: int | str) -> int:
    """A 63-bit seed from a tuple of integers and names; different tuples give unrelated seeds."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Draws(ABC):
    """What a loss or a call of `sample` draws from; `n` is the number of rows wanted here, `shape` the shape of one row."""

    @abstractmethod
    def _rows(self, n: int, shape: tuple[int, ...], fill: Fill) -> Tensor: ...

    def normal(self, n: int, *shape: int) -> Tensor:
        """(n, *shape) from N(0, 1)."""
        return self._rows(n, shape, lambda size, g: torch.randn(size, generator=g, device=g.device))

    def uniform(self, n: int, *shape: int) -> Tensor:
        """(n, *shape) from U[0, 1)."""
        return self._rows(n, shape, lambda size, g: torch.rand(size, generator=g, device=g.device))

    def integers(self, n: int, high: int, *shape: int) -> Tensor:
        """(n, *shape) int64, uniform over 0 .. high - 1."""
        return self._rows(n, shape, lambda size, g: torch.randint(high, size, generator=g, device=g.device))

    @abstractmethod
    def places(self, n: int) -> Tensor:
        """(n,) int64: the numbers of these rows in the whole draw. What a model keeps for each row of its batch is kept by them."""


@final
class StepDraws(Draws):
    """The draws of one loss: rows `part * n` to `(part + 1) * n` of a draw of `parts * n` rows."""

    def __init__(self, seed: int, part: int, parts: int, device: torch.device) -> None:
        self._generator = Generator(device).manual_seed(seed)
        self._part, self._parts = part, parts

    def _rows(self, n: int, shape: tuple[int, ...], fill: Fill) -> Tensor:
        drawn = fill((n * self._parts, *shape), self._generator)
        return drawn[self._part * n : (self._part + 1) * n]

    def places(self, n: int) -> Tensor:
        return torch.arange(self._part * n, (self._part + 1) * n, device=self._generator.device)


@final
class SampleDraws(Draws):
    """The draws of samples `start`, `start + 1`, ... (or of the given `indices`): a row of the k-th draw is a function of (seed, index,
    k) alone."""

    def __init__(self, seed: int, start: int = 0, device: torch.device | str = "cpu", indices: Sequence[int] | None = None) -> None:
        self._seed, self._start, self._device, self._indices = seed, start, device, indices
        self._calls = 0

    def _rows(self, n: int, shape: tuple[int, ...], fill: Fill) -> Tensor:
        # Rows come from the processor's generator on every device, so that a seed names the same sample everywhere.
        indices = self._indices if self._indices is not None else range(self._start, self._start + n)
        assert len(indices) >= n, "more rows wanted than samples asked for"
        generator = Generator("cpu")
        rows = [fill(shape, generator.manual_seed(key("sample", self._seed, index, self._calls))) for index in indices[:n]]
        self._calls += 1
        return torch.stack(rows).to(self._device) if rows else fill((0, *shape), generator).to(self._device)

    def places(self, n: int) -> Tensor:
        indices = self._indices if self._indices is not None else range(self._start, self._start + n)
        return torch.tensor(indices[:n], dtype=torch.int64, device=self._device)
