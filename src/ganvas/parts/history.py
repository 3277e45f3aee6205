"""Historical averaging: players are held near the mean of what they have been (Salimans et al. 2016, arXiv:1606.03498, section 3.3)."""

from typing import final

import torch
from torch import Tensor, nn

__all__ = ["History"]


@final
class History(nn.Module):
    """The mean (P,) of all values that a network's parameters have had, the first ones included; both are buffers."""

    mean: Tensor
    count: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", _joined(network).detach().clone())
        self.register_buffer("count", torch.ones(()))

    def distance(self, network: nn.Module) -> Tensor:
        """|| theta - mean ||^2, summed over all parameters; ()."""
        return (_joined(network) - self.mean).square().sum()

    @torch.no_grad()
    def remember(self, network: nn.Module) -> None:
        """Take the present values into the mean, all with equal weight."""
        self.count += 1
        self.mean += (_joined(network) - self.mean) / self.count


def _joined(network: nn.Module) -> Tensor:
    return torch.cat([parameter.flatten() for parameter in network.parameters()])
