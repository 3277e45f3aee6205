"""Images that come as one array: what digits, IDX files and users' data sets share."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages, count_labels
from ganvas.data.source import Request, Scan, split_counts, top
from ganvas.data.threads import each
from ganvas.data.words import class_line, counted, shape_of


def memory_images(
    *,
    source: str,
    split: str,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    classes: Sequence[str],
    request: Request,
    notes: Sequence[str] = (),
) -> MemoryImages:
    """Examples from uint8 pixels (N, H, W, C) and labels (N,), resized where the request asks; `source` names and explains them."""
    height, width = pixels.shape[1:3]
    if request.resolution is not None and (height, width) != (request.resolution, request.resolution):
        pixels = _resized(pixels, request.resolution, request)
        notes = [*notes, resize_line(len(pixels), {(width, height): len(pixels)}, (request.resolution, request.resolution))]
    spec = DataSpec(kind="images", shape=(pixels.shape[3], *pixels.shape[1:3]), classes=tuple(classes) if labels is not None else ())
    tensor = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    lines = [f"data: {source}, split {split}: {counted(len(pixels), 'image')} of {shape_of(spec)}"]
    if tensor is not None:
        lines.append("data: " + class_line(dict(zip(classes, count_labels(tensor, len(classes)), strict=True))))
    about = About(spec=spec, split=split, notes=(*lines, *(f"data: {note}" for note in notes)))
    return MemoryImages(about, torch.from_numpy(np.ascontiguousarray(pixels)), tensor)


def _resized(pixels: NDArray[np.uint8], side: int, request: Request) -> NDArray[np.uint8]:
    from ganvas.data.decode import channels, fit  # needs Pillow, which most starts do without

    out = np.empty((len(pixels), side, side, pixels.shape[3]), np.uint8)

    def place(row: int) -> None:
        image = pixels[row]
        out[row] = channels(fit(image[..., 0] if image.shape[2] == 1 else image, side, side), pixels.shape[3])

    each(place, range(len(pixels)), request.progress, "resizing images")
    return out


def resize_line(n: int, sizes: Mapping[tuple[int, int], int], to: tuple[int, int]) -> str:
    """What resizing did: `n` images of native `sizes` (width, height) brought to `to`."""
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{width} x {height}: {count:,}" for (width, height), count in ordered[:4])
    more = f" and {len(ordered) - 4:,} more sizes" if len(ordered) > 4 else ""
    cropped = any(width * to[1] != height * to[0] for width, height in sizes)
    how = "resized (bicubic, anti-aliased) and cropped at the centre" if cropped else "resized (bicubic, anti-aliased)"
    return f"{counted(n, 'image')} {how} to {to[0]} x {to[1]} (native {named}{more})"


def scan_arrays(source: str, kind: str, opened: Mapping[str, MemoryImages], request: Request) -> Scan:
    """The scan of splits that were opened at their native size."""
    side, spec = request.resolution, next(iter(opened.values())).spec
    sizes = Counter[tuple[int, int]]()
    for one in opened.values():
        sizes[one.spec.shape[2], one.spec.shape[1]] += len(one)
    moved = {size: count for size, count in sizes.items() if side is not None and size != (side, side)}
    conversions = [resize_line(sum(moved.values()), moved, (side, side))] if side is not None and moved else []
    return Scan(
        source=source,
        kind=kind,
        spec=spec if side is None else replace(spec, shape=(spec.shape[0], side, side)),
        splits=split_counts(opened),
        sizes=top(sizes),
        modes={"L" if spec.shape[0] == 1 else "RGB": sum(sizes.values())},
        conversions=conversions,
    )
