"""Check this machine: versions, processor, precision, devices, cache; trains a few steps to see that everything works."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganvas.cli.parse import parse
from ganvas.errors import GanvasError


@dataclass(frozen=True, kw_only=True)
class Options:
    json: bool = False
    """Print JSON instead of lines."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "doctor", __doc__)
    checks = {"versions": _versions, "processor": _processor, "devices": _devices, "cache": _cache, "training": _training}
    results = {name: _attempt(check) for name, check in checks.items()}
    if options.json:
        print(json.dumps({name: {"ok": ok, "found": found} for name, (ok, found) in results.items()}, indent=1))
    else:
        for name, (ok, found) in results.items():
            print(f"{'ok  ' if ok else 'FAIL'}  {name:<10}  {found}")
    return 0 if all(ok for ok, _ in results.values()) else 1


def _attempt(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except (GanvasError, ImportError, OSError, RuntimeError) as error:
        return False, " ".join(str(error).split())


def _versions() -> str:
    from ganvas.engine.rundir import environment

    packages = environment()["packages"]
    return f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {version}" for name, version in packages.items())


def _processor() -> str:
    import torch

    from ganvas.engine.devices import bf16_able
    from ganvas.engine.rundir import environment

    bf16 = "bfloat16 arithmetic" if bf16_able(torch.device("cpu")) else "no bfloat16 arithmetic (auto precision is fp32)"
    return f"{environment()['processor']}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, {bf16}"


def _devices() -> str:
    import torch

    from ganvas.engine.devices import cards

    names = cards()
    if torch.backends.mps.is_available():
        names.append("mps (untested)")
    return ", ".join(names) or "no accelerator; training runs on the processor"


def _cache() -> str:
    from ganvas.data.cache import cache_directory

    folder = cache_directory()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    return f"{folder}, {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"


def _training() -> str:
    from ganvas.api import train

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = train("gan", data="ring", preset="tiny", images=64, run=Path(folder) / "run", quiet=True)
        shape = run.sample(4).shape
    return f"a tiny run trained, saved and sampled {shape} in {time.perf_counter() - start:.1f} s"
