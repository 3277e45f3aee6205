"""Batch normalisation whose gains and shifts depend on what a sample is asked for."""

from collections.abc import Callable
from typing import Final, final

from torch import Tensor, nn

__all__ = ["ConditionalBatchNorm2d"]

NEAR: Final = 0.02  # deviation of first gains from 1 and of first shifts from 0


@final
class ConditionalBatchNorm2d(nn.Module):
    """Maps x (B, maps, H, W), normalised over batch and pixels, times 1 + W_g c plus W_b c, for conditions c (B, F).

    With one-hot classes the columns of W_g and W_b are gains and shifts of each class (Dumoulin et al. 2016, arXiv:1610.07629, section
    2.2). They start from N(0, 0.02^2), so that all classes are first treated nearly alike. With other conditions and `wrap`, a function of
    a layer such as `spectral`, it is that of Brock et al. 2018 (arXiv:1809.11096, appendix B); then first weights are Glorot's.
    """

    def __init__(self, maps: int, condition_features: int, *, wrap: Callable[[nn.Module], nn.Module] | None = None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(maps, affine=False)
        self.gain = _linear(condition_features, maps, wrap)
        self.shift = _linear(condition_features, maps, wrap)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        normed = self.norm(x)
        gain, shift = (layer(c).to(normed.dtype)[:, :, None, None] for layer in (self.gain, self.shift))
        return normed * (1 + gain) + shift


def _linear(inputs: int, outputs: int, wrap: Callable[[nn.Module], nn.Module] | None) -> nn.Module:
    layer = nn.Linear(inputs, outputs, bias=False)
    if wrap is not None:
        nn.init.xavier_uniform_(layer.weight)
        return wrap(layer)
    nn.init.normal_(layer.weight, 0.0, NEAR)
    return layer
