"""The laws a latent code is drawn from."""

import math
from typing import Final, Literal

import torch
from torch import Tensor

from ganvas.engine.draws import Draws

__all__ = ["PRIORS", "Prior", "draw", "truncated"]

Prior = Literal["normal", "uniform"]
PRIORS: Final = ("normal", "uniform")


def draw(prior: Prior, n: int, size: int, rng: Draws) -> Tensor:
    """n codes (n, size) with independent entries from N(0, 1) or from U[-1, 1)."""
    return rng.normal(n, size) if prior == "normal" else rng.uniform(n, size) * 2 - 1


def truncated(z: Tensor, threshold: float) -> Tensor:
    """Normal codes (n, Z) moved inwards, so that their entries follow N(0, 1) given that they lie in [-threshold, threshold].

    Brock et al. 2018 (arXiv:1809.11096, section 3.1) draw entries anew until they lie there. The law is the same if each entry keeps its
    quantile, P(|e| < z) = P(|e| < z') / P(|e| < threshold), and then a code is drawn once, and moves continuously with the threshold.
    """
    if math.isinf(threshold):
        return z
    wide = z.cpu().double() / math.sqrt(2)  # not every device has double precision, which tails need
    inner = torch.erfinv(torch.erf(wide) * math.erf(threshold / math.sqrt(2))) * math.sqrt(2)
    return inner.clamp(-threshold, threshold).to(z)
