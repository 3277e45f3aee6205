"""Data-parallel training without a wrapper: processes started by torchrun, one flat all-reduce after each backward.

Gradients are those of an ordinary backward on each rank, so second-order penalties and several backwards stay exact; nothing has to be
armed, frozen or found unused.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among its peers; `count == 1` means no process group."""

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over ranks in place, in one all-reduce of a flat float32 copy."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        at = 0
        for tensor in tensors:
            tensor.copy_(flat[at : at + tensor.numel()].view(tensor.shape))
            at += tensor.numel()

    def mean(self, x: Tensor) -> Tensor:
        """The mean of `x` over ranks, differentiable on every rank."""
        return x if self.count == 1 else _Mean.apply(x, self.count)

    def highest(self, value: int, device: torch.device) -> int:
        """The largest of the ranks' values; all ranks must ask."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, device=device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor.item())

    def gather(self, x: Tensor) -> list[Tensor]:
        """Every rank's `x` (equal shapes), in order of rank; all ranks must ask."""
        if self.count == 1:
            return [x]
        gathered = [torch.empty_like(x) for _ in range(self.count)]
        dist.all_gather(gathered, x.contiguous())
        return gathered

    def collect(self, value: Any) -> list[Any]:
        """Every rank's value, in order of rank; all ranks must ask."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def shared(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`map(work, items)` on every rank, each item worked on by one of them; all ranks must come with the same items."""
        remaining = iter(items)
        while group := list(islice(remaining, self.count)):
            mine = work(group[self.rank]) if self.rank < len(group) else None
            yield from self.collect(mine)[: len(group)]

    def agree(self, value: Any) -> Any:
        """Rank 0's value on every rank."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


class _Mean(torch.autograd.Function):
    """Forward: mean over ranks. Backward: the same of the incoming gradients, so that it can be differentiated twice; the engine's
    average over ranks completes it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> Tensor:
        ctx.count = count
        total = x.detach().clone()
        dist.all_reduce(total)
        return total / count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Mean.apply(gradients[0], ctx.count), None


@contextmanager
def joined(device: torch.device | None = None) -> Iterator[Ranks]:
    """The ranks that torchrun started (its environment variables), or a single one. Leaves the process group in any case."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    # An optimizer imports it, and what it imports takes the process group of that moment as a default argument and so never lets go of it:
    # then its threads are alive when the interpreter ends, which now and then aborts the process.
    import_module("torch._dynamo")
    backend = "nccl" if device is not None and device.type == "cuda" else "gloo"
    if device is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=timedelta(minutes=60))
    try:
        yield Ranks(rank=dist.get_rank(), count=dist.get_world_size(), local=local_rank())
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))
