"""One update of one phase: losses of the micro-batches, one backward each, one all-reduce, one guarded optimizer step."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import final

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ganvas.data.batch import Batch
from ganvas.engine.clock import Clock
from ganvas.engine.contract import GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.convolutions import Products
from ganvas.engine.devices import Machine, seed_global
from ganvas.engine.draws import StepDraws, key
from ganvas.engine.guard import Guard
from ganvas.engine.optimizers import Optimizer
from ganvas.engine.ranks import Ranks


@final
class Updates:
    """Owns the optimizers of a run and applies updates through the finite check."""

    def __init__(
        self, model: GenerativeModel, stages: Sequence[Stage], machine: Machine, ranks: Ranks, accumulate: int, *, compiled: bool = False
    ) -> None:
        self._model, self._machine, self._ranks, self._accumulate = model, machine, ranks, accumulate
        self._stages = stages
        eager_bf16 = machine.bf16 and machine.device.type == "cpu" and not compiled
        self._products: AbstractContextManager[object] = Products() if eager_bf16 else nullcontext()
        self._selected: Phase | None = None
        self._trained: list[Parameter] = [*model.parameters()]
        self._members: dict[int, list[Parameter]] = {}  # what each phase trains, in the model's order
        self.names: dict[Parameter, str] = {p: name for name, p in model.named_parameters()}
        self.guard = Guard(machine.device)
        self.descriptions: list[Optimizer] = list({id(p.optimizer): p.optimizer for stage in stages for p in stage.phases}.values())
        self.optimizers: dict[Optimizer, torch.optim.Optimizer] = {}

    def enter(self, index: int) -> None:
        """Build the optimizers of a stage; one that an earlier stage used on the same parameters goes on with its state."""
        stage = self._stages[index]
        for description in {id(phase.optimizer): phase.optimizer for phase in stage.phases}.values():
            modules = [module for phase in stage.phases if phase.optimizer is description for module in phase.trains]
            wanted = {p for module in modules for p in module.parameters()}
            parameters = [p for p in self.names if p in wanted]
            built = self.optimizers.get(description)
            if built is None or {id(p) for p in built.param_groups[0]["params"]} != {id(p) for p in parameters}:
                self.optimizers[description] = description.build(parameters)
        later = {id(phase.optimizer) for other in self._stages[index:] for phase in other.phases}
        self.optimizers = {description: built for description, built in self.optimizers.items() if id(description) in later}

    def apply(
        self, phase: Phase, seed: int, clock: Clock, batches: Sequence[Batch], scratch: Sequence[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Play a phase once on this rank's micro-batches. Returns terms, diagnostics (as
        `watch/NAME`) and the gradient norm, means over the batch."""
        self._select(phase)
        optimizer = self.optimizers[phase.optimizer]
        optimizer.zero_grad(set_to_none=True)
        parts: list[list[Tensor]] = []
        names: tuple[str, ...] = ()
        watched: tuple[str, ...] = ()
        for micro, batch in enumerate(batches):
            loss = self._loss(phase, seed, clock, batch, micro, scratch[micro])
            terms = {name: term.float().mean() for name, term in loss.terms.items()}
            (torch.stack(list(terms.values())).sum() * (phase.every / len(batches))).backward()
            parts.append([value.detach().float().mean() for value in (*terms.values(), *loss.watch.values())])
            watched, names = tuple(loss.watch), (*terms, *loss.watch)
        mean = dict(zip(names, torch.stack([torch.stack(part) for part in parts]).mean(0).unbind(), strict=True))
        gradients = [p.grad for p in self._trained if p.grad is not None]
        assert gradients, f"phase '{phase.name}' gives no gradient to what it trains"
        self._ranks.mean_([*gradients, *mean.values()])
        norm = get_total_norm(gradients)
        if phase.clip is not None:
            clip_grads_with_norm_(self._trained, phase.clip, norm)
        judged = {name: value for name, value in mean.items() if name not in watched} | {"gradient norm": norm}
        self.guard.check(clock.step, phase.name, tuple(judged), torch.stack(list(judged.values())))
        optimizer.param_groups[0].update(phase.optimizer.settings(clock))
        self.guard.apply(optimizer)
        if self._machine.device.type == "cpu":
            self.guard.raise_if_failed()
        with torch.no_grad():
            self._model.after_update(phase, {name: mean[name] for name in watched}, _join(scratch))
        shown = {f"watch/{name}" if name in watched else name: value for name, value in mean.items()}
        return shown | {"gradient norm": norm}

    def _loss(self, phase: Phase, seed: int, clock: Clock, batch: Batch, micro: int, scratch: dict[str, Tensor]) -> Loss:
        part, device = self._ranks.rank * self._accumulate + micro, self._machine.device
        seed_global(key(seed, part), device)  # what dropout draws from: other numbers for every part of the batch
        rng = StepDraws(seed, part, self._ranks.count * self._accumulate, device)
        # Autocast is entered for each loss and without its weight cache: weights change between losses, and a copy cached where no
        # gradient is needed would be used where one is.
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._machine.bf16, cache_enabled=False):
            with self._products:
                return phase.loss(Step(batch=batch, rng=rng, clock=clock, mean=self._ranks.mean, scratch=scratch))

    def _select(self, phase: Phase) -> None:
        """Let gradients reach the phase's parameters and no others."""
        if self._selected is phase:
            return
        if id(phase) not in self._members:
            inside = {p for module in phase.trains for p in module.parameters()}
            self._members[id(phase)] = [p for p in self.names if p in inside]
        for parameter in self._trained:
            parameter.requires_grad_(False)
        self._selected, self._trained = phase, self._members[id(phase)]
        for parameter in self._trained:
            parameter.requires_grad_(True)


def _join(scratch: Sequence[dict[str, Tensor]]) -> Mapping[str, Tensor]:
    """Scratch tensors of all micro-batches, joined along the first axis."""
    if len(scratch) == 1:
        return scratch[0]
    return {name: torch.cat([part[name] for part in scratch]) for name in scratch[0]}
