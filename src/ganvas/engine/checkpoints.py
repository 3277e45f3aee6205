"""Checkpoints that survive a kill, a full disk and a flipped bit.

A checkpoint is one directory, written beside its place and renamed: safetensors for every tensor, JSON for the rest, and a manifest with
sizes and SHA-256 sums written last. Nothing in it is ever unpickled. No time and no path stands in the tensor files, so equal states are
equal files.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganvas.errors import GanvasError

FORMAT = 1
MANIFEST, STATE = "manifest.json", "state.json"
_NAME = re.compile(r"step-(\d{12})")

Tensors = dict[str, dict[str, Tensor]]  # file stem -> name -> tensor


class DamagedCheckpoint(GanvasError):
    """A checkpoint whose files are not what its manifest says."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory: tensors by file stem, and the JSON state."""

    path: Path
    tensors: Tensors
    state: dict[str, Any]


@final
class Checkpoints:
    """The folder `RUN/checkpoints`, of which the last `keep` are kept."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder, self._keep = folder, keep

    def paths(self) -> list[Path]:
        """Checkpoints, oldest first. A kill leaves none behind that is not complete; a damaged one is listed like the others."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())

    def save(self, step: int, tensors: Tensors, state: Mapping[str, Any]) -> Path:
        """Write one checkpoint; on any error of the disk nothing of it stays, and the earlier ones are untouched."""
        final_path = self.folder / f"step-{step:012d}"
        temporary = self.folder / f"step-{step:012d}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            write_json(temporary / STATE, state)
            for stem, named in tensors.items():
                if named:
                    _write_tensors(temporary / f"{stem}.safetensors", named)
                    shutil.copymode(temporary / STATE, temporary / f"{stem}.safetensors")  # the library keeps others out
            files = {path.name: _facts(path) for path in sorted(temporary.iterdir())}
            write_json(temporary / MANIFEST, {"format": FORMAT, "step": step, "files": files})
            _sync(temporary)
            verify(temporary)
            if final_path.exists():
                shutil.rmtree(final_path)
            os.rename(temporary, final_path)
            _sync(self.folder)
        except (OSError, SafetensorError, DamagedCheckpoint) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise GanvasError(f"cannot write the checkpoint {final_path}: {error} ({_free(self.folder)} bytes are free)") from error
        self._prune(final_path)
        return final_path

    def _prune(self, newest: Path) -> None:
        """Delete all but the last; leftovers of a kill go too, and later checkpoints, which were damaged when the run went on from an
        earlier one (they would count as the last)."""
        paths = self.paths()
        kept = [path for path in paths if path.name <= newest.name][-self._keep :]
        for path in paths:
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("step-*.tmp"):
            shutil.rmtree(path, ignore_errors=True)

    def newest(self, warn: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole. Damaged ones are named through `warn` and passed over; if all are damaged, an error."""
        paths = self.paths()
        for path in reversed(paths):
            try:
                return load(path)
            except DamagedCheckpoint as error:
                warn(f"WARNING: {error}")
        if paths:
            raise DamagedCheckpoint(f"every checkpoint in {self.folder} is damaged; train again with another --run directory")
        return None


def load(path: Path) -> Checkpoint:
    """Read one checkpoint after checking every file against the manifest."""
    files = verify(path)
    try:
        tensors = {Path(name).stem: load_file(path / name) for name in files if name.endswith(".safetensors")}
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise DamagedCheckpoint(f"the checkpoint {path} cannot be read: {error}") from error
    if not isinstance(state, dict):
        raise DamagedCheckpoint(f"the checkpoint {path} cannot be read: {STATE} holds no table")
    return Checkpoint(path, tensors, state)


def verify(path: Path) -> dict[str, Any]:
    """The manifest's files, after comparing sizes and sums; raises `DamagedCheckpoint` naming the first file that differs."""
    try:
        text = (path / MANIFEST).read_bytes().decode("utf-8")
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise DamagedCheckpoint(f"the checkpoint {path} has format {manifest['format']}; this version reads format {FORMAT}")
        files: dict[str, Any] = manifest["files"]
        # No sum guards the manifest itself: it must be what we would write, and of the step that the directory is named after.
        if text != _json(manifest) or not path.name.startswith(f"step-{manifest['step']:012d}") or STATE not in files:
            raise DamagedCheckpoint(f"the checkpoint {path} is damaged: {MANIFEST} or the list of files in it ({STATE} and others)")
        for name, facts in files.items():
            if not re.fullmatch(r"[\w.-]+", name):
                raise DamagedCheckpoint(f"the checkpoint {path} names a file '{name}' outside itself")
            if _facts(path / name) != facts:
                raise DamagedCheckpoint(f"the checkpoint {path} is damaged: {name} does not match its SHA-256 sum")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, GanvasError):
            raise
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged: {type(error).__name__}: {error}") from error
    return files


def write_json(path: Path, value: Any) -> None:
    """Write JSON and make it durable."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(_json(value))
        file.flush()
        os.fsync(file.fileno())


def replace_json(path: Path, value: Any) -> None:
    """Write JSON beside its place and rename it there."""
    temporary = path.with_name(path.name + ".tmp")
    write_json(temporary, value)
    os.replace(temporary, path)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _write_tensors(path: Path, named: Mapping[str, Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in named.items()}, path)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _facts(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
