"""A non-finite update is never applied.

Every update's terms and gradient norm are checked on the device. The verdict gates the optimizer there, so no step waits for the host;
the host asks now and then (`raise_if_failed`), always before anything is saved. Once an update was refused, all later ones are.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ganvas.errors import TrainingStopped

_WIDTH = 32  # terms of a phase that can be told apart in the report


@final
class Guard:
    """The finite check of one run."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._first = torch.full((), -1, dtype=torch.int64, device=device)  # number of the first refused update
        self._finite = torch.ones(_WIDTH, dtype=torch.bool, device=device)  # which of its values were finite
        self._updates: list[tuple[int, str, Sequence[str]]] = []  # (step, phase, names of values) since the host last asked
        self._base = 0

    def check(self, step: int, phase: str, names: Sequence[str], values: Tensor) -> None:
        """Judge an update by its values (V,), named by `names`; the last is the gradient norm."""
        number = self._base + len(self._updates)
        self._updates.append((step, phase, names))
        finite = torch.isfinite(values[:_WIDTH])
        fails = ~torch.isfinite(values).all() & (self._first < 0)
        padded = torch.ones_like(self._finite)
        padded[: len(finite)] = finite
        self._first = torch.where(fails, number, self._first)
        self._finite = torch.where(fails, padded, self._finite)

    def apply(self, optimizer: torch.optim.Optimizer) -> None:
        """Step the optimizer unless an update was refused."""
        if optimizer.defaults.get("fused"):
            # Fused kernels take the verdict as a device tensor and leave weights and moments alone when it is 1.
            optimizer.grad_scale, optimizer.found_inf = None, (self._first >= 0).float()  # type: ignore[attr-defined]
            optimizer.step()
        elif self._device.type == "cpu":
            if int(self._first) < 0:
                optimizer.step()
        else:
            self._apply_gated(optimizer)

    def _apply_gated(self, optimizer: torch.optim.Optimizer) -> None:
        """For optimizers without a gate of their own: step, and take the step back on the device if it was refused."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        tensors = [p.detach() for p in parameters]
        tensors += [v for p in parameters for v in optimizer.state[p].values() if torch.is_tensor(v) and v.device == p.device]
        before = [tensor.clone() for tensor in tensors]
        optimizer.step()
        for tensor, old in zip(tensors, before, strict=True):
            tensor.copy_(torch.where(self._first < 0, tensor, old))

    def raise_if_failed(self) -> None:
        """Stop the run if an update was refused, naming phase, terms and step. The only place where the host waits."""
        first = int(self._first)
        if first >= 0:
            step, phase, names = self._updates[first - self._base]
            bad = [name for name, finite in zip(names, self._finite.tolist(), strict=False) if not finite] or [names[-1]]
            raise TrainingStopped(
                f"non-finite values at step {step + 1} in phase '{phase}': {', '.join(bad)}. The update was not applied and the last"
                " checkpoint is intact; try a lower learning rate, --precision fp32, or a gradient clip"
            )
        self._base += len(self._updates)
        self._updates.clear()
