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
    capacity, rows = len(pool), torch.arange(len(fakes), device=pool.device)
    if capacity == 0:
        return
    slots = torch.where(filled < capacity, filled + rows, slots)  # what lies behind the last slot finds no place
    takes = slots[None, :] == torch.arange(capacity, device=pool.device)[:, None]
    # Computed without a look at the numbers from the host, which would make a GPU wait at every step.
    row = torch.where(takes, rows, -1).amax(dim=1)
    chosen = (row >= 0).view(-1, *[1] * (pool.dim() - 1))
    pool.copy_(torch.where(chosen, fakes[row.clamp(min=0)].to(pool.dtype), pool))
    filled.copy_((filled + len(fakes)).clamp(max=capacity))
