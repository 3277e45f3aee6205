"""Short real runs of Ganvas' models, without a run directory: the engine plays, and an observer draws samples on the way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from ganvas import catalog
from ganvas.data.batch import Batch, DataSpec
from ganvas.data.examples import About, Examples, MemoryPoints
from ganvas.engine.contract import GenerativeModel
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws, key
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.observers import Observer, Row, Verdict
from ganvas.run import build

CPU = Machine(device=torch.device("cpu"), bf16=False, threads=1)

Look = Callable[[GenerativeModel], Any]


def points(values: Tensor) -> MemoryPoints:
    """Points (N, D) in memory as data to train on, in units that are their own."""
    spec = DataSpec(kind="points", shape=(values.shape[1],))
    return MemoryPoints(About(spec=spec, split="train"), values.float())


@dataclass
class Seen:
    """What was seen of a run: `steps` done when `looks` were taken, and the last logged value of each name then."""

    steps: list[int] = field(default_factory=list)
    looks: list[Any] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)


@final
class Watcher(Observer):
    """Takes a look at the model as it is trained (never at an average) at the given steps, and before the first where 0 is given."""

    def __init__(self, at: Sequence[int], look: Look) -> None:
        self.at, self.look, self.seen = frozenset(at), look, Seen()

    def start(self, trainer: Trainer) -> None:
        if 0 in self.at:
            self._take(trainer, {})

    def after_step(self, trainer: Trainer, row: Row | None) -> Verdict:
        if trainer.step in self.at:
            self._take(trainer, row or {})
        return Verdict.GO_ON

    def _take(self, trainer: Trainer, row: Row) -> None:
        trainer.model.eval()
        with torch.no_grad():
            self.seen.looks.append(self.look(trainer.model))
        trainer.model.train()
        self.seen.steps.append(trainer.step)
        self.seen.rows.append({name: float(value) for name, value in row.items() if not isinstance(value, str)})

    def finish(self, trainer: Trainer, outcome: str) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None: ...


def play(
    model: str, preset: str, examples: Examples, *, steps: int, at: Sequence[int], look: Look, seed: int = 0, config: Mapping[str, Any]
) -> Seen:
    """Train a model of the catalog for so many steps (generator updates) and look at it `at` some of them.

    `config` changes fields of the preset. Everything is a function of `seed`, on one thread and in single precision.
    """
    entry = catalog.open_model(model)
    chosen = replace(entry.presets[preset], **config)
    torch.manual_seed(key("weights", seed))
    network = build(entry, chosen, examples.spec)
    budget = steps * chosen.batch * getattr(chosen, "critic_steps", 1)
    watcher = Watcher(at, look)
    plan = Plan(seed=seed, budget=budget, save_every=budget, log_every=1)
    Trainer(network, examples, plan, CPU, observers={"watcher": watcher}).run()
    return watcher.seen


def samples(n: int) -> Callable[[GenerativeModel], Tensor]:
    """A look that draws samples 0 .. n - 1 of seed 0, the same codes every time."""
    return lambda model: model.sample(n, rng=SampleDraws(0)).clone()


def batch_of(values: Tensor) -> Batch:
    """Points (B, D) as a batch that models are asked about."""
    return Batch({"points": values})
