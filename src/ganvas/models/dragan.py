"""DRAGAN - On Convergence and Stability of GANs (Kodali et al., 2017), arXiv:1705.07215

Modes collapse where the discriminator has sharp slopes around reals: there it tells a real from its close neighbours. So the norm of its
gradient is drawn to k in a small region around the data, and nowhere else; the game itself stays the standard one.

Objective, with the logit a(.), x_hat = G(z), sp(t) = log(1 + e^t) and noise delta:

    discriminator   E[sp(-a(x))] + E[sp(a(x_hat))] + lambda E[(|| grad_u a(u) ||_2 - k)^2],   u = x + delta
    generator       E[sp(-a(x_hat))]

    delta = c std U[-1, 1), independent for every entry, std that of all entries of the batch

Unlike WGAN-GP's, the penalty never sees a fake, and one update of the discriminator a step is enough.

Shapes: B batch, Z code; z (B, Z), samples and delta (B, C, H, W) or points (B, D), logits (B,).

    images   DCGAN's networks: generator z -> h x w x 8F -> .. -> F -> C, discriminator its mirror image without normalisation
    points   both three hidden layers of F ReLU units                                            (F = `width`, `discriminator_width`)

The discriminator has no batch normalisation: the penalty is on the gradient by each sample, and normalisation would mix the samples.

Differences from the paper. Noise in the text is Gaussian; in the authors' notebook it is uniform, only upwards, c std U[0, 1), times one
more U[0, 1) for each sample. Here it has their scale c = 1/2 but is symmetric, and nothing is multiplied. It is not clipped to the range
of pixels. Networks are convolutional as in the paper's comparisons; the notebook's perceptrons of 128 units gave the other numbers. The
std is that of the batch of a process, or of the micro-batch where gradients are accumulated.

What to expect. Slower steps than DCGAN's, since the penalty is a second-order gradient. The logged penalty tells how far slopes around
reals are from k. On points c = 1/2 reaches half-way to the next mode, and the slope bounds how sharply modes can be told apart: with it
and lambda = 10 samples on the grid find 2 of 25 modes. `quick-points` has 0.1 for both, and finds 24 or 25, with many samples between them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise, latent
from ganvas.parts.backbones import Critic, generator_for, trunk_for
from ganvas.parts.objectives import NON_SATURATING
from ganvas.parts.penalties import local_penalty
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="DRAGAN",
    year=2017,
    paper="Kodali et al., On Convergence and Stability of GANs, arXiv:1705.07215",
    family="adversarial",
    teaches="gentle slopes around the data keep modes apart",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' notebook for MNIST (DRAGAN.ipynb of their published code)."""

    images: int = 200_000 * 128
    """Length of the run in training examples: 200,000 batches of 128 (authors' notebook)."""
    batch: int = 128
    """Examples in each update of the discriminator, and codes in each of the generator (authors' notebook)."""
    penalty_weight: float = 10.0
    """Lambda of the objective (authors' notebook)."""
    penalty_slope: float = 1.0
    """The slope k that the discriminator is drawn to around reals (authors' notebook)."""
    noise: float = 0.5
    """How far from a real an entry of the penalised point may lie, c above, in standard deviations of the batch (authors' notebook)."""
    z: int = 100
    """Entries of the code (authors' notebook)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (authors' notebook) or N(0, 1)."""
    width: int = 64
    """Maps of the generator's last hidden layer (DCGAN's, half as many), or units of each hidden layer for points."""
    discriminator_width: int = 64
    """Maps of the discriminator's first hidden layer (DCGAN's, half as many), or units of each hidden layer for points."""
    kernel: int = 4
    """Side of the convolutions' kernels, of the usual re-codings of DCGAN."""
    init: float | None = 0.02
    """First weights of the generator ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (DCGAN's); None takes torch's default."""
    lr_generator: float = 1e-4
    """The generator's learning rate (authors' notebook)."""
    lr_discriminator: float = 1e-4
    """The discriminator's learning rate (authors' notebook)."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Decay rates of Adam's two moments (authors' notebook)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "z", "width", "discriminator_width")
        whole(self, 2, "kernel")
        in_range(self, 0.0, math.inf, "penalty_weight", "penalty_slope", "noise")
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def he(network: nn.Module) -> None:
    """Weights ~ N(0, 2 / inputs), biases 0 (authors' notebook): without normalisation, small first weights would let no signal through."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


@final
class DRAGAN(GenerativeModel, Latent, Score):
    """The non-saturating game with a discriminator of slope k around reals."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"dragan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.generator = generator_for(data, config.z, width=config.width, kernel=config.kernel)
        self.discriminator = Critic(trunk_for(data, width=config.discriminator_width, kernel=config.kernel, norm=None))
        if config.init is not None:
            initialise.gaussian(self.generator, config.init)
        he(self.discriminator)

    def discriminator_loss(self, step: Step) -> Loss:
        """Logistic loss on the batch and as many fresh fakes, and the penalty around the batch."""
        c, real = self.config, step.batch[self.data.kind]
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        penalty = local_penalty(self.discriminator, real, step.rng, noise=c.noise, target=c.penalty_slope)
        watch = {"D(x)": real_logits.detach().float().sigmoid().mean(), "D(G(z))": fake_logits.detach().float().sigmoid().mean()}
        return Loss({"value": NON_SATURATING.d(real_logits, fake_logits), "penalty": c.penalty_weight * penalty}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """Non-saturating cost on fresh fakes."""
        return Loss({"cost": NON_SATURATING.g(self.discriminator(self.generator(self.draw(step.batch.size, step.rng))))})

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(batch[self.data.kind])

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(
            name="discriminator", trains=(self.discriminator,), loss=self.discriminator_loss, optimizer=self._optimizer(c.lr_discriminator)
        )
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        return [Stage(name="game", phases=(discriminator, generator), images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        start = self.config.decay_from
        return Adam(lr=lr if start is None else linear_decay(lr, start), betas=self.config.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator,), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return self.config.prior

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.draw(self.config.prior, n, self.config.z, rng)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "dragan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        batch=32,
        prior="normal",
        width=32,
        discriminator_width=16,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": Config(
        images=512_000,
        batch=256,
        penalty_weight=0.1,
        noise=0.1,
        z=2,
        prior="normal",
        width=256,
        discriminator_width=256,
        init=None,
        lr_generator=5e-4,
        lr_discriminator=1e-3,
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        prior="normal",
        width=4,
        discriminator_width=4,
        init=0.1,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = DRAGAN
