"""How far the power spectra of samples and data are apart (Durall et al. 2020, arXiv:2003.01826, section 3.1).

The power of each image's Fourier transform (grey, mean removed) is averaged over circles of equal spatial frequency, then over images,
which gives one profile per set. The difference is that of the logarithms: the mean over frequencies of |log10 P_fake - log10 P_real|, so
0.1 means that powers are wrong by a quarter. Upsampling layers fail at the highest frequencies, which distances of features hardly see.
"""

import torch
from torch import Tensor

from ganvas.errors import require

_LEAST = 1e-10  # power, relative to a full-range wave, below which there is nothing but rounding to 8 bits


def profile(images: Tensor) -> Tensor:
    """Power (N, F) float64 at F = min(H, W) // 2 frequencies 1 .. F, in waves per shorter side, of images (N, C, H, W) in [-1, 1]."""
    require(images.dim() == 4, f"images (N, C, H, W) are wanted, not {tuple(images.shape)}")
    height, width = images.shape[2:]
    shorter = min(height, width)
    require(shorter >= 2, f"a spectrum needs images of at least 2 x 2 pixels, not {height} x {width}")
    grey = images.detach().to("cpu", torch.float64).mean(dim=1)
    power = torch.fft.fft2(grey - grey.mean(dim=(1, 2), keepdim=True), norm="forward").abs().square()
    down, across = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.fftfreq(width, dtype=torch.float64)
    ring = ((down[:, None].square() + across.square()).sqrt() * shorter).round().long().flatten()
    kept = (ring >= 1) & (ring <= shorter // 2)
    total = torch.zeros(len(images), shorter // 2 + 1, dtype=torch.float64).index_add_(1, ring[kept], power.flatten(1)[:, kept])
    return (total / torch.bincount(ring[kept], minlength=shorter // 2 + 1).clamp(min=1))[:, 1:]


def difference(fake: Tensor, real: Tensor) -> float:
    """The mean difference of the logarithms of two mean profiles (F,); powers below 1e-10 count as 1e-10."""
    require(fake.shape == real.shape, f"spectra of images of one size are compared, these have {len(fake)} and {len(real)} frequencies")
    return float((fake.clamp(min=_LEAST).log10() - real.clamp(min=_LEAST).log10()).abs().mean())
