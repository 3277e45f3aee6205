"""How like two images are: PSNR, SSIM (Wang et al. 2004) and MS-SSIM (Wang et al. 2003, "Multiscale structural similarity").

SSIM compares means, variances and covariance in Gaussian windows of 11 x 11 pixels with sigma 1.5; K1 = 0.01, K2 = 0.03, only windows that
lie in the image count. MS-SSIM multiplies contrast and structure of halved images, the mean's term only at the coarsest, with the paper's
exponents. The window shrinks to the image where that is smaller, and fewer than five scales are used below 176 pixels, exponents rescaled
to the sum 1; `scales_for` says how many.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import require

WINDOW, SIGMA = 11, 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_RANGE = 2.0  # of values in [-1, 1]
_K1, _K2 = 0.01, 0.03


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (N,) in dB of images a and b (N, C, H, W) in [-1, 1]; infinite for equal images."""
    first, second = _pair(a, b)
    return 10 * torch.log10(_RANGE**2 / (first - second).square().flatten(1).mean(dim=1))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (N,), at most 1, of images a and b (N, C, H, W) in [-1, 1]; the mean over channels and windows."""
    first, second = _pair(a, b)
    similarity, _ = _maps(first, second)
    return similarity.flatten(1).mean(dim=1)


def ms_ssim(a: Tensor, b: Tensor, *, scales: int | None = None) -> Tensor:
    """Multi-scale structural similarity (N,) in [0, 1] of images a and b (N, C, H, W) in [-1, 1], as many scales as the size allows.

    Negative similarities count as 0, as their fractional powers are not real. Raises `GanvasError` for more scales than the size allows.
    """
    first, second = _pair(a, b)
    most = scales_for(first.shape[2], first.shape[3])
    scales = most if scales is None else scales
    require(1 <= scales <= most, f"MS-SSIM: images of {first.shape[2]} x {first.shape[3]} pixels allow 1 to {most} scales, not {scales}")
    weights = [weight / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales]]
    total = first.new_ones(len(first))
    for scale, weight in enumerate(weights):
        similarity, structure = _maps(first, second)
        found = similarity if scale == scales - 1 else structure
        total = total * found.flatten(1).mean(dim=1).clamp(min=0) ** weight
        first, second = (F.avg_pool2d(images, 2) for images in (first, second))
    return total


def scales_for(height: int, width: int) -> int:
    """Scales, 1 to 5, at which a window still fits into images of this size."""
    scales, side = 1, min(height, width) // 2
    while side >= WINDOW and scales < len(WEIGHTS):
        scales, side = scales + 1, side // 2
    return scales


def _maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity, and its factor of contrast and structure, of each window: (N, C, h, w)."""
    channels, height, width = a.shape[1:]
    window = min(WINDOW, height, width)
    at = torch.arange(window, dtype=a.dtype, device=a.device) - (window - 1) / 2
    weights = (at.square() / (-2 * SIGMA**2)).exp()
    weights = (weights / weights.sum()).expand(5 * channels, 1, -1)
    stacked = torch.cat([a, b, a * a, b * b, a * b], dim=1)
    blurred = F.conv2d(F.conv2d(stacked, weights[:, :, None, :], groups=5 * channels), weights[:, :, :, None], groups=5 * channels)
    mean_a, mean_b, square_a, square_b, product = blurred.chunk(5, dim=1)
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    variances = (square_a - mean_a.square()).clamp(min=0) + (square_b - mean_b.square()).clamp(min=0)
    structure = (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return luminance * structure, structure


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64, which variances as differences of squares need."""
    sizes = f"{tuple(a.shape)} and {tuple(b.shape)}"
    require(a.dim() == 4 and a.shape == b.shape, f"images of one size (N, C, H, W) are compared, these are {sizes}")
    finite = bool(a.isfinite().all()) and bool(b.isfinite().all())
    require(finite, "images to compare hold NaN or infinity; look for non-finite samples or weights")
    return a.detach().to("cpu", torch.float64), b.detach().to("cpu", torch.float64)
