"""What a run trains on: numbered examples that are turned into batches."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ganvas.data.batch import Batch, DataSpec
from ganvas.data.cache import sha256
from ganvas.errors import require


@dataclass(frozen=True)
class Rejected:
    """A file that is not trained on, by its path below the source, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a set of examples besides the examples: its spec, the split read, lines for the log, the files left out."""

    spec: DataSpec
    split: str
    notes: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()


class Examples(ABC):
    """N examples of one split of a source, in a fixed order."""

    def __init__(self, about: About) -> None:
        self._about = about

    @property
    def spec(self) -> DataSpec:
        """Shape and meaning of one example."""
        return self._about.spec

    @property
    def split(self) -> str:
        """The split read: "train", "val", "test", or "all" where the source is one undivided set."""
        return self._about.split

    @property
    def compared(self) -> "Examples":
        """What samples of a model of these data are compared with: the data themselves, or the second of two domains."""
        return self

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The source's files that were left out."""
        return self._about.rejected

    def notes(self) -> list[str]:
        """Lines for the log: source, split, count, size, classes, what was resized, cropped or converted, how many files were rejected."""
        return list(self._about.notes)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 (hexadecimal) of the spec and the content: equal data give equal values in every process, other data other values."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, indices: Tensor) -> Batch:
        """The examples numbered `indices` ((B,) int64 on the CPU, each in 0 .. N - 1), on this set's device.

        `images` (B, C, H, W) float32 in [-1, 1], channels last; or `points` (B, D) float32, standardised; `labels` (B,) int64 where the
        spec has classes; `attributes` (B, A) float32 where it has attributes; `target` (B, C, H, W) where it has domains.
        """

    def expect(self, indices: Tensor) -> None:
        """A hint that `batch(indices)` comes next: what has to be read for it may be read meanwhile. It never changes a batch."""
        return None

    def standing(self, indices: Tensor) -> Tensor:
        """The numbers of the examples that `batch(indices)` is made of: others than asked for only where a file was lost meanwhile."""
        return indices

    @abstractmethod
    def to(self, device: torch.device) -> "Examples":
        """The same examples with batches on `device`; tensors held in memory move there."""

    @abstractmethod
    def label_counts(self) -> tuple[int, ...]:
        """Examples of each class, in the order of `spec.classes`; () without classes."""


def to_floats(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, C) as float32 (B, C, H, W) in [-1, 1], channels last; 0 becomes -1 and 255 becomes 1 exactly."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def count_labels(labels: Tensor | None, classes: int) -> tuple[int, ...]:
    """How often each of the labels 0 .. classes - 1 occurs in (N,) int64; () where there are none."""
    return tuple(torch.bincount(labels, minlength=classes).tolist()) if labels is not None else ()


def combined(spec: DataSpec, *digests: str) -> str:
    """sha256 of a spec and of digests of the content."""
    text = json.dumps([spec.to_json(), *digests], sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def digest_of(tensor: Tensor | None) -> str:
    """sha256 of the bytes of a tensor, "" of none."""
    return "" if tensor is None else sha256(tensor.detach().cpu().numpy())


@final
class MemoryImages(Examples):
    """Decoded images held as one uint8 tensor (N, H, W, C); a batch is one row lookup and one conversion.

    `digest` is the sha256 of the pixels where the caller knows it already; `attributes` are uint8 (N, A).
    """

    def __init__(
        self, about: About, pixels: Tensor, labels: Tensor | None = None, digest: str = "", attributes: Tensor | None = None
    ) -> None:
        super().__init__(about)
        require(len(pixels) > 0, "the data set is empty: at least one image is needed")
        assert pixels.dtype == torch.uint8 and pixels.dim() == 4 and pixels.is_contiguous()
        assert (labels is not None) == bool(about.spec.classes) and (labels is None or len(labels) == len(pixels))
        assert (attributes is not None) == bool(about.spec.attributes)
        self._pixels, self._labels, self._digest, self._attributes = pixels, labels, digest, attributes

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def fingerprint(self) -> str:
        self._digest = self._digest or digest_of(self._pixels)
        attributes = () if self._attributes is None else (digest_of(self._attributes),)
        return combined(self.spec, self._digest, digest_of(self._labels), *attributes)

    def batch(self, indices: Tensor) -> Batch:
        rows = indices.to(self._pixels.device)
        views = {"images": to_floats(self._pixels.index_select(0, rows))}
        if self._labels is not None:
            views["labels"] = self._labels.index_select(0, rows)
        if self._attributes is not None:
            views["attributes"] = self._attributes.index_select(0, rows).float()
        return Batch(views)

    def to(self, device: torch.device) -> "MemoryImages":
        labels = None if self._labels is None else self._labels.to(device)
        attributes = None if self._attributes is None else self._attributes.to(device)
        return MemoryImages(self._about, self._pixels.to(device), labels, self._digest, attributes)

    def label_counts(self) -> tuple[int, ...]:
        return count_labels(self._labels, len(self.spec.classes))


@final
class MemoryPoints(Examples):
    """Standardised points held as one float32 tensor (N, D)."""

    def __init__(self, about: About, points: Tensor) -> None:
        super().__init__(about)
        assert points.dtype == torch.float32 and points.dim() == 2
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    @property
    def fingerprint(self) -> str:
        return combined(self.spec, digest_of(self._points))

    def batch(self, indices: Tensor) -> Batch:
        return Batch({"points": self._points.index_select(0, indices.to(self._points.device))})

    def to(self, device: torch.device) -> "MemoryPoints":
        return MemoryPoints(self._about, self._points.to(device))

    def label_counts(self) -> tuple[int, ...]:
        return ()
