"""What is known of every file of an image source, read once and remembered.

A record holds for a file of the same path, size and time of change; with `verify`, for the same bytes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from threading import Lock
from typing import Any, final

from ganvas.data.cache import cache_directory, read_json, write_json
from ganvas.data.decode import VERSION, Decoder, Pixels, Unusable, fit, quiet
from ganvas.data.progress import Progress
from ganvas.data.stores import Entry, Gone, Store
from ganvas.data.threads import each


@dataclass(frozen=True, kw_only=True)
class Record:
    """One file. `digest` is a hash of its bytes; `width`, `height` are those of the upright image; `reason` is "" if it is usable."""

    name: str
    size: int
    mtime_ns: int
    digest: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    grey: bool = False
    traits: tuple[str, ...] = ()
    reason: str = ""
    lasting: bool = True
    """False where another attempt may end otherwise; such a record is not remembered."""


@final
class Keeper:
    """Pixels decoded on the way, so that what is surveyed for the first time need not be decoded again; at most `limit` bytes."""

    def __init__(self, limit: int, wanted: Callable[[str], bool], resolution: int | None) -> None:
        self._left, self._wanted, self._resolution = limit, wanted, resolution
        self._pixels: dict[str, Pixels] = {}
        self._lock = Lock()

    def offer(self, name: str, pixels: Pixels) -> None:
        if not self._wanted(name):
            return
        if self._resolution is not None:
            pixels = fit(pixels, self._resolution, self._resolution)
        with self._lock:
            if pixels.nbytes <= self._left:
                self._left -= pixels.nbytes
                self._pixels[name] = pixels

    def take(self, name: str) -> Pixels | None:
        return self._pixels.pop(name, None)


def digest_of(data: bytes) -> str:
    """A 128-bit hash of a file's bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def cache_file(path: Path) -> Path:
    """Where the survey of the source at `path` is remembered."""
    name = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return cache_directory() / "scans" / f"{name}.json"


def survey(
    store: Store, entries: list[Entry], cache: Path, *, verify: bool, progress: Progress, decoder: Decoder, keeper: Keeper
) -> list[Record]:
    """A record of each entry, in order. Files that `cache` does not know, or knows otherwise, are read and decoded."""
    known = _remembered(cache)
    current = {} if verify else {entry.name: known[entry.name] for entry in entries if _same(known.get(entry.name), entry)}
    unknown = [entry for entry in entries if entry.name not in current]

    def look(entry: Entry) -> Record:
        return _read(store, entry, known.get(entry.name), decoder, keeper)

    if unknown:
        with quiet():
            current |= {record.name: record for record in each(look, unknown, progress, "reading images")}
    records = [current[entry.name] for entry in entries]
    if unknown or len(known) != len(records):
        write_json(cache, {"made_by": made_by(), "columns": _columns([record for record in records if record.lasting])})
    return records


def _same(record: Record | None, entry: Entry) -> bool:
    return record is not None and (record.size, record.mtime_ns) == (entry.size, entry.mtime_ns)


def _read(store: Store, entry: Entry, before: Record | None, decoder: Decoder, keeper: Keeper) -> Record:
    blank = Record(name=entry.name, size=entry.size, mtime_ns=entry.mtime_ns)
    try:
        data = store.read(entry.name)
        digest = digest_of(data)
        if before is not None and before.digest == digest:
            return replace(before, size=entry.size, mtime_ns=entry.mtime_ns)
        blank = replace(blank, digest=digest)
        decoded = decoder.decode(data)
    except Unusable as error:
        return replace(blank, reason=str(error))
    except Gone as error:
        return replace(blank, reason=str(error), lasting=False)
    keeper.offer(entry.name, decoded.pixels)
    height, width = decoded.pixels.shape[:2]
    grey = decoded.pixels.ndim == 2
    return replace(blank, width=width, height=height, mode=decoded.mode, grey=grey, traits=decoded.traits)


def made_by() -> list[Any]:
    """What the pixels of a file depend on besides its bytes."""
    import PIL

    return [VERSION, PIL.__version__]


_NAMES = tuple(entry.name for entry in fields(Record) if entry.name != "lasting")


def _columns(records: list[Record]) -> dict[str, list[Any]]:
    return {name: [getattr(record, name) for record in records] for name in _NAMES}


def _remembered(cache: Path) -> dict[str, Record]:
    stored = read_json(cache)
    if not isinstance(stored, dict) or stored.get("made_by") != made_by():
        return {}
    rows = zip(*(stored["columns"][name] for name in _NAMES), strict=True)
    records = [Record(**(dict(zip(_NAMES, row, strict=True)))) for row in rows]
    return {record.name: replace(record, traits=tuple(record.traits)) if record.traits else record for record in records}
