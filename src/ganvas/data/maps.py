"""`maps:SOURCE`: pairs whose first pictures are label maps, in which each colour stands for a class.

    index images         grey, the value of a pixel is the number of its class
    coloured maps        a colour for each class, as a viewer shows them
    blurred ones         the same after JPEG or resizing, which leave many colours near the few

The palette is found in the training split, whichever split is read, and listed: it is a part of what a model is told of the data, and so of
every run. At most `MOST` maps, evenly spread, are looked at. The pictures themselves stay as they are; a model takes each pixel for the
nearest colour of the palette, in new pictures as well.

How it is found. Up to `FEW` colours are the palette, and up to `ALL` if at least half of all neighbours are equal, as they are in areas and
not in photographs. More colours are gathered: the commonest takes all within `REACH` levels in each channel; of what is left the commonest
does the same, and so on. Such a group gives a colour if at least half of it lies within `NEAR` of its middle, for a class has a peak and
a blend of two has none. `GanvasError` where that leaves one colour, or less than `COVERED` of the pixels near to any: no label maps.
"""

from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from ganvas.data.batch import Batch, DataSpec
from ganvas.data.examples import About, Examples, combined
from ganvas.data.source import UNDIVIDED, Request, Scan, Source
from ganvas.errors import GanvasError, require

PREFIX = "maps:"
MOST = 1_000
FEW, ALL = 32, 256
REACH, NEAR, WITHIN = 40, 12, 24
LEAST = 1e-3  # share of the pixels that a colour has to have among blurred ones
COVERED = 0.7
_READ = 50

Palette = tuple[tuple[int, ...], ...]


class NoMaps(Exception):
    """What is wrong with pictures as label maps, without their name."""


def hexadecimal(palette: Palette) -> list[str]:
    """`#0000aa` for a colour, `17` for a grey level."""
    return ["#" + "".join(f"{value:02x}" for value in colour) if len(colour) == 3 else str(*colour) for colour in palette]


def counts_of(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct colours (N, C) of pixels uint8 (B, H, W, C) and how often each occurs (N,), int64."""
    numbers, counts = _packed(pixels.flatten(0, 2).long()).unique(return_counts=True)
    return _unpacked(numbers, pixels.shape[3]), counts


def palette_of(colours: Tensor, counts: Tensor, equal: float) -> Palette:
    """The palette, the commonest colour first, of distinct colours (N, C) and their counts (N,); `equal` is the share of neighbours side by
    side that are equal. Raises `NoMaps`."""
    order = torch.argsort(counts, descending=True, stable=True)
    colours, counts = colours[order], counts[order]
    if len(colours) > FEW and not (len(colours) <= ALL and equal >= 0.5):
        total, peaks = int(counts.sum()), _peaks(colours, counts)
        near = _nearest(colours, peaks) <= WITHIN
        covered = int(counts[near].sum()) / total
        if len(peaks) < 2 or covered < COVERED:
            raise NoMaps(f"{len(colours):,} colours, which {_few(len(peaks))}; these are near to {covered:.0%} of the pixels")
        colours = peaks
    if len(colours) < 2:
        raise NoMaps("one colour alone")
    return tuple(tuple(colour) for colour in colours.tolist())


def reach(palette: Palette) -> int:
    """The levels by which a pixel may differ from a colour and be of it: half of what lies between two colours, at most `REACH`."""
    colours = torch.tensor(palette)
    between = (colours[:, None] - colours).abs().amax(dim=2)
    return min([REACH, *(between[between > 0] // 2).tolist()])


def far(pixels: Tensor, palette: Palette) -> float:
    """The share of pixels uint8 (H, W, C) that are beyond `reach` of every colour in some channel."""
    colours, counts = counts_of(pixels[None])
    away = _nearest(colours, torch.tensor(palette)) > reach(palette)
    return float(counts[away].sum() / counts.sum())


def _peaks(colours: Tensor, counts: Tensor) -> Tensor:
    """The middles (K, C) of groups of colours (N, C), the commonest first, that have a peak there; their order is that of their counts."""
    left, least, found = torch.ones(len(colours), dtype=torch.bool), LEAST * int(counts.sum()), []
    while bool(left.any()):
        middle = colours[int(left.int().argmax())]
        away = (colours - middle).abs().amax(dim=1)
        group = left & (away <= REACH)
        size, core = int(counts[group].sum()), int(counts[left & (away <= NEAR)].sum())
        if size >= least and 2 * core >= size:
            found.append(middle)
        left &= ~group
    return torch.stack(found) if found else colours[:0]


def _nearest(colours: Tensor, palette: Tensor) -> Tensor:
    """How far (N,) each of colours (N, C) is from the nearest of a palette (K, C), in the channel that differs most."""
    away = torch.full((len(colours),), 256)
    for colour in palette:
        away = torch.minimum(away, (colours - colour).abs().amax(dim=1))
    return away


def _few(count: int) -> str:
    return {0: "gather around none", 1: "gather around one alone"}.get(count, f"gather around {count}")


def _packed(values: Tensor) -> Tensor:
    """Colours int64 (N, C) as one number each (N,)."""
    packed = values[:, 0]
    for channel in range(1, values.shape[1]):
        packed = packed * 256 + values[:, channel]
    return packed


def _unpacked(numbers: Tensor, channels: int) -> Tensor:
    shifts = torch.tensor([256**channel for channel in reversed(range(channels))])
    return numbers[:, None] // shifts % 256


def found_in(examples: Examples) -> Palette:
    """The palette of the first pictures of these pairs. Raises `NoMaps`."""
    chosen = torch.linspace(0, len(examples) - 1, min(len(examples), MOST)).round().long().unique()
    numbers, counts, equal, neighbours = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 0, 0
    channels = examples.spec.shape[0]
    for rows in chosen.split(_READ):
        pixels = examples.spec.native(examples.batch(rows).images.cpu())
        colours, here = counts_of(pixels)
        numbers, where = torch.cat([numbers, _packed(colours)]).unique(return_inverse=True)
        counts = torch.zeros(len(numbers), dtype=torch.int64).index_add_(0, where, torch.cat([counts, here]))
        equal += int((pixels[:, :, 1:] == pixels[:, :, :-1]).all(dim=3).sum())
        neighbours += pixels[:, :, 1:, 0].numel()
    return palette_of(_unpacked(numbers, channels), counts, equal / max(1, neighbours))


@final
class Maps(Examples):
    """`whole`, aligned pairs, of whose first pictures the palette is known."""

    def __init__(self, about: About, whole: Examples) -> None:
        super().__init__(about)
        self._whole = whole

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def compared(self) -> Examples:
        return self._whole.compared

    @property
    def fingerprint(self) -> str:
        return combined(self.spec, self._whole.fingerprint)

    def batch(self, indices: Tensor) -> Batch:
        return self._whole.batch(indices)

    def expect(self, indices: Tensor) -> None:
        self._whole.expect(indices)

    def standing(self, indices: Tensor) -> Tensor:
        return self._whole.standing(indices)

    def to(self, device: torch.device) -> "Maps":
        return Maps(self._about, self._whole.to(device))

    def label_counts(self) -> tuple[int, ...]:
        return self._whole.label_counts()


@final
class MapSource(Source):
    """Another source's pairs, the first of each a label map."""

    def __init__(self, name: str, whole: Source) -> None:
        super().__init__(name, whole.arrangement)
        self._whole = whole

    def splits(self) -> tuple[str, ...]:
        return self._whole.splits()

    def _told(self, split: str, request: Request) -> tuple[Examples, DataSpec]:
        """One split of the pairs, and what a model is told of it."""
        whole = self._whole.open(split, request)
        spec = whole.spec
        paired = spec.kind == "images" and spec.aligned
        aligned = "; --layout pairs makes them of two folders with equal names" if len(spec.domains) == 2 else ""
        none = f"'{self.name}': label maps are the first of pairs that belong together, and '{self._whole.name}' has none such{aligned}"
        require(paired, none)
        require(spec.shape[0] in (1, 3), f"'{self.name}': label maps are grey or coloured, and these have {spec.shape[0]} channels")
        training = next((one for one in ("train", UNDIVIDED) if one in self.splits()), split)
        seen = whole if training == split else self._whole.open(training, request)
        blended = spec.shape[0] == 1 and any("resized (bicubic" in note for note in seen.notes())
        one = "give all one size, without --resolution"
        require(not blended, f"'{self.name}': some of its pictures are resized, and index images blend when they are resized: {one}")
        try:
            palette = found_in(seen)
        except NoMaps as error:
            first = f"its {spec.domains[0]} pictures" if spec.domains else "its first pictures"
            swap = "; --layout right-left turns pairs side by side round" if self.arrangement == "left-right" else ""
            raise GanvasError(f"'{self.name}': {first} are no label maps: they have {error}{swap}") from None
        return whole, replace(spec, palette=palette)

    def open(self, split: str, request: Request) -> Maps:
        whole, spec = self._told(split, request)
        line = f"data: {self.name}: label maps of {len(spec.palette)} colours, the commonest first: {listed(spec.palette)}"
        return Maps(About(spec=spec, split=split, notes=(*whole.notes(), line), rejected=whole.rejected), whole)

    def scan(self, request: Request) -> Scan:
        found = self._whole.scan(request)
        first = next(iter(found.splits))
        spec = self._told(first, request)[1]
        kind = f"{found.kind}; label maps of {len(spec.palette)} colours: {listed(spec.palette)}"
        return replace(found, source=self.name, kind=kind, spec=spec)


def listed(palette: Palette, most: int = 40) -> str:
    """The colours of a palette, or the first of many."""
    words = hexadecimal(palette)
    return " ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
