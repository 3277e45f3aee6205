"""`metrics.jsonl`: one JSON object a line, appended while a run goes on, readable by anybody while it does.

Training rows hold `"<phase>/<term>"` values, `"<phase>/watch/<name>"` diagnostics and `"<phase>/gradient norm"`; evaluation rows hold
`values` and their `protocol`. A killed process can leave one torn line, always the last.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas.errors import GanvasError

RowDict = dict[str, Any]

GRADIENT_NORM = "gradient norm"
WATCH = "watch/"


def read_rows(path: Path) -> list[RowDict]:
    """All rows in order; none if there is no file. A torn last line is left out; a damaged line elsewhere is an error that names it."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise GanvasError(f"{path}: cannot be read ({error})") from error
    rows = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is empty or torn
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise GanvasError(f"{path}, line {number}: not a JSON object ({error}); delete that line") from error
        rows.append(row)
    return rows


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row in a single write. A torn end is cut off first; non-finite values become null, for JSON has no word for them."""
    line = _line(row)
    try:
        with open(path, "a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            whole = _whole(file.fileno(), size)
            if whole < size:
                file.truncate(whole)
            if file.write(line) != len(line):
                raise OSError("the disk took only a part of a line")
    except OSError as error:
        raise GanvasError(f"{path}: cannot be written ({error})") from error


def append_once(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row unless there is one of its kind and step: what a run that was killed at its end does again."""
    if not any((known.get("kind"), known.get("step")) == (row["kind"], row["step"]) for known in read_rows(path)):
        append_row(path, row)


def truncate_rows(path: Path, step: int) -> None:
    """Keep the rows up to and including `step` and drop the rest, by writing beside the file and renaming."""
    rows = read_rows(path)
    kept = [row for row in rows if row.get("step", 0) <= step]
    if len(kept) == len(rows):
        return
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines(_line(row) for row in kept)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise GanvasError(f"{path}: cannot be written ({error})") from error


def _line(row: Mapping[str, Any]) -> bytes:
    return (json.dumps(_finite(row), allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole(descriptor: int, size: int) -> int:
    """The length of a file of `size` bytes up to and including its last newline."""
    end = size
    while end > 0:
        start = max(0, end - 4096)
        at = os.pread(descriptor, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def of_kind(rows: list[RowDict], kind: str) -> list[RowDict]:
    """The rows of one kind, `train` or `evaluate`; of rows that share a step the last."""
    return list({row["step"]: row for row in rows if row.get("kind") == kind}.values())


def names_by_phase(rows: list[RowDict]) -> dict[str, list[str]]:
    """Phase -> names of its values (terms, `watch/...` and the gradient norm), in order of appearance."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for key in row:
            phase, slash, name = key.partition("/")
            if slash:
                found.setdefault(phase, {})[name] = None
    return {phase: list(names) for phase, names in found.items()}
