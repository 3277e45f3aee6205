"""Walks over live objects, to find what they hold."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.engine.loop import Trainer

OURS = ("ganvas", "torch", "tests")  # whose objects are entered
# What outlives a step without being state: data, the finite check, the order's cached permutation, gradients, the optimizers' gate.
NO_STATE = (".examples.", ".guard.", "._order.", ".grad", "found_inf")


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


def unsaved(trainer: Trainer, saved: Mapping[str, Mapping[str, Tensor]]) -> list[str]:
    """Paths of tensors that outlive a step of a run and are in none of the files of its checkpoint."""
    known = {_content(tensor) for named in saved.values() for tensor in named.values()}
    held = [(name, tensor) for name, tensor in tensors_in(trainer) if not any(part in name for part in NO_STATE)]
    return [name for name, tensor in held if _content(tensor) not in known]


def facts(model: nn.Module) -> dict[str, Any]:
    """Everything a model holds besides the values of its parameters and buffers, by path; of those, where they are stored.

    Which module is in training mode and which parameter takes gradients is the engine's to change, and left out.
    """
    stored = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    found: dict[str, Any] = {f"{name} is stored at": tensor.data_ptr() for name, tensor in stored.items()}
    _collect(model, "", {id(tensor) for tensor in stored.values()}, set(), found)
    return found


def _content(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    whole = tensor.detach().cpu().contiguous()
    return tensor.dtype, tensor.shape, whole.reshape(-1).view(torch.uint8).numpy().tobytes() if whole.numel() else b""


def _collect(thing: Any, name: str, known: set[int], seen: set[int], found: dict[str, Any]) -> None:
    if id(thing) in known or name.endswith(".training"):
        return
    if torch.is_tensor(thing):
        found[name] = _content(thing)
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
            yield repr(key) if isinstance(key, (str, int, tuple)) else type(key).__name__, value
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for i, value in enumerate(thing):
            yield str(i), value
    elif hasattr(thing, "__dict__") and type(thing).__module__.split(".")[0] in OURS:
        yield from vars(thing).items()
