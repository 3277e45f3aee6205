"""A single image as a source: `china` and `flower`, the two photographs that ship inside scikit-learn, or the path of one picture."""

import importlib.util
from pathlib import Path
from typing import final

import numpy as np
import torch

from ganvas.data.batch import DataSpec
from ganvas.data.decode import Decoder, Unusable, channels, check_head, fit, quiet
from ganvas.data.examples import About, MemoryImages
from ganvas.data.source import SMALLEST, UNDIVIDED, Request, Scan, Source, SplitCount
from ganvas.data.words import shape_of
from ganvas.errors import GanvasError, require

LONGEST = 250
"""Pixels of the longer side that an image is reduced to unless a resolution is asked for (SinGAN, arXiv:1905.01164, section 2)."""


def built_in(name: str) -> Path:
    """Where scikit-learn keeps its sample photographs."""
    found = importlib.util.find_spec("sklearn")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder, "datasets", "images", f"{name}.jpg")
        if path.is_file():
            return path
    raise GanvasError(f"'{name}' ships inside scikit-learn, whose files are not where they are expected: pass the path of an image instead")


@final
class PhotoSource(Source):
    """One undivided set of one image, in grey or RGB; its aspect is kept, and `resolution` is the length of its longer side."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name)
        self._path = path

    def splits(self) -> tuple[str, ...]:
        return (UNDIVIDED,)

    def open(self, split: str, request: Request) -> MemoryImages:
        try:
            data = self._path.read_bytes()
            check_head(data[:64])
            with quiet():
                decoded = Decoder().decode(data)
        except Unusable as error:
            raise GanvasError(f"'{self.name}' {error}") from None
        except OSError as error:
            raise GanvasError(f"'{self.name}' cannot be read: {error.strerror}") from None
        native = decoded.pixels.shape[:2]
        scale = (request.resolution or min(LONGEST, max(native))) / max(native)
        height, width = (max(1, round(side * scale)) for side in native)
        require(min(height, width) >= SMALLEST, f"'{self.name}' has {width} x {height} pixels: {SMALLEST} x {SMALLEST} is the least")
        pixels = channels(fit(decoded.pixels, height, width), 1 if decoded.pixels.ndim == 2 else 3)
        spec = DataSpec(kind="images", shape=(pixels.shape[2], height, width), single=True)
        lines = [f"data: {self.name}: a single image of {shape_of(spec)}"]
        if (height, width) != native:
            lines.append(f"data: resized (bicubic, anti-aliased) from {native[1]} x {native[0]}; --resolution sets the longer side")
        about = About(spec=spec, split=split, notes=tuple(lines))
        return MemoryImages(about, torch.from_numpy(np.array(pixels))[None].contiguous())

    def scan(self, request: Request) -> Scan:
        opened = self.open(UNDIVIDED, request)
        notes = tuple(line.removeprefix("data: ") for line in opened.notes()[1:])
        return Scan(source=self.name, kind="a single image", spec=opened.spec, splits={UNDIVIDED: SplitCount(count=1)}, conversions=notes)
