"""Data through codes and back, side by side with what was given."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganvas.engine.capabilities import Encode, Latent
from ganvas.errors import GanvasError
from ganvas.explore.given import Given
from ganvas.explore.translating import reduced, sheet
from ganvas.metrics.similarity import psnr
from ganvas.run import Run

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Codes:
    """`codes` (N, Z) float32, and of labelled data `labels` (N,) int64 with the names of `classes`."""

    codes: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]

    def arrays(self) -> dict[str, Any]:
        """By name, as they are written to a file."""
        labelled = {} if self.labels is None else {"labels": self.labels, "classes": np.array(self.classes)}
        return {"codes": self.codes} | labelled


@dataclass(frozen=True)
class Reconstructed:
    """What was `given` and `made` of it, in the form of samples, the codes between them, and of images the mean `decibels` (PSNR)."""

    given: np.ndarray
    made: np.ndarray
    codes: np.ndarray
    decibels: float | None


def encoder(run: Run) -> Encode:
    """The model of a run if it maps data to codes."""
    model = run.model
    if not isinstance(model, Encode):
        raise GanvasError(f"{run.path}: {run.entry.card.title} does not map data to codes; `ganvas list` shows what each model can do")
    return model


@torch.no_grad()
def encode(data: Given) -> Codes:
    """The codes of data. Raises `GanvasError` where the run's model has none."""
    model, found, labels = encoder(data.run), [], []
    for batch in data.batches():
        found.append(model.encode(batch).float().cpu())
        labels.append(batch.labels.cpu() if "labels" in batch else torch.zeros(0, dtype=torch.int64))
    classes = data.examples.spec.classes
    return Codes(torch.cat(found).numpy(), torch.cat(labels).numpy() if classes else None, classes)


@torch.no_grad()
def reconstruct(data: Given) -> Reconstructed:
    """Data through codes and back. Raises `GanvasError` where the run's model cannot go both ways."""
    run, model = data.run, encoder(data.run)
    if not isinstance(model, Latent):
        raise GanvasError(f"{run.path}: {run.entry.card.title} maps data to codes but not back")
    given, made, codes, decibels = (list[Tensor]() for _ in range(4))
    for batch in data.batches():
        x, z = batch[run.spec.kind], model.encode(batch)
        back = model.decode(z).float()
        if run.spec.kind == "images":
            decibels.append(psnr(back.clamp(-1, 1), x).cpu())
        given.append(x.cpu())
        made.append(back.cpu())
        codes.append(z.float().cpu())
    native = [run.spec.native(torch.cat(part)).numpy() for part in (given, made)]
    mean = float(torch.cat(decibels).clamp(max=100).mean()) if decibels else None
    return Reconstructed(native[0], native[1], torch.cat(codes).numpy(), mean)


def pairs(found: Reconstructed, title: str) -> "Image":
    """A sheet of images, below each row what came back; or points over those that were given."""
    if found.decibels is None:
        from ganvas.diagnostics.grids import points_figure

        return points_figure(found.made, found.given, title)
    return sheet([(reduced(x), reduced(y)) for x, y in zip(found.given, found.made, strict=True)], title)
