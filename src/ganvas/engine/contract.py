"""The contract between a model and everything else.

A generative model is a game: networks, and phases that each say which parameters move, which loss moves them, with which optimizer and
how often. The engine plays any game; a model knows neither devices, nor files, nor ranks. State is buffers: a model has no attribute
that changes after construction except its parameters and buffers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ganvas.data.batch import Batch, DataSpec
from ganvas.engine.card import Card
from ganvas.engine.clock import Clock
from ganvas.engine.draws import Draws
from ganvas.engine.optimizers import Optimizer, Schedule

__all__ = ["Average", "Batch", "Card", "Clock", "Condition", "DataSpec", "Draws", "GenerativeModel", "Loss", "Phase", "Stage", "Step"]


@dataclass(frozen=True)
class Step:
    """What a loss is handed.

    `rng` draws for this (step, phase, repeat) alone. `mean` is the differentiable mean of a tensor over ranks. `scratch` is shared by
    the phases of a step, emptied after it and never saved; leave detached tensors there (the fakes of one phase for the next).
    """

    batch: Batch
    rng: Draws
    clock: Clock
    mean: Callable[[Tensor], Tensor]
    scratch: dict[str, Tensor]


@dataclass(frozen=True)
class Loss:
    """Terms that are minimised together, each already carrying the paper's weight, of shape (B,) or (); and diagnostics to `watch`.

    The engine takes the mean of every term, multiplies it by the phase's `every`, and sums: nothing can be logged but not optimised,
    nor optimised but not logged. `watch` is logged and handed to `after_update`; it moves nothing.
    """

    terms: Mapping[str, Tensor]
    watch: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One update of a game.

    trains:    the modules whose parameters move; all others stand still and receive no gradient.
    loss:      a bound method of the model; it changes no state (batch-norm and power-iteration buffers excepted).
    optimizer: phases that hold the same object share its state.
    repeat:    updates per step, or a function of the clock; each update after the first draws a new batch.
    every:     play in every k-th step only; the engine multiplies the loss by k (lazy regularisation).
    when:      asked before each step's turn; answers from buffers alone, so that all ranks agree.
    clip:      upper bound of the global gradient norm; None leaves gradients as they are.
    """

    name: str
    trains: tuple[nn.Module, ...]
    loss: Callable[[Step], Loss]
    optimizer: Optimizer
    repeat: int | Callable[[Clock], int] = 1
    every: int = 1
    when: Callable[[], bool] | None = None
    clip: float | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run with its own phases; a game without growth has one.

    `images` is the paper's (or preset's) length; another budget scales all stages alike. `batch` is the global batch size. `enter`
    is called with one training batch before the stage's first step, with `fresh=True`; a resumed run calls it again with
    `fresh=False`, and then it may only rebuild caches (tensors kept outside the state).
    """

    name: str
    phases: tuple[Phase, ...]
    images: int
    batch: int
    enter: Callable[[Batch, bool], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Average:
    """Which modules are sampled from an exponential moving average of their weights, and how it moves.

    decay:     share of the old average kept at each step, or
    half_life: images after which a weight's share has halved, decay = 0.5 ** (batch / half_life); or a function of the clock.
    ramp:      upper bound of the half-life as a share of the images seen so far (so that the average forgets its start).
    start:     images up to which the average is the weights themselves.
    """

    modules: tuple[nn.Module, ...]
    decay: float | None = None
    half_life: Schedule | None = None
    ramp: float | None = None
    start: int = 0


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a sample is asked for: `labels` (n,) int64, `attributes` (n, A), `text` n captions; or made from: `images` (n, C, H, W)."""

    labels: Tensor | None = None
    images: Tensor | None = None
    attributes: Tensor | None = None
    text: tuple[str, ...] = ()


class GenerativeModel(nn.Module, ABC):
    """A game. A model file holds one final subclass of it, with `CARD`, `Config` and `PRESETS` at the head of the file.

    The constructor takes (config, data) and builds every network of every stage; it raises `GanvasError` for data it cannot take.
    """

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The stages in order; asked once per run."""

    @abstractmethod
    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """n samples: images (n, C, H, W) in [-1, 1] of the data's size, points (n, D) or tokens (n, T).

        Called without gradient and in evaluation mode, on the averaged weights where the game has an average.
        """

    def conditions(self, listed: tuple[str, ...]) -> tuple[str, ...]:
        """Of the conditions that the card lists, those that samples can be asked for as this model is configured and for its data."""
        return listed

    def average(self) -> Average | None:
        """The exponential moving average to sample from; None samples from the trained weights."""
        return None

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """Change state after an optimizer step, without gradient: clipping, a controller, a pool, a chain.

        `watch` is averaged over ranks and micro-batches; tensors of `scratch` are those of this rank, micro-batches joined.
        """
        return None

    def rank_buffers(self) -> tuple[str, ...]:
        """Names of buffers that differ by rank (pools, chains); saved for each rank."""
        return ()


ModelFactory = Callable[[Any, DataSpec], GenerativeModel]
