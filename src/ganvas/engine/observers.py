"""Observers: what a caller attaches to a run. The engine imports none; they see a run and may ask to stop it or to roll it back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer

Row = Mapping[str, float | int | str]


class Verdict(Enum):
    """What an observer asks for after a step."""

    GO_ON = 0
    STOP = 1
    ROLL_BACK = 2


class Observer(ABC):
    """Called on rank 0 only. Its `state` is saved with every checkpoint and given back on resume; it must be JSON."""

    @abstractmethod
    def start(self, trainer: "Trainer") -> None:
        """Before the first step of this process."""

    @abstractmethod
    def after_step(self, trainer: "Trainer", row: Row | None) -> Verdict:
        """After every step; `row` holds the logged values at logging steps, else None."""

    @abstractmethod
    def finish(self, trainer: "Trainer", outcome: str) -> None:
        """At the end of this process' part of the run: 'finished', 'stopped' or 'interrupted'."""

    @abstractmethod
    def state(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None: ...
