"""Translate picture files, or the pairs of a source, with a trained run; in the style of an example where the model knows styles."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ganvas.data.batch import DataSpec
from ganvas.data.decode import Unusable
from ganvas.data.maps import Palette, far, reach
from ganvas.data.words import shown
from ganvas.diagnostics.gallery import in_colours, save_picture
from ganvas.diagnostics.grids import image_grid
from ganvas.engine.capabilities import Style, Translate
from ganvas.engine.devices import find
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError, nearest, require
from ganvas.explore.given import given
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
COUNT = 32
"""Pairs of a source that are translated unless a number is named."""
ROWS = ("given", "made", "true")

Move = Callable[[Tensor, SampleDraws], Tensor]


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


def translate(
    run: Run,
    files: Sequence[Path],
    out: Path,
    *,
    to: str | None = None,
    seed: int = 0,
    style: Path | None = None,
    truth: Path | None = None,
) -> Translated:
    """Bring each file to domain `to` (the last of the model's unless given) and write it to `out` as a PNG of the same name and size, and
    sheets of originals and translations as `comparison.png`, `comparison-2.png` and so on.

    `style` is a picture whose look the translations take. `truth` is what they should be, a picture or a folder of pictures of the same
    names, and stands on the sheets. Files that cannot be read are left out and named, as are those that are no label maps where the run's
    own are. Raises `GanvasError` if none is left, or where a file would be overwritten.
    """
    model, target, look = _mover(run, to, style)
    wanted = _truths(files, truth) if truth is not None else {}
    _check(files, out, [*wanted.values(), *([style] if style is not None else [])])
    device, depth = find(run.device), source_channels(run.spec, target)
    maps = run.spec.palette if run.spec.domains[-1:] == (target,) else ()
    written: list[Path] = []
    rejected: list[tuple[str, str]] = []
    shelf = _Shelf(out, _title(run, target, style), maps)
    for index, path in enumerate(files):
        try:
            picture = read_picture(path, depth)
        except (Unusable, OSError) as error:
            rejected.append((path.name, str(error)))
            continue
        if maps and (reason := _no_map(picture, maps)):
            rejected.append((path.name, reason))
            continue
        try:
            true = read_picture(wanted[path], 3) if path in wanted else None
        except (Unusable, OSError) as error:
            rejected.append((f"--truth {wanted[path]}", str(error)))
            continue
        draws = SampleDraws(seed, index, device)
        made = translated(model, picture, target, run.spec.shape[1:], draws, device, example=look, blended=not maps)
        save_picture(to_image(made), out / f"{path.stem}.png")
        written.append(out / f"{path.stem}.png")
        shelf.add(picture, made, true)
    _some(written, rejected)
    return Translated(tuple(written), shelf.close(), tuple(rejected))


def translate_pairs(
    run: Run,
    source: str | None,
    out: Path,
    *,
    to: str | None = None,
    split: str | None = None,
    count: int | None = None,
    seed: int = 0,
    style: Path | None = None,
) -> Translated:
    """The first `count` examples of a source (the run's own data unless given; the held-out split unless named) as `0000.png` and so on,
    and sheets of input, output and, where they are pairs that belong together, truth. Otherwise as `translate`."""
    model, target, look = _mover(run, to, style)
    require(not out.exists() or out.is_dir(), f"--out {out}: is a file; translations are written to a folder")
    second = run.spec.domains[-1:] == (target,)
    require(second, f"--to {target}: the examples of a source go to its second domain; to bring others to {target} name pictures")
    found = given(run, source, split=split, count=COUNT if count is None else count)
    names = [Path(f"{row:04d}.png") for row in range(found.count)]
    _check(names, out, [style] if style is not None else [])
    palette, aligned, device = run.spec.palette, found.examples.spec.aligned, find(run.device)
    written: list[Path] = []
    rejected: list[tuple[str, str]] = []
    shelf, start = _Shelf(out, f"{_title(run, target, style)}; {found.title}", palette), 0
    for batch in found.batches():
        rows = range(start, start + batch.size)
        start += batch.size
        with torch.no_grad():
            answer = _move(model, target, look)(batch.images, SampleDraws(seed, device=device, indices=rows))
        for place, row in enumerate(rows):
            picture, made = to_picture(batch.images[place]), to_picture(answer[place])
            if palette and (reason := _no_map(picture, palette)):
                rejected.append((f"example {row}", reason))
                continue
            save_picture(to_image(made), out / names[row])
            written.append(out / names[row])
            shelf.add(picture, made, to_picture(batch["target"][place]) if aligned else None)
    _some(written, rejected)
    return Translated(tuple(written), shelf.close(), tuple(rejected))


def _no_map(picture: Picture, palette: Palette) -> str:
    """Why a picture is no label map of a palette; nothing if it is one."""
    away = far(torch.from_numpy(np.array(picture)), palette)
    said = f"{away:.0%} of its pixels are more than {reach(palette)} levels from all {len(palette)} colours of the run's label maps"
    return f"is no label map: {said}" if away > 0.5 else ""


def _some(written: Sequence[Path], rejected: Sequence[tuple[str, str]]) -> None:
    """At least one picture has been translated; otherwise an error that says why none has."""
    named = "; ".join(f"'{shown(name)}' {reason}" for name, reason in rejected[:3])
    require(bool(written), f"no picture is left to translate: {named}")


def _mover(run: Run, to: str | None, style: Path | None) -> tuple[Translate, str, Tensor | None]:
    """The run's model, the domain that is meant, and the example (1, C, H, W) of a style as the model takes it."""
    model = run.model
    if not isinstance(model, Translate):
        raise GanvasError(f"{run.path}: {run.entry.name} does not translate; `ganvas list` shows what each model can do")
    target = to or model.targets[-1]
    known = ", ".join(model.targets[:-1]) + " and " + model.targets[-1] if len(model.targets) > 1 else model.targets[0]
    require(target in model.targets, f"--to {target}: there is no such domain, only {known}.{nearest(target, model.targets)}")
    return model, target, None if style is None else _example(run, model, target, style)


def _example(run: Run, model: Translate, to: str, style: Path) -> Tensor:
    if not isinstance(model, Style):
        raise GanvasError(f"--style {style}: {run.entry.name} knows no styles; `ganvas list` shows what each model can do")
    depth, size = made_channels(run.spec, to), run.spec.shape[1:]
    try:
        picture = to_tensor(read_picture(style, depth), find(run.device))
    except (Unusable, OSError) as error:
        raise GanvasError(f"--style {style}: {error}") from None
    return interpolate(picture, size=(size[0], size[1]), mode="bilinear", antialias=True)


def _title(run: Run, target: str, style: Path | None) -> str:
    look = f" in the style of {style.name}" if style is not None else ""
    return f"{run.entry.name}, {run.images:,} images seen; below each row its translation to {target}{look}"


def _truths(files: Sequence[Path], truth: Path) -> dict[Path, Path]:
    """The true answer to each file; `GanvasError` for one that has none."""
    require(truth.exists(), f"--truth {truth}: no such file or folder")
    if truth.is_file():
        require(len(files) == 1, f"--truth {truth}: one picture is the truth of one, and there are {len(files)}: name a folder")
        return {files[0]: truth}
    there = {path.stem: path for path in inputs(truth)}
    missing = next((path for path in files if path.stem not in there), None)
    require(missing is None, f"--truth {truth}: holds no picture called like '{shown(missing.name if missing else '')}'")
    return {path: there[path.stem] for path in files}


def made_channels(spec: DataSpec, to: str) -> int:
    """Channels of images of domain `to`: of two domains that may differ, its own."""
    return spec.views["target"][0] if "target" in spec.views and spec.domains[-1:] == (to,) else spec.shape[0]


def source_channels(spec: DataSpec, to: str) -> int:
    """Channels of the images that are translated to domain `to`: of two domains that may differ, those of the other one."""
    back = len(spec.domains) == 2 and to == spec.domains[0]
    return spec.views["target"][0] if back and "target" in spec.views else spec.shape[0]


def _check(files: Sequence[Path], out: Path, others: Sequence[Path]) -> None:
    """Refuse, before any work is done, what would overwrite something: one of the files, or one of the `others` that are read."""
    stems = [path.stem for path in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
    require(not twice, f"several files would be written to {twice[0] if twice else ''}.png: translate them one by one")
    sheet = next((stem for stem in stems if re.fullmatch(Path(SHEET).stem + r"(-\d+)?", stem)), None)
    require(sheet is None, f"the translation of a picture called '{sheet}' would be overwritten by a sheet: rename the picture")
    require(not out.exists() or out.is_dir(), f"--out {out}: is a file; translations are written to a folder")
    made = {(out / f"{stem}.png").resolve() for stem in stems}
    sheets = {(out / name).resolve() for name in (SHEET, *(f"{Path(SHEET).stem}-{number}.png" for number in range(2, SHEETS + 1)))}
    own = next((path for path in (*files, *others) if path.resolve() in made | sheets), None)
    require(own is None, f"--out {out}: '{shown(own.name if own else '')}' would be overwritten; name another folder")


def _move(model: Translate, to: str, example: Tensor | None) -> Move:
    """Images (n, C, H, W) to their translations, in the style of an example if there is one."""
    if example is None:
        return lambda x, rng: model.translate(x, to=to, rng=rng)
    assert isinstance(model, Style)
    return lambda x, rng: model.styled(x, example, to=to, rng=rng)


@torch.no_grad()
def translated(
    model: Translate,
    picture: Picture,
    to: str,
    size: tuple[int, ...],
    rng: SampleDraws,
    device: torch.device,
    *,
    example: Tensor | None = None,
    blended: bool = True,
) -> Picture:
    """A picture (H, W, C) uint8 of any size: as it is, in tiles, or through the one `size` (height, width) that the model knows.

    `example` (1, C', H, W) is one whose style is taken. A picture whose colours must not be `blended` is brought to a size by its nearest
    pixels.
    """
    x, move = to_tensor(picture, device), _move(model, to, example)
    height, width = x.shape[2:]
    if model.multiple == 0:
        resize = partial(interpolate, mode="bilinear", antialias=True)
        small = resize(x, size=(size[0], size[1])) if blended else interpolate(x, size=(size[0], size[1]), mode="nearest-exact")
        y = resize(move(small, rng), size=(height, width))
    elif max(height, width) <= 2 * TILE:
        y = _padded(model.multiple, move, x, rng)
    else:
        y = _tiled(model.multiple, move, x, rng)
    return to_picture(y[0])


def _padded(multiple: int, move: Move, x: Tensor, rng: SampleDraws) -> Tensor:
    """Pad to what the model takes by repeating the edge, translate, crop back."""
    height, width = x.shape[2:]
    more = (0, -width % multiple, 0, -height % multiple)
    return move(pad(x, more, mode="replicate"), rng)[:, :, :height, :width]


def _tiled(multiple: int, move: Move, x: Tensor, rng: SampleDraws) -> Tensor:
    """The mean of overlapping tiles, each weighted less towards its border."""
    height, width = x.shape[2:]
    weights, total = x.new_zeros(height, width), x.new_zeros(0)
    for top in _starts(height):
        for left in _starts(width):
            tile = _padded(multiple, move, x[:, :, top : top + TILE, left : left + TILE], rng)
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
    """Collects small pictures of originals, translations and truths, and writes a sheet whenever one is full."""

    def __init__(self, out: Path, title: str, palette: Palette) -> None:
        self._out, self._title, self._palette = out, title, palette
        self._pairs: list[tuple[Picture, ...]] = []
        self._sheets: list[Path] = []

    def add(self, picture: Picture, made: Picture, true: Picture | None = None) -> None:
        if len(self._sheets) < SHEETS:
            given_in = in_colours(picture, self._palette)
            self._pairs.append(tuple(reduced(one) for one in (given_in, made, true) if one is not None))
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


def sheet(groups: Sequence[tuple[Picture, ...]], title: str) -> "Image":
    """Rows of originals, below each a row of their translations, and below that one of the truths if there are any; pictures of several
    sizes stand in frames of white."""
    height, width = (max(one.shape[axis] for group in groups for one in group) for axis in (0, 1))
    across, kinds = min(ACROSS, len(groups)), len(groups[0])
    empty = np.full((height, width, 3), 255, np.uint8)
    rows = [groups[at : at + across] for at in range(0, len(groups), across)]
    cells = []
    for row in rows:
        for side in range(kinds):
            cells += [_framed(group[side], empty) for group in row] + [empty] * (across - len(row))
    return image_grid(np.stack(cells), columns=across, row_labels=list(ROWS[:kinds]) * len(rows), title=title)


def _framed(picture: Picture, empty: Picture) -> Picture:
    """The picture in the middle of a copy of `empty`."""
    frame = empty.copy()
    top, left = ((frame.shape[axis] - picture.shape[axis]) // 2 for axis in (0, 1))
    frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return frame
