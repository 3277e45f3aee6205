"""SIGTERM and SIGINT ask a run to stop at the next safe point; a second signal stops it at once. SIGHUP (a terminal was closed) counts as
SIGTERM, unless it is ignored, as under nohup."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import final


class Interrupted(Exception):
    """Raised at a safe point after a signal; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@final
class Signals:
    """A context in which the signals set a flag. Outside the main thread it does nothing, as Python delivers signals there."""

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[int, signal.Handlers] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            heard = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
            for number in (signal.SIGTERM, signal.SIGINT, *[signal.SIGHUP] * heard):
                self._previous[number] = signal.signal(number, self._receive)  # type: ignore[assignment]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        number = signal.SIGTERM if number == signal.SIGHUP else number
        if self.received:
            os._exit(128 + number)
        self.received = number

    def poll(self) -> None:
        """Raise `Interrupted` if a signal came; long work between steps calls this often."""
        if self.received:
            raise Interrupted(self.received)
