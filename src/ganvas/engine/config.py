"""Settings: those of a run, and how any settings object becomes JSON and comes back."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from ganvas.data.arrangement import Arrangement
from ganvas.errors import GanvasError, nearest, require

T = TypeVar("T")
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run does around its model. The model's own numbers are in its `Config`."""

    split: str = "train"
    """The split of the data to train on."""
    resolution: int | None = None
    """Side of the square that images are resized and cropped to; without it the native size is kept."""
    layout: Arrangement = "auto"
    """What the pictures of a folder or zip are to each other. auto: two domains where folders are called trainA and trainB, or A and B;
    images: single images; pairs: two folders of equal file names; unpaired: two folders of which nothing belongs together; left-right and
    right-left: each picture holds a pair side by side, from the one half to the other."""
    verify: bool = False
    """Hash the bytes of every data file instead of trusting size and modification time."""
    seed: int = 0
    """Seed of the weights, the order of the data and every random draw."""
    images: int | None = None
    """Length of the run in training images; without it the preset's."""
    minutes: float | None = None
    """Length of the run in minutes, turned into images by timing every stage at the start."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps (mps is untested)."""
    precision: Precision = "auto"
    """auto takes bfloat16 autocast where the processor computes in it, float32 elsewhere and for points."""
    threads: int | None = None
    """Processor threads; without it torch's choice. Part of what makes a run repeatable bit for bit."""
    compile: bool = False
    """Compile the networks with torch.compile (penalties stay on the eager networks)."""
    accumulate: int = 1
    """Micro-batches a batch is cut into, to save memory."""
    save_every: int | None = None
    """Images between checkpoints; without it a tenth of the run."""
    keep: int = 3
    """Checkpoints to keep."""
    grid_every: int | None = None
    """Images between sample grids; without it an eighth of the run."""
    evaluate_every: int | None = None
    """Images between evaluations while training; without it the run is evaluated by `ganvas evaluate` only."""

    def __post_init__(self) -> None:
        for name in ("images", "minutes", "accumulate", "save_every", "keep", "grid_every", "evaluate_every", "threads", "resolution"):
            value = getattr(self, name)
            flag = "--" + name.replace("_", "-")
            require(value is None or (math.isfinite(value) and value > 0), f"{flag} {value}: must be greater than 0")
        require(self.images is None or self.minutes is None, "--images and --minutes: give one of them")
        require(0 <= self.seed < 2**63, f"--seed {self.seed}: must be between 0 and 2^63 - 1")


def to_json(config: Any) -> dict[str, Any]:
    """A settings dataclass as JSON values (tuples become lists)."""
    return {name: _plain(value) for name, value in dataclasses.asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def from_json(kind: type[T], stored: Mapping[str, Any], where: str) -> T:
    """The settings object of JSON values, strictly: an unknown or ill-typed field is an error that names it and `where` it stands."""
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in stored:
        if name not in known:
            raise GanvasError(f"{where}: there is no field '{name}'.{nearest(name, known)} Fields: {', '.join(known)}.")
    try:
        return TypeAdapter(kind).validate_python(dict(stored))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise GanvasError(f"{where}: {field + ': ' if field else ''}{message}") from error


def changed(config: T, changes: Mapping[str, Any], where: str) -> T:
    """A copy of `config` with some fields changed, checked like `from_json`."""
    return from_json(type(config), to_json(config) | dict(changes), where)
