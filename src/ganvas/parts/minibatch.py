"""What a discriminator is told about the batch around an example, so that it sees when samples are all alike."""

from typing import final

import torch
from torch import Tensor, nn

from ganvas.errors import require
from ganvas.parts.objectives import widen

__all__ = ["MinibatchDiscrimination", "group_of", "minibatch_std"]


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


@final
class MinibatchDiscrimination(nn.Module):
    """Features (N, A) with `kernels` more numbers that say how near an example is to the others of its batch; (N, A + kernels).

    Row i of M = f T is cut into kernels of `size` entries, and number b of example i is sum_j exp(-|| M_ib - M_jb ||_1) over the whole
    batch (Salimans et al. 2016, arXiv:1606.03498, section 3.2). As in the authors' code an example is not compared with itself, which
    would add 1. Columns of T have about unit length at first, as there; its rescaling by a first batch is left out.
    """

    def __init__(self, features: int, kernels: int, size: int) -> None:
        super().__init__()
        self.features = features + kernels
        self.weight = nn.Parameter(torch.randn(features, kernels, size) / features**0.5)

    def forward(self, f: Tensor) -> Tensor:
        rows = widen(f @ self.weight.flatten(1)).unflatten(1, self.weight.shape[1:]).transpose(0, 1).contiguous()  # (kernels, N, size)
        near = (-torch.cdist(rows, rows, p=1.0)).exp().sum(2) - 1  # without itself
        return torch.cat([f, near.t().to(f.dtype)], 1)
