"""BigGAN - Large Scale GAN Training for High Fidelity Natural Image Synthesis (Brock, Donahue & Simonyan, 2018), arXiv:1809.11096

What does scale do for a GAN? The game of `sagan` with batches eight times as large and half as many maps again, and what makes that work:
a code that enters at every level, classes that share one table, first weights that are orthogonal. A generator held near orthogonal takes
codes cut off near 0, and a person can then trade variety for quality after training.

Objective (hinge), with the logit a(x, y) of an image and its class, and fakes G(z, y) of drawn classes y:

    discriminator    E_{x,y}[max(0, 1 - a(x, y))] + E_{z,y}[max(0, 1 + a(G(z, y), y))]
    generator        -E_{z,y}[a(G(z, y), y)] + beta sum over layers of || W W^T * (1 - I) ||_F^2        (equation 3; W a row for each map)

The code is cut into n + 1 chunks (z_0, z_1, .. z_n). The first makes the smallest maps; block k has normalisations with gains and shifts
1 + A_k c and B_k c of c = (z_k, e_y), where the table of the e_y is one for all blocks (`parts/conditional_norm.py`). Weights of both
networks count as W / s(W) (`parts/spectral.py`), the A_k and B_k too, the table e not. Samples come from an average of the generator's
weights, which starts after `ema_start` images; until then it is the weights.

Truncation (section 3.1, appendix C.1): codes with entries in [-t, t]. Batch norm's statistics are gathered anew for them, in `standing`
passes (`parts/standing.py`), as those of training belong to codes of any size and to weights that moved.

Shapes: B batch, Z = (n + 1) chunk code, K classes, E entries of e_y, C channels, H x W the data's size, h x w the smallest maps, n levels;
z (B, Z), labels (B,), images (B, C, H, W), logits (B,). Residual networks; * is where attention stands:

    128 x 128   G   z_0 -> 4 x 4 x 16F -> 16F -> 8F -> 4F -> 2F* -> F -> C    D   C -> F* -> 2F -> 4F -> 8F -> 16F, halving, 16F plain -> 1
    constant    G   z_0 -> h x w x F -> n doubling blocks of F -> C           D   C -> n - 1 halving blocks of F, two plain ones -> 1

Differences from the paper. Any image size, through the canvas, and attention on the nearest maps there are below the canvas' size. `paper`
has the numbers for ImageNet at 128 x 128, which the paper also took for CIFAR-10 (appendix C.2); `paper-32` has those of the authors'
CIFAR-10 script, without attention and penalty, but first weights, table and chunks as in the paper (the script has none of them). Codes
are truncated by their quantiles, not by drawing entries anew: the law is the same, and one code can be followed through thresholds.
Samples of the whole prior have the running statistics of training; `--truncation inf` gathers them. Power iterations are one for an
update, not for a forward pass. No biases where a norm takes them away (up to what attention sees of them), none in the discriminator's
last layer. The penalty's gradient is that of the formula, twice what the authors' code adds.

What to expect. The paper's runs collapsed in the end, and it used checkpoints from before: keep some. The smaller t, the more alike samples
are: recall falls and, in a network that has learned enough, precision rises, which `ganvas truncate RUN` draws. Far below the t that
training knows samples may saturate; the penalty is there against it. It is small at first, where rows are orthogonal, except in layers with
more rows than columns. A network that has learned nothing gives every truncated code its full size back, in its first norm; what is left
near t = 0 is the picture that the first layer's biases have learned. With `quick` on CIFAR-10 classes differ in colour after 14,000 images,
and a classifier finds the class asked for in 0.19 of samples; after 300,000 in 0.57.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score, Truncate
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import labels, latent, orthogonal, spectral, standing
from ganvas.parts.attention import SelfAttention
from ganvas.parts.canvas import Canvas
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.objectives import HINGE
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.residual import ProjectionHead, ResidualGenerator, ResidualTrunk, Shape, widths_down, widths_up

CARD = Card(
    title="BigGAN",
    year=2018,
    paper="Brock, Donahue & Simonyan, Large Scale GAN Training for High Fidelity Natural Image Synthesis, arXiv:1809.11096",
    family="adversarial",
    teaches="a code at every level, and trading variety for quality",
    data=("images",),
    capabilities=("latent", "score", "truncate"),
    conditions=("labels",),
    needs=("labels",),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 3 and appendices B and C of the paper: ImageNet at 128 x 128."""

    images: int = 165_000 * 2 * 2048
    """Length of the run in training examples: 165,000 updates of the generator (table 1, last row of 96 maps)."""
    batch: int = 2048
    """Examples in each update of the discriminator, and codes in each of the generator (table 1, on many cards)."""
    discriminator_steps: int = 2
    """Updates of the discriminator before each one of the generator (section 3)."""
    network: Shape = "doubling"
    """Maps twice as many on each smaller level (appendix B, table 4), or as many on all (authors' code for 32 x 32)."""
    chunk: int = 20
    """Entries of the code for each level and for the smallest maps, from N(0, 1) (appendix B: 120 in 6 chunks at 128 x 128)."""
    shared: int = 128
    """Entries of the table of classes that all blocks share (appendix B)."""
    width: int = 96
    """Maps of the generator's largest hidden layer, F above (table 1)."""
    discriminator_width: int = 96
    """Maps of the discriminator's first block, F above (table 1)."""
    base: int = 4
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (appendix B)."""
    attended: int | None = 64
    """Side of the maps that attention is aimed at, in both networks (appendix B, table 4); None: no attention."""
    orthogonal: float = 1e-4
    """Weight beta of the penalty on products of different rows of the generator's weights (section 3.1)."""
    standing: int = 100
    """Passes of a batch each that standing statistics are gathered in (appendix C.1; the authors' later code has 16)."""
    lr_generator: float = 5e-5
    """The generator's learning rate (appendix C)."""
    lr_discriminator: float = 2e-4
    """The discriminator's learning rate (appendix C)."""
    betas: tuple[float, float] = (0.0, 0.999)
    """Decay rates of Adam's two moments (appendix C)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_decay: float | None = 0.9999
    """Share of the old average of the generator's weights kept at each of its updates (appendix C); None: no average."""
    ema_start: int = 20_000 * 2 * 2048
    """Training examples after which the average starts: 20,000 updates of the generator (authors' code)."""

    def __post_init__(self) -> None:
        one_of(self, ("constant", "doubling"), "network")
        whole(self, 1, "images", "batch", "discriminator_steps", "chunk", "shared", "width", "discriminator_width", "base", "standing")
        whole(self, 1, "attended")
        whole(self, 0, "ema_start")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, 1.0, "ema_decay", open_low=True, open_high=True)
        in_range(self, 0.0, math.inf, "orthogonal")
        in_range(self, 0.0, math.inf, "lr_generator", "lr_discriminator", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def attention(maps: int) -> SelfAttention:
    """The block of both networks."""
    return SelfAttention(maps, wrap=spectral.spectral)


@final
class Generator(nn.Module):
    """Codes (B, Z) and labels (B,) to images (B, C, H, W) in [-1, 1]: a chunk of the code for the smallest maps, one for each block."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        self.chunk, self.z = c.chunk, c.chunk * (canvas.levels + 1)
        self.table = nn.Embedding(classes, c.shared)
        self.layers = ResidualGenerator(
            c.chunk,
            canvas,
            channels,
            widths_up(c.network, c.width, canvas.levels),
            norm=lambda maps: ConditionalBatchNorm2d(maps, c.chunk + c.shared, wrap=spectral.spectral),
            wrap=spectral.spectral,
            attention=None if c.attended is None else attention,
            attended=c.attended or 1,
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        first, *others = z.split(self.chunk, dim=1)
        told = self.table(y)
        return self.layers(first, [torch.cat([chunk, told], dim=1) for chunk in others])


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W) and labels (B,) to logits (B,): features by the trunk, then a projection; every layer spectrally normalised."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(
            channels,
            canvas,
            widths_down(c.network, c.discriminator_width, canvas),
            wide=True,
            wrap=spectral.spectral,
            attention=None if c.attended is None else attention,
            attended=c.attended or 1,
        )
        self.head = ProjectionHead(self.trunk.features, classes, wrap=spectral.spectral)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.trunk(x), y)


@final
class BigGAN(GenerativeModel, Latent, Score, Truncate):
    """The hinge game of two residual networks that are told the class, with a code that enters at every level."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"biggan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data, self.classes = config, data, len(data.classes)
        require(self.classes >= 1, "biggan needs data with labels, and these have none")
        channels, height, side = data.shape
        canvas = Canvas.fit(height, side, base=config.base)
        self.generator = Generator(config, canvas, channels, self.classes)
        self.discriminator = Discriminator(config, canvas, channels, self.classes)
        self.threshold = math.inf
        orthogonal.initialise(self)
        spectral.settle(self, iterations=1)  # exact: all singular values are 1

    def discriminator_loss(self, step: Step) -> Loss:
        """The hinge on the batch with its labels, and on as many fresh fakes with those they were made of."""
        n = step.batch.size
        z, of = self._drawn(n, step.rng)
        with torch.no_grad():
            fake = self.generator(z, of).float()
        # One call on both: nothing in the discriminator mixes examples.
        both = self.discriminator(torch.cat([step.batch.images, fake]), torch.cat([step.batch.labels, of]))
        real_logits, fake_logits = both.split(n)
        watch = {"a(x, y)": real_logits.detach().mean(), "a(G(z, y), y)": fake_logits.detach().mean()}
        return Loss({"value": HINGE.d(real_logits, fake_logits)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """-a(G(z, y), y) on fresh fakes, and what products of different rows cost."""
        z, of = self._drawn(step.batch.size, step.rng)
        terms = {"cost": HINGE.g(self.discriminator(self.generator(z, of), of))}
        if self.config.orthogonal:
            terms["orthogonal"] = self.config.orthogonal * orthogonal.penalty(self.generator)
        return Loss(terms)

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
        c = self.config
        return None if c.ema_decay is None else Average(modules=(self.generator,), decay=c.ema_decay, start=c.ema_start)

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.truncated(rng.normal(n, self.generator.z), self.threshold)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Samples of the labels asked for; without a condition the classes in turn."""
        return self.generator(z, labels.asked(condition, z, self.classes, "biggan")).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Without a condition labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        return self.decode(z, condition=condition or Condition(labels=labels.drawn(n, self.classes, rng)))

    @torch.no_grad()
    def truncated(self, threshold: float, rng: Draws) -> "BigGAN":
        # The discriminator is shared, everything else copied.
        other = copy.deepcopy(self, {id(self.discriminator): self.discriminator})
        other.threshold = threshold
        standing.gather(other.generator, (other._drawn(self.config.batch, rng) for _ in range(self.config.standing)))
        return other


PRESETS = {
    "paper": Config(),
    "paper-32": Config(
        images=50_000 * 500,
        batch=50,
        discriminator_steps=4,
        network="constant",
        width=256,
        discriminator_width=256,
        attended=None,
        orthogonal=0.0,
        standing=16,
        lr_generator=2e-4,
        lr_discriminator=2e-4,
        ema_start=1_000 * 4 * 50,
    ),
    "quick": Config(
        images=300_000,
        batch=32,
        chunk=16,
        shared=32,
        width=16,
        discriminator_width=16,
        attended=8,
        standing=16,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        betas=(0.5, 0.999),
        decay_from=0.8,
        ema_decay=0.998,
        ema_start=20_000,
    ),
    "tiny": Config(
        images=8 * 2 * 20,
        batch=8,
        chunk=3,
        shared=4,
        width=4,
        discriminator_width=4,
        attended=4,
        standing=4,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        ema_decay=0.9,
        ema_start=32,
    ),
}

MODEL = BigGAN
