"""GAN - Generative Adversarial Networks (Goodfellow et al., 2014), arXiv:1406.2661

A generator turns noise into samples while a discriminator learns to tell them from data; each is the other's teacher. No likelihood and
no Markov chain is needed: gradients reach the generator through the discriminator.

Objective (equation 1), with D(x) = sigma(a(x)) and a the discriminator's logit:

    min_G max_D  V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))]

For a fixed G the best D is p_data / (p_data + p_g) (proposition 1), where V = -log 4 + 2 JSD(p_data || p_g) (theorem 1): -log 4 exactly
when p_g = p_data. The generator may minimise one of three costs of a = a(G(z)):

    minimax              log(1 - D) = -sp(a)     derivative by a: -sigma(a)          equation 1; vanishes where D is sure
    non-saturating       -log D     =  sp(-a)    derivative by a: -(1 - sigma(a))    section 3; same fixed point, strong when losing
    maximum-likelihood   -D/(1 - D) = -exp(a)    derivative by a: -exp(a)            arXiv:1701.00160, section 3.2.4; few samples rule

Shapes: B batch, Z code; z (B, Z), samples (B, C, H, W) or points (B, D), logits (B,).

Differences from the paper. Its numbers are those of the authors' published MNIST configuration, since the text gives none. Images lie
in [-1, 1] and the generator ends in tanh (there: [0, 1] and a sigmoid); its output bias starts at 0 (there: at the pixels' marginal
log-odds); points get a linear output. All training images are used (there: the first 50,000). The learning rate has no lower limit
(there 1e-6, which 250 epochs do not reach). The authors' code halves V for the discriminator: plain gradient descent at rate 0.1 on
V / 2 is written here as rate 0.05 on V. The `textbook` preset is the small network of the well-known Keras chapter, on
batches of 64; there the discriminator takes a half-batch of 16 reals and one of 16 fakes in turn, here both in one update.

What to expect. Digits that can be read but carry salt-and-pepper noise, after a few minutes; modes come and go. On 2-D mixtures every
mode is found if both players are of equal strength. D(x) and D(G(z)) near 1/2 mean balance, not quality.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import SGD, Adam, Optimizer, at, linear_decay
from ganvas.errors import require
from ganvas.parts import latent
from ganvas.parts.objectives import MAXIMUM_LIKELIHOOD, MINIMAX, NON_SATURATING, Objective
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="GAN",
    year=2014,
    paper="Goodfellow et al., Generative Adversarial Networks, arXiv:1406.2661",
    family="adversarial",
    teaches="the two-player game, and its three generator costs",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


COSTS: dict[str, Objective] = {
    "minimax": MINIMAX,
    "non-saturating": NON_SATURATING,
    "maximum-likelihood": MAXIMUM_LIKELIHOOD,
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' MNIST configuration (mnist.yaml of their published code); it decides what the paper's text leaves open."""

    images: int = 250 * 50_000
    """Length of the run in training examples: 250 epochs of 50,000 images (reference configuration)."""
    batch: int = 100
    """Examples in each update of the discriminator, and codes in each of the generator (reference configuration)."""
    generator_cost: Literal["minimax", "non-saturating", "maximum-likelihood"] = "non-saturating"
    """What the generator minimises: equation 1, the last paragraph of section 3 (used for the paper's results), or arXiv:1701.00160."""
    critic_steps: int = 1
    """Discriminator updates before each generator update, k of algorithm 1; 1 was used for the paper's results."""
    z: int = 100
    """Entries of the code (reference configuration)."""
    prior: latent.Prior = "normal"
    """Law of the code's entries: N(0, 1) as in the reference code, or U[-1, 1)."""
    generator_widths: tuple[int, ...] = (1200, 1200)
    """Units of the generator's hidden layers (reference configuration)."""
    generator_slope: float = 0.0
    """Slope of the generator's hidden units below 0: 0 is ReLU (reference configuration), 0.2 the usual LeakyReLU."""
    generator_norm: float | None = None
    """Batch normalisation after each hidden layer, with this share of new statistics per update (Keras calls 0.2 momentum 0.8)."""
    generator_init: float | None = 0.05
    """First weights of the generator ~ U(-v, v) with zero biases (reference configuration); None takes torch's default."""
    discriminator_widths: tuple[int, ...] = (240, 240)
    """Units of the discriminator's hidden layers (reference configuration)."""
    discriminator_pieces: int = 5
    """Linear pieces of each hidden unit, which outputs their maximum (maxout, reference configuration); 1 is an ordinary layer."""
    discriminator_slope: float = 1.0
    """Slope of the discriminator's hidden units below 0: 1 adds nothing to maxout, 0.2 makes an ordinary layer a LeakyReLU layer."""
    discriminator_init: float | None = 0.005
    """First weights of the discriminator ~ U(-v, v) with zero biases (reference configuration); None takes torch's default."""
    dropout_input: float = 0.2
    """Share of input entries hidden from the discriminator at each update (reference configuration)."""
    dropout: float = 0.5
    """Share of each hidden layer's outputs hidden in the discriminator at each update (reference configuration)."""
    lr_generator: float = 0.1
    """The generator's first learning rate (reference configuration)."""
    lr_discriminator: float = 0.05
    """The discriminator's first learning rate: half of 0.1, because the reference code halves its cost."""
    lr_divisor: float = 1.000004
    """Learning rates are divided by this after every step (reference configuration); 1 keeps them."""
    decay_from: float | None = None
    """Share of the run after which learning rates also fall linearly, to 0 at its end; None, as in the paper: never."""
    momentum: tuple[float, float] | None = (0.5, 0.7)
    """Momentum of gradient descent at the start and at the end of the run (reference configuration); None where `betas` are given."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam's two moments; None, as in the paper, where plain gradient descent with `momentum` is used."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, COSTS, "generator_cost")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "critic_steps", "z", "generator_widths", "discriminator_widths", "discriminator_pieces")
        in_range(self, 0.0, 1.0, "generator_slope", "discriminator_slope")
        in_range(self, 0.0, 1.0, "dropout_input", "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, 1.0, "generator_norm", open_low=True)
        in_range(self, 0.0, math.inf, "generator_init", "discriminator_init", "lr_generator", "lr_discriminator", open_low=True)
        in_range(self, 1.0, math.inf, "lr_divisor")
        in_range(self, 0.0, math.inf, "ema_half_life", open_low=True)
        one = (self.momentum is None) != (self.betas is None)
        require(one, "--config.momentum (gradient descent) and --config.betas (Adam): give one of them and set the other to None")
        for rate in (*(self.momentum or ()), *(self.betas or ())):
            require(0.0 <= rate < 1.0, f"--config.momentum and --config.betas hold numbers of at least 0 and below 1, not {rate!r}")


@final
class Generator(nn.Module):
    """Codes (B, Z) to samples (B, *shape) through fully connected layers; images end in tanh, points in a linear layer."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.shape = data.shape
        layers: list[nn.Module] = []
        for below, above in pairwise((config.z, *config.generator_widths)):
            layers += [nn.Linear(below, above), nn.LeakyReLU(config.generator_slope)]
            if config.generator_norm is not None:
                layers += [nn.BatchNorm1d(above, eps=1e-3, momentum=config.generator_norm)]
        layers += [nn.Linear((config.z, *config.generator_widths)[-1], math.prod(data.shape))]
        if data.kind == "images":
            layers += [nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).view(-1, *self.shape)


@final
class Hidden(nn.Module):
    """A layer of maxout units (Goodfellow et al. 2013, arXiv:1302.4389): (B, I) to the largest of `pieces` linear maps, (B, O)."""

    def __init__(self, below: int, above: int, pieces: int, slope: float) -> None:
        super().__init__()
        self.pieces, self.slope = pieces, slope
        self.linear = nn.Linear(below, above * pieces)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        if self.pieces > 1:
            h = h.unflatten(1, (-1, self.pieces)).max(dim=2).values
        return nn.functional.leaky_relu(h, self.slope)


@final
class Discriminator(nn.Module):
    """Samples (B, ...) to logits (B,)."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        widths = (math.prod(data.shape), *config.discriminator_widths)
        layers: list[nn.Module] = [nn.Dropout(config.dropout_input)]
        for below, above in pairwise(widths):
            layers += [Hidden(below, above, config.discriminator_pieces, config.discriminator_slope), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).squeeze(1)


def uniform(network: nn.Module, bound: float | None) -> None:
    """Weights of linear layers ~ U(-bound, bound), biases 0; None leaves torch's defaults."""
    for layer in network.modules():
        if bound is not None and isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)


@final
class GAN(GenerativeModel, Latent, Score):
    """The two-player game on fully connected networks."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"gan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.objective = COSTS[config.generator_cost]
        self.generator, self.discriminator = Generator(config, data), Discriminator(config, data)
        uniform(self.generator, config.generator_init)
        uniform(self.discriminator, config.discriminator_init)

    def discriminator_loss(self, step: Step) -> Loss:
        """-V(D, G) of equation 1 on the batch and as many fresh fakes."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        real_logits, fake_logits = self.discriminator(step.batch[self.data.kind]), self.discriminator(fake)
        watch = {"D(x)": real_logits.detach().float().sigmoid().mean(), "D(G(z))": fake_logits.detach().float().sigmoid().mean()}
        return Loss({"value": self.objective.d(real_logits, fake_logits)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """The chosen one of the three costs on fresh fakes."""
        return Loss({"cost": self.objective.g(self.discriminator(self.generator(self.draw(step.batch.size, step.rng))))})

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(batch[self.data.kind])

    def stages(self) -> Sequence[Stage]:
        c = self.config
        phases = (
            Phase(
                name="discriminator",
                trains=(self.discriminator,),
                loss=self.discriminator_loss,
                optimizer=self._optimizer(c.lr_discriminator),
                repeat=c.critic_steps,
            ),
            Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator)),
        )
        return [Stage(name="game", phases=phases, images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        """Gradient descent with rising momentum, or Adam; the learning rate falls as the configuration says."""
        c = self.config
        falling = lr if c.decay_from is None else linear_decay(lr, c.decay_from)

        def rate(clock: Clock) -> float:
            return at(falling, clock) / c.lr_divisor**clock.step

        if c.betas is not None:
            return Adam(lr=rate, betas=c.betas)
        assert c.momentum is not None
        first, last = c.momentum
        return SGD(lr=rate, momentum=lambda clock: first + (last - first) * clock.fraction)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator,), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return self.config.prior

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.draw(self.config.prior, n, self.config.z, rng)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "gan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


_LEAKY = Config(
    generator_slope=0.2,
    generator_init=None,
    discriminator_pieces=1,
    discriminator_slope=0.2,
    discriminator_init=None,
    dropout_input=0.0,
    dropout=0.0,
    lr_generator=2e-4,
    lr_discriminator=2e-4,
    lr_divisor=1.0,
    momentum=None,
    betas=(0.5, 0.999),
)  # the numbers that all presets without maxout share

PRESETS = {
    "paper": Config(),
    "textbook": replace(
        _LEAKY,
        images=30_000 * 64,
        batch=64,
        generator_widths=(256, 512, 1024),
        generator_norm=1 - 0.8,
        discriminator_widths=(512, 256),
    ),
    "quick": replace(
        _LEAKY,
        images=600_000,
        generator_widths=(512, 512),
        generator_norm=0.1,
        discriminator_widths=(512, 512),
        dropout=0.3,
        lr_generator=5e-4,
        lr_discriminator=5e-4,
        decay_from=0.67,
        ema_half_life=10_000.0,
    ),
    "quick-points": replace(
        _LEAKY,
        images=512_000,
        batch=256,
        z=2,
        generator_widths=(256, 256, 256),
        generator_slope=0.0,
        discriminator_widths=(256, 256, 256),
        discriminator_slope=0.0,
        lr_generator=5e-4,
        lr_discriminator=1e-3,
        betas=(0.5, 0.9),
        ema_half_life=20_000.0,
    ),
    "tiny": replace(
        _LEAKY,
        images=8 * 20,
        batch=8,
        z=4,
        generator_widths=(16, 16),
        generator_norm=0.1,
        discriminator_widths=(16, 16),
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = GAN
