"""The games of the contract suite: every model of the catalog with its `tiny` preset, on each kind of data its card lists.

Nothing here names a model. A new kind of data needs one line in `SOURCES`.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas import catalog
from ganvas.data.batch import DataSpec
from ganvas.data.examples import Examples
from ganvas.data.open import open_data
from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.clock import Clock
from ganvas.engine.contract import GenerativeModel, Stage
from ganvas.engine.devices import Machine
from ganvas.engine.draws import key
from ganvas.engine.loop import Plan, Trainer, stage_ends
from ganvas.engine.ranks import Ranks
from ganvas.engine.sampling import draw
from ganvas.run import build

SOURCES = {"images": "digits", "points": "ring"}  # embedded data of each kind
FOR_NEEDS = {  # where a card asks for more
    "palette": "maps:inked-pairs",
    "target": "inked",
    "aligned": "inked-pairs",
    "single": "flower",
    "labelled": "few:50:digits",
}
RESOLUTIONS = {"flower": 24}
STEPS, SAVED = 4, 2
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Game:
    """One model on one kind of data."""

    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.name}-{self.kind}"

    @property
    def entry(self) -> catalog.Entry:
        return catalog.open_model(self.name)

    @property
    def config(self) -> Any:
        return self.entry.presets[catalog.preset(self.entry, "tiny", self.kind)]

    @property
    def examples(self) -> Examples:
        needs = self.entry.card.needs
        return opened(next((FOR_NEEDS[need] for need in FOR_NEEDS if need in needs), SOURCES[self.kind]))

    @property
    def spec(self) -> DataSpec:
        return self.examples.spec

    @property
    def made(self) -> DataSpec:
        """What samples are: the data, or the second domain where samples are made from images of the first."""
        return replace(self.spec, shape=self.spec.views["target"]) if "images" in self.entry.card.conditions else self.spec

    def samples(self, model: GenerativeModel, n: int, **chosen: Any) -> Tensor:
        """`draw`, from the game's own data where samples are made from images."""
        return draw(model, self.entry.card, n, sources=self.examples, **chosen)

    def model(self) -> GenerativeModel:
        """Built with the weights that a run of seed 0 starts from."""
        torch.manual_seed(key("weights", 0))
        return build(self.entry, self.config, self.spec)

    def trainer(
        self,
        *,
        accumulate: int = 1,
        bf16: bool = False,
        ranks: Ranks | None = None,
        folder: Path | None = None,
        budget: int | None = None,
        device: torch.device = CPU,
    ) -> Trainer:
        """A run of seed 0; without a budget it is so long that four steps begin it, or reach the second stage where there is one."""
        torch.set_num_threads(1)
        model = self.model()
        plan = Plan(seed=0, budget=budget or crossing(model.stages()), save_every=10**12, log_every=1, accumulate=accumulate)
        machine = Machine(device=device, bf16=bf16, threads=1)
        return Trainer(model, self.examples, plan, machine, ranks=ranks, checkpoints=None if folder is None else Checkpoints(folder))


GAMES = [Game(name, kind) for name in catalog.names() for kind in catalog.card(name).data]


@functools.cache
def opened(source: str) -> Examples:
    return open_data(source, split="train", resolution=RESOLUTIONS.get(source))


def crossing(stages: Any) -> int:
    """A budget in which the first of several stages ends with the second step; a long one for a single stage."""
    first = stages[0]
    if len(stages) == 1:
        return 1000 * first.batch
    start = Clock(step=0, images=0, budget=10**9, stage_step=0, stage_images=0, stage_budget=10**9)
    drawn = max(phase.repeat(start) if callable(phase.repeat) else phase.repeat for phase in first.phases) * first.batch
    return SAVED * drawn * sum(stage.images for stage in stages) // first.images


def begin(trainer: Trainer, index: int) -> Stage:
    """Put a run at the start of one of its stages."""
    trainer.stage, trainer.stage_step = index, 0
    trainer.stage_start = trainer.images = stage_ends(trainer.stages, trainer.plan.budget)[index - 1] if index else 0
    trainer.enter()
    return trainer.stages[index]


def midway(trainer: Trainer, index: int) -> Clock:
    """The middle of a stage, where no schedule is at its ends."""
    ends = [0, *stage_ends(trainer.stages, trainer.plan.budget)]
    start, length = ends[index], max(2, ends[index + 1] - ends[index])
    return Clock(
        step=1000,
        images=start + length // 2,
        budget=trainer.plan.budget,
        stage_step=500,
        stage_images=length // 2,
        stage_budget=length,
    )


def parameters_of(model: GenerativeModel) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def buffers_of(model: GenerativeModel) -> dict[str, Tensor]:
    return {name: b.detach().clone() for name, b in model.named_buffers()}
