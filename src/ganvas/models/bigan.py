"""BiGAN - Adversarial Feature Learning (Donahue, Krähenbühl & Darrell, 2016), arXiv:1605.09782

A GAN that also learns the way back, from data to codes. The discriminator sees pairs of a sample and a code: data with the code that an
encoder finds, or generated samples with the code they were made from. To be taken for the other kind of pair, encoder and generator must
undo each other, though neither ever sees the other's output.

Objective (equations 2 and 3), with D(x, z) = sigma(a(x, z)) and sp(t) = log(1 + e^t):

    min_(G, E) max_D  V = E_x[log D(x, E(x))] + E_z[log(1 - D(G(z), z))]

    discriminator   sp(-a(x, E(x))) + sp(a(G(z), z)) = -V       encoder and generator   sp(a(x, E(x))) + sp(-a(G(z), z))

The second line is the first with the labels of both pairs exchanged: E and G are paid, as in `gan`, by the logarithm that does not vanish
where D is sure (section 3.4). For the best D, V = -log 4 + 2 JSD between the laws of the two kinds of pairs (theorem 1); where they are
equal, E(G(z)) = z and G(E(x)) = x for almost all z and x (theorem 2).

Shapes: B batch, Z code, D numbers in one sample, H = `hidden`; samples (B, C, H, W) or points (B, D), z (B, Z), logits (B,).

    generator        Z -> H -> H -> D        batch normalisation and ReLU after both; z is shown to the second layer again
    encoder          D -> H -> H -> Z        LeakyReLU of slope 0.2 after both, batch normalisation in the second
    discriminator    D -> H, joined by z -> H -> 1, LeakyReLU and normalisation as in the encoder

Why ALI (Dumoulin et al., arXiv:1606.00704), the same game found at the same time, has its own file, `ali`: its encoder is a Gaussian that
is drawn from, its discriminator has three parts with maxout and dropout, its networks are convolutions. More than numbers differ.

Differences from the paper. Its networks are those of the permutation-invariant MNIST (section 4.1 and the authors' script), on any data.
Images end in tanh (there a sigmoid). Biases stand where no normalisation follows (there nowhere). The discriminator is updated before
the other two, on pairs of its own (there all at once, on the same pairs). Weight decay is Adam's, coupled. On request (`bound`) codes are
held to the law of z: E(x) ends in tanh for a uniform prior and is normalised by batch for a normal one, for where the scales of E(x) and z
differ the discriminator has an easy game.

What to expect. Samples like those of `gan`. Reconstructions are of the same class for about every second digit, and rarely the same digit:
nothing but the discriminator asks for likeness. Without `bound`, or without normalisation in the discriminator, short runs keep the class
of far fewer. If D(x, E(x)) goes to 1 and D(G(z), z) to 0 for good, the two kinds of pairs have come apart: lower the learning rate. Rates
of 5e-4 did so after 250,000 images of MNIST; at `quick`'s 2e-4, falling early, they stay together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Encode, Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer
from ganvas.errors import require
from ganvas.parts import initialise, latent
from ganvas.parts.objectives import NON_SATURATING, widen
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="BiGAN",
    year=2016,
    paper="Donahue et al., Adversarial Feature Learning, arXiv:1605.09782",
    family="adversarial",
    teaches="a discriminator of pairs makes an encoder invert the generator",
    data=("images", "points"),
    capabilities=("latent", "encode", "score"),
)

SLOPE = 0.2  # of LeakyReLU below 0 in encoder and discriminator (appendix C)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Permutation-invariant MNIST: section 4.1, appendix C and the authors' script."""

    images: int = 400 * 60_000
    """Length of the run in training examples: 400 epochs of MNIST (authors' script)."""
    batch: int = 128
    """Examples in each update, and codes beside them (appendix C)."""
    z: int = 50
    """Entries of the code (section 4.1)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (section 4.1) or N(0, 1)."""
    bound: bool = False
    """Hold E(x) to the range of a uniform prior by tanh, or to the mean and deviation of a normal one (the paper does not)."""
    hidden: int = 1024
    """Units of each of the two hidden layers of all networks, H above (section 4.1)."""
    discriminator_norm: bool = True
    """Batch normalisation in the discriminator (appendix C)."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2) (appendix C); None takes torch's default."""
    lr: float = 2e-4
    """Learning rate of all three (appendix C)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (appendix C)."""
    weight_decay: float = 2.5e-5
    """Weight decay of all three (appendix C)."""
    decay_from: float = 0.5
    """Share of the run after which the learning rate falls exponentially, to a hundredth at its end (appendix C)."""
    ema_half_life: float | None = None
    """Use an average of encoder and generator that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "z", "hidden")
        whole(self, 2, "batch")
        in_range(self, 0.0, math.inf, "init", "lr", "ema_half_life", open_low=True)
        in_range(self, 0.0, math.inf, "weight_decay")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def norm(units: int) -> nn.Module:
    """Batch normalisation without gain and bias (appendix C)."""
    return nn.BatchNorm1d(units, affine=False)


@final
class Generator(nn.Module):
    """Codes (B, Z) to samples (B, *shape); images in [-1, 1]."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        h = config.hidden
        self.shape = data.shape
        self.first = nn.Sequential(nn.Linear(config.z, h, bias=False), norm(h), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(h + config.z, h, bias=False), norm(h), nn.ReLU())
        self.last = nn.Sequential(nn.Linear(h, math.prod(data.shape)), nn.Tanh() if data.kind == "images" else nn.Identity())

    def forward(self, z: Tensor) -> Tensor:
        return self.last(self.second(torch.cat([self.first(z), z], 1))).view(-1, *self.shape)


@final
class Encoder(nn.Module):
    """Samples (B, ...) to codes (B, Z)."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        h = config.hidden
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(math.prod(data.shape), h), nn.LeakyReLU(SLOPE)]
        layers += [nn.Linear(h, h, bias=False), norm(h), nn.LeakyReLU(SLOPE), nn.Linear(h, config.z)]
        if config.bound:
            layers.append(nn.Tanh() if config.prior == "uniform" else norm(config.z))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@final
class Discriminator(nn.Module):
    """Pairs of samples (B, ...) and codes (B, Z) to logits (B,)."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        h, normed = config.hidden, config.discriminator_norm
        self.look = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(data.shape), h), nn.LeakyReLU(SLOPE))
        join: list[nn.Module] = [nn.Linear(h + config.z, h, bias=not normed), *([norm(h)] if normed else []), nn.LeakyReLU(SLOPE)]
        self.join = nn.Sequential(*join, nn.Linear(h, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.join(torch.cat([self.look(x), z], 1)).squeeze(1)


@final
class BiGAN(GenerativeModel, Latent, Encode, Score):
    """A game over pairs of samples and codes."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"bigan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.generator, self.encoder = Generator(config, data), Encoder(config, data)
        self.discriminator = Discriminator(config, data)
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def _pairs(self, step: Step) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The batch and its codes, and as many fresh codes with what is generated from them: x, E(x), G(z), z."""
        x, z = step.batch[self.data.kind], self.draw(step.batch.size, step.rng)
        return x, self.encoder(x), self.generator(z), z

    def discriminator_loss(self, step: Step) -> Loss:
        """-V of equation 2."""
        with torch.no_grad():
            x, code, fake, z = self._pairs(step)
        # Two calls, not one on the joined batch: the statistics of the two kinds of pairs are not to mix.
        real_logits, fake_logits = self.discriminator(x, code), self.discriminator(fake, z)
        watch = {"D(x, E(x))": real_logits.detach().float().sigmoid().mean(), "D(G(z), z)": fake_logits.detach().float().sigmoid().mean()}
        return Loss({"value": NON_SATURATING.d(real_logits, fake_logits)}, watch)

    def inverse_loss(self, step: Step) -> Loss:
        """The discriminator's loss with exchanged labels: -log(1 - D) of the encoder's pairs, -log D of the generator's."""
        x, code, fake, z = self._pairs(step)
        real_logits, fake_logits = self.discriminator(x, code), self.discriminator(fake, z)
        return Loss({"encoder": NON_SATURATING.g(-real_logits), "generator": NON_SATURATING.g(fake_logits)})

    def score(self, batch: Batch) -> Tensor:
        """Logits (B,) of the pairs (x, E(x))."""
        x = batch[self.data.kind]
        return self.discriminator(x, self.encoder(x))

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(name="discriminator", trains=(self.discriminator,), loss=self.discriminator_loss, optimizer=self._optimizer())
        inverse = Phase(name="inverse", trains=(self.generator, self.encoder), loss=self.inverse_loss, optimizer=self._optimizer())
        return [Stage(name="game", phases=(discriminator, inverse), images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        c = self.config

        def rate(clock: Clock) -> float:
            return c.lr * 0.01 ** max(0.0, (clock.stage_fraction - c.decay_from) / (1 - c.decay_from))

        return Adam(lr=rate, betas=c.betas, weight_decay=c.weight_decay)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator, self.encoder), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return self.config.prior

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.draw(self.config.prior, n, self.config.z, rng)

    def encode(self, batch: Batch) -> Tensor:
        """E(x) (B, Z)."""
        return widen(self.encoder(batch[self.data.kind]))

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "bigan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


_QUICK = Config(
    images=600_000,
    bound=True,
    hidden=512,
    lr=5e-4,
    weight_decay=0.0,
    decay_from=0.6,
    ema_half_life=10_000.0,
)  # what the presets below share

PRESETS = {
    "paper": Config(),
    "quick": replace(_QUICK, lr=2e-4, weight_decay=2.5e-5, decay_from=0.2),
    "quick-points": replace(
        _QUICK,
        images=512_000,
        batch=256,
        z=2,
        prior="normal",
        hidden=128,
        init=None,
        lr=1e-3,
        ema_half_life=20_000.0,
    ),
    "tiny": replace(_QUICK, images=8 * 20, batch=8, z=4, hidden=16, lr=2e-3, ema_half_life=50.0),
}

MODEL = BiGAN
