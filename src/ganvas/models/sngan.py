"""SNGAN - Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018), arXiv:1802.05957

A discriminator that may be as steep as it likes gives the generator no usable slope. Here each of its layers is divided by its largest
singular value, so that none of them stretches anything, and the whole network changes no faster than its input does.

Objective (equations 16 and 17 for the hinge, 1 for the logistic), with the logit a and sp(t) = log(1 + e^t):

    hinge            D   E_x[max(0, 1 - a(x))] + E_z[max(0, 1 + a(G(z)))]        G   -E_z[a(G(z))]
    non-saturating   D   E_x[sp(-a(x))] + E_z[sp(a(G(z)))]                       G   E_z[sp(-a(G(z)))]

Every weight matrix W of D, convolutions read as (outputs, inputs * 3 * 3), counts as W / s(W) with s = u^T W v; u and v follow the first
singular vectors by one power iteration after each update (`parts/spectral.py`).

Shapes: B batch, Z code, C channels, H x W the data's size, h x w the smallest maps, n levels; z (B, Z), images (B, C, H, W), logits (B,).

    constant   G   z -> h x w x F -> n doubling blocks of F -> C        D   C -> n - 1 halving blocks of F, two plain ones -> sum -> 1
    doubling   G   z -> h x w x 8F -> 4F -> 2F -> F -> C                D   C -> F -> 2F -> 4F -> 8F, all halving, 16F plain -> sum -> 1

`constant` is the network of 32 x 32 (table 4: F = 256 and 128), `doubling` that of 48 x 48 (table 5: F = 64; preset `paper-48`). Sums
are over all places of the last maps. D has no other normalisation, and its last layer no bias.

Differences from the paper. Any image size, through the canvas. The power iteration is that of algorithm 1, once for an update; the authors'
code iterates in every forward pass. There the generator is updated first in each cycle, here last. No biases where a norm takes them away.
Pixels are not dequantised.

What to expect. Training that seldom fails at rates that break an unnormalised discriminator. With the hinge the logits of reals and fakes
stay within a few units of 0, and a discriminator that cannot tell them apart pays 2. Residual networks are dear: at the same width an
image costs several of DCGAN's, which is why `quick` is narrow, with two updates of D for each of G and Adam's rates for small budgets. Two,
for with one D falls behind on colour images, and samples grow worse: on CIFAR-10 the Frechet distance was 0.21 after 160,000 images and
0.27 after 600,000; with two 0.51 after 40,000 and 0.11 after 600,000.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import spectral
from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import HINGE, NON_SATURATING, Objective
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.residual import ResidualGenerator, ResidualTrunk, Shape, glorot, widths_down, widths_up

CARD = Card(
    title="SNGAN",
    year=2018,
    paper="Miyato et al., Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957",
    family="adversarial",
    teaches="a discriminator held gentle by its singular values",
    data=("images",),
    capabilities=("latent", "score"),
)

OBJECTIVES: Final[Mapping[str, Objective]] = {"hinge": HINGE, "non-saturating": NON_SATURATING}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4 and appendix B of the paper: residual networks on CIFAR-10."""

    images: int = 50_000 * 5 * 64
    """Length of the run in training examples: 50,000 generator updates, each after 5 batches of 64 (authors' code)."""
    batch: int = 64
    """Examples in each update of the discriminator (section 4)."""
    codes: int = 2
    """Codes in each update of the generator, for each example of a batch (authors' code: 128 for 64)."""
    discriminator_steps: int = 5
    """Updates of the discriminator before each one of the generator (section 4, n_dis)."""
    objective: Literal["hinge", "non-saturating"] = "hinge"
    """Hinge (equations 16 and 17), or the logistic objective in its non-saturating form (equation 1)."""
    network: Shape = "constant"
    """Maps as many on all levels (table 4, 32 x 32), or twice as many on each smaller one (table 5, 48 x 48)."""
    z: int = 128
    """Entries of the code, from N(0, 1) (table 4)."""
    width: int = 256
    """Maps of the generator's largest hidden layer, F above (table 4; 64 in table 5)."""
    discriminator_width: int = 128
    """Maps of the discriminator's first block, F above (table 4; 64 in table 5)."""
    base: int = 4
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (table 4; 6 in table 5)."""
    lr_generator: float = 2e-4
    """The generator's learning rate at the start (section 4)."""
    lr_discriminator: float = 2e-4
    """The discriminator's learning rate at the start (section 4)."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Decay rates of Adam's two moments (section 4, setting C)."""
    decay_from: float | None = 0.0
    """Share of the run after which learning rates fall linearly, to 0 at its end (authors' code: from the start); None: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, tuple(OBJECTIVES), "objective")
        one_of(self, ("constant", "doubling"), "network")
        whole(self, 1, "images", "batch", "codes", "discriminator_steps", "z", "width", "discriminator_width", "base")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W) to logits (B,), every layer spectrally normalised."""

    def __init__(self, c: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(channels, canvas, widths_down(c.network, c.discriminator_width, canvas), wrap=spectral.spectral)
        self.score = spectral.spectral(glorot(nn.Linear(self.trunk.features, 1, bias=False)))

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.trunk(x)).squeeze(1)


@final
class SNGAN(GenerativeModel, Latent, Score):
    """The game of two residual networks, one of which stretches nothing."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"sngan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        channels, height, side = data.shape
        canvas = Canvas.fit(height, side, base=config.base)
        self.generator = ResidualGenerator(config.z, canvas, channels, widths_up(config.network, config.width, canvas.levels))
        self.discriminator = Discriminator(config, canvas, channels)

    def discriminator_loss(self, step: Step) -> Loss:
        """Equation 16 (or 1) on the batch and as many fresh fakes."""
        n = step.batch.size
        with torch.no_grad():
            fake = self.generator(self.draw(n, step.rng)).float()
        # One call on both: nothing in the discriminator mixes examples.
        real_logits, fake_logits = self.discriminator(torch.cat([step.batch.images, fake])).split(n)
        watch = {"a(x)": real_logits.detach().float().mean(), "a(G(z))": fake_logits.detach().float().mean()}
        return Loss({"value": OBJECTIVES[self.config.objective].d(real_logits, fake_logits)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """Equation 17 (or its logistic form) on `codes` fresh fakes for each example: their mean."""
        codes = self.config.codes
        logits = self.discriminator(self.generator(self.draw(step.batch.size * codes, step.rng)))
        return Loss({"cost": OBJECTIVES[self.config.objective].g(logits).unflatten(0, (-1, codes)).mean(1)})

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """One power iteration in what has just moved."""
        spectral.advance(*phase.trains)

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(batch.images).float()

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
        require(condition is None, "sngan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "paper-48": Config(network="doubling", base=6, width=64, discriminator_width=64),
    "quick": Config(
        images=600_000,
        batch=32,
        codes=1,
        discriminator_steps=2,
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

MODEL = SNGAN
