"""`first:N:SOURCE`: N images of a source's training split and no others, for measuring what a model makes of few data.

They are the first N of an order drawn by a fixed seed, since sources are often sorted by class: `first:500:` is part of `first:1000:`. The
other splits are the source's own, for measuring.
"""

from typing import final

import torch
from torch import Generator, Tensor

from ganvas.data import training
from ganvas.data.batch import Batch
from ganvas.data.examples import About, Examples, combined, count_labels, digest_of
from ganvas.data.training import TrainingPart, labels_of
from ganvas.data.words import counted
from ganvas.errors import require

PREFIX = "first:"
_SEED = 20200610


def divided(name: str) -> tuple[int, str]:
    """The number of images and the source of `first:N:SOURCE`."""
    return training.divided(name, PREFIX, "images", 500)


@final
class First(Examples):
    """The examples of `whole` numbered `kept` (N,), ascending; `labels` (N,) are theirs, if they have any."""

    def __init__(self, about: About, whole: Examples, kept: Tensor, labels: Tensor | None) -> None:
        super().__init__(about)
        self._whole, self._kept, self._labels = whole, kept, labels

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def fingerprint(self) -> str:
        return combined(self.spec, self._whole.fingerprint, digest_of(self._kept))

    @property
    def kept(self) -> Tensor:
        """The numbers (N,) of the examples in the source's split."""
        return self._kept

    def batch(self, indices: Tensor) -> Batch:
        return self._whole.batch(self._kept[indices.cpu()])

    def expect(self, indices: Tensor) -> None:
        self._whole.expect(self._kept[indices.cpu()])

    def standing(self, indices: Tensor) -> Tensor:
        # In place of a lost file stands another of the whole, which need not be one of these: then the number asked for stays.
        found = self._whole.standing(self._kept[indices.cpu()])
        places = torch.searchsorted(self._kept, found).clamp(max=len(self) - 1)
        return torch.where(self._kept[places] == found, places, indices.cpu())

    def to(self, device: torch.device) -> "First":
        return First(self._about, self._whole.to(device), self._kept, self._labels)

    def label_counts(self) -> tuple[int, ...]:
        return count_labels(self._labels, len(self.spec.classes))


@final
class FirstSource(TrainingPart):
    """Another source whose training split is cut down to some of its images."""

    @property
    def said(self) -> str:
        return counted(self._count, "image")

    def cut(self, whole: Examples) -> Examples:
        spec = whole.spec
        good = spec.kind == "images" and not spec.views and not spec.single
        require(good, f"'{self.name}': a number of single images is kept, and '{self._whole.name}' is none such")
        there = counted(len(whole), "image")
        require(self._count <= len(whole), f"'{self.name}': {self._count:,} images are asked for, and '{self._whole.name}' has {there}")
        kept = torch.randperm(len(whole), generator=Generator().manual_seed(_SEED))[: self._count].sort().values
        line = f"data: {self.name}: {counted(self._count, 'image')} of {len(whole):,}, drawn by a fixed seed"
        about = About(spec=spec, split=whole.split, notes=(*whole.notes(), line), rejected=whole.rejected)
        return First(about, whole, kept, labels_of(whole, kept) if spec.classes else None)
