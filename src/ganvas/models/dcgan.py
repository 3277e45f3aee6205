"""DCGAN - Unsupervised Representation Learning with Deep Convolutional GANs (Radford et al., 2015), arXiv:1511.06434

The game of `gan` between two convolutional networks. A handful of rules made it train reliably for the first time: strides instead of
pooling, no hidden fully connected layers, batch normalisation in both networks, ReLU in the generator and LeakyReLU in the discriminator.

Objective (Goodfellow et al. 2014, equation 1 and section 3, non-saturating), with the logit a and sp(t) = log(1 + e^t):

    discriminator   E_x[sp(-a(x))] + E_z[sp(a(G(z)))]        generator   E_z[sp(-a(G(z)))]

Shapes: B batch, Z code, C channels, H x W the data's size, h x w the smallest maps, n levels; z (B, Z), images (B, C, H, W), canvas
(B, C, h 2^n, w 2^n), logits (B,). Both networks work on the canvas: the paper's 64 x 64 is 4 x 4 doubled four times, 28 x 28 digits are
padded to 32 = 4 * 2^3 by repeating their edge pixels, and samples are cropped back; 8 x 8 is 2 x 2 doubled twice.

    generator        z -> h x w x 8F -> .. -> 4F -> 2F -> F -> C   (F = `width`; the paper's 64 x 64 network has 1024-512-256-128)
    discriminator    the mirror image, ending in one linear unit

Differences from the paper. Any image size, through the canvas; the smallest maps have 8F channels on four levels or more, else 4F. Reals
and fakes are normalised in batches of their own, as in the authors' code. Biases stand only where no normalisation follows.
The `textbook` preset is the small network of the well-known Keras chapter (nearest-neighbour upsampling and 3 x 3 convolutions), on
batches of 64; there the discriminator takes a half-batch of 16 reals and one of 16 fakes in turn, here both in one update.

What to expect. Clean digits after a few minutes on two cores, all ten classes, smooth interpolations. Arithmetic on codes works when
each concept is the mean of about three codes (section 6.3.2). If D(x) goes to 1 and D(G(z)) to 0 for good, the discriminator has won.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise, latent
from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import NON_SATURATING
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.strided import double, doubled, halve

CARD = Card(
    title="DCGAN",
    year=2015,
    paper="Radford et al., Unsupervised Representation Learning with Deep Convolutional GANs, arXiv:1511.06434",
    family="adversarial",
    teaches="which convolutional networks make the game stable",
    data=("images",),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4 of the paper, at the size of its figure 1."""

    images: int = 5 * 3_033_042
    """Length of the run in training examples: five epochs of the LSUN bedrooms (figure 3)."""
    batch: int = 128
    """Examples in each update of the discriminator, and codes in each of the generator (section 4)."""
    network: Literal["strided", "upsampling"] = "strided"
    """Strided convolutions (figure 1), or the Keras chapter's upsampling and 3 x 3 convolutions (preset `textbook`)."""
    z: int = 100
    """Entries of the code (figure 1)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (figure 1) or N(0, 1)."""
    width: int = 128
    """Maps of the generator's last hidden layer, F above (figure 1; 64 in the Keras chapter)."""
    discriminator_width: int = 128
    """Maps of the discriminator's first hidden layer (mirrors figure 1; 32 in the Keras chapter)."""
    kernel: int = 5
    """Side of the convolutions' kernels (authors' code); 4 spreads the load of stride 2 evenly, against checkerboards."""
    base: int = 4
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (figure 1); `upsampling` doubles twice instead."""
    dropout: float = 0.0
    """Share of each hidden map's entries hidden in the discriminator (the paper has none; the Keras chapter 0.25)."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (section 4); None takes torch's default."""
    lr_generator: float = 2e-4
    """The generator's learning rate (section 4)."""
    lr_discriminator: float = 2e-4
    """The discriminator's learning rate (section 4)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (section 4)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("strided", "upsampling"), "network")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "z", "width", "discriminator_width", "base")
        whole(self, 2, "kernel")
        require(
            self.network == "strided" or self.kernel % 2 == 1,
            f"--config.kernel must be odd for --config.network upsampling, not {self.kernel}",
        )
        in_range(self, 0.0, 1.0, "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Generator(nn.Module):
    """Codes (B, Z) to the canvas (B, C, h 2^n, w 2^n) by n fractionally strided convolutions; values in [-1, 1]."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        widths = doubled(config.width, canvas.levels)[::-1]
        self.maps = (*canvas.base, widths[0])
        self.project = nn.Linear(config.z, math.prod(self.maps), bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for below, above in pairwise(widths):
            layers += [double(below, above, config.kernel, bias=False), nn.BatchNorm2d(above), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, double(widths[-1], channels, config.kernel, bias=True), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        # The projection is read as (h, w, maps), so that its output is channels-last without a copy.
        return self.layers(self.project(z).view(-1, *self.maps).permute(0, 3, 1, 2))


@final
class Discriminator(nn.Module):
    """Canvas (B, C, h 2^n, w 2^n) to logits (B,) by n strided convolutions; no normalisation on the first."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        widths = doubled(config.discriminator_width, canvas.levels)
        layers: list[nn.Module] = [halve(channels, widths[0], config.kernel, bias=True), *bend(config)]
        for below, above in pairwise(widths):
            layers += [halve(below, above, config.kernel, bias=False), nn.BatchNorm2d(above), *bend(config)]
        self.layers = nn.Sequential(*layers)
        self.score = nn.Linear(math.prod(canvas.base) * widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.layers(x).permute(0, 2, 3, 1).flatten(1)).squeeze(1)


def bend(config: Config) -> list[nn.Module]:
    """What follows a hidden layer of a discriminator: LeakyReLU of slope 0.2 (section 4), and dropout if any."""
    return [nn.LeakyReLU(0.2, inplace=True), *([nn.Dropout(config.dropout)] if config.dropout else [])]


def keras_norm(maps: int) -> nn.Module:
    """Batch normalisation with the Keras chapter's momentum 0.8, which torch calls 0.2, and Keras' default epsilon."""
    return nn.BatchNorm2d(maps, eps=1e-3, momentum=1 - 0.8)


@final
class UpsamplingGenerator(nn.Module):
    """The Keras chapter's generator: codes (B, Z) to h x w x 2F (7 x 7 x 128 on digits), twice upsampled, (B, C, 4h, 4w) in [-1, 1]."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        f, kernel, same = config.width, config.kernel, config.kernel // 2
        self.maps = (*canvas.base, 2 * f)
        self.project = nn.Linear(config.z, math.prod(self.maps))
        self.layers = nn.Sequential(
            nn.ReLU(),
            keras_norm(2 * f),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * f, 2 * f, kernel, padding=same),
            nn.ReLU(inplace=True),
            keras_norm(2 * f),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * f, f, kernel, padding=same),
            nn.ReLU(inplace=True),
            keras_norm(f),
            nn.Conv2d(f, channels, kernel, padding=same),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.project(z).view(-1, *self.maps).permute(0, 3, 1, 2))


@final
class UpsamplingDiscriminator(nn.Module):
    """The Keras chapter's discriminator: F, 2F, 4F maps by strides of 2, then 8F (32-64-128-256), and one linear unit; logits (B,)."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        f, kernel, same = config.discriminator_width, config.kernel, config.kernel // 2
        self.layers = nn.Sequential(
            nn.Conv2d(channels, f, kernel, stride=2, padding=same),
            *bend(config),
            nn.Conv2d(f, 2 * f, kernel, stride=2, padding=same),
            *bend(config),
            keras_norm(2 * f),
            nn.Conv2d(2 * f, 4 * f, kernel, stride=2, padding=same),
            *bend(config),
            keras_norm(4 * f),
            nn.Conv2d(4 * f, 8 * f, kernel, padding=same),
            *bend(config),
        )
        sides = (-(-side // 8) for side in canvas.size)
        self.score = nn.Linear(math.prod(sides) * 8 * f, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.layers(x).permute(0, 2, 3, 1).flatten(1)).squeeze(1)


@final
class DCGAN(GenerativeModel, Latent, Score):
    """The non-saturating game on convolutional networks."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"dcgan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        channels, height, width = data.shape
        if config.network == "strided":
            self.canvas = Canvas.fit(height, width, base=config.base)
            self.generator: nn.Module = Generator(config, self.canvas, channels)
            self.discriminator: nn.Module = Discriminator(config, self.canvas, channels)
        else:
            self.canvas = Canvas.fit(height, width, levels=2)
            self.generator = UpsamplingGenerator(config, self.canvas, channels)
            self.discriminator = UpsamplingDiscriminator(config, self.canvas, channels)
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def discriminator_loss(self, step: Step) -> Loss:
        """Logistic loss on the batch and as many fresh fakes."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        # Two calls, not one on the joined batch: the statistics of reals and fakes are not to mix.
        real_logits, fake_logits = self.discriminator(self.canvas.pad(step.batch.images)), self.discriminator(fake)
        watch = {"D(x)": real_logits.detach().float().sigmoid().mean(), "D(G(z))": fake_logits.detach().float().sigmoid().mean()}
        return Loss({"value": NON_SATURATING.d(real_logits, fake_logits)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """Non-saturating cost on fresh fakes."""
        return Loss({"cost": NON_SATURATING.g(self.discriminator(self.generator(self.draw(step.batch.size, step.rng))))})

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(self.canvas.pad(batch.images))

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
        require(condition is None, "dcgan is not conditional: its samples cannot be asked for by --labels")
        return self.canvas.crop(self.generator(z)).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "textbook": Config(
        network="upsampling",
        kernel=3,
        width=64,
        discriminator_width=32,
        prior="normal",
        dropout=0.25,
        init=None,
        batch=64,
        images=4_000 * 64,
    ),
    "quick": Config(
        images=600_000,
        batch=32,
        prior="normal",
        width=64,
        discriminator_width=24,
        kernel=4,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        prior="normal",
        width=4,
        discriminator_width=4,
        kernel=4,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = DCGAN
