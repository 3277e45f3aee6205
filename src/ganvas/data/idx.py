"""Folders of IDX files, the format of MNIST: a magic number, the axes as big-endian 32-bit integers, then bytes in C order.

The format is described at the end of the MNIST page (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"). Any name of the
form `<set>-images-idx3-ubyte` is taken, gzip or not, with `<set>-labels-idx1-ubyte` beside it where there are labels.
"""

import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from ganvas.data.arrays import memory_images, scan_arrays
from ganvas.data.examples import MemoryImages
from ganvas.data.source import SMALLEST, UNDIVIDED, Request, Scan, Source, in_order, split_of
from ganvas.data.words import number
from ganvas.errors import GanvasError, require

_NAME = re.compile(r"(?:(?P<set>.+)[-_.])?(?P<what>images?|labels?)[-_.]idx\d-ubyte(?P<gz>\.gz)?", re.IGNORECASE)
_MOST_BYTES = 8 * 1024**3
_UNSIGNED_BYTE = 8


@dataclass(frozen=True)
class _Files:
    images: Path
    labels: Path | None


def find(folder: Path) -> Mapping[str, _Files]:
    """The IDX files of a folder by split, or of its only subfolder that has any; empty if there are none."""
    here = _by_split(folder)
    if here:
        return here
    below = [folder / name for name in _names(folder) if not name.startswith(".") and (folder / name).is_dir()]
    found = [files for files in map(_by_split, below) if files]
    return found[0] if len(found) == 1 else {}


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # whoever reads the folder as one of images says why
        return []


def _by_split(folder: Path) -> dict[str, _Files]:
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for name in _names(folder):  # sorted, so that an unpacked file comes before the same with .gz, and is preferred
        match = _NAME.fullmatch(name)
        if match is None or not (folder / name).is_file():
            continue
        words = re.split(r"[-_.]", match["set"] or "")
        split = next((known for known in map(split_of, words) if known is not None), UNDIVIDED)
        table = images if match["what"].lower().startswith("image") else labels
        before = table.get(split)
        if before is None:
            table[split] = folder / name
        elif before.name + ".gz" != name:
            raise GanvasError(f"'{folder}' has two {split} sets, '{before.name}' and '{name}': put each set into a folder of its own")
    if len(images) > 1 and UNDIVIDED in images:
        raise GanvasError(f"'{folder}' has '{images[UNDIVIDED].name}' beside split files: name it as train, val or test, or move it away")
    return {split: _Files(path, labels.get(split)) for split, path in images.items()}


def read_array(path: Path) -> NDArray[np.uint8]:
    """The array of one IDX file of unsigned bytes, gzip or not; `GanvasError` if it is truncated, damaged, too long or of another type."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GanvasError(f"'{path}' cannot be read: {error.strerror}") from None
    packed = data[:2] == b"\x1f\x8b"
    head = _inflate(path, data, 4 + 4 * 255) if packed else data
    require(len(head) >= 4 and head[:2] == b"\0\0", f"'{path}' is not an IDX file: it does not begin with two zero bytes")
    require(head[2] == _UNSIGNED_BYTE, f"'{path}' holds IDX type 0x{head[2]:02x}: only unsigned bytes (0x08) are read")
    start = 4 + 4 * head[3]
    require(len(head) >= start, f"'{path}' is truncated in its header: get the file again")
    shape = tuple(int(axis) for axis in np.frombuffer(head, ">u4", head[3], 4))
    wanted = math.prod(shape)
    require(wanted <= _MOST_BYTES, f"'{path}' declares {' x '.join(map(str, shape))} bytes, more than {number(_MOST_BYTES)}: it is damaged")
    whole = _inflate(path, data, start + wanted + 1) if packed else data
    if len(whole) != start + wanted:
        held = f"{number(len(whole) - start)}{' or more' if packed and len(whole) > start + wanted else ''}"
        raise GanvasError(f"'{path}' declares {' x '.join(map(str, shape))} = {number(wanted)} bytes but holds {held}: get the file again")
    return np.frombuffer(whole, np.uint8, wanted, start).reshape(shape).copy()


def _inflate(path: Path, data: bytes, most: int) -> bytes:
    """Up to `most` bytes of gzip data, never more in memory."""
    parts: list[bytes] = []
    left = most
    try:
        while data and left > 0:
            member = zlib.decompressobj(wbits=31)
            parts.append(member.decompress(data, left))
            left -= len(parts[-1])
            data = member.unused_data.lstrip(b"\0")  # some writers fill the last block with zeros
            if not member.eof and left > 0:
                raise GanvasError(f"'{path}' is truncated gzip data: get the file again")
    except zlib.error as error:
        raise GanvasError(f"'{path}' is damaged gzip data ({error}): get the file again") from None
    return b"".join(parts) if len(parts) > 1 else (parts[0] if parts else b"")


def _images(path: Path) -> NDArray[np.uint8]:
    array = read_array(path)
    require(
        array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3)),
        f"'{path}' holds an array of shape {array.shape}: images are (N, H, W), or (N, H, W, C) with 1 or 3 channels",
    )
    require(len(array) > 0, f"'{path}' holds no image")
    size = f"{array.shape[2]} x {array.shape[1]} pixels"
    require(min(array.shape[1:3]) >= SMALLEST, f"'{path}' holds images of {size}: {SMALLEST} x {SMALLEST} is the least")
    return array[..., None] if array.ndim == 3 else array


def _labels(path: Path) -> NDArray[np.int64]:
    array = read_array(path)
    require(array.ndim == 1, f"'{path}' holds an array of shape {array.shape}: labels are (N,)")
    return array.astype(np.int64)


@final
class IdxSource(Source):
    """A folder of IDX files. Classes are "0" to the highest label of any split."""

    def __init__(self, name: str, files: Mapping[str, _Files]) -> None:
        super().__init__(name)
        self._files = files

    def splits(self) -> tuple[str, ...]:
        return in_order(self._files)

    def _classes(self) -> tuple[str, ...]:
        highest = [int(_labels(files.labels).max(initial=0)) for files in self._files.values() if files.labels is not None]
        return tuple(str(label) for label in range(max(highest) + 1)) if highest else ()

    def open(self, split: str, request: Request) -> MemoryImages:
        return self._open(split, request, self._classes())

    def _open(self, split: str, request: Request, classes: Sequence[str]) -> MemoryImages:
        files = self._files[split]
        pixels = _images(files.images)
        labels = None if files.labels is None else _labels(files.labels)
        if labels is not None and len(labels) != len(pixels):
            raise GanvasError(
                f"'{files.labels}' has {number(len(labels))} labels for the {number(len(pixels))} images of '{files.images.name}': "
                "the two files do not belong together"
            )
        return memory_images(
            source=f"{self.name} (IDX, {files.images.name})",
            split=split,
            pixels=pixels,
            labels=labels,
            classes=classes,
            request=request,
            notes=() if labels is not None else ("no labels lie beside the images",),
        )

    def scan(self, request: Request) -> Scan:
        classes = self._classes()
        native = {split: self._open(split, replace(request, resolution=None), classes) for split in self.splits()}
        return scan_arrays(self.name, "images, a folder of IDX files", native, request)
