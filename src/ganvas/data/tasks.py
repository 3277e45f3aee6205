"""`task:NAME:SOURCE`: pairs made of the images of any source, a spoiled one and the image itself, for learning to mend.

    colourise            grey                   to colour      luma
    super-resolve-2      coarse                 to fine        means of squares of 2 x 2 pixels (2 to 16)
    denoise-25           noisy                  to clean       Gaussian noise of 25 grey levels (1 to 100)
    deblur-5             blurred                to sharp       the camera moved by 5 pixels (2 to 64)
    derain-20            rainy                  to dry         streaks over about 20 percent of the pixels (1 to 100)
    dehaze-100           hazy                   to clear       haze of a mean optical depth of 1 at the horizon, in percent (1 to 400)
    demosaic             mosaic                 to colour      Bayer's pattern, red at the upper left
    remove-shadow-60     shadowed               to lit         a band that is 60 percent darker (1 to 99)
    inpaint-centre-50    holed                  to whole       the middle, 50 percent of each side (1 to 99)
    inpaint-random-50    holed                  to whole       single pixels, 50 percent of them (1 to 99)
    inpaint-brush-4      holed                  to whole       4 strokes of a brush (1 to 100)
    edges                edges                  to photo       black on white

The number is the task's strength; a name alone means the one above (`task:denoise:photos/`). Inputs have the size of the image and its
channels; those of `colourise`, `demosaic` and `edges` are grey. Holes are grey of level 128. `degradations` says exactly what is done.

The pair of row i is a function of the image, i, the split and the task alone: it is the same in every pass, every process and after a
resume. The other half of a pair, which samples are compared with, is the source's own image, with its label where it has one.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from torch import Generator, Tensor

from ganvas.data import degradations as d
from ganvas.data.batch import Batch, DataSpec
from ganvas.data.examples import About, Examples, combined
from ganvas.data.source import Request, Scan, Source, SplitCount
from ganvas.data.words import counted, shape_of
from ganvas.errors import GanvasError, nearest, require

PREFIX = "task:"
RECIPE = 1
"""Raise it with any change of what a degradation makes: runs on other pairs are then told apart by their fingerprint."""


@dataclass(frozen=True)
class Task:
    """What is done to an image (see `degradations`), how hard unless said and within which bounds (`usual` 0: it has no strength), what
    both halves of a pair are called, whether the first is `grey`, and whether images have to be in `colour`."""

    spoil: Callable[[Tensor, Generator, int], Tensor]
    domains: tuple[str, str]
    usual: int = 0
    low: int = 0
    high: int = 0
    grey: bool = False
    colour: bool = False


TASKS: Final[dict[str, Task]] = {
    "colourise": Task(d.grey, ("grey", "colour"), grey=True, colour=True),
    "super-resolve": Task(d.coarse, ("coarse", "fine"), 2, 2, 16),
    "denoise": Task(d.noisy, ("noisy", "clean"), 25, 1, 100),
    "deblur": Task(d.blurred, ("blurred", "sharp"), 5, 2, 64),
    "derain": Task(d.rainy, ("rainy", "dry"), 20, 1, 100),
    "dehaze": Task(d.hazy, ("hazy", "clear"), 100, 1, 400),
    "demosaic": Task(d.mosaic, ("mosaic", "colour"), grey=True, colour=True),
    "remove-shadow": Task(d.shadowed, ("shadowed", "lit"), 60, 1, 99),
    "inpaint-centre": Task(d.without_centre, ("holed", "whole"), 50, 1, 99),
    "inpaint-random": Task(d.without_pixels, ("holed", "whole"), 50, 1, 99),
    "inpaint-brush": Task(d.without_strokes, ("holed", "whole"), 4, 1, 100),
    "edges": Task(d.outlines, ("edges", "photo"), grey=True),
}


def divided(name: str) -> tuple[str, int, str]:
    """The task, its strength and the source of `task:NAME:SOURCE` or `task:NAME-STRENGTH:SOURCE`; `GanvasError` for any other name."""
    said, colon, inner = name.removeprefix(PREFIX).partition(":")
    require(bool(colon) and bool(inner), f"'{name}': say what is to be learned, and on which source, as in {PREFIX}denoise:photos/")
    word, dash, number = said.rpartition("-")
    numbered = bool(dash) and number.isascii() and number.isdigit()
    title = word if numbered else said
    if title not in TASKS:
        raise GanvasError(f"'{name}': there is no task '{title}', only {', '.join(TASKS)}.{nearest(title, TASKS)}")
    task = TASKS[title]
    if not numbered:
        return title, task.usual, inner
    require(task.usual > 0, f"'{name}': {title} has no strength; say {PREFIX}{title}:{inner}")
    within = task.low <= int(number) <= task.high
    require(within, f"'{name}': the strength of {title} is a whole number from {task.low} to {task.high}, not {number}")
    return title, int(number), inner


def spoiled(images: Tensor, rows: Tensor, title: str, strength: int, seed: str) -> Tensor:
    """Images (B, C, H, W) in [-1, 1] as the first halves of pairs, rounded to 256 levels; image k is that of row `rows[k]`. `seed` is any
    word: others give other noise."""
    task, made = TASKS[title], []
    for image, row in zip(images, rows.tolist(), strict=True):
        made.append(task.spoil((image + 1) / 2, generator_for(seed, row), strength))
    levels = torch.stack(made).mul(255).round_().clamp_(0, 255)
    return levels.div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def generator_for(seed: str, row: int) -> Generator:
    """What is drawn for one row; other rows and words give unrelated draws."""
    digest = hashlib.blake2b(f"{seed}/{row}".encode(), digest_size=8).digest()
    return Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@final
class Tasked(Examples):
    """`whole`, any images, as the second halves of pairs whose first are made of them."""

    def __init__(self, about: About, whole: Examples, title: str, strength: int) -> None:
        super().__init__(about)
        self._whole, self._title, self._strength = whole, title, strength
        self._seed = f"{title}/{strength}/{about.split}"

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def compared(self) -> Examples:
        return self._whole

    @property
    def fingerprint(self) -> str:
        return combined(self.spec, self._whole.fingerprint, f"task {RECIPE} {self._seed}")

    def batch(self, indices: Tensor) -> Batch:
        images = self._whole.batch(indices).images
        return Batch({"images": spoiled(images, indices, self._title, self._strength, self._seed), "target": images})

    def expect(self, indices: Tensor) -> None:
        self._whole.expect(indices)

    def standing(self, indices: Tensor) -> Tensor:
        return self._whole.standing(indices)

    def to(self, device: torch.device) -> "Tasked":
        return Tasked(self._about, self._whole.to(device), self._title, self._strength)

    def label_counts(self) -> tuple[int, ...]:
        return ()


@final
class TaskSource(Source):
    """Another source's images in pairs."""

    def __init__(self, name: str, title: str, strength: int, whole: Source) -> None:
        super().__init__(name, whole.arrangement)
        self._title, self._strength, self._whole = title, strength, whole
        self._task = TASKS[title]

    def splits(self) -> tuple[str, ...]:
        return self._whole.splits()

    def _spec(self, spec: DataSpec) -> DataSpec:
        """What a model is told of the pairs."""
        single = spec.kind == "images" and spec.views.keys() <= {"attributes"} and not spec.domains
        require(single, f"'{self.name}': pairs are made of single images, and '{self._whole.name}' has {_has(spec)}")
        channels = spec.shape[0]
        require(channels in (1, 3), f"'{self.name}': pairs are made of grey and of colour images, not of {channels} channels")
        require(channels == 3 or not self._task.colour, f"'{self.name}': {self._title} needs colour, and the images are grey")
        shape = (1 if self._task.grey else channels, *spec.shape[1:])
        return DataSpec(kind="images", shape=shape, views={"target": spec.shape}, domains=self._task.domains, aligned=True)

    def open(self, split: str, request: Request) -> Tasked:
        whole = self._whole.open(split, request)
        spec, (first, second) = self._spec(whole.spec), self._task.domains
        strong = f", strength {self._strength}" if self._strength else ""
        line = f"data: {self.name}: {counted(len(whole), 'pair')}, {first} ({shape_of(spec)}) to {second}, made on the fly{strong}"
        about = About(spec=spec, split=split, notes=(*whole.notes(), line), rejected=whole.rejected)
        return Tasked(about, whole, self._title, self._strength)

    def scan(self, request: Request) -> Scan:
        found = self._whole.scan(request)
        spec = self._spec(found.spec)
        return replace(
            found,
            source=self.name,
            kind=f"{found.kind}; in pairs, {self._task.domains[0]} to {self._task.domains[1]}, made on the fly",
            spec=spec,
            splits={
                name: SplitCount(count=split.count, domains=dict.fromkeys(spec.domains, split.count))
                for name, split in found.splits.items()
            },
        )


def _has(spec: DataSpec) -> str:
    return spec.kind if spec.kind != "images" else "pairs or further views"
