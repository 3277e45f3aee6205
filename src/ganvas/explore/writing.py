"""Samples as files: one grid, one picture each, or an array."""

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.data.batch import DataSpec
from ganvas.errors import GanvasError, require

FORMS = "PATH.png (one grid), PATH.npz (an array) or a folder (one PNG each)"


def check(out: Path, spec: DataSpec) -> None:
    """Refuse, before any work is done, a path that samples cannot be written to."""
    require(out.suffix in ("", ".png", ".npz"), f"--out {out}: samples are written to {FORMS}")
    if out.suffix:
        require(not out.is_dir(), f"--out {out}: is a directory; samples are written to {FORMS}")
        require(out.parent.is_dir(), f"--out {out}: the folder {out.parent} does not exist")
        return
    require(spec.kind == "images", f"--out {out}: points have no pictures of their own; write PATH.npz or PATH.png")
    require(not out.is_file(), f"--out {out}: is a file; samples are written to {FORMS}")
    strangers = [path.name for path in out.iterdir() if not _is_sample(path)] if out.is_dir() else []
    require(not strangers, f"--out {out}: the folder holds other files ({', '.join(strangers[:3])}); name another")


def write(
    samples: np.ndarray,
    out: Path,
    spec: DataSpec,
    *,
    title: str,
    columns: int | None = None,
    labels: Sequence[int] | None = None,
    row_labels: Sequence[str] | None = None,
) -> None:
    """Write uint8 images (N, H, W, C) or float32 points (N, D) in the form that `out` asks for; beside its place first, then renamed.

    In a grid every column holds one class where `labels` were asked for in turn, and each image has its class below; `row_labels` stand
    left of the rows.
    """
    check(out, spec)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if out.suffix == ".npz":
            arrays: dict[str, Any] = {spec.kind: samples}
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)
            os.replace(temporary, out)
        elif out.suffix == ".png":
            _picture(samples, spec, title, columns, labels, row_labels).save(temporary, format="PNG")
            os.replace(temporary, out)
        else:
            _write_folder(samples, temporary, out)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)
        raise GanvasError(f"--out {out}: cannot be written ({error})") from error


def _write_folder(samples: np.ndarray, temporary: Path, out: Path) -> None:
    from PIL import Image

    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for index, image in enumerate(samples):
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(temporary / f"{index:06d}.png")
    if out.is_dir():
        shutil.rmtree(out)  # `check` saw nothing but earlier samples in it
    os.replace(temporary, out)


def _picture(
    samples: np.ndarray, spec: DataSpec, title: str, columns: int | None, labels: Sequence[int] | None, row_labels: Sequence[str] | None
) -> Any:
    from ganvas.diagnostics.grids import image_grid, points_figure

    if spec.kind != "images":
        return points_figure(samples, None, title)
    captions = None
    if labels:
        captions = [spec.classes[labels[i % len(labels)]] for i in range(len(samples))]
        columns = columns or len(labels) * max(1, round(math.sqrt(len(samples)) / len(labels)))
    return image_grid(samples, columns=columns, row_labels=row_labels, captions=captions, title=title)


def _is_sample(path: Path) -> bool:
    return path.suffix == ".png" and path.stem.isdigit() and path.is_file()
