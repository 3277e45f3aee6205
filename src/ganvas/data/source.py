"""What every kind of source can do, and how splits are named."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganvas.data.arrangement import Arrangement
from ganvas.data.batch import DataSpec
from ganvas.data.examples import Examples, Rejected
from ganvas.data.progress import Progress, Silent
from ganvas.data.words import shown
from ganvas.errors import GanvasError, nearest, require

MEMORY = 2 * 1024**3
"""Bytes of uint8 up to which a split lives decoded in memory."""

UNDIVIDED = "all"
SMALLEST, LARGEST = 4, 8192
_ORDER = ("train", "val", "test", UNDIVIDED)
_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "t10k": "test",
}


def split_of(word: str) -> str | None:
    """The split that a folder's or file's name means ("t10k" is "test", "validation" is "val"), or None if it means none."""
    return _WORDS.get(word.lower())


def in_order(splits: Iterable[str]) -> tuple[str, ...]:
    """Splits as they are always listed: train, val, test."""
    return tuple(sorted(set(splits), key=_ORDER.index))


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a source is to be read.

    resolution: side of the square images wanted; None keeps the native size.
    verify:     compare the content of every file, not only its size and time, with the scan cache.
    progress:   who watches.
    memory:     bytes of uint8 up to which a split is decoded once and kept.
    """

    resolution: int | None = None
    verify: bool = False
    progress: Progress = field(default_factory=Silent)
    memory: int = MEMORY

    def __post_init__(self) -> None:
        size = self.resolution
        require(
            size is None or SMALLEST <= size <= LARGEST,
            f"--resolution must lie between {SMALLEST} and {LARGEST} pixels, not {size}",
        )


@dataclass(frozen=True, kw_only=True)
class SplitCount:
    """How many examples a split has: in all, by class, by domain, and how many have each attribute."""

    count: int
    classes: Mapping[str, int] = field(default_factory=dict)
    domains: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        further = {name: dict(counts) for name in ("domains", "attributes") if (counts := getattr(self, name))}
        return {"count": self.count, "classes": dict(self.classes), **further}


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Everything a training run would see of a source.

    `sizes` counts native sizes (width, height) and `modes` the files' colour modes as found; `spec` is what a model would be told;
    `conversions` says what is changed on reading; `cache` is where the scan is kept, or "".
    """

    source: str
    kind: str
    spec: DataSpec
    splits: Mapping[str, SplitCount]
    sizes: Sequence[tuple[int, int, int]] = ()
    modes: Mapping[str, int] = field(default_factory=dict)
    conversions: Sequence[str] = ()
    rejected: tuple[Rejected, ...] = ()
    cache: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; every rejected file is in it."""
        return {
            "source": self.source,
            "kind": self.kind,
            "spec": self.spec.to_json(),
            "splits": {name: split.to_json() for name, split in self.splits.items()},
            "sizes": [{"width": width, "height": height, "count": count} for width, height, count in self.sizes],
            "modes": dict(self.modes),
            "conversions": list(self.conversions),
            "rejected": [{"path": one.path, "reason": one.reason} for one in self.rejected],
            "cache": self.cache,
        }


class Source(ABC):
    """A place that examples come from. `name` is how messages call it, `arrangement` how its pictures were said to belong together."""

    def __init__(self, name: str, arrangement: Arrangement = "auto") -> None:
        self.name = shown(name)
        self.arrangement: Arrangement = arrangement

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits it has, in the order train, val, test; ("all",) for one undivided set."""

    @abstractmethod
    def open(self, split: str, request: Request) -> Examples:
        """The examples of one of `splits()`."""

    @abstractmethod
    def scan(self, request: Request) -> Scan:
        """What a training run would see."""

    def choose(self, split: str | None) -> str:
        """The split meant by `split`: one of `splits()`.

        An undivided set answers to "train", "all" and None. None means the only split there is.
        """
        there = self.splits()
        if there == (UNDIVIDED,) and split in (None, "train", UNDIVIDED):
            return UNDIVIDED
        listed = ", ".join(there)
        if split is None:
            require(len(there) == 1, f"'{self.name}' has several splits ({listed}), which are never mixed: say which one")
            return there[0]
        wanted = split_of(split) or split
        if there == (UNDIVIDED,):
            raise GanvasError(f"'{self.name}' is one undivided set without a '{split}' split: ask for 'all', or divide it")
        if wanted not in there:
            raise GanvasError(f"'{self.name}' has no '{split}' split, it has: {listed}.{nearest(split, there)}")
        return wanted


def split_counts(examples: Mapping[str, Examples]) -> dict[str, SplitCount]:
    """The counts of opened splits."""
    return {
        name: SplitCount(count=len(one), classes=dict(zip(one.spec.classes, one.label_counts(), strict=True)))
        for name, one in examples.items()
    }


def top(counts: Counter[tuple[int, int]]) -> tuple[tuple[int, int, int], ...]:
    """Sizes with their counts, the commonest first, equal counts by size."""
    return tuple((width, height, count) for (width, height), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
