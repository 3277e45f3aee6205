"""Images in files as a source: surveyed once, then held decoded in memory, or decoded batch by batch where they are too many."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from ganvas.data.arrangement import Arrangement
from ganvas.data.arrays import resize_line
from ganvas.data.batch import DataSpec
from ganvas.data.cache import cache_directory, prune, read_array, sha256, write_array
from ganvas.data.decode import TRAITS, Decoder, Pixels, quiet
from ganvas.data.domains import described
from ganvas.data.examples import About, Examples, MemoryImages, Rejected
from ganvas.data.layout import natural
from ganvas.data.listing import Listing, list_images, reasons
from ganvas.data.pairs import Halves, Pairs
from ganvas.data.source import Request, Scan, Source, SplitCount, top
from ganvas.data.stores import Archive, Folder, Store
from ganvas.data.streamed import Loader, Plan, StreamedImages
from ganvas.data.survey import Keeper, Record, cache_file, made_by, survey
from ganvas.data.tables import Facts
from ganvas.data.threads import each
from ganvas.data.words import attribute_line, class_line, counted, shape_of, shown
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
    """Images in a store. The first split (train where there is one) decides on size and channels for all; on those of each of two domains.

    `kind` says what the store is, `cache` is where its survey is remembered, `known` is what is known of its files from elsewhere.
    """

    def __init__(
        self, name: str, kind: str, store: Store, cache: Path, *, arrangement: Arrangement = "auto", known: Facts | None = None
    ) -> None:
        super().__init__(name, arrangement)
        self._kind, self._store, self._cache, self._known = kind, store, cache, known
        self._decoder = Decoder()

    @cached_property
    def _listing(self) -> Listing:
        return list_images(self.name, self._store, self.arrangement, self._known)

    def splits(self) -> tuple[str, ...]:
        return self._listing.layout.splits

    def _survey(self, request: Request, wanted: str | None) -> tuple[_Surveyed, Keeper]:
        """Look at every file of every split; the keeper holds what was decoded of the split `wanted`."""
        listing = self._listing
        keeper = Keeper(
            min(request.memory, _KEPT_BYTES),
            lambda name: wanted is not None and listing.split_of(name) == wanted,
            None if listing.halved else request.resolution,
        )
        looked = survey(
            self._store,
            listing.entries,
            self._cache,
            verify=request.verify,
            progress=request.progress,
            decoder=self._decoder,
            keeper=keeper,
        )
        splits, left = listing.divided(looked)
        if not any(splits.values()):
            raise GanvasError(f"'{self.name}' holds no usable image among {counted(len(left), 'file')}: {reasons(left)}")
        seen = {listing.class_of(record.name) for members in splits.values() for record in members} - {""}
        classes = tuple(sorted(seen, key=natural)) if len(seen) > 1 and listing.domains is None else ()
        return _Surveyed(splits, classes, tuple(left)), keeper

    def _sides(self, members: Sequence[Record]) -> tuple[list[Record], ...]:
        """Members as they make up sets: one set, or one for each domain in a folder; of aligned ones, in the order of the first."""
        domains = self._listing.domains
        if domains is None or domains.halves is not None:
            return (list(members),)
        sides = [[record for record in members if self._listing.class_of(record.name) == name] for name in domains.names]
        if domains.aligned:
            named = {record.name: record for record in sides[1]}
            sides[1] = [named[domains.partners[record.name]] for record in sides[0]]
        return tuple(sides)

    def _plans(self, surveyed: _Surveyed, request: Request) -> list[Plan]:
        """The plan of each of the sets that `_sides` gives."""
        held = [self._sides(members) for members in surveyed.splits.values() if members]
        plans = []
        for number in range(len(held[0])):
            deciding = next((sides[number] for sides in held if sides[number]), [])
            if not deciding:
                raise GanvasError(
                    f"'{self.name}' has no usable image of domain {shown(self._domains[number])}: {reasons(surveyed.rejected)}"
                )
            plans.append(_plan(deciding, request.resolution, halved=self._listing.halved))
        if len({(plan.height, plan.width) for plan in plans}) > 1:
            said = [f"domain {shown(name)} is {shape_of(_images(plan))}" for name, plan in zip(self._domains, plans, strict=True)]
            raise GanvasError(f"'{self.name}': {said[0]}, {said[1]}: give --resolution")
        return plans

    @property
    def _domains(self) -> tuple[str, ...]:
        return () if self._listing.domains is None else self._listing.domains.names

    def _spec(self, surveyed: _Surveyed, plans: Sequence[Plan], members: Sequence[Record]) -> DataSpec:
        """What a model is told of a split."""
        domains, spec = self._listing.domains, _images(plans[0])
        if domains is not None:
            shape = (*spec.shape[:2], spec.shape[2] // 2) if self._listing.halved else spec.shape
            target = shape if self._listing.halved else _images(plans[1]).shape
            return replace(spec, shape=shape, views={"target": target}, domains=tuple(map(shown, domains.names)), aligned=domains.aligned)
        if self._labels(members, surveyed.classes) is not None:
            spec = replace(spec, classes=tuple(map(shown, surveyed.classes)))
        names = self._listing.facts.attributes
        if names and self._attributes(members) is not None:
            spec = replace(spec, views={"attributes": (len(names),)}, attributes=tuple(map(shown, names)))
        return spec

    def _labels(self, members: Sequence[Record], classes: Sequence[str]) -> Tensor | None:
        """Class numbers (N,), or None where the split has no classes."""
        number = {name: i for i, name in enumerate(classes)}
        labels = [number.get(self._listing.class_of(record.name), -1) for record in members]
        return torch.tensor(labels, dtype=torch.int64) if labels and -1 not in labels else None

    def _attributes(self, members: Sequence[Record]) -> Tensor | None:
        """0 or 1 for each attribute, uint8 (N, A), or None where the split has none."""
        bits = self._listing.facts.bits
        known = bool(members) and all(record.name in bits for record in members)
        return torch.from_numpy(np.stack([bits[record.name] for record in members])) if known else None

    def open(self, split: str, request: Request) -> Examples:
        surveyed, keeper = self._survey(request, split)
        members, listing = surveyed.splits[split], self._listing
        rejected = tuple(one for one in surveyed.rejected if listing.split_of(one.path) in (None, split))
        require(bool(members), f"split '{split}' of '{self.name}' holds no usable image: {reasons(rejected)}")
        plans, sides = self._plans(surveyed, request), self._sides(members)
        for number, side in enumerate(sides):
            missing = f"domain {shown(self._domains[number])}" if self._domains else "its own"
            require(bool(side), f"split '{split}' of '{self.name}' has no usable image of {missing}: {reasons(rejected)}")
        spec = self._spec(surveyed, plans, members)
        share = replace(request, memory=request.memory // len(sides))
        streamed = sum(_bytes(side, plan) for side, plan in zip(sides, plans, strict=True) if _bytes(side, plan) > share.memory)
        lines = self._lines(split, sides, plans, spec, surveyed)
        if streamed:
            lines.append(f"decoded batch by batch, for {streamed / 1e9:.1f} GB of pixels are more than {share.memory / 1e9:.1f} GB")
        about = About(spec=spec, split=split, notes=(*(f"data: {line}" for line in lines), *_listed(rejected)), rejected=rejected)
        if listing.domains is None:
            return self._set(about, members, plans[0], request, keeper, surveyed.classes)
        sets = [
            self._set(About(spec=_images(plan), split=split), side, plan, share, keeper) for side, plan in zip(sides, plans, strict=True)
        ]
        return Pairs(about, sets[0], sets[1]) if listing.domains.halves is None else Halves(about, sets[0], listing.domains.halves)

    def _set(
        self, about: About, members: Sequence[Record], plan: Plan, request: Request, keeper: Keeper, classes: Sequence[str] = ()
    ) -> Examples:
        """The examples of some members, with the labels and attributes that their spec says they have."""
        labels = self._labels(members, classes) if about.spec.classes else None
        attributes = self._attributes(members) if about.spec.attributes else None
        loader = Loader(self.name, self._store, self._decoder, plan)
        if _bytes(members, plan) > request.memory:
            return StreamedImages(about, loader, members, labels, attributes=attributes)
        pixels, digest = _decoded(members, loader, keeper, request)
        return MemoryImages(about, torch.from_numpy(pixels), labels, digest, attributes)

    def _lines(
        self, split: str, sides: Sequence[Sequence[Record]], plans: Sequence[Plan], spec: DataSpec, surveyed: _Surveyed
    ) -> list[str]:
        """What the log says of a split."""
        members = [record for side in sides for record in side]
        count = self._count(members, spec, surveyed)
        what, held = f"{self._kind} of images", f"{counted(len(members), 'image')} of {shape_of(spec)}"
        domains = self._listing.domains
        if domains is not None:
            what += f" of two domains, {domains.how}"
            both = [spec.shape, spec.views["target"]]
            shapes = [shape_of(replace(spec, shape=shape)) for shape in both]
            held = described(domains, tuple(count.domains.values()), shapes)
        lines = [f"{self.name} ({what}), split {split}: {held}"]
        lines += [class_line(count.classes)] if count.classes else []
        lines += [attribute_line(count.attributes, count.count)] if count.attributes else []
        lines += [*_changes(sides, plans), *shared(surveyed.splits, split)]
        return lines + [note for note in self._listing.notes if not _of_another_split(note, split)]

    def _count(self, members: Sequence[Record], spec: DataSpec, surveyed: _Surveyed) -> SplitCount:
        """The examples among members, which are those of both domains where there are two."""
        sides, labels, attributes = self._sides(members), self._labels(members, surveyed.classes), self._attributes(members)
        classes = () if labels is None else tuple(torch.bincount(labels, minlength=len(surveyed.classes)).tolist())
        lengths = [len(side) for side in sides] * (2 if self._listing.halved else 1)
        return SplitCount(
            count=max(lengths),
            classes=dict(zip(map(shown, surveyed.classes), classes, strict=False)),
            domains=dict(zip(map(shown, self._domains), lengths, strict=False)),
            attributes={} if attributes is None else dict(zip(spec.attributes, attributes.sum(0).tolist(), strict=True)),
        )

    def scan(self, request: Request) -> Scan:
        surveyed, _ = self._survey(request, None)
        plans, domains = self._plans(surveyed, request), self._listing.domains
        specs = [self._spec(surveyed, plans, members) for members in surveyed.splits.values() if members]
        spec = next((spec for spec in specs if spec.classes or spec.attributes), specs[0])
        splits = {split: self._count(members, self._spec(surveyed, plans, members), surveyed) for split, members in surveyed.splits.items()}
        members = [record for split in surveyed.splits.values() for record in split]
        told = (f"two domains: {domains.how}",) if domains is not None else ()
        return Scan(
            source=self.name,
            kind=f"images{' of two domains' if domains is not None else ''}, {self._kind}",
            spec=spec,
            splits=splits,
            sizes=top(Counter((record.width, record.height) for record in members)),
            modes=dict(Counter(record.mode for record in members).most_common()),
            conversions=(*told, *_changes(self._sides(members), plans), *shared(surveyed.splits), *self._listing.notes),
            rejected=surveyed.rejected,
            cache=str(self._cache),
        )


def image_source(name: str, path: Path, *, archive: bool, arrangement: Arrangement = "auto") -> ImageSource:
    """A folder or a zip archive as a source."""
    kind, store = ("a zip archive", Archive(path)) if archive else ("a folder", Folder(path))
    return ImageSource(name, kind, store, cache_file(path), arrangement=arrangement)


def _plan(members: Sequence[Record], resolution: int | None, *, halved: bool) -> Plan:
    channels = 1 if all(record.grey for record in members) else 3
    if resolution is not None:
        return Plan(resolution, resolution * (1 + halved), channels, halved)
    width, height = commonest(Counter((record.width - record.width % (1 + halved), record.height) for record in members))
    return Plan(height, width, channels, halved)


def _images(plan: Plan) -> DataSpec:
    return DataSpec(kind="images", shape=(plan.channels, plan.height, plan.width))


def _bytes(members: Sequence[Record], plan: Plan) -> int:
    return len(members) * plan.height * plan.width * plan.channels


def _changes(sides: Sequence[Sequence[Record]], plans: Sequence[Plan]) -> list[str]:
    """What is changed in the images of each set; of two domains with equal plans, in both together."""
    if len(set(plans)) == 1:
        return conversions([record for side in sides for record in side], _images(plans[0]))
    return [line for side, plan in zip(sides, plans, strict=True) for line in conversions(side, _images(plan))]


def shared(splits: Mapping[str, Sequence[Record]], split: str | None = None) -> list[str]:
    """Which splits hold equal files, of those that `split` is one of if it is given: on them, nothing is held out."""
    digests = {name: [record.digest for record in members] for name, members in splits.items()}
    lines = []
    for one, other in combinations(digests, 2):
        known = set(digests[one])
        equal = sum(digest in known for digest in digests[other])
        if equal and split in (None, one, other):
            lines.append(f"{equal:,} of the {len(digests[other]):,} images of split {other} are in split {one}, too: they are not held out")
    return lines


def _of_another_split(note: str, split: str) -> bool:
    return note.startswith("split ") and not note.startswith(f"split {split}:")


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
    content = [
        made_by(),
        plan.height,
        plan.width,
        plan.channels,
        [record.digest for record in members],
        *(["halves"] if plan.halves else []),
    ]
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
