"""Sources whose training split is another source's with a part taken away, N of something kept: what they share."""

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from ganvas.data.examples import Examples
from ganvas.data.source import UNDIVIDED, Request, Scan, Source, SplitCount
from ganvas.errors import require

TRAINING = ("train", UNDIVIDED)
_READ = 500


def divided(name: str, prefix: str, kept: str, example: int) -> tuple[int, str]:
    """The number and the source of `PREFIX N:SOURCE`; `kept` are counted ("labels"), and an error shows an `example`."""
    number, colon, inner = name.removeprefix(prefix).partition(":")
    good = bool(colon) and number.isascii() and number.isdigit() and int(number) >= 1 and bool(inner)
    require(good, f"'{name}': say how many {kept} are kept, and of which source, as in {prefix}{example}:mnist/")
    return int(number), inner


def labels_of(examples: Examples, rows: Tensor) -> Tensor:
    """Labels (N,) of the examples numbered `rows` (N,), on the processor."""
    return torch.cat([examples.batch(part).labels.cpu() for part in rows.split(_READ)])


class TrainingPart(Source, ABC):
    """Another source, `whole`, of whose training split `count` of something are kept; its other splits stay, for measuring."""

    def __init__(self, name: str, count: int, whole: Source) -> None:
        super().__init__(name)
        self._count, self._whole = count, whole

    @property
    @abstractmethod
    def said(self) -> str:
        """What a scan says of the training split."""

    @abstractmethod
    def cut(self, whole: Examples) -> Examples:
        """The training split, with its part taken away; `GanvasError` where it holds none such."""

    def splits(self) -> tuple[str, ...]:
        return self._whole.splits()

    def open(self, split: str, request: Request) -> Examples:
        whole = self._whole.open(split, request)
        return self.cut(whole) if split in TRAINING else whole

    def scan(self, request: Request) -> Scan:
        found = self._whole.scan(request)
        training = next((split for split in TRAINING if split in found.splits), None)
        require(training is not None, f"'{self.name}': '{self._whole.name}' has no training split to keep a part of")
        assert training is not None
        part = self.open(training, request)
        known = SplitCount(count=len(part), classes=dict(zip(part.spec.classes, part.label_counts(), strict=True)))
        kind = f"{found.kind}; of the {training} split {self.said}, drawn by a fixed seed"
        return replace(found, source=self.name, kind=kind, spec=part.spec, splits={**found.splits, training: known})
