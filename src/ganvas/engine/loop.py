"""The loop that plays every game. It knows the contract and nothing of any model."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ganvas.data.batch import Batch
from ganvas.data.examples import Examples
from ganvas.engine import state
from ganvas.engine.averages import Averaged
from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.clock import Clock
from ganvas.engine.contract import GenerativeModel, Stage
from ganvas.engine.devices import Machine
from ganvas.engine.draws import key
from ganvas.engine.observers import Observer, Row, Verdict
from ganvas.engine.order import Order
from ganvas.engine.ranks import Ranks
from ganvas.engine.signals import Interrupted, Signals
from ganvas.engine.updates import Updates
from ganvas.errors import TrainingStopped, require

ROLL_BACKS = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers of a run. `budget`, `save_every` and `log_every` are counted in images."""

    seed: int
    budget: int
    save_every: int
    log_every: int
    accumulate: int = 1
    compile: bool = False


def stage_ends(stages: Sequence[Stage], budget: int) -> list[int]:
    """Images after which each stage ends: the stages' own lengths, scaled alike so that the last ends at `budget`."""
    total, ends, so_far = sum(stage.images for stage in stages), [], 0
    for stage in stages:
        so_far += stage.images
        ends.append(max(1, round(budget * so_far / total)))
    return ends


def crossed(before: int, now: int, every: int) -> bool:
    """Whether a counter that went from `before` to `now` passed a multiple of `every`."""
    return now // every > before // every


@final
class Trainer:
    """Plays a model's game on examples until its budget is used up; saves, resumes, and shows itself to observers.

    Observers are given on rank 0 only. `identity` (JSON) is saved with every checkpoint; resuming with another is refused. `step`,
    `images`, `stage` and the other counters say where the run stands between steps.
    """

    def __init__(
        self,
        model: GenerativeModel,
        examples: Examples,
        plan: Plan,
        machine: Machine,
        *,
        ranks: Ranks | None = None,
        observers: Mapping[str, Observer] | None = None,
        checkpoints: Checkpoints | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.examples, self.plan, self.machine = examples.to(machine.device), plan, machine
        self.ranks = ranks or Ranks()
        self.observers, self.checkpoints = dict(observers or {}), checkpoints
        self.identity = dict(identity or {})
        self.signals = Signals()
        self.stages = tuple(model.stages())
        self.step = self.images = self.stage = self.stage_step = self.stage_start = self.attempt = 0
        self.averaged = Averaged(self.model)
        self.updates = Updates(self.model, self.stages, machine, self.ranks, plan.accumulate, compiled=plan.compile)
        self._parts = self.ranks.count * plan.accumulate
        self._ends = stage_ends(self.stages, plan.budget)
        self._order = Order(len(examples), plan.seed)
        self.signal = 0  # the signal that all ranks stop for
        self._asked = Verdict.GO_ON
        self._entered, self._saved_at = False, -1
        for stage in self.stages:
            fits = stage.batch % self._parts == 0
            require(fits, f"--config.batch {stage.batch}: not divisible by {self._parts} (processes x --accumulate)")
        if plan.compile:
            for network in self.model.children():
                network.compile()

    @property
    def done(self) -> bool:
        return self.images >= self.plan.budget

    @property
    def clock(self) -> Clock:
        start = self._ends[self.stage - 1] if self.stage else 0
        return Clock(
            step=self.step,
            images=self.images,
            budget=self.plan.budget,
            stage_step=self.stage_step,
            stage_images=self.images - self.stage_start,
            stage_budget=max(1, self._ends[self.stage] - start),
        )

    def play(self) -> Row | None:
        """One step: every phase in its turn. Returns the values to log if this step is logged."""
        if not self._entered:
            self.enter()
        stage, clock, before = self.stages[self.stage], self.clock, self.images
        batches = self._draw(stage)
        scratch: list[dict[str, Tensor]] = [{} for _ in batches]
        values: dict[str, Tensor] = {}
        for position, phase in enumerate(stage.phases):
            if clock.step % phase.every or (phase.when is not None and not phase.when()):
                continue
            for repeat in range(phase.repeat(clock) if callable(phase.repeat) else phase.repeat):
                if repeat:
                    batches = self._draw(stage)
                seed = key("step", self.plan.seed, self.attempt, clock.step, position, repeat)
                shown = self.updates.apply(phase, seed, clock, batches, scratch)
                values |= {f"{phase.name}/{name}": value for name, value in shown.items()}
        self.step, self.stage_step = self.step + 1, self.stage_step + 1
        self.averaged.update(self.images, self.images - before, self.clock)
        if self.images >= self._ends[self.stage] and self.stage + 1 < len(self.stages):
            self.stage, self.stage_step, self.stage_start, self._entered = self.stage + 1, 0, self.images, False
        if before and not crossed(before, self.images, self.plan.log_every) and not self.done:
            return None
        self.updates.guard.raise_if_failed()
        shown_values = {name: float(value) for name, value in values.items()}
        return {"step": self.step, "images": self.images, "stage": stage.name, **shown_values}

    def enter(self) -> None:
        """Begin the current stage, or take it up again after a resume."""
        stage = self.stages[self.stage]
        self.model.train()
        self.updates.enter(self.stage)
        if stage.enter is not None:
            with torch.no_grad():
                stage.enter(self.examples.batch(self._order.indices(self.images, stage.batch)), self.stage_step == 0)
        self._entered = True

    def _draw(self, stage: Stage) -> list[Batch]:
        """This rank's micro-batches of the next global batch; the one after it is read from disk, where it has to be, meanwhile."""
        batches = [self.examples.batch(part) for part in self._mine(stage)]
        self.images += stage.batch
        if not self.done:
            self.examples.expect(torch.cat(list(self._mine(stage))))
        return batches

    def _mine(self, stage: Stage) -> Sequence[Tensor]:
        """The examples of this rank's micro-batches at the present position."""
        indices = self._order.indices(self.images, stage.batch)
        return indices.chunk(self._parts)[self.ranks.rank * self.plan.accumulate :][: self.plan.accumulate]

    def save(self) -> None:
        """Write a checkpoint, unless this step has one."""
        if self.checkpoints is not None and self._saved_at != self.step:
            state.save(self, self.checkpoints)
            self._saved_at = self.step

    def restore(self) -> bool:
        """Go back to the newest whole checkpoint; False if there is none."""
        if self.checkpoints is None or not state.restore(self, self.checkpoints):
            return False
        self._entered, self._saved_at = False, self.step
        return True

    def run(self) -> str:
        """Play to the end of the budget. Returns 'finished', 'stopped' (an observer asked) or 'interrupted' (a signal came)."""
        outcome = "finished"
        with self.signals:
            self._tell(lambda observer: observer.start(self))
            while not self.done:
                before = self.images
                verdict, signal = self._consult(self.play())
                if signal or verdict is Verdict.STOP:
                    outcome = "interrupted" if signal else "stopped"
                    break
                if verdict is Verdict.ROLL_BACK:
                    self._roll_back()
                elif crossed(before, self.images, self.plan.save_every):
                    self.save()
            self.save()
            self._tell(lambda observer: observer.finish(self, outcome))
        return "interrupted" if self.signals.received and not self.done else outcome

    def _tell(self, message: Callable[[Observer], None]) -> None:
        for observer in self.observers.values():
            with suppress(Interrupted):
                message(observer)

    def _consult(self, row: Row | None) -> tuple[Verdict, int]:
        """What observers ask for and the signal that came (0 for none): the same answer on all ranks.

        Asking makes the host wait for the device, so several CUDA ranks ask at every 16th step only.
        """
        with suppress(Interrupted):  # the flag stays set and is agreed on below
            for observer in self.observers.values():
                self._asked = max(self._asked, observer.after_step(self, row), key=lambda verdict: verdict.value)
        if self.ranks.count > 1 and self.machine.device.type == "cuda" and self.step % 16 and not self.done:
            return Verdict.GO_ON, 0
        code = self.ranks.highest(self.signals.received * 8 + self._asked.value, self.machine.device)
        self._asked, self.signal = Verdict.GO_ON, code // 8
        return Verdict(code % 8), self.signal

    def _roll_back(self) -> None:
        """Repeat from the newest checkpoint with other random numbers."""
        attempt = self.attempt + 1
        if attempt > ROLL_BACKS or not self.restore():
            raise TrainingStopped(f"rolled back {self.attempt} times without success at step {self.step}; the last checkpoint is kept")
        self.attempt = attempt
