"""Walks over live objects, to find what they hold."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

OURS = ("ganvas", "torch", "tests")  # whose objects are entered


def tensors_in(thing: Any, name: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Tensor]]:
    """Every tensor that can be reached from `thing` through attributes and containers, with the path to it; each once."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if torch.is_tensor(thing):
        yield name, thing.detach()
    else:
        for step, value in _inside(thing):
            yield from tensors_in(value, f"{name}.{step}", seen)


def facts(model: nn.Module) -> dict[str, Any]:
    """Everything a model holds besides its parameters, buffers and their gradients, by path: values, and bytes of tensors.

    Which module is in training mode and which parameter takes gradients is the engine's to change, and left out.
    """
    known = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    found: dict[str, Any] = {}
    _collect(model, "", known, set(), found)
    return found


def _collect(thing: Any, name: str, known: set[int], seen: set[int], found: dict[str, Any]) -> None:
    if id(thing) in known or name.endswith(".training"):
        return
    if torch.is_tensor(thing):
        found[name] = thing.detach().cpu().contiguous().view(-1).tolist()
    elif isinstance(thing, (str, int, float, bool, type(None), torch.Size, torch.dtype, torch.device)):
        found[name] = thing
    elif id(thing) not in seen:
        seen.add(id(thing))
        found[name] = type(thing).__name__
        for step, value in _inside(thing):
            _collect(value, f"{name}.{step}", known, seen, found)


def _inside(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield key if isinstance(key, str) else type(key).__name__, value
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for i, value in enumerate(thing):
            yield str(i), value
    elif hasattr(thing, "__dict__") and type(thing).__module__.split(".")[0] in OURS:
        yield from vars(thing).items()
