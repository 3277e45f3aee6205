"""How far a run is: one live bar on a terminal, plain lines now and then in a pipe, in CI or on a terminal that cannot redraw a line."""

import os
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, final

from ganvas.diagnostics.rows import GRADIENT_NORM, WATCH
from ganvas.engine.observers import Observer, Row, Verdict

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer

WINDOW = 20.0  # seconds that a shown rate looks back
SHOWN = 3  # values of a row that a line has room for


def live(stream: TextIO) -> bool:
    """Whether a bar can be redrawn on `stream`: a terminal with a width, unless `TERM=dumb`, `NO_COLOR` or `CI` ask for lines."""
    environment = os.environ
    plain = environment.get("TERM", "dumb") == "dumb" or environment.get("NO_COLOR") or environment.get("CI")
    return stream.isatty() and not plain and os.get_terminal_size(stream.fileno()).columns > 0


def duration(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def brief(row: Row) -> str:
    """The first losses of a row: one term of each phase in turn, at most `SHOWN`."""
    phases: dict[str, list[str]] = {}
    for key in row:
        phase, slash, name = key.partition("/")
        if slash and name != GRADIENT_NORM and not name.startswith(WATCH):
            phases.setdefault(phase, []).append(name)
    room = max(1, SHOWN // max(1, len(phases)))
    parts = []
    for phase, names in phases.items():
        values = ", ".join(f"{name} {float(row[f'{phase}/{name}']):.3g}" for name in names[:room])
        parts.append(values if phase in names[0] else f"{phase} {values}")
    return "; ".join(parts[:SHOWN])


@final
class Meter:
    """Counts things done and says how fast, looking back over the last `window` seconds only."""

    def __init__(self, done: int, window: float = WINDOW) -> None:
        self.done, self._window = done, window
        self._marks: deque[tuple[float, int]] = deque()

    def reach(self, done: int) -> None:
        """Note that `done` things are done now. Measuring begins with the first note: what came before it is warming up.

        Marks are kept a fiftieth of the window apart, so that fast loops cost nothing.
        """
        self.done, now = done, time.monotonic()
        if not self._marks:
            self._marks.append((now, done))
        if now - self._marks[-1][0] >= self._window / 50:
            self._marks.append((now, done))
            while len(self._marks) > 2 and now - self._marks[1][0] > self._window:
                self._marks.popleft()

    @property
    def rate(self) -> float:
        """Things a second; 0 before anything was measured."""
        if not self._marks:
            return 0.0
        then, before = self._marks[0]
        elapsed = time.monotonic() - then
        return (self.done - before) / elapsed if elapsed > 0 else 0.0

    def words(self, total: int, unit: str) -> str:
        """The rate and the time left to `total` at this rate, once something was measured."""
        rate = self.rate
        return f", {rate:,.{0 if rate >= 10 else 1}f}{unit}, {duration((total - self.done) / rate)} left" if rate > 0 else ""


class Display(ABC):
    """Where progress is shown."""

    @abstractmethod
    def show(self, done: int, text: str) -> None:
        """Called often; shows what it has time for."""

    @abstractmethod
    def end(self, text: str) -> None:
        """The last word, if any; nothing is shown after it."""


@final
class Bar(Display):
    """A line that is drawn again and again, by tqdm."""

    def __init__(self, stream: TextIO, what: str, total: int, done: int) -> None:
        from tqdm import tqdm

        self._stream = stream
        self._form = what.replace("{", "{{").replace("}", "}}") + ": {percentage:3.0f}% |{bar:12}| "
        self._bar = tqdm(total=total, initial=done, file=stream, bar_format=self._form, dynamic_ncols=True, mininterval=0.2)

    def show(self, done: int, text: str) -> None:
        self._bar.bar_format = self._form + text.replace("{", "{{").replace("}", "}}")
        self._bar.update(done - self._bar.n)

    def end(self, text: str) -> None:
        self._bar.refresh()
        self._bar.close()
        if text:
            print(text, file=self._stream, flush=True)


@final
class Lines(Display):
    """Whole lines, the first soon and then one every `interval` seconds; no control characters. A pipe that nobody reads any more gets
    none, and the work goes on."""

    def __init__(self, stream: TextIO, what: str, total: int, interval: float) -> None:
        self._stream, self._what, self._total, self._interval = stream, what, total, interval
        self._next = time.monotonic() + min(2.0, interval)

    def show(self, done: int, text: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval
            self._print(f"{self._what}: {done / max(1, self._total):4.0%}, {text}")

    def end(self, text: str) -> None:
        if text:
            self._print(text)

    def _print(self, text: str) -> None:
        with suppress(BrokenPipeError):
            print(text, file=self._stream, flush=True)


def display(stream: TextIO | None, what: str, total: int, done: int, interval: float) -> Display:
    """A bar where it can be drawn, else lines; on standard error unless told."""
    chosen = stream if stream is not None else sys.stderr
    return Bar(chosen, what, total, done) if live(chosen) else Lines(chosen, what, total, interval)


@final
class ProgressObserver(Observer):
    """Images done, images/s over the last seconds, time left and the latest losses of a run."""

    def __init__(self, stream: TextIO | None = None, *, interval: float = 10.0) -> None:
        self._stream, self._interval = stream, interval
        self._display: Display | None = None
        self._meter = Meter(0)
        self._losses = ""
        self._first = 0

    def start(self, trainer: "Trainer") -> None:
        self._first, self._began = trainer.images, time.monotonic()
        self._meter = Meter(trainer.images)
        self._display = display(self._stream, "training", trainer.plan.budget, trainer.images, self._interval)

    def after_step(self, trainer: "Trainer", row: Row | None) -> Verdict:
        assert self._display is not None, "a run starts before it steps"
        self._meter.reach(trainer.images)
        if row is not None:
            stage = f"{row['stage']}, " if len(trainer.stages) > 1 else ""
            self._losses = stage + brief(row)
        budget = trainer.plan.budget
        losses = f", {self._losses}" if self._losses else ""
        self._display.show(trainer.images, f"{trainer.images:,} of {budget:,} images{self._meter.words(budget, ' images/s')}{losses}")
        return Verdict.GO_ON

    def finish(self, trainer: "Trainer", outcome: str) -> None:
        if self._display is None:
            return
        images, seconds = trainer.images - self._first, time.monotonic() - self._began
        resumed = f", {images:,} of them now" if self._first else ""
        rate = images / seconds if seconds > 0 else 0.0
        self._display.end(
            f"{outcome} at {trainer.images:,} images{resumed}: {duration(seconds)}, {rate:,.0f} images/s. {self._losses}".rstrip()
        )
        self._display = None

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        return None


@final
class ScanProgress:
    """Progress of a walk over data: `start(total, what)`, `advance(n)` as often as you like, `close()`."""

    def __init__(self, stream: TextIO | None = None, *, interval: float = 5.0) -> None:
        self._stream, self._interval = stream, interval
        self._display: Display | None = None
        self._total = 0

    def start(self, total: int, what: str) -> None:
        """Begin a walk over `total` things, called `what`."""
        self._total, self._meter = total, Meter(0)
        self._display = display(self._stream, what, total, 0, self._interval)

    def advance(self, n: int = 1) -> None:
        """`n` more are done."""
        assert self._display is not None, "a walk starts before it advances"
        self._meter.reach(self._meter.done + n)
        self._display.show(self._meter.done, f"{self._meter.done:,} of {self._total:,}{self._meter.words(self._total, '/s')}")

    def close(self) -> None:
        """The walk is over, or given up."""
        if self._display is not None:
            self._display.end("")
            self._display = None
