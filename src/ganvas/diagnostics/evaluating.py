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
from ganvas.metrics.choosing import Comparison, choose
from ganvas.metrics.evaluation import Evaluation

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
        comparison = None if reference.spec.kind == "points" else self._comparison(trainer, reference)
        count = min(COUNT, len(reference)) if comparison is None else comparison.count(reference, COUNT)
        model, device = trainer.averaged.model, trainer.machine.device
        samples = draw(model, self._card, count, seed=self._seed, sources=self._opened, device=device, poll=poll)
        weights = f"averaged weights, {trainer.images:,} images seen"
        if comparison is None:
            native = reference.spec.native(samples)
            return compare_points(native, self._data, reference, count=count, seed=self._seed, weights=weights, poll=poll)
        return comparison.evaluate(samples, reference, count=count, seed=self._seed, weights=weights, poll=poll)

    def _comparison(self, trainer: "Trainer", reference: Examples) -> Comparison:
        training = trainer.examples.compared.to(torch.device("cpu"))
        return choose(training, reference if reference.split != training.split else None, poll=trainer.signals.poll)

    def finish(self, trainer: "Trainer", outcome: str) -> None:
        return None

    def state(self) -> dict[str, Any]:
        return {"done": self._done}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._done = int(state["done"])
