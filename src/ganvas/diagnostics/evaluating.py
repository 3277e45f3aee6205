"""Evaluates a run while it trains, on a schedule that cannot disturb it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch

from ganvas.data.examples import Examples
from ganvas.data.open import evaluation_split, open_data
from ganvas.diagnostics.rows import append_row
from ganvas.engine.card import Card
from ganvas.engine.config import RunConfig
from ganvas.engine.observers import Observer, Row, Verdict
from ganvas.engine.rundir import METRICS
from ganvas.engine.sampling import draw
from ganvas.measure import compare_points
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.extractor import extractor_for

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer

COUNT = 2_000  # samples of an evaluation in between; `ganvas evaluate` takes more


@final
class EvaluationObserver(Observer):
    """Every `every` images, a row of kind 'evaluate' in `metrics.jsonl`, from the averaged weights."""

    def __init__(self, run: Path, card: Card, data: Any, settings: RunConfig, every: int, seed: int) -> None:
        self._path, self._card, self._data, self._settings = run / METRICS, card, data, settings
        self._every, self._seed = every, seed
        self._done = 0  # evaluations made
        self._opened: Examples | None = None

    def start(self, trainer: "Trainer") -> None:
        return None

    def after_step(self, trainer: "Trainer", row: Row | None) -> Verdict:
        due = trainer.images // self._every
        if due > self._done:
            began = time.monotonic()
            found = self._evaluate(trainer)
            facts = {"step": trainer.step, "images": trainer.images, "seconds": round(time.monotonic() - began, 3)}
            append_row(self._path, {"kind": "evaluate", **facts, **found.to_json()})
            self._done = due
        return Verdict.GO_ON

    def _evaluate(self, trainer: "Trainer") -> Evaluation:
        poll = trainer.signals.poll
        self._opened = self._opened or open_data(
            self._data, split=evaluation_split(self._data), resolution=self._settings.resolution, layout=self._settings.layout
        )
        reference = self._opened.compared
        count = min(COUNT, len(reference))
        model, device = trainer.averaged.model, trainer.machine.device
        samples = draw(model, self._card, count, seed=self._seed, sources=self._opened, device=device, poll=poll)
        weights = f"averaged weights, {trainer.images:,} images seen"
        if reference.spec.kind == "points":
            native = reference.spec.native(samples)
            return compare_points(native, self._data, reference, count=count, seed=self._seed, weights=weights, poll=poll)
        training = trainer.examples.compared.to(torch.device("cpu"))
        extractor = extractor_for(training, reference if reference.split != training.split else None, poll=poll)
        return evaluate(samples, reference, extractor, count=count, seed=self._seed, weights=weights, poll=poll)

    def finish(self, trainer: "Trainer", outcome: str) -> None:
        return None

    def state(self) -> dict[str, Any]:
        return {"done": self._done}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._done = int(state["done"])
