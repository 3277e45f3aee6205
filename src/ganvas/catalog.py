"""Finds models by their file names. Listing reads the cards as text and imports nothing; opening a model imports one module."""

import ast
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ganvas.engine.card import Card
from ganvas.errors import GanvasError, nearest

FOLDER = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Entry:
    """An opened model file: its card, configuration class, presets and model class."""

    name: str
    card: Card
    config: type[Any]
    presets: dict[str, Any]
    model: type[Any]


def names() -> list[str]:
    """The names of all models, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def _check(name: str) -> None:
    if name not in names():
        raise GanvasError(f"there is no model '{name}'.{nearest(name, names())} `ganvas list` shows them all.")


def card(name: str) -> Card:
    """The card of one model, read from the file's text."""
    _check(name)
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "CARD":
            assert isinstance(node.value, ast.Call)
            return Card(**{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.value.keywords})
    raise AssertionError(f"{name}.py has no CARD literal")


def open_model(name: str) -> Entry:
    """Import one model file. Its model is the one class named by `MODEL`."""
    _check(name)
    module = import_module(f"ganvas.models.{name}")
    return Entry(name, module.CARD, module.Config, module.PRESETS, module.MODEL)


def preset(entry: Entry, name: str, kind: str) -> str:
    """The full name of a preset for data of a kind: `quick` on points is `quick-points` where a model has that.

    An unknown name is an error that lists the presets.
    """
    if f"{name}-{kind}" in entry.presets:
        return f"{name}-{kind}"
    if name not in entry.presets:
        raise GanvasError(f"{entry.name} has no preset '{name}'.{nearest(name, entry.presets)} It has: {', '.join(entry.presets)}.")
    return name
