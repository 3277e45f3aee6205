"""What the fault tests share: a state of every kind of tensor, forged files, and processes of their own."""

import hashlib
import io
import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from ganvas.engine.checkpoints import MANIFEST, write_json

ROOT = Path(__file__).resolve().parents[2]
STATE = {"images": 12, "observers": {"alarm": {"seen": [1, 2.5, None]}}, "config": {"name": "zażółć"}}


def tensors_of(step: int) -> dict[str, dict[str, Tensor]]:
    """Tensors that tell the step they belong to, of every form that a checkpoint has to carry."""
    generator = torch.Generator().manual_seed(step)
    weights = torch.randn(3, 5, generator=generator)
    return {
        "model": {
            "weight": weights,
            "transposed": weights.t(),
            "slice": weights[:, 1:3],
            "same storage": weights[0],
            "channels last": torch.randn(2, 3, 4, 4, generator=generator).contiguous(memory_format=torch.channels_last),
            "scalar": torch.tensor(float(step)),
            "count": torch.tensor(step),
            "mask": torch.rand(4, generator=generator) > 0.5,
            "half": torch.randn(4, generator=generator).bfloat16(),
            "double": torch.randn(2, generator=generator, dtype=torch.float64),
            "bytes": torch.arange(6, dtype=torch.uint8),
            "none of them": torch.zeros(0, 3),
            "not finite": torch.tensor([float("inf"), float("-inf"), -0.0]),
        },
        "optimizer-0": {"weight:step": torch.tensor(float(step)), "weight:exp_avg": torch.randn(3, 5, generator=generator)},
        "average": {},
    }


def forge(path: Path, name: str, content: bytes) -> None:
    """Put other content into a checkpoint and make its manifest agree (a manifest itself is replaced as it is)."""
    (path / name).write_bytes(content)
    if name != MANIFEST:
        manifest = json.loads((path / MANIFEST).read_text())
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        write_json(path / MANIFEST, manifest)


class Bomb:
    """An object that, when unpickled, leaves a file."""

    FORMS = ("pickle", "torch.save", "torch.save, old format")

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)

    def written(self, form: str) -> bytes:
        buffer = io.BytesIO()
        if form == "pickle":
            pickle.dump(self, buffer)
        else:
            torch.save({"w": self}, buffer, _use_new_zipfile_serialization=form == "torch.save")
        return buffer.getvalue()


def command(code: str, *arguments: object) -> list[str]:
    """A Python process of its own, running `code` with this package and these tests in reach."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return ["env", f"PYTHONPATH={path}", "OMP_NUM_THREADS=1", sys.executable, "-c", code, *map(str, arguments)]


def start(code: str, *arguments: object) -> subprocess.Popen:
    """Start such a process; its three streams are pipes."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command(code, *arguments), text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def run(code: str, *arguments: object, timeout: float = 240) -> str:
    """The output of such a process; its failure is the test's."""
    process = start(code, *arguments)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, err
    return out


def two(script: Path, *arguments: object, timeout: float = 500) -> list[int]:
    """The exit statuses of two processes of a script, started as torchrun starts them, one thread each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
    }
    processes = [
        subprocess.Popen([sys.executable, str(script), *map(str, arguments)], env=shared | {"RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]
    try:
        return [process.wait(timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
