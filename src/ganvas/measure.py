"""Evaluate what stands in a run, a folder of images or an array file against a data set."""

import time
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
from ganvas.data.progress import Progress, Silent
from ganvas.engine.ranks import Ranks
from ganvas.engine.rundir import CONFIG
from ganvas.errors import GanvasError, require
from ganvas.metrics.choosing import Comparison, choose
from ganvas.metrics.evaluate import ALONE, COUNT, OF_POINTS, about, evaluate_points
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.extractor import Extractor
from ganvas.metrics.kinds import DEFAULT, Kind, Metric
from ganvas.metrics.neighbours import nothing
from ganvas.model_measures import OF_MODELS, Setting
from ganvas.run import Run, load

BATCH = 250


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What is evaluated: `count` samples, drawn or read only as far as asked for, in batches as `evaluate` takes them.

    `resolution` is what the samples' data was resized to and `layout` how it was read, so that the reference is read alike. `weights` says
    whose they are, `run` where they come from a model.
    """

    count: int | None
    batches: Callable[[int], Iterator[Tensor]]
    resolution: int | None = None
    layout: Arrangement = "auto"
    weights: str = "not stated"
    run: Run | None = None


def evaluate_path(
    path: str | Path,
    data: Any,
    *,
    split: str | None = None,
    layout: Arrangement | None = None,
    features: Kind | Extractor = "auto",
    metrics: Sequence[Metric] | None = None,
    count: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    convert: bool = False,
    progress: Progress | None = None,
    poll: Callable[[], None] = nothing,
    ranks: Ranks = ALONE,
    truncation: float | None = None,
) -> Evaluation:
    """Compare a run, a folder or zip of images, or a `.npz` file (array `images` or `points`) with a split of `data`.

    `split` is the test split if there is one, and `layout` that of the run (else "auto"), unless given. `features` says what
    images are compared on (see `ganvas.metrics.choosing`), or is an extractor. `metrics` are those of `ganvas.metrics.kinds`; without them
    its `DEFAULT`, of points those of `ganvas.metrics.evaluate.OF_POINTS`. `truncation` is that of `ganvas.run.load`. Other
    arguments as in `ganvas.metrics.evaluate.evaluate`.
    """
    started, names = time.perf_counter(), _asked(metrics, count)
    samples = _samples(Path(path), seed, device, ranks, truncation)
    layout, part = layout or samples.layout, split or evaluation_split(data)
    there = open_data(data, split=part, resolution=samples.resolution, layout=layout, progress=progress)
    reference, of_model = there.compared, [name for name in names if name in OF_MODELS]
    rest = [name for name in names if name not in OF_MODELS] if names else list(OF_POINTS if reference.spec.kind == "points" else DEFAULT)
    require(not of_model or samples.run is not None, f"--metrics {' '.join(of_model)}: needs the model itself: name a run, not its samples")
    train = training_examples(data, reference, samples.resolution, layout)
    comparison = _comparison(train, reference, features, poll, progress, ranks)
    usually = min(COUNT, len(reference)) if comparison is None else comparison.count(reference)
    wanted = min(count or usually, samples.count or 10**9)
    parts, weights = list[Evaluation](), samples.weights
    if rest and comparison is None:
        points = torch.cat(list(samples.batches(wanted)))
        parts.append(compare_points(points, data, reference, metrics=rest, count=wanted, seed=seed, weights=weights, poll=poll))
    elif rest and comparison is not None:
        parts.append(
            comparison.evaluate(
                samples.batches(wanted),
                reference,
                count=wanted,
                seed=seed,
                weights=weights,
                convert=convert,
                metrics=rest,
                training=train if train is not reference else None,
                poll=poll,
                progress=progress,
                ranks=ranks,
            )
        )
    if of_model and samples.run is not None:
        seen_by, shown = None if comparison is None else comparison.extractor, progress or Silent()
        setting = Setting(samples.run, train, reference, seen_by, count=wanted, seed=seed, poll=poll, progress=shown, pairs=there)
        parts += [_of_model(name, setting, weights) for name in of_model]
    return _together(parts, names, time.perf_counter() - started)


def _asked(metrics: Sequence[Metric] | None, count: int | None) -> list[Metric]:
    """The metrics asked for, each once; none where none are named."""
    require(count is None or count > 0, f"--count {count}: must be greater than 0")
    require(metrics is None or len(metrics) > 0, "--metrics: name at least one")
    return list(dict.fromkeys(metrics or ()))


def _comparison(
    train: Examples, reference: Examples, features: Kind | Extractor, poll: Callable[[], None], progress: Progress | None, ranks: Ranks
) -> Comparison | None:
    """What images are compared on, None for points; rank 0 goes first, so that it alone trains what is not there."""
    if reference.spec.kind == "points":
        require(features == "auto", f"--features {features}: points are compared as they are, leave it out")
        return None
    if isinstance(features, Extractor):
        return Comparison(features, f"{features.name}: asked for")
    if not ranks.first:
        ranks.wait()
    found = choose(train, reference if reference is not train else None, features=features, poll=poll, progress=progress)
    if ranks.first:
        ranks.wait()
    return found


def _of_model(name: Metric, setting: Setting, weights: str) -> Evaluation:
    found = OF_MODELS[name](setting)
    facts = {} if setting.extractor is None else {"features": setting.extractor.protocol}
    whole = about(setting.reference, len(setting.reference))  # where fewer are looked at, or samples are made, a number says how many
    said = {"reference": whole, "samples": {"seed": setting.seed, "weights": weights}}
    return Evaluation(values=found.values, protocol={**facts, **said, **found.protocol})


def _together(parts: Sequence[Evaluation], names: Sequence[Metric], seconds: float) -> Evaluation:
    """One evaluation of several; what an earlier one says stands."""
    values: dict[str, float] = {}
    protocol: dict[str, Any] = {}
    shares: dict[str, float] = {}
    for part in parts:
        values |= part.values
        protocol = protocol | {name: entry for name, entry in part.protocol.items() if name not in protocol}
        shares |= part.shares
    protocol.pop("seconds", None)
    first = ("chosen", "features", "reference", "samples")
    ordered = {name: protocol[name] for name in (*first, *(other for other in protocol if other not in first)) if name in protocol}
    return Evaluation(values=values, protocol={**ordered, "seconds": round(seconds, 3)}, shares=shares)


def compare_points(
    samples: Tensor,
    data: Any,
    reference: Examples,
    *,
    metrics: Sequence[Metric] = OF_POINTS,
    count: int,
    seed: int,
    weights: str,
    poll: Callable[[], None],
) -> Evaluation:
    """Compare points (N, D) in native units with a reference split."""
    real = reference.spec.native(reference.batch(torch.arange(len(reference))).points)
    law = modes(data) if isinstance(data, str) else None
    return evaluate_points(samples, real, law, metrics=metrics, split=reference.split, count=count, seed=seed, weights=weights, poll=poll)


def training_examples(data: Any, reference: Examples, resolution: int | None, layout: Arrangement) -> Examples:
    """What a classifier or a rotation network is trained on: the training split where the source has one."""
    if reference.split == "train" or "train" not in splits(data):
        return reference
    return open_data(data, split="train", resolution=resolution, layout=layout).compared


def weights_of(run: Run) -> str:
    """Whose samples they are, for the protocol."""
    averaged = "averaged weights" if run.model.average() is not None else "trained weights"
    cut = "" if run.truncation is None else f", codes truncated at {run.truncation:g}"
    return f"{run.entry.name}, {averaged}, {run.images:,} images seen{cut}"


def _samples(path: Path, seed: int, device: str, ranks: Ranks, truncation: float | None) -> Samples:
    require(path.exists(), f"{path}: no such run, folder or file")
    is_run = (path / CONFIG).is_file()
    require(truncation is None or is_run, "--truncation: needs the model itself: name a run, not its samples")
    if is_run:
        run = load(path, device=device, truncation=truncation)
        weights = weights_of(run)
        settings = run.settings["run"]
        resolution, layout = settings.get("resolution"), settings.get("layout", "auto")
        return Samples(count=None, batches=drawn(run, seed, ranks), resolution=resolution, layout=layout, weights=weights, run=run)
    if path.suffix == ".npz":
        array = read_array(path)
        return Samples(count=len(array), batches=lambda n: iter(array[_some(len(array), n)].split(BATCH)), weights=f"file {path.name}")
    folder = open_data(str(path), split=None)
    require(folder.spec.kind == "images", f"{path}: holds no images")
    return Samples(count=len(folder), batches=_read(folder), weights=f"folder {path.name}")


def drawn(run: Run, seed: int, ranks: Ranks = ALONE) -> Callable[[int], Iterator[Tensor]]:
    """The first so many samples of a run, in batches as `evaluate` takes them."""

    def draw(indices: Sequence[int]) -> Tensor:
        tensors = run.tensors(len(indices), seed=seed, indices=indices)
        return run.spec.native(tensors) if run.spec.kind == "points" else tensors

    def batches(count: int) -> Iterator[Tensor]:
        return ranks.shared(draw, (range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)))

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
