"""Translate picture files with a trained run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ganvas.data.batch import DataSpec
from ganvas.data.decode import Unusable
from ganvas.data.words import shown
from ganvas.diagnostics.gallery import save_picture
from ganvas.diagnostics.grids import image_grid
from ganvas.engine.capabilities import Translate
from ganvas.engine.devices import find
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError, nearest, require
from ganvas.explore.pictures import Picture, read_picture, to_image, to_picture, to_tensor
from ganvas.run import Run

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
SHEET = "comparison.png"
TILE, OVERLAP = 512, 64
"""Pictures longer than two tiles are translated in overlapping tiles of this side, whose borders are blended."""
ACROSS, PER_SHEET, SHEETS = 8, 32, 8
"""Pictures in a row of a sheet, pictures on a sheet, and sheets at most."""
CELL = 256
"""Longest side of a picture on a sheet."""


@dataclass(frozen=True)
class Translated:
    """Files written, the sheets that show them beside their originals, and files left out with the reason."""

    written: tuple[Path, ...]
    sheets: tuple[Path, ...]
    rejected: tuple[tuple[str, str], ...]


def inputs(path: Path) -> list[Path]:
    """The picture a path names, or the pictures of a folder in the order of their names; hidden files are none."""
    require(path.exists(), f"{path}: no such file or folder")
    if path.is_file():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())
    require(bool(found), f"{path}: holds no picture ({', '.join(SUFFIXES)})")
    return found


def translate(run: Run, files: Sequence[Path], out: Path, *, to: str | None = None, seed: int = 0) -> Translated:
    """Bring each file to domain `to` (the last of the model's unless given) and write it to `out` as a PNG of the same name and size, and
    sheets of originals and translations as `comparison.png`, `comparison-2.png` and so on.

    Files that cannot be read are left out and named. Raises `GanvasError` if none is left, or where a file would be overwritten.
    """
    model = run.model
    if not isinstance(model, Translate):
        raise GanvasError(f"{run.path}: {run.entry.name} does not translate; `ganvas list` shows what each model can do")
    target = to or model.targets[-1]
    known = ", ".join(model.targets[:-1]) + " and " + model.targets[-1] if len(model.targets) > 1 else model.targets[0]
    require(target in model.targets, f"--to {target}: there is no such domain, only {known}.{nearest(target, model.targets)}")
    _check(files, out)
    device, depth = find(run.device), source_channels(run.spec, target)
    written: list[Path] = []
    rejected: list[tuple[str, str]] = []
    shelf = _Shelf(out, f"{run.entry.name}, {run.images:,} images seen; below each row its translation to {target}")
    for index, path in enumerate(files):
        try:
            picture = read_picture(path, depth)
        except (Unusable, OSError) as error:
            rejected.append((path.name, str(error)))
            continue
        made = translated(model, picture, target, run.spec.shape[1:], SampleDraws(seed, index, device), device)
        save_picture(to_image(made), out / f"{path.stem}.png")
        written.append(out / f"{path.stem}.png")
        shelf.add(picture, made)
    named = "; ".join(f"'{shown(name)}' {reason}" for name, reason in rejected[:3])
    require(bool(written), f"no picture could be read: {named}")
    return Translated(tuple(written), shelf.close(), tuple(rejected))


def source_channels(spec: DataSpec, to: str) -> int:
    """Channels of the images that are translated to domain `to`: of two domains that may differ, those of the other one."""
    back = len(spec.domains) == 2 and to == spec.domains[0]
    return spec.views["target"][0] if back and "target" in spec.views else spec.shape[0]


def _check(files: Sequence[Path], out: Path) -> None:
    """Refuse, before any work is done, what would overwrite something."""
    stems = [path.stem for path in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
    require(not twice, f"several files would be written to {twice[0] if twice else ''}.png: translate them one by one")
    sheet = next((stem for stem in stems if re.fullmatch(Path(SHEET).stem + r"(-\d+)?", stem)), None)
    require(sheet is None, f"the translation of a picture called '{sheet}' would be overwritten by a sheet: rename the picture")
    require(not out.exists() or out.is_dir(), f"--out {out}: is a file; translations are written to a folder")
    own = next((path for path in files if path.resolve() == (out / f"{path.stem}.png").resolve()), None)
    require(own is None, f"--out {out}: '{shown(own.name if own else '')}' would be overwritten by its translation; name another folder")


@torch.no_grad()
def translated(model: Translate, picture: Picture, to: str, size: tuple[int, ...], rng: SampleDraws, device: torch.device) -> Picture:
    """A picture (H, W, C) uint8 of any size: as it is, in tiles, or through the one `size` (height, width) that the model knows."""
    x = to_tensor(picture, device)
    height, width = x.shape[2:]
    if model.multiple == 0:
        small = interpolate(x, size=(size[0], size[1]), mode="bilinear", antialias=True)
        y = interpolate(model.translate(small, to=to, rng=rng), size=(height, width), mode="bilinear", antialias=True)
    elif max(height, width) <= 2 * TILE:
        y = _padded(model, x, to, rng)
    else:
        y = _tiled(model, x, to, rng)
    return to_picture(y[0])


def _padded(model: Translate, x: Tensor, to: str, rng: SampleDraws) -> Tensor:
    """Pad to what the model takes by repeating the edge, translate, crop back."""
    height, width = x.shape[2:]
    more = (0, -width % model.multiple, 0, -height % model.multiple)
    return model.translate(pad(x, more, mode="replicate"), to=to, rng=rng)[:, :, :height, :width]


def _tiled(model: Translate, x: Tensor, to: str, rng: SampleDraws) -> Tensor:
    """The mean of overlapping tiles, each weighted less towards its border."""
    height, width = x.shape[2:]
    weights, total = x.new_zeros(height, width), x.new_zeros(0)
    for top in _starts(height):
        for left in _starts(width):
            tile = _padded(model, x[:, :, top : top + TILE, left : left + TILE], to, rng)
            total = total if len(total) else x.new_zeros(1, tile.shape[1], height, width)
            down, across = (torch.minimum(torch.arange(1, n + 1), torch.arange(n, 0, -1)).clamp(max=OVERLAP) for n in tile.shape[2:])
            weight = (down[:, None] * across).to(x)
            here = (..., slice(top, top + TILE), slice(left, left + TILE))
            total[here] += tile * weight
            weights[here] += weight
    return total / weights


def _starts(side: int) -> list[int]:
    """First rows of tiles that cover a side, the last flush with its end."""
    return [*range(0, side - TILE, TILE - OVERLAP), side - TILE] if side > TILE else [0]


class _Shelf:
    """Collects small pictures of originals and translations, and writes a sheet whenever one is full."""

    def __init__(self, out: Path, title: str) -> None:
        self._out, self._title = out, title
        self._pairs: list[tuple[Picture, Picture]] = []
        self._sheets: list[Path] = []

    def add(self, picture: Picture, made: Picture) -> None:
        if len(self._sheets) < SHEETS:
            self._pairs.append((reduced(picture), reduced(made)))
        if len(self._pairs) == PER_SHEET:
            self._flush()

    def close(self) -> tuple[Path, ...]:
        if self._pairs:
            self._flush()
        return tuple(self._sheets)

    def _flush(self) -> None:
        number = len(self._sheets) + 1
        path = self._out / (SHEET if number == 1 else f"{Path(SHEET).stem}-{number}.png")
        save_picture(sheet(self._pairs, self._title), path)
        self._sheets.append(path)
        self._pairs = []


def reduced(picture: Picture) -> Picture:
    """RGB, at most `CELL` pixels long, in the same proportions."""
    image = to_image(picture).convert("RGB")
    scale = min(1.0, CELL / max(image.size))
    return np.asarray(image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))))


def sheet(pairs: Sequence[tuple[Picture, Picture]], title: str) -> "Image":
    """Rows of originals, below each a row of their translations; pictures of several sizes stand in frames of white."""
    height, width = (max(pair[0].shape[axis] for pair in pairs) for axis in (0, 1))
    across = min(ACROSS, len(pairs))
    empty = np.full((height, width, 3), 255, np.uint8)
    rows = [pairs[at : at + across] for at in range(0, len(pairs), across)]
    cells = []
    for row in rows:
        for side in (0, 1):
            cells += [_framed(pair[side], empty) for pair in row] + [empty] * (across - len(row))
    return image_grid(np.stack(cells), columns=across, row_labels=["given", "made"] * len(rows), title=title)


def _framed(picture: Picture, empty: Picture) -> Picture:
    """The picture in the middle of a copy of `empty`."""
    frame = empty.copy()
    top, left = ((frame.shape[axis] - picture.shape[axis]) // 2 for axis in (0, 1))
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return frame
