"""One named part of a code turned through its values while the rest stands: what does it mean?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.engine.capabilities import Factors, Latent
from ganvas.engine.devices import find
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError, nearest, require
from ganvas.run import Run


@dataclass(frozen=True)
class Traversal:
    """`samples` (rows * columns, ...) as users keep them, row by row: in a row only `factor` changes, through the `values` by name."""

    samples: np.ndarray
    factor: str
    values: tuple[str, ...]


def values_of(categories: int, steps: int) -> Tensor:
    """All categories (K,) of a categorical part, or `steps` numbers from -1 to 1."""
    return torch.arange(categories) if categories else torch.linspace(-1, 1, steps)


@torch.no_grad()
def turned(model: Any, factor: str, values: Tensor, rows: int, *, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Samples (rows * len(values), ...) of `rows` random codes, each with one part set to the values in turn."""
    z = model.draw(rows, SampleDraws(seed, device=device)).repeat_interleave(len(values), dim=0)
    samples: Tensor = model.decode(model.turn(z, factor, values.repeat(rows))).float().cpu()
    return samples


def traverse(run: Run, factor: str | None = None, *, rows: int = 6, steps: int = 10, seed: int = 0) -> Traversal:
    """`rows` codes with one part turned: through all its categories, or in `steps` from -1 to 1. Without a `factor` the first.

    Raises `GanvasError` where the model's code has no named parts, or none of that name.
    """
    model = run.model
    if not isinstance(model, Factors) or not isinstance(model, Latent):
        raise GanvasError(f"{run.path}: the code of {run.entry.card.title} has no named parts; `ganvas list` shows what each model can do")
    known = model.factors
    factor = next(iter(known)) if factor is None else factor
    require(factor in known, f"--factor {factor}: this code has the parts {', '.join(known)}.{nearest(factor, known)}")
    require(rows > 0, f"--rows {rows}: must be greater than 0")
    require(steps > 1, f"--steps {steps}: a path needs at least its two ends")
    values = values_of(known[factor], steps)
    samples = turned(model, factor, values, rows, seed=seed, device=find(run.device))
    names = tuple(f"{int(value)}" if known[factor] else f"{float(value):+.2f}" for value in values)
    return Traversal(run.spec.native(samples).numpy(), factor, names)
