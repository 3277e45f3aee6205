"""Examples that a person hands to a run: of its own data, or of a source of the same kind, brought to the shape that the run knows."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.data.arrangement import Arrangement
from ganvas.data.batch import Batch
from ganvas.data.examples import Examples
from ganvas.data.open import evaluation_split, open_data
from ganvas.data.words import shown
from ganvas.engine.devices import find
from ganvas.errors import GanvasError, nearest, require
from ganvas.metrics.incoming import BATCH, fitted
from ganvas.run import Run

SPLITS = ("train", "val", "test")
HALVES = ("lower", "upper", "left", "right")


@dataclass(frozen=True)
class Given:
    """The first `count` of some examples, for a run. `changes` says what makes them fit."""

    run: Run
    examples: Examples
    count: int
    source: str
    changes: tuple[str, ...]

    @property
    def title(self) -> str:
        """`digits, split test, the first 32`."""
        whole = "all" if self.count == len(self.examples) else "the first"
        return f"{self.source}, split {self.examples.split}, {whole} {self.count:,}"

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        """The examples in order, as the run's model takes them, on its device."""
        spec, device = self.run.spec, find(self.run.device)
        for rows in torch.arange(self.count).split(size):
            batch = self.examples.batch(rows)
            if spec.kind == "images":
                x = fitted(batch.images, spec.shape, convert=True)[0]
            else:
                x = self._standardised(batch[spec.kind])
            yield Batch({name: view.to(device) for name, view in {**batch.views, spec.kind: x}.items()})

    def _standardised(self, points: Tensor) -> Tensor:
        """Points in the units of the run, which are those of its training data."""
        spec, native = self.run.spec, self.examples.spec.native(points)
        if not spec.scale or (spec.scale, spec.offset) == (self.examples.spec.scale, self.examples.spec.offset):
            return points
        return (native - native.new_tensor(spec.offset)) / native.new_tensor(spec.scale)


def given(run: Run, source: str | None = None, *, split: str | None = None, count: int | None = None) -> Given:
    """The examples of `source` (what `ganvas train --data` takes), or of the run's own data; the held-out split unless one is named.

    Images of another size or colour are made to fit. Raises `GanvasError` for data of another kind, and for fewer than one example.
    """
    require(count is None or count > 0, f"--count {count}: must be greater than 0")
    stored, settings = run.settings["data"]["source"], run.settings["run"]
    if source is None and stored is None:
        raise GanvasError(f"{run.path}: was trained on a Dataset object, which cannot be opened again: name the data")
    name = stored if source is None else source
    layout: Arrangement = settings.get("layout", "auto") if source is None else "auto"
    part = split or evaluation_split(name)
    examples = open_data(name, split=part, resolution=settings["resolution"] if source is None else None, layout=layout)
    wanted, came = run.spec, examples.spec
    same_kind = came.kind == wanted.kind
    require(same_kind, f"{Path(name).name}: holds {came.kind}, and {run.path} was trained on {wanted.kind}")
    other = f"{came.shape[1]} x {came.shape[2]}, the run's label maps {wanted.shape[1]} x {wanted.shape[2]}" if wanted.palette else ""
    blended = bool(other) and wanted.shape[0] == 1 and came.shape[1:] != wanted.shape[1:]
    require(
        not blended, f"{Path(name).name}: its pictures are {other}, and index images blend when they are resized: give maps of that size"
    )
    if wanted.kind == "images" and came.shape[1:] != wanted.shape[1:] and wanted.shape[1] == wanted.shape[2]:
        examples = open_data(name, split=part, resolution=wanted.shape[1], layout=layout)  # cropped at the centre, as for training
        came = examples.spec
    if wanted.kind != "images":
        fits = came.shape == wanted.shape
        require(fits, f"{Path(name).name}: its points have {came.shape[0]} coordinates, those of {run.path} {wanted.shape[0]}")
    changes = [note.removeprefix("data: ") for note in examples.notes() if "resized (bicubic" in note and source is not None]
    if examples.rejected:
        first = examples.rejected[0]
        changes.append(f"{len(examples.rejected):,} files left out: '{shown(first.path)}' {first.reason}")
    if wanted.kind == "images":
        changes += fitted(examples.batch(torch.zeros(1, dtype=torch.int64)).images, wanted.shape, convert=True)[1]
    return Given(run, examples, min(count or len(examples), len(examples)), Path(name).name, tuple(changes))


def hidden(mask: str, height: int, width: int) -> Tensor:
    """(H, W) bool of what is to be drawn: the `lower`, `upper`, `left` or `right` half, or what is white in a picture of that name.

    Raises `GanvasError` for a word that is none of these and no file, and for a picture that is black or of other proportions.
    """
    cut = torch.zeros(height, width, dtype=torch.bool)
    if mask in HALVES:
        half = {
            "lower": (slice(height // 2, None), slice(None)),
            "upper": (slice(None, height - height // 2), slice(None)),
            "left": (slice(None), slice(None, width - width // 2)),
            "right": (slice(None), slice(width // 2, None)),
        }[mask]
        cut[half] = True
        return cut
    from ganvas.explore.editing import opened_mask

    known = f"--mask {mask}: neither {', '.join(HALVES[:-1])} nor {HALVES[-1]}, nor a picture.{nearest(mask, HALVES)}"
    require(Path(mask).is_file(), known)
    return opened_mask(Path(mask), (height, width), 0) > 0.5


def check_array(out: Path, forms: str, *, also: tuple[str, ...] = ()) -> None:
    """Refuse, before any work is done, a path that arrays (or a picture, `also`) cannot be written to."""
    require(out.suffix in (".npz", *also), f"--out {out}: is written to {forms}")
    require(not out.is_dir(), f"--out {out}: is a directory")
    require(out.parent.is_dir(), f"--out {out}: the folder {out.parent} does not exist")


def save_arrays(out: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as `.npz`, beside its place first."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    named: dict[str, Any] = dict(arrays)
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **named)
        os.replace(temporary, out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise GanvasError(f"--out {out}: cannot be written ({error})") from error
