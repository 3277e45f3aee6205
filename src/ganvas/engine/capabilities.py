"""What some models can do beyond sampling. A model inherits a capability or not; callers ask once, with `isinstance`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from ganvas.engine.contract import Batch, Condition, GenerativeModel
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


class Truncate(ABC):
    """Codes can be held near the middle of their law: then samples are better and more alike."""

    @abstractmethod
    def truncated(self, threshold: float, rng: Draws) -> GenerativeModel:
        """A copy of this model, for sampling, whose codes' entries are at most `threshold` in size (infinity: as they are).

        The same draws give the same codes, moved inwards. What layers have measured of what passes them is measured anew on such codes,
        drawn from `rng`. Asked for in evaluation mode, on the averaged weights; changes nothing here.
        """


class Encode(ABC):
    """Data can be mapped to codes."""

    @abstractmethod
    def encode(self, batch: Batch) -> Tensor:
        """Codes (B, Z) of a batch (the mean of the posterior where there is one)."""


class LogProbability(ABC):
    """The model gives data a likelihood, or a bound of it."""

    @abstractmethod
    def log_probability(self, batch: Batch, rng: Draws) -> Tensor:
        """Log-probability (B,) in nats, or a lower bound of it; `measured` says which, and of what."""

    @property
    @abstractmethod
    def measured(self) -> str:
        """What the number is and what is done to an image before: 'exact, of images binarised at random'."""


class Unnormalised(ABC):
    """The probability is known up to a constant Z, which is estimated once for all examples: log p(x) = -energy(x) - log Z."""

    @abstractmethod
    def energy(self, batch: Batch, rng: Draws) -> Tensor:
        """-log of the unnormalised probability (B,), in nats."""

    @abstractmethod
    def log_partition(self, rng: Draws) -> tuple[float, float]:
        """An estimate of log Z and its standard error."""


class Classify(ABC):
    """Data are told apart by class."""

    @abstractmethod
    def classify(self, batch: Batch) -> Tensor:
        """Logits (B, K) of the classes of the data, in their order; of the batch it looks at images alone, never at labels."""


class Complete(ABC):
    """A part of a sample is given, the rest is drawn."""

    @abstractmethod
    def complete(self, given: Tensor, mask: Tensor, *, rng: Draws) -> Tensor:
        """Samples (n, ...) equal to `given` where `mask` is 1."""


class Score(ABC):
    """The game holds data to be more or less real."""

    @abstractmethod
    def score(self, batch: Batch) -> Tensor:
        """A number (B,) that is higher the more real the discriminator (critic, energy) holds an example to be; differentiable."""


class Translate(ABC):
    """Images of one domain are mapped to another."""

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """The domains that images can be brought to."""

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Heights and widths that can be translated are multiples of this; 0: only those of the data."""

    @abstractmethod
    def translate(self, images: Tensor, *, to: str, rng: Draws) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] of domain `to`, of the size given."""


class Style(ABC):
    """Translations take the look of an example, where several would do."""

    @abstractmethod
    def styled(self, images: Tensor, example: Tensor, *, to: str, rng: Draws) -> Tensor:
        """`translate`, in the style of an example (1, C', H, W) of domain `to`, of the data's size; images may be several.

        `GanvasError` where the model, as it is configured, knows no styles.
        """


class AnySize(ABC):
    """Samples of any height and width."""

    @abstractmethod
    def sample_sized(self, n: int, height: int, width: int, *, rng: Draws) -> Tensor:
        """Images (n, C, height, width) in [-1, 1]."""


class Edit(ABC):
    """An image is changed and made plausible again. Images are (C, H, W) in [-1, 1], masks (H, W) in [0, 1]."""

    @property
    @abstractmethod
    def scales(self) -> int:
        """The finest scale that an edit can start from; the coarsest is 1, or 0 where there is no other."""

    @abstractmethod
    def edit(self, image: Tensor, *, mask: Tensor | None, start: int | None, rng: Draws) -> Tensor:
        """The image (1, C, H, W) after the scales from `start` on (None: the model's choice) have drawn it anew; where `mask` is 0 it
        stays as it was."""

    @abstractmethod
    def enlarge(self, image: Tensor, *, factor: float, rng: Draws) -> Tensor:
        """Super-resolution: the image (1, C, factor H, factor W)."""

    @abstractmethod
    def animate(self, frames: int, *, start: int | None, rng: Draws) -> Tensor:
        """A walk of (frames, C, H, W) through samples near the image that was learned."""


class Factors(ABC):
    """The code has parts with names, which a person can turn while the rest of it stays."""

    @property
    @abstractmethod
    def factors(self) -> Mapping[str, int]:
        """The parts by name, and of each the number of its categories; 0 for a number in [-1, 1]."""

    @abstractmethod
    def turn(self, z: Tensor, factor: str, value: Tensor) -> Tensor:
        """Codes (n, Z) with one part set to `value` (n,) or (): numbers of categories (int64), or numbers in [-1, 1]."""

    @abstractmethod
    def read(self, z: Tensor, factor: str) -> Tensor:
        """The value (n,) of one part of codes (n, Z): what `turn` would set; of codes that `encode` gave, what data show of it."""
