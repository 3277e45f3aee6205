"""Translate picture files with a trained run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from ganvas.data.decode import Decoder, Unusable, channels, check_head, quiet
from ganvas.data.words import shown
from ganvas.diagnostics.grids import image_grid
from ganvas.engine.capabilities import Translate
from ganvas.engine.devices import find
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError, nearest, require
from ganvas.run import Run

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
SHEET = "comparison.png"
TILE, OVERLAP = 512, 64
"""Larger images are translated in overlapping tiles of this side, whose borders are blended."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Translated:
    """Files written, and files left out with the reason."""

    written: tuple[Path, ...]
    rejected: tuple[tuple[str, str], ...]


def inputs(path: Path) -> list[Path]:
    """The picture a path names, or the pictures of a folder in the order of their names."""
    require(path.exists(), f"{path}: no such file or folder")
    if path.is_file():
        return [path]
    found = sorted(child for child in path.iterdir() if child.suffix.lower() in SUFFIXES and child.is_file())
    require(bool(found), f"{path}: holds no picture ({', '.join(SUFFIXES)})")
    return found


def translate(run: Run, files: Sequence[Path], out: Path, *, to: str | None = None, seed: int = 0) -> Translated:
    """Bring each file to domain `to` (the second unless given) and write it to `out` as a PNG of the same name and size, and a sheet of
    pairs as `comparison.png`. Files that cannot be read are left out and named. Raises `GanvasError` if none is left.
    """
    model = run.model
    if not isinstance(model, Translate):
        raise GanvasError(f"{run.path}: {run.entry.name} does not translate; `ganvas list` shows what each model can do")
    device = find(run.device)
    target = to or model.targets[-1]
    require(
        target in model.targets,
        f"--to {target}: there is no such domain, only {' and '.join(model.targets)}.{nearest(target, model.targets)}",
    )
    depth = run.spec.shape[0] if target == model.targets[-1] else run.spec.views["target"][0]
    stems = [path.stem for path in files]
    twice = {stem for stem in stems if stems.count(stem) > 1}
    require(not twice, f"several files would be written to {sorted(twice)[0] if twice else ''}.png: translate them one by one")
    require(Path(SHEET).stem not in stems, f"a picture called '{Path(SHEET).stem}' would be overwritten by the sheet {SHEET}: rename it")
    require(not out.exists() or out.is_dir(), f"--out {out}: is a file; translations are written to a folder")
    out.mkdir(parents=True, exist_ok=True)
    written, rejected, pairs = [], [], []
    for index, path in enumerate(files):
        try:
            picture = _read(path, depth)
        except (Unusable, OSError) as error:
            rejected.append((path.name, str(error)))
            continue
        made = _translated(model, picture, target, run.spec.shape[1:], SampleDraws(seed, index, device), device)
        _write(made, out / f"{path.stem}.png")
        written.append(out / f"{path.stem}.png")
        pairs += [picture, made]
    named = "; ".join(f"'{shown(name)}' {reason}" for name, reason in rejected[:3])
    require(bool(written), f"no picture could be read: {named}")
    _write_sheet(pairs[:32], out / SHEET, f"{run.entry.name}, {run.images:,} images seen; each picture and its translation to {target}")
    return Translated(tuple(written), tuple(rejected))


def _read(path: Path, depth: int) -> Picture:
    """(H, W, C) uint8, grey or RGB as the model wants it."""
    data = path.read_bytes()
    check_head(data[:64])
    with quiet():
        return channels(Decoder().decode(data).pixels, depth)


@torch.no_grad()
def _translated(model: Translate, picture: Picture, to: str, size: tuple[int, ...], rng: SampleDraws, device: torch.device) -> Picture:
    """A picture of any size: as it is, in tiles, or through the one size that the model knows."""
    x = (torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1).to(device)
    height, width = x.shape[2:]
    if model.multiple == 0:
        small = interpolate(x, size=(size[0], size[1]), mode="bilinear", antialias=True)
        y = interpolate(model.translate(small, to=to, rng=rng), size=(height, width), mode="bilinear", antialias=True)
    elif max(height, width) <= 2 * TILE:
        y = _padded(model, x, to, rng)
    else:
        y = _tiled(model, x, to, rng)
    return (y[0].clamp(-1, 1).add(1).mul(127.5).round().byte().permute(1, 2, 0)).cpu().numpy()


def _padded(model: Translate, x: Tensor, to: str, rng: SampleDraws) -> Tensor:
    """Pad to what the model takes by repeating the edge, translate, crop back."""
    height, width = x.shape[2:]
    more = (0, -width % model.multiple, 0, -height % model.multiple)
    return model.translate(torch.nn.functional.pad(x, more, mode="replicate"), to=to, rng=rng)[:, :, :height, :width]


def _tiled(model: Translate, x: Tensor, to: str, rng: SampleDraws) -> Tensor:
    """The mean of overlapping tiles, each weighted less towards its border."""
    height, width = x.shape[2:]
    total = weights = torch.zeros((), device=x.device)
    for top in _starts(height):
        for left in _starts(width):
            tile = _padded(model, x[:, :, top : top + TILE, left : left + TILE], to, rng)
            ramp = [torch.minimum(torch.arange(1, n + 1), torch.arange(n, 0, -1)).clamp(max=OVERLAP).float() for n in tile.shape[2:]]
            weight = (ramp[0][:, None] * ramp[1][None, :]).to(x.device)
            place = (left, width - left - tile.shape[3], top, height - top - tile.shape[2])
            total = total + torch.nn.functional.pad(tile * weight, place)
            weights = weights + torch.nn.functional.pad(weight, place)
    return total / weights


def _starts(side: int) -> list[int]:
    """First rows of tiles that cover a side, the last flush with its end."""
    return [*range(0, max(1, side - TILE), TILE - OVERLAP), side - TILE] if side > TILE else [0]


def _write(picture: Picture, path: Path) -> None:
    from PIL import Image

    temporary = path.with_name(f".{path.name}.tmp")
    try:
        Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(temporary, format="PNG")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise GanvasError(f"{path}: cannot be written ({error})") from error


def _write_sheet(pairs: Sequence[Picture], path: Path, title: str) -> None:
    """All pictures at the size of the first, enlarged or reduced, two to a pair."""
    from PIL import Image

    height, width = pairs[0].shape[:2]
    scale = min(1.0, 256 / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    cells = [np.asarray(Image.fromarray(p[:, :, 0] if p.shape[2] == 1 else p).convert("RGB").resize(size)) for p in pairs]
    sheet = image_grid(np.stack(cells), columns=min(8, len(cells)), title=title)
    temporary = path.with_name(f".{path.name}.tmp")
    sheet.save(temporary, format="PNG")
    os.replace(temporary, path)
