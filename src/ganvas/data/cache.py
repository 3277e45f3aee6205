"""The user's cache directory, and files in it that are whole or absent.

A cache file is written beside its place and renamed, carries a checksum, and is ignored when anything about it is wrong: a cache can make
a start faster, never make it fail. Nothing here is a pickle.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganvas.errors import GanvasError

_DAY = 86_400.0


def cache_directory() -> Path:
    """`GANVAS_CACHE`, else `XDG_CACHE_HOME`/ganvas, else ~/.cache/ganvas; it need not exist yet."""
    named = os.environ.get("GANVAS_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    if shared and os.path.isabs(shared):  # the XDG specification says that a relative path is to be ignored
        return Path(shared) / "ganvas"
    try:
        return Path.home() / ".cache" / "ganvas"
    except RuntimeError:
        raise GanvasError("no cache directory can be found, for there is no home directory: set GANVAS_CACHE to a folder") from None


def write_whole(path: Path, write: Callable[[Path], object]) -> bool:
    """Let `write` fill a temporary file, then rename it to `path`. False, with nothing left behind, where the disk does not allow it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
        return True
    except OSError:
        return False
    finally:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass


def write_json(path: Path, value: Any) -> bool:
    """Store `value`: one line with the sha256 of the rest, then the JSON text."""
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    head = hashlib.sha256(text).hexdigest().encode("ascii")
    return write_whole(path, lambda temporary: temporary.write_bytes(head + b"\n" + text))


def read_json(path: Path) -> Any:
    """What `write_json` stored, or None if there is nothing, or nothing whole."""
    try:
        head, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest().encode("ascii") != head:
        return None
    return json.loads(text)


def write_array(path: Path, array: NDArray[np.uint8], digest: str) -> bool:
    """Store a C-contiguous array together with `digest`, the sha256 of its bytes."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    def write(temporary: Path) -> None:
        try:
            save_file({"array": array}, temporary, metadata={"sha256": digest})
        except SafetensorError as error:  # a full disk comes as the library's own error
            raise OSError(str(error)) from error

    return write_whole(path, write)


def read_array(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], str] | None:
    """The uint8 array of `shape` that `write_array` stored, with the sha256 of its bytes; None if it is absent, damaged or another."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            array: NDArray[np.uint8] = stored.get_tensor("array")
            promised = (stored.metadata() or {}).get("sha256")
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    if array.shape != shape or array.dtype != np.uint8 or sha256(array) != promised:
        return None
    try:
        os.utime(path)  # `prune` removes what was not used for longest
    except OSError:
        pass
    return array, promised


def sha256(array: NDArray[Any]) -> str:
    """The sha256 of an array's bytes in C order, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def prune(folder: Path, limit: int) -> None:
    """Remove the files of `folder` that were used longest ago, until `limit` bytes remain, and what killed processes left there."""
    try:
        found = sorted(((entry.stat(), entry.path) for entry in os.scandir(folder)), key=lambda pair: -pair[0].st_mtime)
    except OSError:
        return
    total = 0
    for status, path in found:
        total += status.st_size
        if total > limit or (path.endswith(".tmp") and status.st_mtime < time.time() - _DAY):
            try:
                os.unlink(path)
            except OSError:
                pass
