"""Images of which a part is hidden, and what a run's model draws in its place."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganvas.diagnostics.grids import image_grid
from ganvas.engine.capabilities import Complete
from ganvas.engine.devices import find
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError, require
from ganvas.explore.given import Given
from ganvas.run import Run

if TYPE_CHECKING:
    from PIL.Image import Image

VEIL = (176, 190, 212)
"""Colour of what is hidden: no grey."""


@dataclass(frozen=True)
class Completed:
    """`truth` (N, H, W, C), `made` (N, K, H, W, C), K completions of each, both uint8; `mask` (H, W) bool is true where they were drawn."""

    truth: np.ndarray
    made: np.ndarray
    mask: np.ndarray


def completer(run: Run) -> Complete:
    """The model of a run if it completes images."""
    model = run.model
    if not isinstance(model, Complete):
        raise GanvasError(f"{run.path}: {run.entry.card.title} does not complete images; `ganvas list` shows what each model can do")
    require(run.spec.kind == "images", f"{run.path}: was trained on {run.spec.kind}; a part of an image can be completed")
    return model


@torch.no_grad()
def complete(data: Given, mask: Tensor, *, draws: int, seed: int = 0, batch: int = 128) -> Completed:
    """`draws` completions of each image, where `mask` (H, W) is true; completion k of image i is a function of (seed, i, k)."""
    run, model, device = data.run, completer(data.run), find(data.run.device)
    require(draws > 0, f"--draws {draws}: must be greater than 0")
    truth = torch.cat([part.images for part in data.batches()])
    shown = (~mask).to(device)
    given, parts = truth.repeat_interleave(draws, 0), []
    for rows in torch.arange(len(given)).split(batch):
        x = given[rows.to(device)]
        kept = shown.expand_as(x).to(x.dtype)
        parts.append(model.complete(x * kept, kept, rng=SampleDraws(seed, device=device, indices=rows.tolist())).float().cpu())
    made = run.spec.native(torch.cat(parts)).numpy()
    return Completed(run.spec.native(truth.cpu()).numpy(), made.reshape(len(truth), draws, *made.shape[1:]), mask.numpy())


def rows(found: Completed, title: str) -> "Image":
    """A row for each image: what was shown (the rest veiled), the completions, the truth."""
    coloured = lambda images: np.broadcast_to(images, (*images.shape[:-1], 3)).copy() if images.shape[-1] == 1 else images
    truth, made = coloured(found.truth), coloured(found.made)
    shown = truth.copy()
    shown[:, found.mask] = VEIL
    cells = np.concatenate([shown[:, None], made, truth[:, None]], axis=1)
    draws = made.shape[1]
    captions = ["given", *(f"drawn {k + 1}" if draws > 1 else "drawn" for k in range(draws)), "truth"] * len(truth)
    return image_grid(cells.reshape(-1, *cells.shape[2:]), columns=draws + 2, captions=captions, title=title)
