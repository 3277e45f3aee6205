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
MANIFEST = "manifest.json"
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
        """Complete checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and (path / MANIFEST).is_file()]
        return sorted(found)

    def save(self, step: int, tensors: Tensors, state: Mapping[str, Any]) -> Path:
        """Write one checkpoint; on any error of the disk nothing of it stays, and the earlier ones are untouched."""
        final_path = self.folder / f"step-{step:012d}"
        temporary = self.folder / f"step-{step:012d}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for stem, named in tensors.items():
                if named:
                    _write_tensors(temporary / f"{stem}.safetensors", named)
            write_json(temporary / "state.json", state)
            files = {path.name: _facts(path) for path in sorted(temporary.iterdir())}
            write_json(temporary / MANIFEST, {"format": FORMAT, "step": step, "files": files})
            _sync(temporary)
            verify(temporary)
            if final_path.exists():
                shutil.rmtree(final_path)
            os.rename(temporary, final_path)
            _sync(self.folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise GanvasError(f"cannot write the checkpoint {final_path}: {error} ({_free(self.folder)} bytes are free)") from error
        self._prune()
        return final_path

    def _prune(self) -> None:
        """Delete all but the newest; a leftover of a kill goes too."""
        for path in self.paths()[: -self._keep]:
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
        return Checkpoint(path, tensors, json.loads((path / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, SafetensorError) as error:
        raise DamagedCheckpoint(f"the checkpoint {path} cannot be read: {error}") from error


def verify(path: Path) -> dict[str, Any]:
    """The manifest's files, after comparing sizes and sums; raises `DamagedCheckpoint` naming the first file that differs."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, Any] = manifest["files"]
        if manifest["format"] != FORMAT:
            raise GanvasError(f"the checkpoint {path} has format {manifest['format']}; this version reads format {FORMAT}")
        for name, facts in files.items():
            if not re.fullmatch(r"[\w.-]+", name):
                raise DamagedCheckpoint(f"the checkpoint {path} names a file '{name}' outside itself")
            if _facts(path / name) != facts:
                raise DamagedCheckpoint(f"the checkpoint {path} is damaged: {name} does not match its SHA-256 sum")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, GanvasError):
            raise
        raise DamagedCheckpoint(f"the checkpoint {path} is damaged: {type(error).__name__}: {error}") from error
    return files


def write_json(path: Path, value: Any) -> None:
    """Write JSON and make it durable."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def replace_json(path: Path, value: Any) -> None:
    """Write JSON beside its place and rename it there."""
    temporary = path.with_name(path.name + ".tmp")
    write_json(temporary, value)
    os.replace(temporary, path)


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
