"""Where a run computes, and in which precision."""

import os
from dataclasses import dataclass

import torch

from ganvas.engine.config import Precision
from ganvas.errors import GanvasError


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A resolved device and precision. `bf16` says whether losses run under bfloat16 autocast (weights stay float32)."""

    device: torch.device
    bf16: bool
    threads: int

    def describe(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else f"{self.threads} threads"
        return f"{self.device} ({name}), {'bf16 autocast' if self.bf16 else 'fp32'}"


def resolve(device: str, precision: Precision, threads: int | None, *, points: bool = False, local_rank: int = 0) -> Machine:
    """The machine for `--device`, `--precision` and `--threads`; raises `GanvasError` for a device that is not there.

    `auto` precision is bf16 where the processor computes in it. Points (`points=True`) stay in fp32: bfloat16 has 8 bits, which is
    coarser than the width of a mode.
    """
    chosen = find(device, local_rank)
    if threads is not None:
        torch.set_num_threads(threads)
    able = bf16_able(chosen)
    if precision == "bf16" and not able:
        raise GanvasError(f"--precision bf16: {chosen} does not compute in bfloat16; use --precision fp32 or auto")
    return Machine(
        device=chosen, bf16=precision == "bf16" or (precision == "auto" and able and not points), threads=torch.get_num_threads()
    )


def find(name: str, local_rank: int = 0) -> torch.device:
    """The torch device of a name such as auto, cpu, cuda:1; raises `GanvasError` if this machine has none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise GanvasError(f"--device {name}: not a device; use auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        position = int(index) if index else local_rank
        if position >= count:
            raise GanvasError(f"--device {name}: this machine has {count or 'no'} CUDA device{'s' if count > 1 else ''}; use --device cpu")
        return torch.device("cuda", position)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise GanvasError("--device mps: this machine has no Metal device; use --device cpu")
    return torch.device(kind)


def cards() -> list[str]:
    """The names of this machine's CUDA devices, in their order."""
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def bf16_able(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic of its own (software bfloat16 is slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def make_deterministic(device: torch.device) -> None:
    """Choose kernels that give the same bits every time (CUDA; the processor's kernels do so already)."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Else every new tensor is filled first, which only helps code that reads what it never wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the global generators that code on `device` may draw from.

    `torch.manual_seed` would seed every kind of device, and on a machine without CUDA format a traceback each time.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
