"""The observers of an ordinary run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ganvas.data.examples import Examples
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.data.points import modes
from ganvas.diagnostics.diversity import Diversity
from ganvas.diagnostics.gallery import Caption, GalleryObserver, Onlooker
from ganvas.diagnostics.grids import Bytes
from ganvas.diagnostics.neighbours import NeighboursObserver
from ganvas.diagnostics.progress import ProgressObserver
from ganvas.diagnostics.recorder import MetricsObserver
from ganvas.diagnostics.report import ReportObserver
from ganvas.diagnostics.surface import Surfaces
from ganvas.engine.card import Card
from ganvas.engine.config import RunConfig
from ganvas.engine.loop import Plan
from ganvas.engine.observers import Observer

if TYPE_CHECKING:
    from ganvas.api import Source

SMALL = 5_000  # examples up to which a classifier is trained in seconds, so that the final grid can be labelled by one


def observers(
    run: Path, card: Card, data: "Source", examples: Examples, settings: RunConfig, plan: Plan, *, quiet: bool
) -> dict[str, Observer]:
    """Values to `metrics.jsonl`, evaluation if asked for, grids and what is seen from their samples (diversity, the critic's surface of
    the plane, at the end the nearest training images), progress unless `quiet`, and at the end the report."""
    spec, seed = examples.spec, settings.seed
    law = modes(data) if isinstance(data, str) else None
    every = settings.grid_every or max(1, plan.budget // 8)
    attached: dict[str, Observer] = {"metrics": MetricsObserver(run)}
    if settings.evaluate_every is not None:
        from ganvas.diagnostics.evaluating import EvaluationObserver

        attached["evaluation"] = EvaluationObserver(run, card, data, settings, settings.evaluate_every, seed)
    labelled = spec.kind == "images" and len(spec.classes) > 1 and len(examples) <= SMALL
    caption = _captions(data, examples, settings) if labelled else None
    centres = None if law is None else law.centres.numpy()
    onlookers: list[Onlooker] = [Diversity(run)]
    if "score" in card.capabilities and spec.kind == "points" and spec.shape == (2,):
        onlookers.append(Surfaces(run, f"{card.title}, {_name(data)}"))
    neighbours = NeighboursObserver(run) if spec.kind == "images" else None
    if neighbours is not None:
        onlookers.append(neighbours.shown)
    attached["gallery"] = GalleryObserver(run, card, spec, _name(data), every, seed, caption=caption, modes=centres, onlookers=onlookers)
    if neighbours is not None:
        attached["neighbours"] = neighbours
    if not quiet:
        attached["progress"] = ProgressObserver()
    attached["report"] = ReportObserver(run)
    return attached


def _captions(data: "Source", examples: Examples, settings: RunConfig) -> Caption:
    """What a classifier of the data reads in each image, and how sure it is."""

    def caption(images: Bytes) -> Sequence[str]:
        from ganvas.metrics.extractor import classifier_for

        training = examples.compared.to(torch.device("cpu"))
        split = evaluation_split(data)
        held_out = None
        if split != training.split and "train" in splits(data):
            held_out = open_data(data, split=split, resolution=settings.resolution, layout=settings.layout).compared
        classifier = classifier_for(training, held_out)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        confidence, labels = classifier.probabilities(pixels).max(dim=1)
        return [f"{classifier.classes[i]} {c:.0%}" for i, c in zip(labels.tolist(), confidence.tolist(), strict=True)]

    return caption


def _name(data: "Source") -> str:
    return Path(data).name if isinstance(data, str | Path) else type(data).__name__
