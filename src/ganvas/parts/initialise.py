"""Schemes for a network's first weights."""

from torch import nn

__all__ = ["gaussian"]


def gaussian(network: nn.Module, std: float) -> None:
    """Weights ~ N(0, std^2), biases 0, gains of batch normalisation ~ N(1, std^2).

    Radford et al. 2015, section 4, with std 0.02 (the gains as in the authors' code); Kingma & Welling 2013, section 5, with 0.01.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, std)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
