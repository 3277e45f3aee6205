"""Any network of the user's as the extractor of features."""

import hashlib
import inspect
from typing import Any, final

import torch
from torch import Tensor, nn

from ganvas.errors import require
from ganvas.metrics.extractor import Extractor, Reading

_EVERY = frozenset(vars(nn.Module()))  # what a module has as a module


@final
class ModuleExtractor(Extractor):
    """Features from a `torch.nn.Module` that maps images (N, C, H, W) in [-1, 1] to (N, D); larger results are flattened.

    What it does to images before (resizing, another range) belongs into the module. It is set to evaluation mode. The hash covers its
    weights and buffers, the numbers, words and tensors that its parts hold as plain attributes, the text of their classes where Python can
    read it, and `name`: give a new name to a module whose output hangs on more, such as functions that it was given.
    """

    def __init__(self, module: nn.Module, name: str, device: torch.device | str = "cpu") -> None:
        require(bool(name), "a module that extracts features needs a name, which is written beside every number")
        self._module, self._name, self._device = module.eval().to(device), name, device
        digest = hashlib.sha256(f"ganvas module 1, {name}, {type(module).__qualname__}, {_text(module)}".encode())
        for title, tensor in sorted([*module.named_parameters(), *module.named_buffers()]):
            digest.update(f"{title} {_content(tensor)}".encode())
        for title, part in sorted(module.named_modules()):
            held = {name: _content(value) for name, value in vars(part).items() if name not in _EVERY}
            digest.update(f"{title} {type(part).__qualname__} {sorted(held.items())}".encode())
        self._hash = digest.hexdigest()

    @property
    def name(self) -> str:
        return self._name

    @property
    def hash(self) -> str:
        return self._hash

    @property
    def protocol(self) -> dict[str, Any]:
        return {"name": self._name, "hash": self._hash, "module": type(self._module).__qualname__}

    @torch.no_grad()
    def read(self, images: Tensor) -> Reading:
        """Features (N, D); `GanvasError` where the module gives no tensor with a row for each image."""
        found = self._module(images.to(self._device).float())
        good = isinstance(found, Tensor) and found.dim() >= 2 and len(found) == len(images)
        came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        require(good, f"extractor '{self._name}': features (N, D) of {len(images)} images are wanted, {came} came")
        return Reading(found.flatten(1).float().cpu())


def _content(value: object) -> str:
    """A word for what a plain attribute holds, the same in every process; of what is no number, word or tensor only its kind."""
    if isinstance(value, Tensor):
        found = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(found).hexdigest()}"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{name!r}: {_content(one)}' for name, one in value.items()))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_content, value))}]"
    plain = value is None or isinstance(value, bool | int | float | complex | str | bytes)
    return repr(value) if plain else type(value).__qualname__


def _text(module: nn.Module) -> str:
    """The source of the module's class and of those in it, "" for what Python cannot read."""
    parts = []
    for kind in sorted({type(one) for one in module.modules()}, key=lambda kind: kind.__qualname__):
        try:
            parts.append(inspect.getsource(kind))
        except (OSError, TypeError):
            parts.append("")
    return "\n".join(parts)
