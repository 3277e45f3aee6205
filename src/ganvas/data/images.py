"""A folder or zip of images as a source: surveyed once, then held decoded in memory, or decoded batch by batch where it is too large."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from ganvas.data.arrays import resize_line
from ganvas.data.batch import DataSpec
from ganvas.data.cache import cache_directory, prune, read_array, sha256, write_array
from ganvas.data.decode import TRAITS, Decoder, Pixels, quiet
from ganvas.data.examples import About, Examples, MemoryImages, Rejected
from ganvas.data.layout import Layout, arrange
from ganvas.data.source import Request, Scan, Source, SplitCount, top
from ganvas.data.stores import Archive, Entry, Folder, Store
from ganvas.data.streamed import Loader, Plan, StreamedImages
from ganvas.data.survey import Keeper, Record, cache_file, made_by, survey
from ganvas.data.threads import each
from ganvas.data.words import class_line, counted, shape_of, shown
from ganvas.errors import GanvasError, require

_CACHE_BYTES = 4 * 1024**3
_KEPT_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class _Surveyed:
    """The usable records of each split, the classes that any of them has, and all that is left out."""

    splits: Mapping[str, list[Record]]
    classes: tuple[str, ...]
    rejected: tuple[Rejected, ...]


@final
class ImageSource(Source):
    """Images in a folder or a zip archive. The first split (train where there is one) decides on size and channels for all."""

    def __init__(self, name: str, path: Path, *, archive: bool) -> None:
        super().__init__(name)
        self._path = path
        self._kind = "a zip archive" if archive else "a folder"
        self._store: Store = Archive(path) if archive else Folder(path)
        self._decoder = Decoder()

    @cached_property
    def _listing(self) -> tuple[list[Entry], list[Rejected], Layout]:
        entries, rejected = self._store.entries()
        if not entries:
            why = _reasons(rejected) if rejected else "it is empty"
            raise GanvasError(f"'{self.name}' holds no image: {why}. Pass a folder or zip of PNG, JPEG, WebP, BMP or GIF images.")
        return entries, rejected, arrange([entry.name for entry in entries])

    def splits(self) -> tuple[str, ...]:
        return self._listing[2].splits

    def _survey(self, request: Request, wanted: str | None) -> tuple[_Surveyed, Keeper]:
        """Look at every file of every split; the keeper holds what was decoded of the split `wanted`."""
        entries, rejected, layout = self._listing
        keeper = Keeper(
            min(request.memory, _KEPT_BYTES), lambda name: wanted is not None and _split(layout, name) == wanted, request.resolution
        )
        cache = cache_file(self._path)
        records = survey(
            self._store, entries, cache, verify=request.verify, progress=request.progress, decoder=self._decoder, keeper=keeper
        )
        splits: dict[str, list[Record]] = {split: [] for split in layout.splits}
        left = list(rejected)
        seen: set[str] = set()
        for record in records:
            place = layout.place(record.name)
            if record.reason or place is None:
                left.append(Rejected(record.name, record.reason or layout.reason(record.name)))
            else:
                splits[place[0]].append(record)
                seen.add(place[1])
        left.sort(key=lambda one: one.path)
        if not any(splits.values()):
            raise GanvasError(f"'{self.name}' holds no usable image among {counted(len(left), 'file')}: {_reasons(left)}")
        classes = tuple(name for name in layout.classes if name in seen)
        return _Surveyed(splits, classes if len(classes) > 1 else (), tuple(left)), keeper

    def _plan(self, surveyed: _Surveyed, request: Request) -> Plan:
        deciding = next(members for members in surveyed.splits.values() if members)
        channels = 1 if all(record.grey for record in deciding) else 3
        if request.resolution is not None:
            return Plan(request.resolution, request.resolution, channels)
        width, height = commonest(Counter((record.width, record.height) for record in deciding))
        return Plan(height, width, channels)

    def _labels(self, members: Sequence[Record], classes: Sequence[str]) -> Tensor | None:
        """Class numbers (N,), or None where the split has no class folders."""
        layout, number = self._listing[2], {name: i for i, name in enumerate(classes)}
        labels = [number.get(place[1], -1) for record in members if (place := layout.place(record.name)) is not None]
        return torch.tensor(labels, dtype=torch.int64) if labels and -1 not in labels else None

    def open(self, split: str, request: Request) -> Examples:
        surveyed, keeper = self._survey(request, split)
        members = surveyed.splits[split]
        layout = self._listing[2]
        rejected = tuple(one for one in surveyed.rejected if _split(layout, one.path) in (None, split))
        require(bool(members), f"split '{split}' of '{self.name}' holds no usable image: {_reasons(rejected)}")
        plan = self._plan(surveyed, request)
        labels = self._labels(members, surveyed.classes)
        spec = DataSpec(
            kind="images",
            shape=(plan.channels, plan.height, plan.width),
            classes=tuple(map(shown, surveyed.classes)) if labels is not None else (),
        )
        loader = Loader(self.name, self._store, self._decoder, plan)
        size = len(members) * plan.height * plan.width * plan.channels
        lines = self._lines(split, members, spec, labels)
        if size > request.memory:
            lines.append(f"decoded batch by batch, for {size / 1e9:.1f} GB of pixels are more than {request.memory / 1e9:.1f} GB")
        about = About(spec=spec, split=split, notes=(*(f"data: {line}" for line in lines), *_listed(rejected)), rejected=rejected)
        if size > request.memory:
            return StreamedImages(about, loader, members, labels)
        pixels, digest = _decoded(members, loader, keeper, request)
        return MemoryImages(about, torch.from_numpy(pixels), labels, digest)

    def _lines(self, split: str, members: Sequence[Record], spec: DataSpec, labels: Tensor | None) -> list[str]:
        lines = [f"{self.name} ({self._kind} of images), split {split}: {counted(len(members), 'image')} of {shape_of(spec)}"]
        if labels is not None:
            counts = torch.bincount(labels, minlength=len(spec.classes)).tolist()
            lines.append(class_line(dict(zip(spec.classes, counts, strict=True))))
        return lines + conversions(members, spec) + [note for note in self._listing[2].notes if note.startswith(f"split {split}:")]

    def scan(self, request: Request) -> Scan:
        surveyed, _ = self._survey(request, None)
        plan = self._plan(surveyed, request)
        spec = DataSpec(kind="images", shape=(plan.channels, plan.height, plan.width), classes=tuple(map(shown, surveyed.classes)))
        splits = {}
        for split, members in surveyed.splits.items():
            labels = self._labels(members, surveyed.classes)
            counts = [] if labels is None else torch.bincount(labels, minlength=len(spec.classes)).tolist()
            splits[split] = SplitCount(count=len(members), classes=dict(zip(spec.classes, counts, strict=False)))
        members = [record for split in surveyed.splits.values() for record in split]
        return Scan(
            source=self.name,
            kind=f"images, {self._kind}",
            spec=spec,
            splits=splits,
            sizes=top(Counter((record.width, record.height) for record in members)),
            modes=dict(Counter(record.mode for record in members).most_common()),
            conversions=(*conversions(members, spec), *self._listing[2].notes),
            rejected=surveyed.rejected,
            cache=str(cache_file(self._path)),
        )


def _split(layout: Layout, name: str) -> str | None:
    place = layout.place(name)
    return None if place is None else place[0]


def commonest(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """The commonest size (width, height); of equally common ones the middle one by area, so that no extreme decides."""
    most = max(sizes.values())
    tied = sorted((size for size, count in sizes.items() if count == most), key=lambda size: (size[0] * size[1], size))
    return tied[(len(tied) - 1) // 2]


def conversions(members: Sequence[Record], spec: DataSpec) -> list[str]:
    """What is changed in which number of images to make them all like `spec`."""
    channels, height, width = spec.shape
    lines: list[str] = []
    moved = Counter((record.width, record.height) for record in members if (record.width, record.height) != (width, height))
    if moved:
        lines.append(resize_line(sum(moved.values()), moved, (width, height)))
    found = Counter(trait for record in members for trait in record.traits)
    lines += [f"{counted(found[trait], 'image')} {words}" for trait, words in TRAITS.items() if found[trait]]
    other = sum(record.grey != (channels == 1) for record in members)
    if other:
        what = "in colour: made grey" if channels == 1 else "grey among coloured ones: repeated to RGB"
        lines.append(f"{counted(other, 'image')} {what}")
    return lines


def _reasons(rejected: Sequence[Rejected], most: int = 3) -> str:
    named = "; ".join(f"'{shown(one.path)}' {one.reason}" for one in rejected[:most])
    return named + (f"; and {len(rejected) - most:,} more" if len(rejected) > most else "")


def _listed(rejected: Sequence[Rejected], most: int = 20) -> list[str]:
    if not rejected:
        return []
    more = [f"data:   and {len(rejected) - most:,} more: `ganvas data scan` lists them"] if len(rejected) > most else []
    lines = [f"data:   '{shown(one.path)}' {one.reason}" for one in rejected[:most]]
    return [f"data: {counted(len(rejected), 'file')} rejected:", *lines, *more]


def _decoded(members: Sequence[Record], loader: Loader, keeper: Keeper, request: Request) -> tuple[Pixels, str]:
    """All members as one array (N, H, W, C) with the sha256 of its bytes, from the cache where it has them.

    The cache is keyed by the content of the files and the plan: it cannot be stale.
    """
    plan = loader.plan
    content = [made_by(), plan.height, plan.width, plan.channels, [record.digest for record in members]]
    key = hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()
    folder = cache_directory() / "decoded"
    path = folder / f"{key[:40]}.safetensors"
    shape = (len(members), plan.height, plan.width, plan.channels)
    stored = read_array(path, shape)
    if stored is not None:
        return stored
    pixels = np.empty(shape, np.uint8)

    def place(row: int) -> None:
        kept = keeper.take(members[row].name)
        pixels[row] = loader.load(members[row]) if kept is None else loader.shape(kept)

    with quiet():
        each(place, range(len(members)), request.progress, "decoding images")
    digest = sha256(pixels)
    if write_array(path, pixels, digest):
        prune(folder, _CACHE_BYTES)
    return pixels, digest
