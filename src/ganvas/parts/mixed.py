"""A generator and a discriminator whose backbone, normalisation and conditioning are chosen one by one, by name.

    perceptron   three hidden layers of F ReLU units, for points and for images read as vectors
    strided      DCGAN's networks (`ganvas.parts.backbones`)
    residual     SNGAN's networks (`ganvas.parts.residual`); their last layer has no bias

Classes can be `joined`, one-hot, to the code and to the sample; be `normed`, choose the gains of a residual generator's norms; be
`projected` on in the discriminator (`ganvas.parts.residual.ProjectionHead`); or be `classified` by a second head of it. Each of these words
is an argument: the number of classes, or 0.
"""

import copy
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganvas.data.batch import DataSpec
from ganvas.errors import GanvasError, require
from ganvas.parts import initialise
from ganvas.parts.backbones import HIDDEN, Perceptron, generator_for, label_maps, trunk_for
from ganvas.parts.canvas import Canvas
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.residual import ProjectionHead, ResidualGenerator, ResidualTrunk, Shape, glorot, widths_down, widths_up
from ganvas.parts.spectral import spectral

__all__ = [
    "BACKBONES",
    "NORMS",
    "Backbone",
    "MixedDiscriminator",
    "MixedGenerator",
    "Normalisation",
    "asked",
    "copied",
    "mixes_examples",
    "probe",
]

Backbone = Literal["perceptron", "strided", "residual"]
Normalisation = Literal["none", "batch", "layer", "spectral"]
BACKBONES: Final = ("perceptron", "strided", "residual")
NORMS: Final[Mapping[Normalisation, Callable[[int], nn.Module] | None]] = MappingProxyType(
    {"none": None, "batch": nn.BatchNorm2d, "layer": lambda maps: nn.GroupNorm(1, maps), "spectral": None}
)


@final
class MixedGenerator(nn.Module):
    """Codes (B, z), and labels (B,) where classes count, to images (B, C, H, W) in [-1, 1] or points (B, D).

    Convolutional ones have batch normalisation; first weights of a strided one are ~ N(0, init^2), unless `init` is None.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataSpec,
        z: int,
        *,
        width: int,
        kernel: int,
        levels: Shape,
        init: float | None,
        joined: int = 0,
        normed: int = 0,
    ) -> None:
        super().__init__()
        assert not normed or backbone == "residual"
        self.shape, self.squashed = data.shape, data.kind == "images" and backbone == "perceptron"
        self.joined, self.normed = joined, normed
        if backbone == "perceptron":
            self.layers: nn.Module = Perceptron(z + joined, (width,) * HIDDEN, math.prod(data.shape))
        elif backbone == "strided":
            self.layers = generator_for(data, z + joined, width=width, kernel=kernel)
        else:
            canvas = Canvas.fit(data.shape[1], data.shape[2])
            self.layers = ResidualGenerator(
                z + joined,
                canvas,
                data.shape[0],
                widths_up(levels, width, canvas.levels),
                norm=lambda maps: ConditionalBatchNorm2d(maps, normed) if normed else nn.BatchNorm2d(maps),
            )
        if init is not None and backbone == "strided":
            initialise.gaussian(self, init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            x = self.layers(z)
        elif self.normed:
            x = self.layers(z, one_hot(y, self.normed).to(z.dtype))
        else:
            x = self.layers(label_maps(y, self.joined, z))
        return torch.tanh(x).view(-1, *self.shape) if self.squashed else x


@final
class MixedDiscriminator(nn.Module):
    """Samples (B, ...), and labels (B,) where they are joined or projected on, to scores (B,); with a classifier, samples to scores (B,)
    and class scores (B, K).

    First weights of a normalised strided one are ~ N(0, init^2), unless `init` is None; `spectral` goes around every layer after that.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataSpec,
        *,
        width: int,
        kernel: int,
        levels: Shape,
        normalisation: Normalisation,
        init: float | None,
        joined: int = 0,
        projected: int = 0,
        classified: int = 0,
    ) -> None:
        super().__init__()
        bare, self.flat, self.joined = backbone == "residual", backbone == "perceptron", joined
        trunk: nn.Module
        if backbone == "perceptron":
            trunk = Perceptron(math.prod(data.shape) + joined, (width,) * HIDDEN)
            features = trunk.features
        elif backbone == "strided":
            trunk = trunk_for(data, width=width, inputs=data.shape[0] + joined, kernel=kernel, norm=NORMS[normalisation])
            features = trunk.features
        else:
            canvas = Canvas.fit(data.shape[1], data.shape[2])
            trunk = ResidualTrunk(data.shape[0] + joined, canvas, widths_down(levels, width, canvas))
            features = trunk.features
        score = glorot(nn.Linear(features, 1, bias=False)) if bare else nn.Linear(features, 1)
        self.trunk, self.score = trunk, ProjectionHead(features, projected) if projected else score
        self.classify = nn.Linear(features, classified) if classified else None
        if init is not None and backbone == "strided" and normalisation != "none":
            initialise.gaussian(self, init)
        if normalisation == "spectral":
            _wrap(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        x = x.flatten(1) if self.flat else x
        if y is not None and not self.joined:
            return self.score(self.trunk(x), y)
        features = self.trunk(x if y is None else label_maps(y, self.joined, x))
        scores = self.score(features).squeeze(1)
        return scores if self.classify is None else (scores, self.classify(features))


def asked(network: nn.Module, x: Tensor, y: Tensor | None) -> Tensor:
    """network(x), or network(x, y) where there are labels."""
    return network(x) if y is None else network(x, y)


def copied(name: str, network: nn.Module) -> nn.Module:
    """A copy of a user's network, on the processor; `GanvasError` for one that cannot be copied."""
    try:
        return copy.deepcopy(network).cpu()
    except (RuntimeError, ValueError) as error:
        way = "normalise weights by torch.nn.utils.parametrizations, and hand the network over before its first pass"
        raise GanvasError(f"networks: '{name}' cannot be copied ({' '.join(str(error).split())}): {way}") from error


def probe(generator: nn.Module, discriminator: nn.Module, data: DataSpec, z: int, *, told: bool = False, classified: int = 0) -> None:
    """Raise `GanvasError` unless a user's networks fit each other and the data, by what they make of two codes of zeros.

    Both are `told` labels, or the generator alone where they are `classified` by the discriminator. Networks are asked in evaluation mode,
    and are in training mode afterwards.
    """
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        require(any(True for _ in network.parameters()), f"networks: '{name}' has no parameters: there is nothing to train")
    y = torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        samples, wanted = _answer("generator", generator.eval(), torch.zeros(2, z), y if told or classified else None), (2, *data.shape)
        good = isinstance(samples, Tensor) and tuple(samples.shape) == wanted
        require(good, f"networks: 'generator' makes {_said(samples)} of two codes, not {wanted}")
        answer = _answer("discriminator", discriminator.eval(), samples, y if told else None)
    parts = answer if classified and isinstance(answer, tuple) else (answer,)
    scored = isinstance(parts[0], Tensor) and parts[0].dim() >= 1 and len(parts[0]) == 2
    require(scored, f"networks: 'discriminator' gives {_said(answer)} for two samples, not scores (2,)")
    told_apart = all(isinstance(part, Tensor) for part in parts) and [tuple(part.shape) for part in parts[1:]] == [(2, classified)]
    require(
        not classified or told_apart, f"networks: 'discriminator' gives {_said(answer)} for two samples, not scores and (2, {classified})"
    )
    generator.train()
    discriminator.train()


def _said(answer: Any) -> str:
    """The shape of a tensor, those of several, or what else it is."""
    if isinstance(answer, Tensor):
        return str(tuple(answer.shape))
    return f"({', '.join(map(_said, answer))})" if isinstance(answer, tuple) else f"a {type(answer).__name__}"


def _answer(name: str, network: nn.Module, x: Tensor, y: Tensor | None) -> Any:
    try:
        return asked(network, x, y)
    except (RuntimeError, TypeError, IndexError, ValueError, AttributeError) as error:
        given = f"{tuple(x.shape)}{'' if y is None else ' and labels (2,)'}"
        raise GanvasError(f"networks: '{name}' fails on {given}: {' '.join(str(error).split())}") from error


def mixes_examples(network: nn.Module) -> bool:
    """Whether a network has batch normalisation, so that what it says of an example depends on the others of its batch."""
    return any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm) for layer in network.modules())


def _wrap(network: nn.Module) -> None:
    """Put spectral normalisation around every layer with a weight, in place."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            setattr(network, name, spectral(layer))
        else:
            _wrap(layer)
