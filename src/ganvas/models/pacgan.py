"""PacGAN - The Power of Two Samples in Generative Adversarial Networks (Lin et al., 2018), arXiv:1712.04086

The discriminator judges m samples at once, all real or all generated. A generator that leaves modes out is hard to tell from data by one
sample, but easily by several: they are alike too often. Nothing else of the game changes, and m = 1 is the plain GAN.

Objective (section 2.1), with a(x_1, .., x_m) the discriminator's logit of a pack, sp(t) = log(1 + e^t), x_hat = G(z):

    discriminator   E[sp(-a(x_1, .., x_m))] + E[sp(a(x_hat_1, .., x_hat_m))]        generator   E[sp(-a(x_hat_1, .., x_hat_m))]

The game is then played between the laws of m independent samples, P^m and Q^m: the more modes Q lacks, the faster their distance grows
with m (theorem 3).

Shapes: B batch, m samples in a pack, Z code; z (B, Z), images (B, C, H, W) packed to (B / m, m C, H, W), points (B, D) packed to (B / m,
m D), logits (B / m,). Samples of a pack stand next to each other in the batch and are joined on their channels or coordinates, so only the
discriminator's first layer is wider.

    images   the networks of `dcgan` at F = `width`
    points   generator Z -> four layers of 400, batch normalisation, ReLU -> D; discriminator m D -> three layers of 200 maxout units -> 1

What is a batch? B examples and B codes here, as in every other model, which make B / m packs: games of different m see as much data. The
authors keep the number of packs and draw m times as many examples, so that the `paper` presets have m times their batch. B must be a
multiple of m, also the part of it that a rank or a micro-batch gets.

Differences from the paper. Points are standardised. The authors' code for Stacked-MNIST updates the generator twice in each step, on the
same codes; here once. Data of an epoch lie in random order, and a pack is m of them in a row, so that the reals of a pack differ (there:
m independent orders).

What to expect. On the grid of 25 Gaussians packs find modes that single samples lack: `quick-points`, packs of four, found all 25 with each
of three seeds, m = 1 with equally many packs and updates 19, 24 and 20. Larger packs blur, for their samples settle on the modes later:
0.85, 0.76 and 0.42 of them lay near one, 0.94, 0.92 and 0.94 of those of m = 1. Where first samples lie inside the data, outer modes are
found late, or lost when rates fall: there, with an `output_gain` of 1, packs found 25, 19 and 25 modes. The paper has the same on
Stacked-MNIST (`--data stacked:mnist/`), and m = 4 little better than m = 2. On data whose modes are easily found nothing changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise, latent
from ganvas.parts.backbones import Critic, generator_for, trunk_for
from ganvas.parts.objectives import NON_SATURATING
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="PacGAN",
    year=2018,
    paper="Lin et al., PacGAN: The Power of Two Samples in Generative Adversarial Networks, arXiv:1712.04086",
    family="adversarial",
    teaches="judging several samples at once, against mode collapse",
    data=("images", "points"),
    capabilities=("latent",),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' published code for Stacked-MNIST (images) with packs of two; numbers of its 2-D script stand in `paper-points`."""

    images: int = 50 * 128_000 * 2
    """Length of the run in training examples: 50 epochs of 128,000 images for each place of a pack (section 4.2)."""
    batch: int = 64 * 2
    """Examples in each update of the discriminator, and codes in each of the generator; a multiple of the packing (code: 64 packs)."""
    packing: int = 2
    """Samples that are judged at once, m above (2, 3 and 4 in section 4); 1 is the plain GAN."""
    z: int = 100
    """Entries of the code (authors' code; 2 in its 2-D script)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (authors' code) or N(0, 1) (its 2-D script)."""
    width: int = 64
    """F above: maps of the largest hidden layer of both networks for images (authors' code)."""
    kernel: int = 5
    """Side of the convolutions' kernels (authors' code); 4 spreads the load of stride 2 evenly."""
    generator_units: tuple[int, ...] = (400, 400, 400, 400)
    """Units of the generator's hidden layers for points (authors' 2-D script)."""
    generator_norm: bool = True
    """Batch normalisation in the generator for points (authors' 2-D script)."""
    output_gain: float = 1.0
    """What the first weights of the last layer are multiplied by, of points: above 1, first samples reach all modes (1: paper)."""
    discriminator_units: tuple[int, ...] = (200, 200, 200)
    """Maxout units of the discriminator's hidden layers for points (authors' 2-D script)."""
    pieces: int = 5
    """Linear pieces of each maxout unit (authors' 2-D script)."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (authors' code); None takes torch's default."""
    lr_generator: float = 2e-4
    """The generator's learning rate (authors' code; 1e-4 in its 2-D script)."""
    lr_discriminator: float = 2e-4
    """The discriminator's learning rate (authors' code; 1e-4 in its 2-D script)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (authors' code; 0.8 and 0.999 in its 2-D script)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "packing", "z", "width", "generator_units", "discriminator_units")
        whole(self, 2, "kernel", "pieces")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "init", "output_gain", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")
        whole_packs = self.batch % self.packing == 0
        require(whole_packs, f"--config.batch must be a multiple of --config.packing {self.packing}, not {self.batch}")


@final
class PointGenerator(nn.Module):
    """Codes (B, Z) to points (B, D) through fully connected layers with batch normalisation (or none) and ReLU."""

    def __init__(self, config: Config, entries: int) -> None:
        super().__init__()
        widths = (config.z, *config.generator_units)
        layers: list[nn.Module] = []
        for below, above in pairwise(widths):
            norm = [nn.BatchNorm1d(above)] if config.generator_norm else []
            layers += [nn.Linear(below, above, bias=not norm), *norm, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], entries))

    @torch.no_grad()
    def spread(self, gain: float) -> None:
        """Multiply the last layer's weights."""
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(gain)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


@final
class PointDiscriminator(nn.Module):
    """Packed points (P, m D) to logits (P,) through maxout units, each the largest of `pieces` linear maps (arXiv:1302.4389)."""

    def __init__(self, config: Config, entries: int) -> None:
        super().__init__()
        self.pieces = config.pieces
        widths = (entries, *config.discriminator_units)
        self.hidden = nn.ModuleList(nn.Linear(below, above * config.pieces) for below, above in pairwise(widths))
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x).unflatten(1, (-1, self.pieces)).amax(2)
        return self.score(x).squeeze(1)


def packed(x: Tensor, packing: int) -> Tensor:
    """Samples (B, C, ...) in packs of neighbours, joined along the first axis of each: (B / packing, packing C, ...)."""
    fits = len(x) % packing == 0
    require(fits, f"{len(x)} examples cannot be put in packs of {packing}: the part of --config.batch that a rank or micro-batch gets")
    return x.unflatten(0, (-1, packing)).flatten(1, 2)


@final
class PacGAN(GenerativeModel, Latent):
    """The non-saturating game with a discriminator of packs."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"pacgan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        inputs = config.packing * data.shape[0]
        if data.kind == "images":
            self.generator = generator_for(data, config.z, width=config.width, kernel=config.kernel)
            self.discriminator: nn.Module = Critic(trunk_for(data, inputs=inputs, width=config.width, kernel=config.kernel))
        else:
            self.generator = PointGenerator(config, data.shape[0])
            self.discriminator = PointDiscriminator(config, inputs)
        if config.init is not None:
            initialise.gaussian(self, config.init)
        if isinstance(self.generator, PointGenerator):
            self.generator.spread(config.output_gain)

    def judged(self, x: Tensor) -> Tensor:
        """Logits (B / m,) of samples (B, ...) in packs."""
        return self.discriminator(packed(x, self.config.packing))

    def discriminator_loss(self, step: Step) -> Loss:
        """Logistic loss on packs of the batch and as many of fresh fakes."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        real_logits, fake_logits = self.judged(step.batch[self.data.kind]), self.judged(fake)
        watch = {"D(x)": real_logits.detach().float().sigmoid().mean(), "D(G(z))": fake_logits.detach().float().sigmoid().mean()}
        return Loss({"value": NON_SATURATING.d(real_logits, fake_logits).mean()}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """Non-saturating cost on packs of fresh fakes."""
        return Loss({"cost": NON_SATURATING.g(self.judged(self.generator(self.draw(step.batch.size, step.rng)))).mean()})

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
        require(condition is None, "pacgan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


_POINTS = Config(
    images=400 * 100_000 * 2,
    batch=100 * 2,
    z=2,
    prior="normal",
    lr_generator=1e-4,
    lr_discriminator=1e-4,
    betas=(0.8, 0.999),
)  # the authors' 2-D script: 400 epochs of 100,000 points for each place of a pack

PRESETS = {
    "paper": Config(),
    "paper-points": _POINTS,
    "quick": Config(
        images=600_000,
        batch=64,
        prior="normal",
        width=24,
        kernel=4,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": replace(
        _POINTS,
        images=14_000 * 128 * 4,
        batch=128 * 4,
        packing=4,
        generator_units=(128, 128, 128),
        generator_norm=False,
        output_gain=8.0,
        discriminator_units=(128, 128, 128),
        pieces=2,
        init=None,
        lr_generator=5e-4,
        lr_discriminator=1e-3,
        betas=(0.5, 0.9),
        decay_from=0.7,
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        prior="normal",
        width=4,
        kernel=4,
        generator_units=(16, 16),
        discriminator_units=(8, 8),
        pieces=2,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = PacGAN
