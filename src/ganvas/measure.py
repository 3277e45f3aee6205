"""Evaluate what stands in a run, a folder of images or an array file against a data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.data.arrangement import Arrangement
from ganvas.data.examples import Examples
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.data.points import modes
from ganvas.data.progress import Progress
from ganvas.engine.rundir import CONFIG
from ganvas.errors import GanvasError, require
from ganvas.metrics.choosing import choose
from ganvas.metrics.evaluate import COUNT, evaluate_points
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.kinds import Kind
from ganvas.metrics.neighbours import nothing
from ganvas.run import Run, load

BATCH = 250


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What is evaluated: `count` samples, drawn or read only as far as asked for, in batches as `evaluate` takes them.

    `resolution` is what the samples' data was resized to and `layout` how it was read, so that the reference is read alike. `weights` says
    whose they are.
    """

    count: int | None
    batches: Callable[[int], Iterator[Tensor]]
    resolution: int | None = None
    layout: Arrangement = "auto"
    weights: str = "not stated"


def evaluate_path(
    path: str | Path,
    data: Any,
    *,
    split: str | None = None,
    layout: Arrangement | None = None,
    features: Kind = "auto",
    count: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    convert: bool = False,
    progress: Progress | None = None,
    poll: Callable[[], None] = nothing,
) -> Evaluation:
    """Compare a run, a folder or zip of images, or a `.npz` file (array `images` or `points`) with a split of `data`.

    `split` is the test split if there is one, and `layout` that of the run (else "auto"), unless given. `features` says what
    images are compared on (see `ganvas.metrics.choosing`). Other arguments as in `ganvas.metrics.evaluate.evaluate`.
    """
    require(count is None or count > 0, f"--count {count}: must be greater than 0")
    samples = _samples(Path(path), seed, device)
    layout = layout or samples.layout
    held_out = open_data(data, split=split or evaluation_split(data), resolution=samples.resolution, layout=layout, progress=progress)
    reference = held_out.compared
    available = samples.count or 10**9
    if reference.spec.kind == "points":
        require(features == "auto", f"--features {features}: points are compared as they are, leave it out")
        wanted = min(count or min(COUNT, len(reference)), available)
        drawn = torch.cat(list(samples.batches(wanted)))
        return compare_points(drawn, data, reference, count=wanted, seed=seed, weights=samples.weights, poll=poll)
    train = _training_examples(data, reference, samples.resolution, layout)
    comparison = choose(train, reference if reference is not train else None, features=features, poll=poll, progress=progress)
    wanted = min(count or comparison.count(reference), available)
    batches = samples.batches(wanted)
    return comparison.evaluate(
        batches, reference, count=wanted, seed=seed, weights=samples.weights, convert=convert, poll=poll, progress=progress
    )


def compare_points(
    samples: Tensor, data: Any, reference: Examples, *, count: int, seed: int, weights: str, poll: Callable[[], None]
) -> Evaluation:
    """Compare points (N, D) in native units with a reference split."""
    real = reference.spec.native(reference.batch(torch.arange(len(reference))).points)
    law = modes(data) if isinstance(data, str) else None
    return evaluate_points(samples, real, law, split=reference.split, count=count, seed=seed, weights=weights, poll=poll)


def _training_examples(data: Any, reference: Examples, resolution: int | None, layout: Arrangement) -> Examples:
    """What a classifier or a rotation network is trained on: the training split where the source has one."""
    if reference.split == "train" or "train" not in splits(data):
        return reference
    return open_data(data, split="train", resolution=resolution, layout=layout).compared


def _samples(path: Path, seed: int, device: str) -> Samples:
    require(path.exists(), f"{path}: no such run, folder or file")
    if (path / CONFIG).is_file():
        run = load(path, device=device)
        averaged = "averaged weights" if run.model.average() is not None else "trained weights"
        weights = f"{run.entry.name}, {averaged}, {run.images:,} images seen"
        settings = run.settings["run"]
        resolution, layout = settings["resolution"], settings.get("layout", "auto")
        return Samples(count=None, batches=_drawn(run, seed), resolution=resolution, layout=layout, weights=weights)
    if path.suffix == ".npz":
        array = read_array(path)
        return Samples(count=len(array), batches=lambda n: iter(array[_some(len(array), n)].split(BATCH)), weights=f"file {path.name}")
    folder = open_data(str(path), split=None)
    require(folder.spec.kind == "images", f"{path}: holds no images")
    return Samples(count=len(folder), batches=_read(folder), weights=f"folder {path.name}")


def _drawn(run: Run, seed: int) -> Callable[[int], Iterator[Tensor]]:
    def batches(count: int) -> Iterator[Tensor]:
        points = run.spec.kind == "points"
        for start in range(0, count, BATCH):
            indices: Sequence[int] = range(start, min(start + BATCH, count))
            tensors = run.tensors(len(indices), seed=seed, indices=indices)
            yield run.spec.native(tensors) if points else tensors

    return batches


def _read(folder: Examples) -> Callable[[int], Iterator[Tensor]]:
    return lambda count: (folder.batch(rows).images for rows in _some(len(folder), count).split(BATCH))


def _some(available: int, wanted: int) -> Tensor:
    """All row numbers, or a fixed random choice of them in ascending order: files are often sorted by class."""
    if wanted >= available:
        return torch.arange(available)
    return torch.randperm(available, generator=torch.Generator().manual_seed(0))[:wanted].sort().values


def read_array(path: Path) -> Tensor:
    """The samples of a `.npz` file: `images` uint8 (N, H, W, C) as (N, C, H, W) in [-1, 1], or `points` float (N, D)."""
    try:
        with np.load(path, allow_pickle=False) as stored:  # never unpickles
            names = list(stored)
            name = next((name for name in ("images", "points") if name in names), None)
            array = None if name is None else stored[name]
    except (OSError, ValueError, EOFError) as error:
        raise GanvasError(f"{path}: not a readable .npz file ({error})") from error
    if array is None:
        raise GanvasError(f"{path}: holds neither 'images' nor 'points' (it has: {', '.join(names) or 'nothing'})")
    if name == "points":
        require(array.ndim == 2 and array.dtype.kind == "f", f"{path}: points must be float (N, D), not {array.dtype} {array.shape}")
        return torch.from_numpy(array.astype(np.float32))
    good = array.ndim == 4 and array.dtype == np.uint8 and array.shape[3] in (1, 3)
    require(good, f"{path}: images must be uint8 (N, H, W, 1 or 3), not {array.dtype} {array.shape}")
    return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1
