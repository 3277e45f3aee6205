"""Data of two domains: pairs that belong together, or two sets of which nobody knows what belongs together."""

import hashlib
import json
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from ganvas.data.batch import Batch
from ganvas.data.examples import About, Examples
from ganvas.errors import require


@final
class Pairs(Examples):
    """A set of the first domain beside one of the second, which a batch calls `images` and `target`.

    Aligned sets have one length, and row i of both belong together. Otherwise there are as many examples as the longer set has; the
    shorter one is gone through again and again, and the target of a row is drawn once and for all: what stands in one row has nothing to
    do with each other.
    """

    def __init__(self, about: About, source: Examples, target: Examples) -> None:
        super().__init__(about)
        self._source, self._target = source, target
        assert about.spec.views == {"target": target.spec.shape} and len(about.spec.domains) == 2
        if about.spec.aligned:
            require(len(source) == len(target), f"aligned domains have as many images each, not {len(source)} and {len(target)}")
        self._partner = (
            torch.arange(len(self)) if about.spec.aligned else torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        )

    def __len__(self) -> int:
        return max(len(self._source), len(self._target))

    @property
    def compared(self) -> Examples:
        return self._target

    @property
    def fingerprint(self) -> str:
        content = [self.spec.to_json(), self._source.fingerprint, self._target.fingerprint]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def _rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of either set that stand in the examples `indices`."""
        return indices % len(self._source), self._partner[indices] % len(self._target)

    def batch(self, indices: Tensor) -> Batch:
        first, second = self._rows(self.standing(indices))
        return Batch({"images": self._source.batch(first).images, "target": self._target.batch(second).images})

    def expect(self, indices: Tensor) -> None:
        first, second = self._rows(indices)
        self._source.expect(first)
        self._target.expect(second)

    def standing(self, indices: Tensor) -> Tensor:
        if not self.spec.aligned:
            return indices  # each set replaces its own
        found = self._target.standing(self._source.standing(indices))
        return found if torch.equal(found, indices) else self.standing(found)

    def to(self, device: torch.device) -> "Pairs":
        return Pairs(self._about, self._source.to(device), self._target.to(device))

    def label_counts(self) -> tuple[int, ...]:
        return ()


@final
class Halves(Examples):
    """Pairs side by side: the images of `whole` are cut in the middle, and half number `first` (0 is the left one) is called `images`."""

    def __init__(self, about: About, whole: Examples, first: int) -> None:
        super().__init__(about)
        self._whole, self._first = whole, first
        assert about.spec.aligned and 2 * about.spec.shape[2] == whole.spec.shape[2]

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def compared(self) -> Examples:
        spec = replace(self.spec, views={}, domains=(), aligned=False)
        return Half(About(spec=spec, split=self.split, rejected=self.rejected), self._whole, 1 - self._first)

    @property
    def fingerprint(self) -> str:
        content = [self.spec.to_json(), self._whole.fingerprint, self._first]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        halves = _halves(self._whole.batch(indices).images)
        return Batch({"images": halves[self._first], "target": halves[1 - self._first]})

    def expect(self, indices: Tensor) -> None:
        self._whole.expect(indices)

    def to(self, device: torch.device) -> "Halves":
        return Halves(self._about, self._whole.to(device), self._first)

    def label_counts(self) -> tuple[int, ...]:
        return ()


@final
class Half(Examples):
    """One half of the images of `whole`: the left one is number 0."""

    def __init__(self, about: About, whole: Examples, half: int) -> None:
        super().__init__(about)
        self._whole, self._half = whole, half

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def fingerprint(self) -> str:
        content = [self.spec.to_json(), self._whole.fingerprint, self._half]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        return Batch({"images": _halves(self._whole.batch(indices).images)[self._half]})

    def expect(self, indices: Tensor) -> None:
        self._whole.expect(indices)

    def to(self, device: torch.device) -> "Half":
        return Half(self._about, self._whole.to(device), self._half)

    def label_counts(self) -> tuple[int, ...]:
        return ()


def _halves(images: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) for the left and the right half of (B, C, H, 2 W), channels last."""
    left, right = images.chunk(2, dim=3)
    return left.contiguous(memory_format=torch.channels_last), right.contiguous(memory_format=torch.channels_last)
