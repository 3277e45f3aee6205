"""Spectral normalisation: layers whose largest singular value is held at 1 by power iteration.

A layer of weight W, read as a matrix (outputs, all the rest), computes with W / s, where s = u^T W v estimates the largest singular value
and u and v its singular vectors. They count as constants, so that the gradient reaches W through s as well (Miyato et al. 2018,
arXiv:1802.05957, sections 2 and 3). The vectors follow W by power iteration, one for each update, since W moves slowly:

    v <- W^T u / || W^T u ||        u <- W v / || W v ||

While a new direction overtakes the first one, s is too small and the largest singular value of W / s above 1: by up to 0.15 in the first
30 updates of networks of sixteen maps at a rate of 2e-4, and by 0.33 at 1e-3. It lasts while rates stay large: after 320,000 of the
600,000 images of SNGAN's `quick` run on CIFAR-10, at 1e-3, the worst layer had 1.083. As rates fall, the vectors catch up: at the end of
that run every layer had 1.000. Ten iterations for each update would still leave 0.05 at the start, and so the paper's one it is.

When it is done. Algorithm 1 of the paper iterates once for each update of the weights; the authors' code, and torch's parametrization,
once for each forward pass in training mode. Here it is the algorithm: `advance` iterates after an update, in a model's `after_update`,
and forward passes change nothing. So a layer computes the same function in training and in evaluation, for reals and for fakes, and a
step in two micro-batches is the step of two processes, which it is not where passes are counted. What a pass sees is what it would see
with an iteration before it: the weights have not moved since the last one.

Why a module of its own. With torch's parametrization `layer.weight` is a value computed anew: writing first weights to it does nothing,
without a word, and reading it moves the vectors. Here the layer within keeps its weight. u and v are buffers and so part of every
checkpoint; u alone would do, but a stored v saves two products in every pass.
"""

from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.parts.objectives import widen

__all__ = ["Spectral", "advance", "settle", "spectral"]

EPSILON: Final = 1e-12  # least norm that is divided by, as in the authors' code
FIRST: Final = 50  # iterations on first weights, whose largest singular values lie close together

Layer = nn.Linear | nn.Conv2d | nn.Embedding


def spectral(layer: nn.Module) -> "Spectral":
    """The same layer with its weight divided by its largest singular value. Where weights are written afterwards, `settle` must follow."""
    if not isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
        raise TypeError(f"spectral normalisation is for Linear, Conv2d and Embedding, not {type(layer).__name__}")
    return Spectral(layer)


def advance(*networks: nn.Module) -> None:
    """One power iteration in every normalised layer of these networks: to be called once after each update of their weights."""
    _iterate(networks, 1)


def settle(*networks: nn.Module, iterations: int = FIRST) -> None:
    """Several iterations, after first weights were written anew."""
    _iterate(networks, iterations)


def _iterate(networks: tuple[nn.Module, ...], iterations: int) -> None:
    for layer in {id(m): m for network in networks for m in network.modules() if isinstance(m, Spectral)}.values():
        layer.iterate(iterations)


@final
class Spectral(nn.Module):
    """A layer that computes with W / s. `layer` holds W and bias; buffers `_u` (outputs,) and `_v` (the rest,) have length 1."""

    _u: Tensor
    _v: Tensor

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        matrix = layer.weight.detach().flatten(1)
        if not matrix.any():
            raise ValueError("spectral normalisation of a weight of zeros would be 0 / 0: give it first weights before")
        self.register_buffer("_u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("_v", F.normalize(torch.randn(matrix.shape[1]), dim=0))
        self.iterate(FIRST)

    @torch.no_grad()
    def iterate(self, iterations: int = 1) -> None:
        """Move u and v towards the singular vectors of the weight as it is now; in single precision, in place."""
        with torch.autocast(self._u.device.type, enabled=False):
            matrix, u, v = self.layer.weight.detach().flatten(1), self._u, self._v
            for _ in range(iterations):
                v = F.normalize(matrix.t() @ u, dim=0, eps=EPSILON)
                u = F.normalize(matrix @ v, dim=0, eps=EPSILON)
            self._u.copy_(u)
            self._v.copy_(v)

    @property
    def scale(self) -> Tensor:
        """s = u^T W v (), as a sum over entries: products of matrices would be rounded under autocast."""
        weight = widen(self.layer.weight)
        # Clones, since `advance` changes the buffers in place, which a graph that is still to be walked must not see.
        direction = self._u.clone()[:, None] * self._v.clone()
        return (weight * direction.view_as(weight)).sum()

    @property
    def weight(self) -> Tensor:
        """W / s, of the layer's shape."""
        return self.layer.weight / self.scale

    def forward(self, x: Tensor) -> Tensor:
        layer, weight = self.layer, self.weight
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, layer.bias)
        if isinstance(layer, nn.Conv2d):
            return F.conv2d(x, weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return F.embedding(x, weight)
