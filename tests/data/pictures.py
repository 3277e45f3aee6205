"""Small files to read: images by Pillow, and by hand what Pillow does not write."""

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganvas.data.examples import Examples
from ganvas.data.open import find
from ganvas.data.source import Request


def noise(seed: int, width: int = 16, height: int = 16, mode: str = "RGB") -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode=None)


def save(path: Path, image: Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of given header and raw bytes (each row led by its filter byte 0)."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def idx(array: np.ndarray, packed: bool = False) -> bytes:
    raw = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    return gzip.compress(raw, 1) if packed else raw


def zipped(path: Path, folder: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{top}{file.relative_to(folder)}")
    return path


def read(source: object, split: str | None = "train", layout: str = "auto", **request) -> Examples:
    """Open with any `Request`, which `open_data` does not hand through whole."""
    found = find(source, layout)
    return found.open(found.choose(split), Request(**request))


def pixels(examples: Examples) -> np.ndarray:
    """All images in native form, uint8 (N, H, W, C)."""
    return examples.spec.native(examples.batch(torch.arange(len(examples))).images).numpy()


def labels(examples: Examples) -> list[int]:
    return examples.batch(torch.arange(len(examples))).labels.tolist()


def reasons(examples: Examples) -> dict[str, str]:
    return {one.path: one.reason for one in examples.rejected}
