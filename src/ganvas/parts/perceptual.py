"""A distance between images by the features of a frozen network.

    d(a, b) = sum_l  mean over places of  sum_c  w_lc (f_lc(a) / |f_l(a)| - f_lc(b) / |f_l(b)|)^2          "unit"
    d(a, b) = sum_l  w_l  mean over places and channels of  |f_lc(a) - f_lc(b)|                             "plain"

f_l are the maps after layer l, |f_l| their length over the channels at each place. "unit" is LPIPS (Zhang et al. 2018, arXiv:1801.03924,
equation 1) if the network is VGG and the w_l were fitted to people's judgements; with equal weights it is its baseline. "plain" is the
loss of features of pix2pixHD and SPADE (Wang et al. 2018, arXiv:1711.11585, section 3.5, on VGG). Any network serves: one trained on
the data themselves needs no weights from elsewhere, and its numbers compare with those of the same network alone.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, final, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ganvas.errors import GanvasError, require
from ganvas.parts.objectives import per_sample, widen

__all__ = ["Form", "Perceptual", "convolutional", "vgg"]

Form = Literal["unit", "plain"]
_SMALLEST: Final = 1e-10
_SHIFT: Final = (-0.030, -0.088, -0.188)  # ImageNet's means and deviations, of images in [-1, 1]
_SCALE: Final = (0.458, 0.448, 0.450)
_LAYER = re.compile(r"features\.(\d+)\.(weight|bias)")
_LINEAR = re.compile(r"lin(\d+)(\.model\.\d+)?\.weight")


@final
class Perceptual(nn.Module):
    """Images a and b (B, C, H, W) in [-1, 1] to their distance (B,): 0 for equal images, symmetric, differentiable by both.

    The maps after each of the layers numbered `taps` of `network` count. `weights` are one number, or (C_l,), for each tap; 1 unless given.
    Images have `shift` (C,) taken away and are divided by `scale` (C,) first. Nothing of it is trained; it is always in evaluation mode.
    """

    network: nn.Sequential
    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Sequential,
        taps: Sequence[int],
        *,
        form: Form = "unit",
        weights: Sequence[Tensor | float] | None = None,
        shift: Sequence[float] = (0.0,),
        scale: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        known, count = get_args(Form), len(network)
        require(form in known, f"a perceptual distance is {' or '.join(known)}, not {form!r}")
        good = len(taps) > 0 and list(taps) == sorted(set(taps)) and 0 <= taps[0] and taps[-1] < count
        require(good, f"taps are ascending numbers of the {count} layers, not {tuple(taps)}")
        require(weights is None or len(weights) == len(taps), f"{len(taps)} taps need as many weights, not {len(weights or ())}")
        self.network = nn.Sequential(*list(network)[: taps[-1] + 1])
        self.taps, self.form = tuple(taps), form
        for index, weight in enumerate([1.0] * len(taps) if weights is None else weights):
            self.register_buffer(f"weight_{index}", torch.as_tensor(weight, dtype=torch.float32).detach().clone().view(-1, 1, 1))
        for name, values in (("shift", shift), ("scale", scale)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1))
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Perceptual":
        return super().train(False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps (B, C_l, h_l, w_l) after each tap, in single precision."""
        found, maps = [], (x - self.shift) / self.scale
        for index, layer in enumerate(self.network):
            maps = layer(maps)
            if index in self.taps:
                found.append(widen(maps).clone())  # the next layer may change it where it stands
        return found

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        require(a.shape == b.shape and a.dim() == 4, f"images of one size are compared, not {tuple(a.shape)} and {tuple(b.shape)}")
        terms = []
        for index, (first, second) in enumerate(zip(self.maps(a), self.maps(b), strict=True)):
            weight = self.get_buffer(f"weight_{index}")
            if self.form == "unit":
                terms.append(per_sample(((unit(first) - unit(second)).square() * weight).sum(dim=1)))
            else:
                terms.append(per_sample((first - second).abs() * weight))
        return torch.stack(terms).sum(dim=0)


def unit(maps: Tensor) -> Tensor:
    """Maps (B, C, h, w) of length 1 over the channels at each place; 0 stays 0."""
    return maps / (maps.square().sum(dim=1, keepdim=True) + _SMALLEST).sqrt()


def convolutional(network: nn.Sequential) -> tuple[nn.Sequential, tuple[int, ...]]:
    """The layers of a plain network before it gives up places (average pooling, flattening), and its taps: what bends the maps."""
    kept: list[nn.Module] = []
    for layer in network:
        if isinstance(layer, nn.AdaptiveAvgPool2d | nn.Flatten | nn.Linear):
            break
        kept.append(layer)
    taps = tuple(index for index, layer in enumerate(kept) if isinstance(layer, nn.ReLU | nn.LeakyReLU))
    require(bool(taps), "a perceptual distance needs a network of convolutions with ReLU after them")
    return nn.Sequential(*kept), taps


def vgg(path: Path, *, form: Form = "unit", weights: Sequence[float] | None = None) -> Perceptual:
    """VGG from a `.safetensors` file with the names that torchvision gives it: `features.0.weight`, `features.0.bias` and so on.

    Widths and depth are read from the file: VGG 11, 13, 16 or 19 without batch normalisation. Where it also holds LPIPS' weights
    (`lin0.model.1.weight`, ...), they are taken for "unit". Taps are the last ReLU of each block; `weights` are one for each.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise GanvasError(f"{path}: not a readable .safetensors file ({error})") from error
    found = {(int(match[1]), match[2]): tensor for name, tensor in tensors.items() if (match := _LAYER.fullmatch(name))}
    numbers = sorted({number for number, _ in found})
    whole = bool(numbers) and all((n, part) in found and found[n, "weight"].dim() == 4 for n in numbers for part in ("weight", "bias"))
    gaps = {after - before for before, after in pairwise(numbers)}
    plain = whole and numbers[0] == 0 and gaps <= {2, 3}  # a convolution and a ReLU, and a pool where a block ends
    require(plain, f"{path}: holds no VGG without batch normalisation (tensors features.0.weight, features.0.bias, features.2.weight, ...)")
    layers: list[nn.Module] = []
    taps: list[int] = []
    for number in numbers:
        if len(layers) < number:
            taps.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2))
        weight = found[number, "weight"]
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
        layer.load_state_dict({"weight": weight, "bias": found[number, "bias"]})
        layers += [layer, nn.ReLU()]
    taps.append(len(layers) - 1)
    linear = {int(match[1]): tensor for name, tensor in tensors.items() if (match := _LINEAR.fullmatch(name))}
    given: Sequence[Tensor | float] | None = weights
    if given is None and linear and form == "unit":
        fits = sorted(linear) == list(range(len(taps)))
        require(fits, f"{path}: LPIPS' weights are wanted for {len(taps)} layers, lin0 to lin{len(taps) - 1}, not {sorted(linear)}")
        given = [linear[index].flatten() for index in sorted(linear)]
    return Perceptual(nn.Sequential(*layers), taps, form=form, weights=given, shift=_SHIFT, scale=_SCALE)
