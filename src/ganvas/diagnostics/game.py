"""What a game consists of: its stages, phases, terms and networks with their sizes, read from a model through the contract alone.

Shapes and the names of terms are found by playing each phase's loss once, without an update, on a made-up batch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.data.batch import Batch, DataSpec
from ganvas.engine.clock import Clock
from ganvas.engine.contract import GenerativeModel, Phase, Stage, Step
from ganvas.engine.draws import StepDraws, key
from ganvas.engine.loop import stage_ends
from ganvas.engine.optimizers import Optimizer

MADE_UP = 4  # examples in the made-up batch; groups of a minibatch statistic divide it


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer: its path in the network, its kind, shapes of its own parameters, and of its output for one example if it was seen."""

    name: str
    kind: str
    weights: tuple[tuple[int, ...], ...]
    output: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Network:
    """A part of the model with `parameters` numbers that training can move."""

    name: str
    kind: str
    parameters: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class PhaseFacts:
    """One update of the game in words; `terms` are minimised, `watched` only shown."""

    name: str
    trains: tuple[str, ...]
    terms: tuple[str, ...]
    watched: tuple[str, ...]
    optimizer: str
    turn: str


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """A stage with the images after which it ends and its batch size."""

    name: str
    end: int
    batch: int
    phases: tuple[PhaseFacts, ...]


@dataclass(frozen=True, kw_only=True)
class Game:
    """`stages` in order, and the model's `networks`."""

    stages: tuple[StageFacts, ...]
    networks: tuple[Network, ...]

    @property
    def parameters(self) -> int:
        return sum(network.parameters for network in self.networks)

    @property
    def watched(self) -> frozenset[str]:
        """Diagnostics as "phase/name"."""
        return frozenset(f"{phase.name}/{name}" for stage in self.stages for phase in stage.phases for name in phase.watched)

    @property
    def adversarial(self) -> bool:
        """Whether some phases train networks that other phases do not."""
        return len({phase.trains for stage in self.stages for phase in stage.phases}) > 1


def describe(model: GenerativeModel, spec: DataSpec, budget: int) -> Game:
    """The facts of a run of `budget` images. `model` was just built and is on the processor; its batch-norm statistics may move."""
    stages = list(model.stages())
    with torch.random.fork_rng(devices=[]):
        seen = _play(model, stages, spec)
    names = {id(module): name for name, module in model.named_modules()}
    facts = tuple(
        StageFacts(
            name=stage.name,
            end=end,
            batch=stage.batch,
            phases=tuple(_phase(phase, stage, names, seen) for phase in stage.phases),
        )
        for stage, end in zip(stages, stage_ends(stages, budget), strict=True)
    )
    networks = [_network(name, child, seen.shapes) for name, child in model.named_children()]
    return Game(stages=facts, networks=tuple(network for network in networks if network.parameters))


@dataclass
class _Seen:
    """What the trial of the losses showed: output shapes by module, terms and diagnostics by phase."""

    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    terms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    watched: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _play(model: GenerativeModel, stages: Sequence[Stage], spec: DataSpec) -> _Seen:
    """Play the last stage, in which all networks are at their final size, then earlier ones for phases that it does not have."""
    seen = _Seen()
    hooks = [module.register_forward_hook(_note(seen.shapes)) for module in model.modules() if not list(module.children())]
    model.train()
    try:
        for stage in reversed(stages):
            if any(phase.name not in seen.terms for phase in stage.phases):
                _play_stage(stage, spec, seen)
    except (RuntimeError, ValueError):
        pass  # a game that cannot be played on made-up data is shown without shapes and terms
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _note(shapes: dict[int, tuple[int, ...]]) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim:
            shapes.setdefault(id(module), tuple(output.shape[1:]))

    return hook


def _play_stage(stage: Stage, spec: DataSpec, seen: _Seen) -> None:
    batch = made_up(spec, min(MADE_UP, stage.batch))
    if stage.enter is not None:
        with torch.no_grad():
            stage.enter(batch, True)
    scratch: dict[str, Tensor] = {}
    for position, phase in enumerate(stage.phases):
        rng = StepDraws(key("describe", position), 0, 1, torch.device("cpu"))
        loss = phase.loss(Step(batch=batch, rng=rng, clock=_clock(stage, 0.0), mean=lambda x: x, scratch=scratch))
        seen.terms.setdefault(phase.name, tuple(loss.terms))
        seen.watched.setdefault(phase.name, tuple(loss.watch))


def made_up(spec: DataSpec, n: int) -> Batch:
    """A batch of n examples of the right shapes and ranges, without any meaning."""
    generator = torch.Generator().manual_seed(0)

    def uniform(shape: tuple[int, ...]) -> Tensor:
        return torch.rand((n, *shape), generator=generator) * 2 - 1

    views: dict[str, Tensor] = {}
    if spec.kind == "tokens":
        views["tokens"] = torch.randint(max(2, len(spec.vocabulary)), (n, *spec.shape), generator=generator)
    else:
        views[spec.kind] = uniform(spec.shape)
    if spec.classes:
        views["labels"] = torch.arange(n) % len(spec.classes)
    return Batch(views | {name: uniform(tuple(shape)) for name, shape in spec.views.items()})


def _clock(stage: Stage, fraction: float) -> Clock:
    """A clock of a run of this stage alone."""
    images = round(stage.images * fraction)
    draws = 1 + sum(phase.repeat - 1 for phase in stage.phases if isinstance(phase.repeat, int))
    step = images // (stage.batch * max(1, draws))
    return Clock(step=step, images=images, budget=stage.images, stage_step=step, stage_images=images, stage_budget=stage.images)


def _phase(phase: Phase, stage: Stage, names: Mapping[int, str], seen: _Seen) -> PhaseFacts:
    return PhaseFacts(
        name=phase.name,
        trains=tuple(names.get(id(module), type(module).__name__) for module in phase.trains),
        terms=seen.terms.get(phase.name, ()),
        watched=seen.watched.get(phase.name, ()),
        optimizer=_optimizer(phase.optimizer, stage) + (f"; gradient norm clipped at {phase.clip:g}" if phase.clip is not None else ""),
        turn=_turn(phase),
    )


def _turn(phase: Phase) -> str:
    """How often a phase is played."""
    often = "once" if phase.repeat == 1 else f"{phase.repeat} times"
    often = "as often as its schedule says" if callable(phase.repeat) else often
    step = "a step" if phase.every == 1 else f"in one step of {phase.every}, its loss times {phase.every}"
    return f"{often} {step}" + (", while its condition holds" if phase.when is not None else "")


def _optimizer(description: Optimizer, stage: Stage) -> str:
    """Name and numbers; a schedule as its values at the start and at the end of the stage."""
    first, middle, last = (description.settings(_clock(stage, fraction)) for fraction in (0.0, 0.5, 1.0))
    parts = []
    for name, value in vars(description).items():
        if name in first and callable(value):
            constant = first[name] == middle[name] == last[name]
            shown = _number(first[name]) if constant else f"{_number(first[name])} → {_number(last[name])} by schedule"
        else:
            shown = _number(value)
        parts.append(f"{name.replace('_', ' ')} {shown}")
    return f"{type(description).__name__}, {', '.join(parts)}"


def _number(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_number(item) for item in value)})"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _network(name: str, network: nn.Module, shapes: Mapping[int, tuple[int, ...]]) -> Network:
    layers = []
    for path, module in network.named_modules():
        weights = tuple(tuple(p.shape) for p in module.parameters(recurse=False))
        if weights or (id(module) in shapes and not list(module.children())):
            layers.append(Layer(name=path or name, kind=type(module).__name__, weights=weights, output=shapes.get(id(module))))
    parameters = sum(math.prod(p.shape) for p in network.parameters())
    return Network(name=name, kind=type(network).__name__, parameters=parameters, layers=tuple(layers))
