"""What a discriminator is told about the batch around an example, so that it sees when samples are all alike."""

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.parts.objectives import widen

__all__ = ["group_of", "minibatch_std"]


def group_of(batch: int, most: int) -> int:
    """The size of the groups that a batch is cut into: its largest divisor of at most `most`."""
    require(most >= 1, f"a group has at least one example, not {most}")
    return max(size for size in range(1, min(batch, most) + 1) if batch % size == 0)


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """Maps x (B, C, H, W), B >= 1, with one more that holds a number for each group of examples; (B, C + 1, H, W).

    The number is the mean, over channels and pixels, of the standard deviation over the group: s = mean sqrt(var + 1e-8), where var is
    divided by the group's size, not by one less (Karras et al. 2017, arXiv:1710.10196, section 3, and the authors' code). Groups are
    `group` consecutive examples: a batch that is cut into ranks or micro-batches of whole groups gives the same numbers as the whole
    batch. Where `group` does not divide the batch, its largest divisor below does; a group of one has s = 1e-4.
    """
    grouped = widen(x).unflatten(0, (-1, group_of(len(x), group)))
    deviation = grouped.var(1, correction=0, keepdim=True).add(1e-8).sqrt().mean((2, 3, 4), keepdim=True)
    extra = deviation.to(x.dtype).expand(-1, grouped.shape[1], 1, *x.shape[2:]).flatten(0, 1)
    return torch.cat([x, extra], 1)
