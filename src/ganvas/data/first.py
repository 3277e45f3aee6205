"""`first:N:SOURCE`: N images of a source's training split and no others, for measuring what a model makes of few data.

They are the first N of an order drawn by a fixed seed, since sources are often sorted by class: `first:500:` is part of `first:1000:`. The
other splits are the source's own, for measuring.
"""

from dataclasses import replace
from typing import final

import torch
from torch import Generator, Tensor

from ganvas.data.batch import Batch
from ganvas.data.examples import About, Examples, combined, count_labels, digest_of
from ganvas.data.source import Request, Scan, Source, SplitCount
from ganvas.data.words import counted
from ganvas.errors import require

PREFIX = "first:"
TRAINING = ("train", "all")
_SEED = 20200610
_READ = 500


def divided(name: str) -> tuple[int, str]:
    """The number of images and the source of `first:N:SOURCE`."""
    number, colon, inner = name.removeprefix(PREFIX).partition(":")
    good = bool(colon) and number.isascii() and number.isdigit() and int(number) >= 1 and bool(inner)
    require(good, f"'{name}': say how many images are kept, and of which source, as in {PREFIX}500:mnist/")
    return int(number), inner


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
class FirstSource(Source):
    """Another source whose training split is cut down to some of its images."""

    def __init__(self, name: str, count: int, whole: Source) -> None:
        super().__init__(name)
        self._count, self._whole = count, whole

    def splits(self) -> tuple[str, ...]:
        return self._whole.splits()

    def open(self, split: str, request: Request) -> Examples:
        whole = self._whole.open(split, request)
        if split not in TRAINING:
            return whole
        spec = whole.spec
        good = spec.kind == "images" and not spec.views and not spec.single
        require(good, f"'{self.name}': a number of single images is kept, and '{self._whole.name}' is none such")
        there = counted(len(whole), "image")
        require(self._count <= len(whole), f"'{self.name}': {self._count:,} images are asked for, and '{self._whole.name}' has {there}")
        kept = torch.randperm(len(whole), generator=Generator().manual_seed(_SEED))[: self._count].sort().values
        labels = torch.cat([whole.batch(part).labels.cpu() for part in kept.split(_READ)]) if spec.classes else None
        line = f"data: {self.name}: {counted(self._count, 'image')} of {len(whole):,}, drawn by a fixed seed"
        about = About(spec=spec, split=split, notes=(*whole.notes(), line), rejected=whole.rejected)
        return First(about, whole, kept, labels)

    def scan(self, request: Request) -> Scan:
        found = self._whole.scan(request)
        training = next((split for split in TRAINING if split in found.splits), None)
        require(training is not None, f"'{self.name}': '{self._whole.name}' has no training split to keep images of")
        assert training is not None
        first = self.open(training, request)
        known = SplitCount(count=len(first), classes=dict(zip(first.spec.classes, first.label_counts(), strict=True)))
        kind = f"{found.kind}; of the {training} split {counted(self._count, 'image')}, drawn by a fixed seed"
        return replace(found, source=self.name, kind=kind, splits={**found.splits, training: known})
