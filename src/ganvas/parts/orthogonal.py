"""Orthogonal weights: to start from, and to stay near. A weight is read as a matrix W (outputs, all the rest), a row for each output."""

import torch
from torch import Tensor, nn

from ganvas.parts.objectives import widen

__all__ = ["initialise", "off_diagonal", "penalty"]


def initialise(network: nn.Module) -> None:
    """Orthonormal rows, or columns where there are more rows than columns, in linear layers, convolutions and tables; biases 0 (Saxe et al.
    2013, arXiv:1312.6120). Normalised layers must be settled afterwards (`spectral.settle`)."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            nn.init.orthogonal_(layer.weight)
            if not isinstance(layer, nn.Embedding) and layer.bias is not None:
                nn.init.zeros_(layer.bias)


def off_diagonal(weight: Tensor) -> Tensor:
    """|| W W^T * (1 - I) ||_F^2 (): the squared products of different rows (Brock et al. 2018, arXiv:1809.11096, equation 3, where a filter
    is a column). Lengths of rows are free, only their directions cost; with more rows than columns it cannot be 0.
    """
    with torch.autocast(weight.device.type, enabled=False):
        rows = widen(weight).flatten(1)
        if rows.shape[0] <= rows.shape[1]:
            products = rows @ rows.t()
            return (products - products.diag().diag()).square().sum()
        # The same sum from the smaller product: || W W^T || = || W^T W ||, less the diagonal.
        return (rows.t() @ rows).square().sum() - rows.square().sum(1).square().sum()


def penalty(network: nn.Module) -> Tensor:
    """The sum of `off_diagonal` over linear layers and convolutions (); tables of classes are left alone."""
    return torch.stack([off_diagonal(layer.weight) for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]).sum()
