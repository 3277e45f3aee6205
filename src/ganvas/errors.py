"""The one error that users see, and the check that raises it."""

import difflib
from collections.abc import Iterable


class GanvasError(ValueError):
    """Wrong input or an impossible request: one line that says what was wanted, what came and what to do."""


def require(condition: bool, message: str) -> None:
    """Raise `GanvasError(message)` unless `condition` holds."""
    if not condition:
        raise GanvasError(message)


def nearest(word: str, choices: Iterable[str]) -> str:
    """The clause ` Did you mean 'x'?` for the choice nearest to `word`, or an empty string."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" Did you mean '{found[0]}'?" if found else ""


class TrainingStopped(GanvasError):
    """A run that cannot go on (a non-finite update, a lost data file); what it saved before is intact."""
