"""`stacked:SOURCE`: three random grey images of a labelled source as the channels of one, for counting modes (Stacked-MNIST).

With MNIST there are 1,000 classes, one for each triple of digits (Metz et al. 2017, arXiv:1611.02163, section 3.3.1). As in Srivastava et
al. 2017 (arXiv:1705.07761, appendix A) the training split holds 128,000 triples and the test split 26,000, whatever the source; they are
drawn by a fixed seed. Triples are put together when they are read, so the set needs no more memory than its source.
"""

from dataclasses import replace
from typing import final

import torch
from torch import Generator, Tensor

from ganvas.data.batch import Batch
from ganvas.data.examples import About, Examples, combined, count_labels, digest_of
from ganvas.data.source import Request, Scan, Source, SplitCount
from ganvas.data.words import counted, shape_of
from ganvas.errors import require

PREFIX = "stacked:"
SIZES = {"train": 128_000, "val": 26_000, "test": 26_000, "all": 128_000}
_SEED = {"train": 1, "val": 2, "test": 3, "all": 1}


@final
class Stacked(Examples):
    """Triples of `digits`, any grey labelled examples: rows (N, 3) of their numbers. The class of (a, b, c) is a K^2 + b K + c."""

    def __init__(self, about: About, digits: Examples, rows: Tensor, labels: Tensor) -> None:
        super().__init__(about)
        self.digits, self._rows, self._labels = digits, rows, labels

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def fingerprint(self) -> str:
        return combined(self.spec, self.digits.fingerprint, digest_of(self._rows))

    def batch(self, indices: Tensor) -> Batch:
        rows = self._rows[indices.cpu()]
        images = self.digits.batch(rows.flatten()).images  # (3 B, 1, H, W)
        stacked = images.view(len(rows), 3, *images.shape[2:]).contiguous(memory_format=torch.channels_last)
        return Batch({"images": stacked, "labels": self._labels[indices.cpu()].to(images.device)})

    def to(self, device: torch.device) -> "Stacked":
        return Stacked(self._about, self.digits.to(device), self._rows, self._labels)

    def label_counts(self) -> tuple[int, ...]:
        return count_labels(self._labels, len(self.spec.classes))


@final
class StackedSource(Source):
    """The triples of another source, split by split."""

    def __init__(self, name: str, digits: Source) -> None:
        super().__init__(name)
        self._digits = digits

    def splits(self) -> tuple[str, ...]:
        return self._digits.splits()

    def open(self, split: str, request: Request) -> Stacked:
        digits = self._digits.open(split, request)
        spec = digits.spec
        grey = spec.kind == "images" and spec.shape[0] == 1 and len(spec.classes) >= 2 and not spec.domains
        came = f"'{self._digits.name}' is {shape_of(spec)} of {len(spec.classes)} classes"
        require(grey, f"'{self.name}': grey images with classes are stacked, and {came}")
        kinds, size = len(spec.classes), SIZES[split]
        rows = torch.randint(len(digits), (size, 3), generator=Generator().manual_seed(_SEED[split]))
        single = torch.cat([digits.batch(part).labels.cpu() for part in torch.arange(len(digits)).split(10_000)])
        labels = (single[rows] * torch.tensor([kinds**2, kinds, 1])).sum(dim=1)
        glue = "" if all(len(name) == 1 for name in spec.classes) else "-"
        names = tuple(glue.join((a, b, c)) for a in spec.classes for b in spec.classes for c in spec.classes)
        stacked = replace(spec, shape=(3, *spec.shape[1:]), classes=names)
        line = f"data: {self.name}, split {split}: {counted(size, 'image')} of {shape_of(stacked)}, three of {self._digits.name} each"
        return Stacked(
            About(spec=stacked, split=split, notes=(line, f"classes: {len(names):,}, one for each triple")), digits, rows, labels
        )

    def scan(self, request: Request) -> Scan:
        opened = {split: self.open(split, request) for split in self.splits()}
        return Scan(
            source=self.name,
            kind=f"triples of {self._digits.name} as the channels of one image, drawn by a fixed seed",
            spec=next(iter(opened.values())).spec,
            splits={
                name: SplitCount(count=len(one), classes=dict(zip(one.spec.classes, one.label_counts(), strict=True)))
                for name, one in opened.items()
            },
        )
