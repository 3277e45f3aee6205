"""SAGAN - Self-Attention Generative Adversarial Networks (Zhang et al., 2018), arXiv:1805.08318

A convolution sees a few pixels at a time, so that two legs of a dog are made without a look at each other. Here one layer of either
network lets every place of a map look at all others, and both networks are spectrally normalised, which makes that stable.

Objective (hinge, equation 4), with the logit a(x, y) of an image and its class, and fakes G(z, y) of drawn classes y:

    discriminator    E_{x,y}[max(0, 1 - a(x, y))] + E_{z,y}[max(0, 1 + a(G(z, y), y))]        generator   -E_{z,y}[a(G(z, y), y)]
    attention        b_ij = softmax over j of f(u_i) . g(u_j),   v_i = u_i + gamma W_o sum_j b_ij h(u_j),   gamma = 0 at first

u_i is the column of maps at place i (equations 1 to 3, `parts/attention.py`). As gamma starts at 0, the block first does nothing, and
the networks learn what is near before what is far. Rates are 4e-4 and 1e-4, the discriminator's the higher, with one update of each: a
cheaper way than several updates to have a discriminator that keeps up (section 4.2).

Shapes: B batch, Z code, K classes, C channels, H x W the data's size, h x w the smallest maps, n levels; z (B, Z), labels (B,), images
(B, C, H, W), logits (B,). Residual networks; * is where attention stands, on the maps whose shorter side is nearest to `attended`:

    128 x 128   G   z -> 4 x 4 x 16F -> 16F -> 8F -> 4F* -> 2F -> F -> C      D   C -> F -> 2F* -> 4F -> 8F -> 16F, halving, 16F plain -> 1
    32 x 32     G   z -> 4 x 4 x 8F -> 4F -> 2F* -> F -> C                    D   C -> F* -> 2F -> 4F, halving, 8F plain -> 1   (16 x 16)

The generator is told the class by the gains and shifts of its norms, the discriminator by a projection, as in `projection`. Weights of
both networks count as W / s(W), of the gains and shifts not, as in the authors' code.

Differences from the paper. Any image size, through the canvas, and attention on the nearest maps there are below the canvas' size. Power
iterations are one for an update, not for a forward pass. Gains and shifts of classes start from N(1, 0.02^2) and N(0, 0.02^2), there 1
and 0. No biases where a norm takes them away, none in the discriminator's last layer.
With an average of the generator's weights, its s are taken with the singular vectors of the weights in training, which are near.

What to expect. Published figures were hard to repeat (ImageNet, Frechet distance 18.65 there, 34.7 in an open benchmark). `gamma` of both
networks is watched: if it stays at 0, attention is not used. With `quick` on CIFAR-10 the classes differ in colour after some 9,000
images; after 600,000, about an hour on one core, textures are right and shapes are not. It is small, and at 32 x 32 convolutions see most
of an image anyway: attention is for larger ones.
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
from ganvas.parts.attention import SelfAttention
from ganvas.parts.canvas import Canvas
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.objectives import HINGE
from ganvas.parts.ranges import in_range, whole
from ganvas.parts.residual import ProjectionHead, ResidualGenerator, ResidualTrunk, widths_down, widths_up

CARD = Card(
    title="SAGAN",
    year=2018,
    paper="Zhang et al., Self-Attention Generative Adversarial Networks, arXiv:1805.08318",
    family="adversarial",
    teaches="letting every place of a map see all others",
    data=("images",),
    capabilities=("latent", "score"),
    conditions=("labels",),
    needs=("labels",),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sections 4 and 5 of the paper: ImageNet at 128 x 128."""

    images: int = 1_000_000 * 256
    """Length of the run in training examples: a million updates of 256 (the authors' code ends at two million at the latest)."""
    batch: int = 256
    """Examples in each update of the discriminator, and codes in each of the generator (ImageNet, on several cards)."""
    discriminator_steps: int = 1
    """Updates of the discriminator before each one of the generator (section 4.2)."""
    z: int = 128
    """Entries of the code, from N(0, 1) (authors' code)."""
    width: int = 64
    """Maps of the generator's largest hidden layer, F above (authors' code)."""
    discriminator_width: int = 64
    """Maps of the discriminator's first block, F above (authors' code)."""
    base: int = 4
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (authors' code)."""
    attended: int = 32
    """Side of the maps that attention is aimed at, in both networks (table 1: best of 8 to 64)."""
    lr_generator: float = 1e-4
    """The generator's learning rate (section 4.2)."""
    lr_discriminator: float = 4e-4
    """The discriminator's learning rate (section 4.2)."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Decay rates of Adam's two moments (section 5; the authors' script has 0.999 for the second)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "discriminator_steps", "z", "width", "discriminator_width", "base", "attended")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def attention(maps: int) -> SelfAttention:
    """The block of both networks."""
    return SelfAttention(maps, wrap=spectral.spectral)


def gamma(network: nn.Module) -> Tensor:
    """How much a network takes of its attention ()."""
    (block,) = [module for module in network.modules() if isinstance(module, SelfAttention)]
    return block.gamma.detach()


@final
class Generator(nn.Module):
    """Codes (B, Z) and labels (B,) to images (B, C, H, W) in [-1, 1]; norms but the last have gains and shifts of each class, weights are
    spectrally normalised."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.layers = ResidualGenerator(
            c.z,
            canvas,
            channels,
            widths_up("doubling", c.width, canvas.levels),
            norm=lambda maps: ConditionalBatchNorm2d(maps, classes),
            wrap=spectral.spectral,
            attention=attention,
            attended=c.attended,
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(z, one_hot(y, self.classes).to(z.dtype))


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W) and labels (B,) to logits (B,): features by the trunk, then a projection; every layer spectrally normalised."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(
            channels,
            canvas,
            widths_down("doubling", c.discriminator_width, canvas),
            wide=True,
            wrap=spectral.spectral,
            attention=attention,
            attended=c.attended,
        )
        self.head = ProjectionHead(self.trunk.features, classes, wrap=spectral.spectral)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.trunk(x), y)


@final
class SAGAN(GenerativeModel, Latent, Score):
    """The hinge game of two residual networks with attention that are told the class."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"sagan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data, self.classes = config, data, len(data.classes)
        require(self.classes >= 1, "sagan needs data with labels, and these have none")
        channels, height, side = data.shape
        canvas = Canvas.fit(height, side, base=config.base)
        self.generator = Generator(config, canvas, channels, self.classes)
        self.discriminator = Discriminator(config, canvas, channels, self.classes)

    def discriminator_loss(self, step: Step) -> Loss:
        """The hinge on the batch with its labels, and on as many fresh fakes with those they were made of."""
        n = step.batch.size
        z, of = self._drawn(n, step.rng)
        with torch.no_grad():
            fake = self.generator(z, of).float()
        # One call on both: nothing in the discriminator mixes examples.
        both = self.discriminator(torch.cat([step.batch.images, fake]), torch.cat([step.batch.labels, of]))
        real_logits, fake_logits = both.split(n)
        watch = {
            "a(x, y)": real_logits.detach().mean(),
            "a(G(z, y), y)": fake_logits.detach().mean(),
            "gamma of D": gamma(self.discriminator),
            "gamma of G": gamma(self.generator),
        }
        return Loss({"value": HINGE.d(real_logits, fake_logits)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """-a(G(z, y), y) on fresh fakes."""
        z, of = self._drawn(step.batch.size, step.rng)
        return Loss({"cost": HINGE.g(self.discriminator(self.generator(z, of), of))})

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
        return self.generator(z, labels.asked(condition, z, self.classes, "sagan")).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Without a condition labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        return self.decode(z, condition=condition or Condition(labels=labels.drawn(n, self.classes, rng)))


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        batch=32,
        z=64,
        width=16,
        discriminator_width=16,
        attended=16,
        lr_generator=5e-4,
        lr_discriminator=1e-3,
        betas=(0.5, 0.999),
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        width=4,
        discriminator_width=4,
        attended=4,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        ema_half_life=50.0,
    ),
}

MODEL = SAGAN
