"""Autoencoder - Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, 2006), doi:10.1126/science.1127647

An encoder presses data into a code of few numbers, a decoder makes the data of it again, and both are trained on what was lost. Nothing
says where the codes lie. Beside `vae`, whose networks it shares, it shows what the second half of that model's loss is for: here the
space between the codes of the data has holes.

Objective, to be minimised, with the code c = f(x) and the decoder's output o = g(c), summed over all D entries:

    images in [0, 1]^D    - sum_i x_i log y_i + (1 - x_i) log(1 - y_i),  y = sigmoid(o)       (cross-entropy, the paper's)
    points                  sum_i (x_i - o_i)^2

Shapes: B batch, Z code, D numbers in one sample (C H W, or a point's entries); images (B, C, H, W) in [-1, 1], codes and z (B, Z).

What is sampled. An autoencoder is no generative model and has no law of its codes. To be asked for samples it is given one that is not
learned: independent normal entries with the mean m and the deviation s that the codes of the data have, remembered over the last
`code_half_life` training examples. Codes are handed out in these units, z = (c - m) / s, so that the law of `draw` is N(0, I), `encode`
gives numbers of mean 0 and deviation 1, and paths between codes are those of other models. Where the true law of the codes is another
(their entries are not independent, and lie on a bent sheet), samples come out of holes: that is what there is to see.

Differences from the paper. No pretraining by restricted Boltzmann machines: all layers are trained at once, by Adam instead of conjugate
gradients, from torch's first weights. Images are those of the data, and points have squares. The law of the codes is no part of it.

What to expect. Reconstructions nearer to what was given than a VAE's with as many numbers in the code, for nothing is spent on the law of
the codes. Among samples, and in the middle of paths, are fragments, and images of no class or of several.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ganvas.engine.capabilities import Encode, Latent
from ganvas.engine.card import Card
from ganvas.engine.contract import Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, linear_decay
from ganvas.errors import require
from ganvas.parts.layered import ACTIVATIONS, Activation, Layered
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="Autoencoder",
    year=2006,
    paper="Hinton & Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, doi:10.1126/science.1127647",
    family="variational",
    teaches="a code space with holes, and why it matters",
    data=("images", "points"),
    capabilities=("latent", "encode"),
)

LEAST_DEVIATION = 1e-3  # an entry of the code that never changes is not divided by 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's network for MNIST, 784-1000-500-250-30."""

    images: int = 200 * 60_000
    """Length of the run in training examples: 200 epochs of MNIST (authors' code)."""
    batch: int = 1000
    """Examples in each update (authors' code)."""
    z: int = 30
    """Entries of the code, which are linear (figure 1 and the text on MNIST)."""
    hidden: tuple[int, ...] = (1000, 500, 250)
    """Units of the encoder's hidden layers; the decoder has them in reverse order (the text on MNIST)."""
    activation: Activation = "sigmoid"
    """Hidden units (the paper: logistic)."""
    code_half_life: float = 10_000.0
    """Examples after which the remembered mean and deviation of the codes have forgotten half (ours, see the header)."""
    lr: float = 1e-3
    """Learning rate (ours: the paper has conjugate gradients)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's two moments (ours)."""
    decay_from: float | None = None
    """Share of the run after which the learning rate falls linearly, to 0 at its end; None: never."""

    def __post_init__(self) -> None:
        one_of(self, tuple(ACTIVATIONS), "activation")
        whole(self, 1, "images", "batch", "z", "hidden")
        in_range(self, 0.0, math.inf, "code_half_life", "lr", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Autoencoder(GenerativeModel, Latent, Encode):
    """An encoder and a decoder, and what is remembered of the codes between them."""

    code_mean: Tensor
    code_square: Tensor
    code_weight: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"autoencoder takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data, self.images = config, data, data.kind == "images"
        entries = math.prod(data.shape)
        self.encoder = Layered((entries, *config.hidden, config.z), config.activation)
        self.decoder = Layered((config.z, *reversed(config.hidden), entries), config.activation)
        self.register_buffer("code_mean", torch.zeros(config.z))
        self.register_buffer("code_square", torch.ones(config.z))
        self.register_buffer("code_weight", torch.zeros(()))  # 1 - (share of what was there before the first update)

    def loss(self, step: Step) -> Loss:
        """What is lost on the way through the code; leaves the moments of the codes to `after_update`."""
        x = self._entries(step.batch)
        codes = widen(self.encoder(x))
        output = widen(self.decoder(codes))
        error = binary_cross_entropy_with_logits(output, x, reduction="none") if self.images else (output - x).square()
        seen = codes.detach()
        # Means over ranks here, over micro-batches there: both are means of means of equal parts.
        step.scratch.update(mean=step.mean(seen.mean(0, keepdim=True)), square=step.mean(seen.square().mean(0, keepdim=True)))
        return Loss({"reconstruction": error.sum(1)}, {"code deviation": self._deviation.mean()})

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """Move the remembered moments of the codes; the first update sets them."""
        new = 1 - 0.5 ** (self.config.batch / self.config.code_half_life)
        self.code_weight.mul_(1 - new).add_(new)
        share = new / self.code_weight
        self.code_mean.lerp_(scratch["mean"].mean(0), share)
        self.code_square.lerp_(scratch["square"].mean(0), share)

    @property
    def _deviation(self) -> Tensor:
        """s of the header (Z,)."""
        return (self.code_square - self.code_mean.square()).clamp(min=LEAST_DEVIATION**2).sqrt()

    def _entries(self, batch: Batch) -> Tensor:
        """The batch as vectors (B, D): pixels in [0, 1], coordinates as they are."""
        x = batch[self.data.kind].flatten(1)
        return (x + 1) / 2 if self.images else x

    def stages(self) -> Sequence[Stage]:
        c = self.config
        lr = c.lr if c.decay_from is None else linear_decay(c.lr, c.decay_from)
        phase = Phase(name="reconstruction", trains=(self.encoder, self.decoder), loss=self.loss, optimizer=Adam(lr=lr, betas=c.betas))
        return [Stage(name="fit", phases=(phase,), images=c.images, batch=c.batch)]

    @property
    def prior(self) -> str:
        return "normal"

    def encode(self, batch: Batch) -> Tensor:
        """Codes (B, Z) in units of their own deviation."""
        return (widen(self.encoder(self._entries(batch))) - self.code_mean) / self._deviation

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] or points (n, D) of codes in units of their deviation."""
        require(condition is None, "autoencoder is not conditional: its samples cannot be asked for by --labels")
        output = widen(self.decoder(self.code_mean + self._deviation * z))
        return (2 * output.sigmoid() - 1 if self.images else output).view(-1, *self.data.shape)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


_QUICK = Config(images=1_200_000, batch=100, z=20, hidden=(500, 500), activation="relu", decay_from=0.5)  # the networks of `vae`, quick

PRESETS = {
    "paper": Config(),
    "quick": _QUICK,
    "quick-points": replace(_QUICK, images=512_000, batch=256, z=1, hidden=(128, 128)),
    "tiny": replace(_QUICK, images=8 * 20, batch=8, z=2, hidden=(8,), lr=1e-2, code_half_life=50.0),
}

MODEL = Autoencoder
