"""Ganvas: classic generative adversarial networks, and the models they are measured against, under one engine."""

from typing import TYPE_CHECKING, Any

from ganvas.errors import GanvasError

if TYPE_CHECKING:
    from ganvas.api import resume, train
    from ganvas.run import load

__version__ = "0.1.0"
__all__ = ["GanvasError", "load", "resume", "train"]

_HOMES = {"train": "ganvas.api", "resume": "ganvas.api", "load": "ganvas.run"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that `import ganvas` and `ganvas list` stay quick."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ganvas' has no attribute '{name}'")
