"""The checks of a configuration's fields, so that every refusal names the flag, the range and what came."""

import math
from collections.abc import Collection

from ganvas.errors import nearest, require

__all__ = ["in_range", "one_of", "whole"]


def in_range(config: object, low: float, high: float, *fields: str, open_low: bool = False, open_high: bool = False) -> None:
    """Raise `GanvasError` unless each named field is None or a finite number of the range (which holds its ends unless open)."""
    for field in fields:
        value = getattr(config, field)
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        fits = number and low <= value <= high and not (open_low and value == low) and not (open_high and value == high)
        lower = f"above {low:g}" if open_low else f"at least {low:g}"
        upper = "" if high == math.inf else f" and below {high:g}" if open_high else f" and at most {high:g}"
        require(fits, f"--config.{field} must be {lower}{upper}, not {value!r}")


def whole(config: object, low: int, *fields: str) -> None:
    """Raise `GanvasError` unless each named field is None or an integer of at least `low`, or a tuple of them."""
    for field in fields:
        value = getattr(config, field)
        entries = value if isinstance(value, tuple) else () if value is None else (value,)
        fits = all(isinstance(entry, int) and not isinstance(entry, bool) and entry >= low for entry in entries)
        kind = "whole numbers of" if isinstance(value, tuple) else "a whole number of"
        require(fits, f"--config.{field} must be {kind} at least {low}, not {value!r}")


def one_of(config: object, choices: Collection[str], field: str) -> None:
    """Raise `GanvasError` unless the named field is one of the choices."""
    value = getattr(config, field)
    clause = nearest(str(value), choices)
    require(value in choices, f"--config.{field} must be one of {', '.join(choices)}, not {value!r}.{clause}")
