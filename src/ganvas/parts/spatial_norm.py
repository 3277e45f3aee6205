"""Batch normalisation whose gains and shifts are drawn from a map, place by place (Park et al. 2019, arXiv:1903.07291, section 3.1)."""

from typing import final

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

__all__ = ["SpatialNorm"]


@final
class SpatialNorm(nn.Module):
    """Maps x (B, maps, h, w), normalised over batch and pixels, times 1 + g(m) plus b(m), for a label map m (B, K, H, W).

    m is brought to the size of x by its nearest pixels, so that one-hot stays one-hot; 3 x 3 to `hidden` maps and ReLU, of which two
    further 3 x 3 convolutions, here in one, are g and b (B, maps, h, w) (figure 2). So m acts within two pixels of where it is. At the
    border a map goes on as it ends there (no zeros, which would tell the border from the middle): of a constant map g and b are a number
    for each of `maps`.
    """

    def __init__(self, maps: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(maps, affine=False)
        self.shared = nn.Conv2d(classes, hidden, 3, padding=1, padding_mode="replicate")
        self.both = nn.Conv2d(hidden, 2 * maps, 3, padding=1, padding_mode="replicate")

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        normed = self.norm(x)
        here = relu(self.shared(interpolate(m, size=x.shape[2:], mode="nearest-exact")))
        gain, shift = self.both(here).to(normed.dtype).chunk(2, dim=1)
        return normed * (1 + gain) + shift
