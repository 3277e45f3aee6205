"""Perceptual path length: how smoothly images follow their codes (Karras et al. 2019, arXiv:1812.04948, section 4.1).

    PPL = E[ d(G(c(t)), G(c(t + eps))) / eps^2 ],    eps = 1e-4

along paths c between two codes: spherical where the prior is normal, straight where it is uniform; t uniform in [0, 1] ("full"). Values
below the 1st and above the 99th percentile are dropped. The paper's d is LPIPS on VGG; here it is the squared distance of the extractor's
features, so a number compares with numbers of the same extractor only. Images are not rounded, as eps is far below a grey level.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.engine.capabilities import Latent
from ganvas.engine.draws import SampleDraws
from ganvas.engine.sampling import slerp
from ganvas.errors import require
from ganvas.metrics.neighbours import nothing

EPSILON, PATHS = 1e-4, 2_000
"""Step along a path as in the paper, and paths unless asked otherwise; the paper takes 100,000."""

_BATCH = 100


@dataclass(frozen=True)
class PathLength:
    """The mean over the paths kept, and the standard deviation over them."""

    length: float
    deviation: float
    paths: int


@torch.no_grad()
def path_length(
    model: Latent,
    features: Callable[[Tensor], Tensor],
    *,
    paths: int = PATHS,
    seed: int = 0,
    device: torch.device | str = "cpu",
    poll: Callable[[], None] = nothing,
) -> PathLength:
    """The length for a model in evaluation mode; `features` maps images (N, C, H, W), as the model decodes them, to (N, D).

    Raises `GanvasError` for fewer than 2 paths and for distances that are not finite.
    """
    require(paths >= 2, f"path length: at least 2 paths are wanted, not {paths}")
    found = []
    for start in range(0, paths, _BATCH):
        poll()
        count = min(_BATCH, paths - start)
        draws = SampleDraws(seed, device=device, indices=range(start, start + count))
        first, second = model.draw(count, draws), model.draw(count, draws)
        t = draws.uniform(count, 1).to(first.dtype)
        walk = slerp if model.prior == "normal" else torch.lerp
        both = torch.cat([model.decode(walk(first, second, t)), model.decode(walk(first, second, t + EPSILON))]).float().cpu()
        here, there = features(both).double().chunk(2)
        found.append((here - there).square().sum(dim=1) / EPSILON**2)
    lengths = torch.cat(found)
    require(bool(lengths.isfinite().all()), "path length: the model or the extractor gives NaN or infinity")
    low, high = lengths.quantile(torch.tensor([0.01, 0.99], dtype=lengths.dtype))
    kept = lengths[(lengths >= low) & (lengths <= high)]
    return PathLength(float(kept.mean()), float(kept.std(correction=0)), len(kept))
