"""The training images that are most like the samples: whether a model has invented its images or remembers them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganvas.data.examples import Examples
from ganvas.diagnostics.gallery import save_picture
from ganvas.diagnostics.grids import Bytes, image_grid
from ganvas.diagnostics.rows import append_once
from ganvas.engine.observers import Observer, Row, Verdict
from ganvas.engine.rundir import METRICS, SAMPLES

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer

KIND, PICTURE = "neighbours", "neighbours.png"
QUERIES, NEAREST = 16, 4
LIMIT = 10_000  # training images searched at most, spread evenly over all
CHUNK = 256  # of them in memory at a time
SIDE = 32  # pixels of the longer side at which images are compared
CELL = 96  # and at which they are drawn at most


@dataclass(frozen=True, eq=False)
class Found:
    """Of Q queries the k nearest examples: their numbers (Q, k), and root-mean-square differences (Q, k) in grey levels of 0 to 255."""

    numbers: Tensor
    differences: Tensor


def reduced(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) of at most `side` pixels, averaged over areas; smaller ones as they are."""
    height, width = images.shape[2:]
    longest = max(height, width)
    if longest <= side:
        return images
    return interpolate(images, size=(max(1, height * side // longest), max(1, width * side // longest)), mode="area")


def searched(count: int, limit: int = LIMIT) -> Tensor:
    """The numbers of at most `limit` of `count` examples, spread evenly."""
    return torch.arange(min(count, limit)) * count // min(count, limit)


def nearest(
    queries: Tensor, examples: Examples, *, k: int, limit: int = LIMIT, own: Tensor | None = None, poll: Callable[[], None] = lambda: None
) -> Found:
    """The k examples nearest to each query (Q, C, H, W) in [-1, 1], among at most `limit`, by the pixels of images of at most 32 pixels.

    Memory does not grow with the number of examples. `own` (Q,) numbers queries that are examples themselves (-1: it is none): those are
    not their own neighbours. k is at most the number searched, less one if there is an `own`.
    """
    wanted = reduced(queries.float().cpu(), SIDE).flatten(1).double()
    differences, numbers = torch.empty(len(wanted), 0, dtype=torch.float64), torch.empty(len(wanted), 0, dtype=torch.int64)
    for chunk in searched(len(examples), limit).split(CHUNK):
        poll()
        pixels = reduced(examples.batch(chunk).images.float().cpu(), SIDE).flatten(1).double()
        # Accurate near 0, where a copy is told from an image that is merely like it.
        here = torch.cdist(wanted, pixels, compute_mode="donot_use_mm_for_euclid_dist") / pixels.shape[1] ** 0.5
        if own is not None:
            here = here.masked_fill(own[:, None] == chunk[None], torch.inf)
        differences, numbers = torch.cat([differences, here], 1), torch.cat([numbers, chunk.expand(len(wanted), -1)], 1)
        differences, order = differences.topk(min(k, differences.shape[1]), largest=False)
        numbers = numbers.gather(1, order)
    return Found(numbers, differences * 127.5)


@final
class NeighboursObserver(Observer):
    """At the end of a run draws `samples/neighbours.png`: samples of the last grid (it is `shown` them) with the training images nearest
    to each, and writes a row of kind 'neighbours': how near they are, and how near to each other training images are."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._samples: Tensor | None = None

    def shown(self, trainer: "Trainer", samples: Tensor) -> None:
        """Keeps some of the samples (N, C, H, W) of a grid, spread evenly over it."""
        self._samples = samples[searched(len(samples), QUERIES)]

    def start(self, trainer: "Trainer") -> None:
        return None

    def after_step(self, trainer: "Trainer", row: Row | None) -> Verdict:
        return Verdict.GO_ON

    def finish(self, trainer: "Trainer", outcome: str) -> None:
        examples = trainer.examples.compared
        if outcome == "interrupted" or self._samples is None or len(examples) < 2:
            return
        samples, among = self._samples, searched(len(examples))
        own = among[searched(len(among), QUERIES)]
        data = examples.batch(own).images.float().cpu()
        asked = torch.cat([samples, data])
        numbers = torch.cat([torch.full((len(samples),), -1), own])
        k = min(NEAREST, len(among) - 1)
        found = nearest(asked, examples, k=k, own=numbers, poll=trainer.signals.poll)
        first = found.differences[:, 0]
        values = {"samples": float(first[: len(samples)].median()), "data": float(first[len(samples) :].median())}
        title = f"Samples, each with the {k} nearest of {len(among):,} training images and its difference in grey levels"
        save_picture(_drawn(samples, found, k, examples, title), self._run / SAMPLES / PICTURE)
        facts = {"step": trainer.step, "images": trainer.images, "searched": len(among), "examples": len(examples), "side": SIDE}
        rounded = {name: round(value, 3) for name, value in values.items()}
        append_once(self._run / METRICS, {"kind": KIND, **facts, "queries": len(samples), "values": rounded})

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        return None


def _drawn(samples: Tensor, found: Found, k: int, examples: Examples, title: str) -> Any:
    """Two blocks side by side; each row of a block is a sample and its neighbours."""
    near = examples.batch(found.numbers[: len(samples)].flatten()).images.float().cpu()
    near = near.view(len(samples), k, *near.shape[1:])
    both = reduced(torch.cat([samples[:, None], near], dim=1).flatten(0, 1), CELL)
    pixels: Bytes = np.asarray(examples.spec.native(both).cpu().numpy())
    captions = [text for row in found.differences[: len(samples)].tolist() for text in ("sample", *(f"{value:.1f}" for value in row))]
    return image_grid(pixels, columns=(k + 1) * (2 if len(samples) > QUERIES // 2 else 1), captions=captions, title=title)
