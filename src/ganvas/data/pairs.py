"""Data of two domains: pairs that belong together, or two sets of which nobody knows what belongs together."""

import hashlib
import json
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
    def target(self) -> Examples:
        """The second domain by itself: what translations are compared with."""
        return self._target

    @property
    def fingerprint(self) -> str:
        content = [self.spec.to_json(), self._source.fingerprint, self._target.fingerprint]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        images = self._source.batch(indices % len(self._source)).images
        return Batch({"images": images, "target": self._target.batch(self._partner[indices] % len(self._target)).images})

    def to(self, device: torch.device) -> "Pairs":
        return Pairs(self._about, self._source.to(device), self._target.to(device))

    def label_counts(self) -> tuple[int, ...]:
        return ()
