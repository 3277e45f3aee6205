"""A pool of earlier fakes, from which a discriminator is shown one half of the time (Shrivastava et al. 2016, arXiv:1612.07828, section
2.3; Zhu et al. 2017, section 4). It keeps the discriminator from forgetting what the generator used to do.

The pool (capacity, C, H, W) and its `filled` count () are buffers of the model. A loss only reads them (`shown`); what it chose to swap is
carried out after the update (`keep`), as the contract asks. Until the pool is full every fake is shown and kept.
"""

import torch
from torch import Tensor

from ganvas.engine.draws import Draws

__all__ = ["keep", "shown"]


def shown(pool: Tensor, filled: Tensor, fakes: Tensor, rng: Draws) -> tuple[Tensor, Tensor]:
    """What the discriminator sees instead of `fakes` (B, C, H, W), and the slot (B,) int64 that each fake takes; -1 for none.

    Once the pool is full, each fake is exchanged with probability 1/2 for the image of a random slot, whose place it will take.
    """
    capacity, n = len(pool), len(fakes)
    if capacity == 0:
        return fakes, torch.full((n,), -1, device=fakes.device)
    swapped = (rng.uniform(n) < 0.5) & (filled >= capacity)
    slots = rng.integers(n, capacity)
    images = torch.where(swapped.view(-1, *[1] * (fakes.dim() - 1)), pool[slots].to(fakes.dtype), fakes)
    return images, torch.where(swapped, slots, -1)


def keep(pool: Tensor, filled: Tensor, fakes: Tensor, slots: Tensor) -> None:
    """Put swapped fakes into their slots, and while there is room all fakes into free ones. Of two fakes for one slot the later stays."""
    capacity = len(pool)
    room = min(max(capacity - int(filled), 0), len(fakes))
    if room:
        start = int(filled)
        pool[start : start + room] = fakes[:room].to(pool.dtype)
        filled.add_(room)
    for row, slot in enumerate(slots.tolist()):
        if slot >= 0:
            pool[slot] = fakes[row].to(pool.dtype)
