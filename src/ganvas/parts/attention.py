"""Self-attention: every place of a map takes up what is like it elsewhere."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ganvas.parts.objectives import widen
from ganvas.parts.residual import glorot, plain

__all__ = ["SelfAttention"]


@final
class SelfAttention(nn.Module):
    """Maps x (B, maps, H, W) to x + gamma o(x), of the same shape; gamma starts at 0, so the block first does nothing.

    A place i asks with f(x)_i, place j answers with g(x)_j and gives h(x)_j (Zhang et al. 2018, arXiv:1805.08318, section 3):

        b_ij = softmax over j of f(x)_i . g(x)_j        o(x)_i = W_o sum_j b_ij h(x)_j

    There is no division by the root of the dimension. f and g have maps / 8 entries, h has maps / 2, and places j are the largest of 2 x 2
    neighbours, as in the authors' code. All four are 1 x 1 convolutions without biases, each handed to `wrap`.
    """

    def __init__(self, maps: int, *, wrap: Callable[[nn.Module], nn.Module] = plain) -> None:
        super().__init__()
        small, half = max(1, maps // 8), max(1, maps // 2)
        convolution = lambda below, above: wrap(glorot(nn.Conv2d(below, above, 1, bias=False)))
        self.ask, self.answer, self.give = convolution(maps, small), convolution(maps, small), convolution(maps, half)
        self.out = convolution(half, maps)
        self.gamma = nn.Parameter(torch.zeros(()))

    def attention(self, x: Tensor) -> Tensor:
        """b (B, H W, N) for the N places after pooling; rows sum to 1, in single precision."""
        asked, answered = self.ask(x).flatten(2), _pooled(self.answer(x)).flatten(2)
        return widen(asked.transpose(1, 2) @ answered).softmax(2)

    def forward(self, x: Tensor) -> Tensor:
        given = _pooled(self.give(x)).flatten(2)
        taken = given @ self.attention(x).to(given.dtype).transpose(1, 2)
        return x + self.gamma.to(x.dtype) * self.out(taken.unflatten(2, x.shape[2:]))


def _pooled(x: Tensor) -> Tensor:
    """The largest of 2 x 2 neighbours; an odd row or column at the end counts by itself."""
    return max_pool2d(x, 2, ceil_mode=True)
