"""`inked` and `inked-pairs`: the embedded digits in two looks, white on black, and drawn with a thick orange pen on blue paper.

In `inked` the first domain has every other digit and the second the rest, so that no image of one belongs to an image of the other; in
`inked-pairs` each digit stands in both.
"""

from dataclasses import replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from ganvas.data.batch import DataSpec
from ganvas.data.digits import DigitSource
from ganvas.data.examples import About, MemoryImages
from ganvas.data.pairs import Pairs
from ganvas.data.source import Request, Scan, Source, SplitCount
from ganvas.data.words import counted, shape_of

NAMES = ("inked", "inked-pairs")
DOMAINS = ("plain", "inked")
_PEN, _PAPER = (255, 150, 30), (15, 35, 90)


def inked(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey digits (N, H, W) as colour (N, H, W, 3): strokes grown by a pixel on each side (half as strongly below 16 pixels)."""
    strokes = grey.astype(np.float32) / 255
    padded = np.pad(strokes, ((0, 0), (1, 1), (1, 1)))
    around = np.max([padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]], axis=0)
    grown = np.maximum(strokes, around * (1.0 if min(grey.shape[1:]) >= 16 else 0.5))[..., None]
    return np.rint(grown * np.array(_PEN, np.float32) + (1 - grown) * np.array(_PAPER, np.float32)).astype(np.uint8)


@final
class InkedSource(Source):
    """Both looks have three channels, so that each can be taken for the other."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._aligned = name == "inked-pairs"

    def splits(self) -> tuple[str, ...]:
        return ("train", "test")

    def open(self, split: str, request: Request) -> Pairs:
        digits = DigitSource().open(split, request)
        grey = digits.spec.native(digits.batch(torch.arange(len(digits))).images).numpy()[..., 0]
        first, second = (grey, grey) if self._aligned else (grey[::2], grey[1::2])
        plain, pen = np.repeat(first[..., None], 3, axis=3), inked(second)
        shape = (3, *grey.shape[1:])
        one = DataSpec(kind="images", shape=shape)
        spec = replace(one, views={"target": shape}, domains=DOMAINS, aligned=self._aligned)
        how = "aligned pairs" if self._aligned else "two sets that are not aligned"
        line = f"data: {self.name} (digits in two looks, {how}), split {split}: {counted(len(first), 'image')} of {shape_of(one)} each"
        source, target = (MemoryImages(About(spec=one, split=split), torch.from_numpy(np.ascontiguousarray(x))) for x in (plain, pen))
        return Pairs(About(spec=spec, split=split, notes=(line,)), source, target)

    def scan(self, request: Request) -> Scan:
        opened = {split: self.open(split, request) for split in self.splits()}
        spec = opened["train"].spec
        return Scan(
            source=self.name,
            kind="images of two domains, built in: digits in two looks",
            spec=spec,
            splits={name: SplitCount(count=len(one)) for name, one in opened.items()},
        )
