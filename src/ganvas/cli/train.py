"""Train a model on data; leaves a run directory with checkpoints, sample grids, curves and a report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ganvas import catalog
from ganvas.cli.parse import parse
from ganvas.engine.config import RunConfig
from ganvas.errors import require


@dataclass(frozen=True, kw_only=True)
class Options:
    model: tyro.conf.Positional[str]
    """A model of `ganvas list`."""
    data: str
    """digits, inked, ring, grid, spiral, two-cities; a folder of IDX files; a folder or zip of images: flat, one folder per class, with a
    table of labels, or of two domains (see --layout); one image; hf:NAME for what the library datasets reads."""
    preset: str = "quick"
    """Named settings of the model: paper, quick (a real result in minutes), tiny, and textbook where there is one."""
    run: Path | None = None
    """The run directory to make; without it the next free name in runs/."""


def main(arguments: Sequence[str]) -> int:
    model = _model(arguments)
    if model is None or model not in catalog.names():
        return _without_model(model, arguments)
    entry = catalog.open_model(model)
    from ganvas.data.open import kind_of

    default = entry.presets[catalog.preset(entry, _value(arguments, "--preset", "quick"), kind_of(_value(arguments, "--data", "")))]
    kind: Any = entry.config

    def options_of(
        options: Annotated[Options, tyro.conf.arg(name="")],
        run_options: Annotated[RunConfig, tyro.conf.arg(name="")],
        config: kind = default,
    ) -> tuple[Options, RunConfig, Any]:
        return options, run_options, config

    options, run_options, config = parse(options_of, arguments, f"train {model}", __doc__)
    from dataclasses import asdict

    from ganvas.api import train

    run = train(options.model, data=options.data, preset=options.preset, run=options.run, config=asdict(config), options=run_options)
    if os.environ.get("RANK", "0") == "0":
        print(f"run directory: {run.path}")
    return 0


def _model(arguments: Sequence[str]) -> str | None:
    """The model, before the options are parsed: the first name of one that is not the value of an option, or else the first word that may
    be meant as one."""
    words = [a for a, before in zip(arguments, ["", *arguments], strict=False) if not a.startswith("-") and not _takes_value(before)]
    known = catalog.names()
    return next((word for word in words if word in known), words[0] if words else None)


def _takes_value(argument: str) -> bool:
    """Whether what follows is the value of this option. Of a model's own switches that is not known yet: their default is off."""
    switches = {f"--{name}" for name, kind in RunConfig.__annotations__.items() if kind is bool}
    return argument.startswith("--") and "=" not in argument and argument not in switches


def _value(arguments: Sequence[str], flag: str, default: str) -> str:
    """What follows a flag, before the options are parsed: the preset decides their defaults."""
    for at, argument in enumerate(arguments):
        if argument == flag and at + 1 < len(arguments):
            return arguments[at + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return default


def _without_model(model: str | None, arguments: Sequence[str]) -> int:
    """Help without a model needs no torch; anything else is an error about the model."""

    def options_of(options: Annotated[Options, tyro.conf.arg(name="")], run_options: Annotated[RunConfig, tyro.conf.arg(name="")]) -> None:
        return None

    if "--help" not in arguments and "-h" not in arguments:
        require(model is not None, "name a model: `ganvas train MODEL --data SOURCE`; `ganvas list` shows them all")
        catalog.card(str(model))  # raises for an unknown name
    parse(options_of, arguments, "train", __doc__)
    raise AssertionError("unreachable: options without a model are an error")
