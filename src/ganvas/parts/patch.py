"""Discriminators of patches: a map of logits, each for one patch of an image (Isola et al. 2016, arXiv:1611.07004, appendix 6.1.2).

A logit of n convolutions 4 x 4 of stride 2 and two of stride 1 sees a square of 9 2^n - 2 pixels: 16, 34, 70, 142, 286 for n = 1 to 5.
"""

from collections.abc import Sequence
from typing import Final, Literal, final, get_args

import torch
from torch import Tensor, nn

__all__ = ["PATCHES", "Patch", "PatchCritic", "field", "strides_for"]

Patch = Literal["pixel", "16", "34", "70", "image"]
PATCHES: Final[tuple[str, ...]] = get_args(Patch)
_STRIDED: Final = {"16": 1, "34": 2, "70": 3}


def field(strided: int) -> int:
    """Side of the patch that a logit sees through so many strided convolutions."""
    return 9 * 2**strided - 2


def strides_for(patch: str, height: int, width: int) -> int:
    """Strided convolutions of a critic of `patch`: for `image` as many as let a logit see the longer side; always few enough for
    a last map of at least 3 x 3, of which the two layers of stride 1 leave a logit."""
    wanted = _STRIDED[patch] if patch != "image" else next(n for n in range(1, 20) if field(n) >= max(height, width))
    side, most = min(height, width), 0
    while side // 2 >= 3:
        side, most = side // 2, most + 1
    return min(wanted, most)


@final
class PatchCritic(nn.Module):
    """Images (B, C, H, W), or several (B, C_i, H, W) joined on their channels, to a map of logits (B, 1, h, w).

    C64-C128-C256-C512 for 70 pixels (`width` 64, doubled up to 8 times), then one filter; LeakyReLU of slope 0.2, instance normalisation
    on all but the first and last. `pixel` has 1 x 1 convolutions alone, C64-C128. `channels` are those of each image.
    """

    def __init__(self, channels: Sequence[int], height: int, width: int, *, patch: Patch, maps: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        below, above = sum(channels), maps
        if patch == "pixel":
            layers += [nn.Conv2d(below, above, 1), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(above, 2 * above, 1, bias=False)]
            layers += [nn.InstanceNorm2d(2 * above, affine=True), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(2 * above, 1, 1)]
        else:
            for stride in [2] * strides_for(patch, height, width) + [1]:
                layers += [nn.Conv2d(below, above, 4, stride=stride, padding=1, bias=not layers)]
                layers += [nn.InstanceNorm2d(above, affine=True)] if len(layers) > 1 else []
                layers += [nn.LeakyReLU(0.2, inplace=True)]
                below, above = above, min(2 * above, 8 * maps)
            layers.append(nn.Conv2d(below, 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, *images: Tensor) -> Tensor:
        return self.layers(torch.cat(images, dim=1))
