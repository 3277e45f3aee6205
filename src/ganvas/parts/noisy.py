"""The fully connected networks of semi-supervised adversarial learning on MNIST: noise before every layer, weights normalised.

Salimans et al. 2016 (arXiv:1606.03498, section 6.1 and the authors' code), taken over by Li et al. 2017 (arXiv:1703.02291, appendix),
who join the class to the input of every layer.
"""

import math
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, softplus

from ganvas.data.batch import DataSpec
from ganvas.parts.backbones import Norm

__all__ = ["Noise", "NoisyTrunk", "SoftplusGenerator", "UnitLinear"]


@final
class Noise(nn.Module):
    """While training adds N(0, sigma^2) to every entry, drawn like dropout from the generator that is seeded for every loss."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sigma * torch.randn_like(x) if self.training and self.sigma else x


@final
class UnitLinear(nn.Module):
    """(B, I) to (B, O) by weights of length `scale` in directions that are trained apart from it (Salimans & Kingma 2016,
    arXiv:1602.07868), and that start at random. With `trained` the length of each output's weights is a parameter; else it stays."""

    scale: Tensor

    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0, trained: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        length = torch.full((outputs,), scale)
        if trained:
            self.scale = nn.Parameter(length)
        else:
            self.register_buffer("scale", length)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.scale[:, None] * normalize(self.weight, dim=1), self.bias)


@final
class NoisyTrunk(nn.Module):
    """Samples (B, ...) to `features` numbers (B, features): before every layer noise, after it ReLU.

    Weights keep their length, so that features cannot grow without bound while a generator follows them: 1, and after the first layer
    (1/2 + noise^2)^(-1/2), by which a variance of 1 before ReLU stays 1 (the authors measure lengths on 500 images instead). With
    `joined`, so many numbers (B, joined) of each sample, such as its class one-hot, are joined to the input of every layer.
    """

    def __init__(self, data: DataSpec, widths: tuple[int, ...], *, noise_input: float, noise: float, joined: int = 0) -> None:
        super().__init__()
        inputs = math.prod(data.shape)
        scales = [1.0, *[(0.5 + noise**2) ** -0.5] * (len(widths) - 1)]
        sizes = zip(pairwise((inputs, *widths)), scales, strict=True)
        self.layers = nn.ModuleList(UnitLinear(below + joined, above, scale=scale, trained=False) for (below, above), scale in sizes)
        self.noises = nn.ModuleList(Noise(noise if index else noise_input) for index in range(len(widths)))
        self.features = (inputs, *widths)[-1]

    def forward(self, x: Tensor, joined: Tensor | None = None) -> Tensor:
        h = x.flatten(1)
        for noise, layer in zip(self.noises, self.layers, strict=True):
            h = noise(h)
            h = torch.relu(layer(h if joined is None else torch.cat([h, joined.to(h.dtype)], 1)))
        return h


@final
class SoftplusGenerator(nn.Module):
    """Vectors (B, I) to samples (B, *shape) of the data: `norm` and softplus after each hidden layer, weights of the last normalised;
    images end in tanh. `joined` as in `NoisyTrunk`."""

    def __init__(self, data: DataSpec, inputs: int, widths: tuple[int, ...], *, norm: Norm | None, joined: int = 0) -> None:
        super().__init__()
        self.shape, self.squashed = data.shape, data.kind == "images"
        below = (inputs, *widths)
        self.layers = nn.ModuleList(nn.Linear(i + joined, o) for i, o in pairwise(below))
        self.norms = nn.ModuleList(nn.Identity() if norm is None else norm(width) for width in widths)
        self.last = UnitLinear(below[-1] + joined, math.prod(data.shape))

    def forward(self, z: Tensor, joined: Tensor | None = None) -> Tensor:
        def beside(h: Tensor) -> Tensor:
            return h if joined is None else torch.cat([h, joined.to(h.dtype)], 1)

        h = z
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = softplus(norm(layer(beside(h))))
        x = self.last(beside(h)).view(-1, *self.shape)
        return x.tanh() if self.squashed else x
