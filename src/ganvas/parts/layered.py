"""Fully connected networks with one activation throughout: what autoencoders of the years before batch normalisation are made of."""

from itertools import pairwise
from typing import Final, Literal, final

from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "Activation", "Layered"]

Activation = Literal["tanh", "relu", "sigmoid"]
ACTIVATIONS: Final = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


@final
class Layered(nn.Module):
    """Vectors (B, widths[0]) to vectors (B, widths[-1]) through linear layers with the activation between them."""

    def __init__(self, widths: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for below, above in pairwise(widths):
            layers += [nn.Linear(below, above), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
