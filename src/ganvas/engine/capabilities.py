"""What some models can do beyond sampling. A model inherits a capability or not; callers ask once, with `isinstance`."""

from abc import ABC, abstractmethod

from torch import Tensor

from ganvas.engine.contract import Batch, Condition
from ganvas.engine.draws import Draws


class Latent(ABC):
    """A code is drawn first and decoded without further randomness."""

    @abstractmethod
    def draw(self, n: int, rng: Draws) -> Tensor:
        """n codes (n, Z) from the prior."""

    @abstractmethod
    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Samples (n, ...) of codes (n, Z), in the range and size of `sample`."""

    @property
    @abstractmethod
    def prior(self) -> str:
        """The law of a code's entries: 'normal' or 'uniform' on [-1, 1]; interpolation follows it (spherical or linear)."""


class Encode(ABC):
    """Data can be mapped to codes."""

    @abstractmethod
    def encode(self, batch: Batch) -> Tensor:
        """Codes (B, Z) of a batch (the mean of the posterior where there is one)."""


class LogProbability(ABC):
    """The model gives data a likelihood, or a bound of it."""

    @abstractmethod
    def log_probability(self, batch: Batch, rng: Draws) -> Tensor:
        """Log-probability (B,) in nats, or a lower bound of it; the card's file says which, and of which binarisation."""


class Complete(ABC):
    """A part of a sample is given, the rest is drawn."""

    @abstractmethod
    def complete(self, given: Tensor, mask: Tensor, *, rng: Draws) -> Tensor:
        """Samples (n, ...) equal to `given` where `mask` is 1."""


class Translate(ABC):
    """Data of one domain is mapped to another."""

    @abstractmethod
    def translate(self, images: Tensor, *, to: str, rng: Draws) -> Tensor:
        """Images (n, C, H, W) of domain `to`."""


class Edit(ABC):
    """An image is changed by hand and made plausible again."""

    @abstractmethod
    def edit(self, image: Tensor, *, mask: Tensor | None, rng: Draws) -> Tensor:
        """Images (n, C, H, W)."""
