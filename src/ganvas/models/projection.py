"""Projection discriminator - cGANs with Projection Discriminator (Miyato & Koyama, 2018), arXiv:1802.05637

How should a discriminator be told the class? Not as one more input: if classes differ by what is seen, the best logit is a sum of one
term that knows no class and of an inner product, of the image's features with a vector of the class. So it is built that way.

Objective (hinge, section 4; equation 3 for the logit), with features f(x), a vector e_y for each class y, and fakes G(z, y) of drawn y:

    logit            a(x, y) = e_y . f(x) + psi(f(x))
    discriminator    E_{x,y}[max(0, 1 - a(x, y))] + E_{z,y}[max(0, 1 + a(G(z, y), y))]        generator   -E_{z,y}[a(G(z, y), y)]

Every layer of the discriminator is spectrally normalised, the table of the e_y included (`parts/spectral.py`): without that its vectors
outgrow psi, and the class is all that counts. The generator is told the class by its normalisations, whose gains and shifts are the
class' own (`parts/conditional_norm.py`).

Shapes: B batch, Z code, K classes, C channels, H x W the data's size, h x w the smallest maps, n levels; z (B, Z), labels (B,), images
(B, C, H, W), features (B, F), logits (B,). The networks are those of `sngan`:

    constant   G   z -> h x w x F -> n doubling blocks of F -> C        D   C -> n - 1 halving blocks of F, two plain ones -> sum = f
    doubling   G   z -> h x w x 8F -> 4F -> 2F -> F -> C                D   C -> F -> 2F -> 4F, all halving, 8F plain -> sum = f

Differences from the paper. Its main experiment is ImageNet at 128 x 128 (preset `paper-128`); `paper` is the authors' CIFAR-10
configuration. Any image size, through the canvas. Labels of fakes are drawn evenly, as there. Power iterations are one for an update, not
for a forward pass; the generator is updated last in each cycle, there first. Gains and shifts of classes start from N(1, 0.02^2) and
N(0, 0.02^2), there 1 and 0. No biases where a norm takes them away. Pixels are not dequantised.

What to expect. For the first thousand updates classes look alike, then they come apart within a few hundred: with `quick`'s numbers on
the embedded digits a classifier of them found the class asked for in 0.10, 0.34 and 0.95 of samples after 400, 800 and 1,200 updates.
`e . f` is watched for reals and fakes: the part of the logit that knows the class, which should be neither nothing nor everything.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import labels, spectral
from ganvas.parts.canvas import Canvas
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.objectives import HINGE
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.residual import ProjectionHead, ResidualGenerator, ResidualTrunk, Shape, widths_down, widths_up

CARD = Card(
    title="Projection discriminator",
    year=2018,
    paper="Miyato & Koyama, cGANs with Projection Discriminator, arXiv:1802.05637",
    family="adversarial",
    teaches="telling a discriminator the class by an inner product",
    data=("images",),
    capabilities=("latent", "score"),
    conditions=("labels",),
    needs=("labels",),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' configuration for CIFAR-10 (sn_cifar10 of their code); ImageNet's in brackets."""

    images: int = 50_000 * 5 * 64
    """Length of the run in training examples: 50,000 generator updates, each after 5 batches of 64 (authors' code)."""
    batch: int = 64
    """Examples in each update of the discriminator (authors' code; also ImageNet)."""
    codes: int = 2
    """Codes in each update of the generator, for each example of a batch (authors' code: 128 for 64)."""
    discriminator_steps: int = 5
    """Updates of the discriminator before each one of the generator (section 4)."""
    network: Shape = "constant"
    """Maps as many on all levels (authors' code, CIFAR-10), or twice as many on each smaller one (ImageNet)."""
    z: int = 128
    """Entries of the code, from N(0, 1) (authors' code)."""
    width: int = 256
    """Maps of the generator's largest hidden layer, F above (authors' code; 64 for ImageNet)."""
    discriminator_width: int = 128
    """Maps of the discriminator's first block, F above (authors' code; 64 for ImageNet)."""
    base: int = 4
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (authors' code)."""
    lr_generator: float = 2e-4
    """The generator's learning rate at the start (section 4)."""
    lr_discriminator: float = 2e-4
    """The discriminator's learning rate at the start (section 4)."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Decay rates of Adam's two moments (section 4)."""
    decay_from: float | None = 0.0
    """Share of the run after which learning rates fall linearly, to 0 at its end (authors' code; 400/450 for ImageNet); None: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("constant", "doubling"), "network")
        whole(self, 1, "images", "batch", "codes", "discriminator_steps", "z", "width", "discriminator_width", "base")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Generator(nn.Module):
    """Codes (B, Z) and labels (B,) to images (B, C, H, W) in [-1, 1]; every norm but the last has gains and shifts of each class."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        widths = widths_up(c.network, c.width, canvas.levels)
        self.layers = ResidualGenerator(c.z, canvas, channels, widths, norm=lambda maps: ConditionalBatchNorm2d(maps, classes))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(z, one_hot(y, self.classes).to(z.dtype))


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W) and labels (B,) to logits (B,): features by the trunk, then a projection; every layer spectrally normalised."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(channels, canvas, widths_down(c.network, c.discriminator_width, canvas), wrap=spectral.spectral)
        self.head = ProjectionHead(self.trunk.features, classes, wrap=spectral.spectral)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.trunk(x), y)


@final
class Projection(GenerativeModel, Latent, Score):
    """The hinge game of two residual networks that are told the class."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"projection takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data, self.classes = config, data, len(data.classes)
        require(self.classes >= 1, "projection needs data with labels, and these have none")
        channels, height, side = data.shape
        canvas = Canvas.fit(height, side, base=config.base)
        self.generator = Generator(config, canvas, channels, self.classes)
        self.discriminator = Discriminator(config, canvas, channels, self.classes)

    def discriminator_loss(self, step: Step) -> Loss:
        """The hinge on the batch with its labels, and on as many fresh fakes with those they were made of."""
        n, d = step.batch.size, self.discriminator
        z, of = self._drawn(n, step.rng)
        with torch.no_grad():
            fake = self.generator(z, of).float()
        # One call on both: nothing in the discriminator mixes examples.
        y = torch.cat([step.batch.labels, of])
        features = d.trunk(torch.cat([step.batch.images, fake]))
        real_logits, fake_logits = d.head(features, y).split(n)
        real_part, fake_part = d.head.projected(features.detach(), y).detach().split(n)
        watch = {
            "a(x, y)": real_logits.detach().mean(),
            "a(G(z, y), y)": fake_logits.detach().mean(),
            "e . f of reals": real_part.mean(),
            "e . f of fakes": fake_part.mean(),
        }
        return Loss({"value": HINGE.d(real_logits, fake_logits)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """-a(G(z, y), y) on `codes` fresh fakes for each example: their mean."""
        codes = self.config.codes
        z, of = self._drawn(step.batch.size * codes, step.rng)
        cost = HINGE.g(self.discriminator(self.generator(z, of), of))
        return Loss({"cost": cost.unflatten(0, (-1, codes)).mean(1)})

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """One power iteration in what has just moved."""
        spectral.advance(*phase.trains)

    def _drawn(self, n: int, rng: Draws) -> tuple[Tensor, Tensor]:
        """Codes and labels of n fakes."""
        return self.draw(n, rng), labels.drawn(n, self.classes, rng)

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(batch.images, batch.labels)

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(
            name="discriminator",
            trains=(self.discriminator,),
            loss=self.discriminator_loss,
            optimizer=self._optimizer(c.lr_discriminator),
            repeat=c.discriminator_steps,
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
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Samples of the labels asked for; without a condition the classes in turn."""
        return self.generator(z, labels.asked(condition, z, self.classes, "projection")).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Without a condition labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        return self.decode(z, condition=condition or Condition(labels=labels.drawn(n, self.classes, rng)))


PRESETS = {
    "paper": Config(),
    "paper-128": Config(
        images=450_000 * 5 * 64,
        network="doubling",
        width=64,
        discriminator_width=64,
        decay_from=400 / 450,
    ),
    "quick": Config(
        images=600_000,
        batch=32,
        codes=1,
        discriminator_steps=1,
        network="doubling",
        z=64,
        width=16,
        discriminator_width=16,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        betas=(0.5, 0.999),
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 2 * 20,
        batch=8,
        discriminator_steps=2,
        network="doubling",
        z=4,
        width=4,
        discriminator_width=4,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        decay_from=None,
        ema_half_life=50.0,
    ),
}

MODEL = Projection
