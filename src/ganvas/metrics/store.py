"""Tensors and a JSON card in the user's cache directory, whole or absent.

An entry is two files named by a key that says everything the content depends on; so an entry cannot be stale. The card, written last,
carries the SHA-256 sum of the tensor file. Whatever is damaged is treated as absent. Nothing is ever unpickled.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ganvas.data.cache import prune, read_json, write_json, write_whole

LIMIT = 512 * 1024**2
"""Bytes that a folder of entries may hold; those used longest ago go first."""


@dataclass(frozen=True)
class Entry:
    """Tensors by name, and the JSON card stored with them."""

    tensors: dict[str, Tensor]
    card: dict[str, Any]


def key(*parts: str | int) -> str:
    """A file name for everything an entry depends on; different parts give different names."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


def write(folder: Path, name: str, entry: Entry) -> bool:
    """Store an entry; False, with nothing half-written, where the disk does not allow it."""
    content = save({title: tensor.contiguous() for title, tensor in entry.tensors.items()})
    stored = {"sha256": hashlib.sha256(content).hexdigest(), "card": entry.card}
    written = write_whole(folder / f"{name}.safetensors", lambda path: path.write_bytes(content)) and write_json(
        folder / f"{name}.json", stored
    )
    if written:
        prune(folder, LIMIT)
    return written


def read(folder: Path, name: str) -> Entry | None:
    """The entry of that name, or None if it is absent or anything about it is wrong."""
    card = read_json(folder / f"{name}.json")
    if not isinstance(card, Mapping):
        return None
    path = folder / f"{name}.safetensors"
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != card["sha256"]:
            return None
        tensors = load(content)
    except (OSError, SafetensorError, KeyError):
        return None
    for used in (path, folder / f"{name}.json"):
        try:
            os.utime(used)  # `prune` removes what was not used for longest
        except OSError:
            pass
    return Entry(tensors, dict(card["card"]))


def damaged(folder: Path, name: str) -> bool:
    """Whether something of an entry is there but the entry cannot be read."""
    present = any((folder / f"{name}{ending}").exists() for ending in (".safetensors", ".json"))
    return present and read(folder, name) is None
