"""Writes the training rows of a run to its `metrics.jsonl`."""

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ganvas.diagnostics.energy import EnergyMeter
from ganvas.diagnostics.progress import Meter
from ganvas.diagnostics.rows import append_row, truncate_rows
from ganvas.engine.observers import Observer, Row, Verdict
from ganvas.engine.rundir import METRICS

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer


ENERGY, DEVICE_ENERGY = "energy_joules", "device_energy_joules"
WINDOW = 5.0  # seconds that the rate looks back


@final
class MetricsObserver(Observer):
    """Adds to every logged row the wall seconds of training so far (of all processes that worked on the run), the images a second over
    the last seconds (grids, evaluations and checkpoints among them included), the peak memory in MB of this process, and the joules used
    so far where the machine tells: `energy_joules` of the processor, `device_energy_joules` of the device.

    Rows of steps that a resumed or rolled-back run plays again are dropped first.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / METRICS
        self._before = 0.0  # seconds of earlier processes
        self._began: float | None = None
        self._meter = Meter(0, WINDOW)
        self._last = 0  # step of the last row
        self._energy: EnergyMeter | None = None
        self._spent: dict[str, float] = {}  # joules of earlier processes

    def start(self, trainer: "Trainer") -> None:
        truncate_rows(self._path, trainer.step)
        self._began = time.monotonic()
        self._energy = EnergyMeter(trainer.machine.device)
        self._meter, self._last = Meter(trainer.images, WINDOW), trainer.step

    def after_step(self, trainer: "Trainer", row: Row | None) -> Verdict:
        if trainer.step <= self._last:  # rolled back
            truncate_rows(self._path, trainer.step - 1)
            self._meter, self._last = Meter(trainer.images, WINDOW), trainer.step - 1
        self._meter.reach(trainer.images)
        if row is None:
            return Verdict.GO_ON
        facts = {"seconds": round(self._seconds, 3), "images_per_second": round(self._meter.rate, 1) or None}
        append_row(self._path, {"kind": "train", **row, **facts, **_memory(trainer), **self._joules})
        self._last = trainer.step
        return Verdict.GO_ON

    def finish(self, trainer: "Trainer", outcome: str) -> None:
        return None

    def state(self) -> dict[str, Any]:
        return {"seconds": round(self._seconds, 3)} | self._joules

    def load_state(self, state: Mapping[str, Any]) -> None:
        # A roll-back inside this process gives an old value back; the seconds spent since then were spent all the same.
        if self._began is None:
            self._before = float(state["seconds"])
            self._spent = {name: float(state[name]) for name in (ENERGY, DEVICE_ENERGY) if name in state}

    @property
    def _seconds(self) -> float:
        return self._before + (time.monotonic() - self._began if self._began is not None else 0.0)

    @property
    def _joules(self) -> dict[str, float]:
        """Joules of all processes; a part of the machine that did not tell in each of them is left out."""
        if self._energy is None:
            return self._spent
        found = self._energy.joules()
        told = {ENERGY: found.get("processor"), DEVICE_ENERGY: found.get("device")}
        whole = {name: value for name, value in told.items() if value is not None and (not self._before or name in self._spent)}
        return {name: round(value + self._spent.get(name, 0.0), 3) for name, value in whole.items()}


def _memory(trainer: "Trainer") -> dict[str, int]:
    """Peak memory in MB (10^6 bytes): of the process, and of the device where that has its own."""
    # ru_maxrss is in kilobytes on Linux, in bytes on macOS.
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    device = trainer.machine.device
    if device.type != "cuda":
        return {"memory_mb": round(process / 1e6)}
    import torch

    return {"memory_mb": round(process / 1e6), "device_memory_mb": round(torch.cuda.max_memory_allocated(device) / 1e6)}
