"""The state of a run: everything that must be in a checkpoint for the next step to be the one an uninterrupted run would take."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ganvas.engine import optimizer_state
from ganvas.engine.averages import load_tensors
from ganvas.engine.checkpoints import Checkpoint, Checkpoints, Tensors
from ganvas.errors import GanvasError, require

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer

COUNTERS = ("step", "images", "stage", "stage_step", "stage_start", "attempt")


def collect(trainer: "Trainer") -> Tensors:
    """Every tensor of a run by file; all ranks must ask. Batch-norm buffers are averaged over ranks first, in place."""
    model, ranks, updates = trainer.model, trainer.ranks, trainer.updates
    by_rank = set(model.rank_buffers())
    buffers = dict(model.named_buffers())
    ranks.mean_([b for name, b in buffers.items() if b.is_floating_point() and name not in by_rank])
    pools = {name: ranks.gather(buffers[name]) for name in sorted(by_rank)}
    tensors = {
        "model": {name: tensor for name, tensor in model.state_dict().items() if name not in by_rank},
        "average": trainer.averaged.state(),
    }
    for index, description in enumerate(updates.descriptions):
        if description in updates.optimizers:
            tensors[f"optimizer-{index}"] = optimizer_state.to_tensors(updates.optimizers[description], updates.names)
    for rank in range(ranks.count):
        tensors[f"rank-{rank:04d}"] = {name: gathered[rank] for name, gathered in pools.items()}
    return tensors


def save(trainer: "Trainer", checkpoints: Checkpoints) -> None:
    """Write a checkpoint of the run as it stands; all ranks must ask, rank 0 writes."""
    trainer.updates.guard.raise_if_failed()
    tensors = collect(trainer)
    if trainer.ranks.first:
        counters = {name: getattr(trainer, name) for name in COUNTERS}
        observers = {name: observer.state() for name, observer in trainer.observers.items()}
        checkpoints.save(trainer.step, tensors, counters | {"observers": observers, "config": trainer.identity})
    trainer.ranks.wait()


def restore(trainer: "Trainer", checkpoints: Checkpoints) -> bool:
    """Go back to the newest whole checkpoint; False if there is none. Damaged ones are named on standard error."""
    found = checkpoints.newest(warn=lambda message: print(message, file=sys.stderr, flush=True))
    if found is None:
        return False
    lacking = [name for name in (*COUNTERS, "observers", "config") if name not in found.state]
    require(not lacking, f"{found.path}: its state lacks {', '.join(lacking)}; it was not written by this version")
    refuse_changes(found.state["config"], trainer.identity)
    for name in COUNTERS:
        setattr(trainer, name, int(found.state[name]))
    load_tensors(trainer.model.state_dict(), model_tensors(found, trainer.model.rank_buffers(), trainer.ranks.rank), "model")
    trainer.averaged.load(found.tensors.get("average", {}))
    updates = trainer.updates
    updates.optimizers.clear()
    for index in range(trainer.stage + 1):
        updates.enter(index)
    for index, description in enumerate(updates.descriptions):
        if description in updates.optimizers:
            stored = found.tensors.get(f"optimizer-{index}", {})
            optimizer_state.from_tensors(updates.optimizers[description], updates.names, stored)
    for name, observer in trainer.observers.items():
        if name in found.state["observers"]:
            observer.load_state(found.state["observers"][name])
    return True


def model_tensors(found: Checkpoint, by_rank: tuple[str, ...], rank: int) -> dict[str, Tensor]:
    """The tensors of a model's `state_dict` as the given rank left them."""
    stored = found.tensors.get("model", {}) | found.tensors.get(f"rank-{rank:04d}", {})
    require(all(name in stored for name in by_rank), f"{found.path} holds no state for rank {rank}: resume with as many ranks as before")
    return stored


def refuse_changes(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `GanvasError` listing every setting in which a run differs from its checkpoint."""
    before, after = _flat(saved), _flat(now)
    differences = [
        f"{name}: {before.get(name, 'absent')!r} -> {after.get(name, 'absent')!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    if differences:
        raise GanvasError(f"the run's configuration has changed since its checkpoint ({'; '.join(differences)}); undo it, or train anew")


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
