"""The laws a latent code is drawn from."""

from typing import Final, Literal

from torch import Tensor

from ganvas.engine.draws import Draws

__all__ = ["PRIORS", "Prior", "draw"]

Prior = Literal["normal", "uniform"]
PRIORS: Final = ("normal", "uniform")


def draw(prior: Prior, n: int, size: int, rng: Draws) -> Tensor:
    """n codes (n, size) with independent entries from N(0, 1) or from U[-1, 1)."""
    return rng.normal(n, size) if prior == "normal" else rng.uniform(n, size) * 2 - 1
