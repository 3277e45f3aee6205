"""Pictures changed with a run of a model that can edit: enlarged, redrawn from a scale on, set in motion."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganvas.data.decode import Unusable, fit
from ganvas.data.words import shown
from ganvas.diagnostics.grids import image_grid
from ganvas.engine.capabilities import Edit
from ganvas.engine.devices import find
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError, require
from ganvas.explore.pictures import Picture, read_picture, to_image, to_picture, to_tensor
from ganvas.run import Run

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 4_096
"""Longest side of an enlarged picture."""


def editor(run: Run) -> Edit:
    """The model of a run if it can edit."""
    model = run.model
    if not isinstance(model, Edit):
        raise GanvasError(f"{run.path}: {run.entry.name} does not edit; `ganvas list` shows what each model can do")
    return model


def opened(run: Run, path: Path, *, scaled: bool) -> Picture:
    """A picture file (H, W, C) uint8 with the colours of the run's data; `scaled` to the longer side that the model was trained on.

    What a model has learnt holds at one scale: textures of another size are strange to it.
    """
    depth, height, width = run.spec.shape
    try:
        picture = read_picture(path, depth)
    except Unusable as error:
        raise GanvasError(f"'{shown(str(path))}' {error}") from None
    except OSError as error:
        raise GanvasError(f"{path}: cannot be read ({error.strerror})") from error
    share = max(height, width) / max(picture.shape[:2])
    return _at(picture, [max(1, round(side * share)) for side in picture.shape[:2]]) if scaled else picture


def learnt(run: Run) -> Picture:
    """The image that a run was trained on, (H, W, C) uint8."""
    images: Picture = run.spec.native(run.sources.batch(torch.zeros(1, dtype=torch.int64)).images).numpy()
    return images[0]


def opened_mask(path: Path, size: tuple[int, int], widen: int) -> Tensor:
    """A mask (H, W) in [0, 1] of a picture that is white where an image may change; widened by so many pixels, its border as soft.

    Raises `GanvasError` for a mask that is black or of other proportions.
    """
    from PIL import Image, ImageFilter

    try:
        picture = read_picture(path, 1)
    except Unusable as error:
        raise GanvasError(f"--mask: '{shown(str(path))}' {error}") from None
    except OSError as error:
        raise GanvasError(f"--mask {path}: cannot be read ({error.strerror})") from error
    (down, across), (height, width) = picture.shape[:2], size
    alike = abs(down * width - across * height) <= max(down * width, across * height) * 0.02
    require(alike, f"--mask {path}: is {across} x {down} pixels; a mask has the proportions of its picture, {width} x {height}")
    require(widen >= 0, f"--widen {widen}: must be at least 0")
    image = Image.fromarray(picture[:, :, 0]).resize((width, height), Image.Resampling.BILINEAR)
    require(np.asarray(image).max() > 127, f"--mask {path}: is black all over; make white what may change")
    if widen:
        image = image.filter(ImageFilter.MaxFilter(2 * widen + 1)).filter(ImageFilter.GaussianBlur(widen / 2))
    return torch.from_numpy(np.array(image)).float() / 255


@torch.no_grad()
def enlarge(run: Run, picture: Picture, *, factor: float, seed: int = 0) -> Picture:
    """Super-resolution of a picture (H, W, C) to (factor H, factor W, C)."""
    longest = round(max(picture.shape[:2]) * factor)
    require(longest <= LARGEST, f"--factor {factor:g}: the picture would be {longest:,} pixels long, and {LARGEST:,} are the most")
    device = find(run.device)
    return to_picture(editor(run).enlarge(to_tensor(picture, device)[0], factor=factor, rng=SampleDraws(seed, device=device))[0])


@torch.no_grad()
def redraw(run: Run, picture: Picture, *, mask: Tensor | None = None, start: int | None = None, seed: int = 0) -> Picture:
    """A picture (H, W, C) drawn anew from scale `start` on; where `mask` (H, W) is 0 it stays as it is."""
    device = find(run.device)
    image = to_tensor(picture, device)[0]
    moved = None if mask is None else mask.to(device)
    return to_picture(editor(run).edit(image, mask=moved, start=start, rng=SampleDraws(seed, device=device))[0])


def from_all_scales(run: Run, picture: Picture, *, mask: Tensor | None = None, seed: int = 0) -> dict[int, Picture]:
    """What `redraw` gives from each scale that the model can start from; which one is best is for the eye."""
    scales = editor(run).scales
    return {start: redraw(run, picture, mask=mask, start=start, seed=seed) for start in range(min(1, scales), scales + 1)}


@torch.no_grad()
def animate(run: Run, frames: int, *, start: int | None = None, seed: int = 0) -> Picture:
    """A walk through samples near the image that was learnt, (frames, H, W, C) uint8."""
    require(frames >= 2, f"--frames {frames}: a film has at least 2")
    device = find(run.device)
    made = editor(run).animate(frames, start=start, rng=SampleDraws(seed, device=device))
    return np.stack([to_picture(frame) for frame in made])


def save_film(frames: Picture, path: Path, *, rate: float) -> None:
    """Write (N, H, W, C) uint8 as an animated GIF of `rate` frames a second that goes forth and back, beside its place first."""
    require(rate > 0, f"--rate {rate:g}: must be above 0")
    there = [to_image(frame) for frame in frames]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        whole = [*there, *there[-2:0:-1]]
        whole[0].save(temporary, format="GIF", save_all=True, append_images=whole[1:], duration=round(1000 / rate), loop=0)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise GanvasError(f"--out {path}: cannot be written ({error})") from error


def _at(picture: Picture, size: Sequence[int]) -> Picture:
    """A picture at another size (height, width)."""
    flat = picture[:, :, 0] if picture.shape[2] == 1 else picture
    return fit(flat, size[0], size[1]).reshape(size[0], size[1], picture.shape[2])


def sheet(given: Picture, made: Mapping[int, Picture], title: str) -> "Image":
    """The picture that was given and what was made of it from each scale."""
    captions = ["given", *(f"from scale {start}" for start in made)]
    pictures = np.stack([given, *made.values()])
    return image_grid(pictures, columns=min(4, len(pictures)), captions=captions, title=f"{title}: redrawn from coarse scales to fine ones")
