"""Normalisation by a batch that never changes, so that samples are not mixed with each other.

Salimans et al. 2016 (arXiv:1606.03498), section 3.5: an example is normalised by the statistics of a reference batch, chosen once, and of
itself; the reference batch by its own. The reference therefore goes through the network with every batch: it is joined in front
(`VirtualNorm` finds its first `reference` rows there), and its outputs are cut off at the end (`beside`).
"""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from ganvas.parts.objectives import widen

__all__ = ["VirtualNorm", "beside"]


@final
class VirtualNorm(nn.Module):
    """(R + B, C) or (R + B, C, H, W), of which the first R = `reference` rows are the reference batch, normalised over each of C.

    The mean and the mean square of an example are w times its own plus 1 - w times the reference's, with w = 1 / (R + 1): it counts as one
    more example of the batch. A gain and a bias for each of C follow.
    """

    def __init__(self, maps: int, reference: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.reference, self.eps = reference, eps
        self.weight, self.bias = nn.Parameter(torch.ones(maps)), nn.Parameter(torch.zeros(maps))

    def forward(self, x: Tensor) -> Tensor:
        wide = widen(x)
        # Read as (R + B, pixels, C): free where maps are channels-last, and the sums of the backward pass take half the time.
        rows = wide[:, None] if x.dim() == 2 else wide.permute(0, 2, 3, 1).flatten(1, 2)
        mean, square = rows.mean(1), rows.square().mean(1)
        fixed, fixed_square = (y[: self.reference].mean(0, keepdim=True) for y in (mean, square))
        own = torch.full((len(x), 1), 1 / (self.reference + 1), dtype=wide.dtype, device=x.device)
        own[: self.reference] = 0.0
        mean, square = torch.lerp(fixed, mean, own), torch.lerp(fixed_square, square, own)
        scale = self.weight * ((square - mean.square()).clamp(min=0.0) + self.eps).rsqrt()  # (R + B, C)
        normal = (rows * scale[:, None] + (self.bias - scale * mean)[:, None]).to(x.dtype)
        return normal[:, 0] if x.dim() == 2 else normal.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


def beside(network: Callable[[Tensor], Tensor], reference: Tensor, x: Tensor) -> Tensor:
    """What a network with virtual normalisation makes of x (B, ...), with the reference batch (R, ...) in front."""
    return network(torch.cat([reference.to(x.dtype), x]))[len(reference) :]
