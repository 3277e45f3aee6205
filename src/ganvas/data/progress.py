"""What long reading reports to whoever watches."""

from typing import Protocol, final


class Progress(Protocol):
    """A watcher of one long task after another; always called from the thread that opened the data."""

    def start(self, total: int, what: str) -> None:
        """A task of `total` units begins; `what` names it in a few words ("reading images")."""

    def advance(self, n: int = 1) -> None:
        """`n` further units are done."""

    def close(self) -> None:
        """The task has ended, or was given up."""


@final
class Silent:
    """Watches nothing."""

    def start(self, total: int, what: str) -> None:
        return None

    def advance(self, n: int = 1) -> None:
        return None

    def close(self) -> None:
        return None
