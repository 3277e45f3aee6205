"""The directory of a run: readable by anybody, owned by one process at a time."""

import fcntl
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ganvas.engine.checkpoints import Checkpoints, replace_json
from ganvas.engine.devices import cards
from ganvas.errors import GanvasError

CONFIG, ENVIRONMENT, METRICS, SAMPLES, CHECKPOINTS, LOCK = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "samples",
    "checkpoints",
    ".lock",
)


def create(path: Path, config: Mapping[str, Any]) -> None:
    """Make `RUN/` with its configuration and environment; an existing run or a file of that name is refused, nothing is overwritten."""
    if path.is_file():
        raise GanvasError(f"--run {path}: is a file; name a directory")
    if (path / CONFIG).exists():
        raise GanvasError(f"--run {path}: already holds a run; continue it with `ganvas resume {path}` or name another directory")
    if path.is_dir() and any(path.iterdir()):
        raise GanvasError(f"--run {path}: the directory is not empty; name another")
    staged: Path | None = None  # written beside its place and renamed, so that a run is there whole or not at all
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        staged.chmod(0o755)
        (staged / SAMPLES).mkdir()
        replace_json(staged / ENVIRONMENT, environment())
        replace_json(staged / CONFIG, config)
        os.rename(staged, path)
    except OSError as error:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
        raise GanvasError(f"--run {path}: cannot be written ({error})") from error


def fresh_path(parent: Path, stem: str) -> Path:
    """The first of `stem-001`, `stem-002`, ... that is free; the name is taken by making the directory."""
    for number in range(1, 100_000):
        path = parent / f"{stem}-{number:03d}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise GanvasError(f"cannot make a run directory in {parent}: {error}") from error
        return path
    raise GanvasError(f"{parent} is full of runs named {stem}: name one with --run")


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of a run; a path that is no run is an error that says what a run is."""
    if not path.exists():
        raise GanvasError(f"{path}: no such run directory")
    try:
        config: dict[str, Any] = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GanvasError(f"{path}: not a run directory (it has no {CONFIG})") from error
    except (ValueError, RecursionError) as error:
        raise GanvasError(f"{path / CONFIG}: not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise GanvasError(f"{path / CONFIG}: holds no table of settings")
    missing = [name for name in ("format", "model", "config", "run", "data", "resolved") if name not in config]
    if missing:
        raise GanvasError(f"{path / CONFIG}: lacks {', '.join(missing)}")
    from ganvas.engine import stored  # loads pydantic, which making a run does without

    stored.check(config, str(path / CONFIG))
    return config


def checkpoints(path: Path, keep: int = 3) -> Checkpoints:
    return Checkpoints(path / CHECKPOINTS, keep)


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Own a run directory. The lock goes with its process, so a dead owner's is simply taken; a living one's is refused."""
    with open(path / LOCK, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise GanvasError(f"{path}: in use by process {file.read().strip() or 'unknown'}; wait for it or stop it") from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def environment() -> dict[str, Any]:
    """Versions and machine, for the reader of a run."""
    packages = ("ganvas", "torch", "numpy", "pillow", "scikit-learn", "safetensors")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cards": cards(),
        "packages": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
