"""What `config.json` of a run must hold: checked when it is read, so that an edited or damaged one is named and never half used.

The settings of the model and of the run (`config`, `run`) are checked by `engine.config`, the description of the data (`data.spec`) by the
data room.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StrictStr, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ganvas.errors import GanvasError

_More = ConfigDict(extra="ignore")
Count = Annotated[StrictInt, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=_More)
class Data:
    """The data a run was trained on."""

    source: StrictStr | None
    fingerprint: StrictStr
    spec: dict[StrictStr, Any]
    split: StrictStr = ""
    count: StrictInt = 0
    notes: tuple[StrictStr, ...] = ()
    rejected: StrictInt = 0


@dataclass(frozen=True, kw_only=True, config=_More)
class Resolved:
    """What the settings came to on the machine that began the run."""

    images: Count
    device: StrictStr
    bf16: StrictBool
    threads: Annotated[StrictInt, Field(ge=1, lt=2**15)]
    ranks: Count


@dataclass(frozen=True, kw_only=True, config=_More)
class Stored:
    """The whole of it."""

    format: StrictInt
    model: StrictStr
    config: dict[StrictStr, Any]
    run: dict[StrictStr, Any]
    data: Data
    resolved: Resolved
    preset: StrictStr = ""


def check(config: Mapping[str, Any], where: str) -> None:
    """Raise `GanvasError` that names the first entry that is missing or of another kind, and the file `where` it stands."""
    try:
        TypeAdapter(Stored).validate_python(dict(config))
    except ValidationError as error:
        first = error.errors()[0]
        raise GanvasError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}; undo what was changed, or train anew") from error
