"""R3GAN - The GAN is dead; long live the GAN! A Modern GAN Baseline (Huang et al., 2024), arXiv:2501.05441

With a loss that is known to converge, a GAN needs none of the tricks that were piled up to keep it from falling apart. The loss compares
each real with one fake, and the critic's slope is held down on both; the networks are plain residual ones without any normalisation.

Objective (section 2), with the critic's score a, x_hat = G(z), real i beside fake i, and sp(t) = log(1 + e^t):

    critic      E[sp(-(a(x) - a(x_hat)))] + gamma / 2 (R1 + R2)        R1 = E[|| grad_x a(x) ||^2]    R2 = E[|| grad a(x_hat) ||^2]
    generator   E[sp(-(a(x_hat) - a(x)))]

With pairs no mode can be left out at a minimum, but the game need not converge. With either penalty it does near its goal; far from it,
only both keep it from running away (section 2). Both are taken in every step. A burn-in leads four numbers along half a cosine each: the
rate of learning and gamma fall, Adam's second beta and the half-life of the average rise.

Shapes: B batch, Z code, E vector of a class, C channels, H x W the data's size, h x w the smallest maps, n levels; z (B, Z), labels (B,),
images (B, C, H, W), features (B, F), scores (B,).

    G   z (and a vector of the class) -> h x w basis x F -> stage -> n times [double, stage] -> C
    D   C -> stage -> n times [halve, stage] -> h x w basis -> F -> a, or the product of an F vector and one of the class

A stage is `depth` bottleneck blocks of grouped convolutions (`parts/grouped.py`), whose last layers start at 0.

Differences from the paper. Its images are augmented, with a probability that rises in the burn-in; here they are not. Training lasts until
it is stopped there; here 200 million images, so that the burn-in is a tenth, and another budget scales both. Any image size, through the
canvas. The generator compares its fakes with the reals that the critic has just seen (there: new ones). The critic's update is in single
precision throughout (there: its larger maps in bfloat16). The average's half-life is never above 0.3 of the images seen, which binds only
in runs shorter than the paper's. Samples are clipped to [-1, 1]; the generator ends without tanh, as there.

What to expect. Quiet training: the watched `lead`, the mean of a(x) - a(x_hat), stays within a few units, and no mode is lost. The gradient
of a gradient, of reals and of fakes and in every step, makes an image dear, which is why `quick` is narrow, with a block a stage.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, at, cosine
from ganvas.errors import require
from ganvas.parts import labels
from ganvas.parts.canvas import Canvas
from ganvas.parts.grouped import GroupedGenerator, GroupedTrunk, variance, widths_of
from ganvas.parts.penalties import zero_centred
from ganvas.parts.ranges import in_range, whole
from ganvas.parts.relativistic import CRITERIA, paired

CARD = Card(
    title="R3GAN",
    year=2024,
    paper="Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, arXiv:2501.05441",
    family="adversarial",
    teaches="a converging loss, and plain networks without tricks",
    data=("images",),
    capabilities=("latent", "score"),
    conditions=("labels",),
)

OBJECTIVE: Final = paired(CRITERIA["logistic"])
LARGEST_SHARE: Final = 0.3  # of the images seen, for the average's half-life; the paper's schedule stays below 0.29


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' configuration for CIFAR-10 (preset CIFAR10 of their published code)."""

    images: int = 200_000_000
    """Length of the run in training examples: ten burn-ins of 20 million (authors' code; there it lasts until it is stopped)."""
    batch: int = 512
    """Reals and fakes in each update (authors' code)."""
    conditional: bool = True
    """Tell both networks the class where the data have classes (authors' command for CIFAR-10); False learns without."""
    z: int = 64
    """Entries of the code, from N(0, 1) (authors' code)."""
    embedding: int = 64
    """Entries of a class' vector, which the generator takes beside the code (authors' code)."""
    width: int = 768
    """Maps of the stage at the data's size (authors' code; 96 for FFHQ-256)."""
    most: int = 768
    """Maps are doubled from stage to stage up to so many (authors' code: constant on CIFAR-10, doubled up to 768 for FFHQ-256)."""
    depth: int = 2
    """Blocks of each stage (authors' code)."""
    expansion: int = 2
    """Maps within a block, as a multiple of those outside (authors' code)."""
    group: int = 16
    """Maps of each group of a 3 x 3 convolution (authors' code: 1,536 maps in 96 groups)."""
    base: int = 4
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (authors' code)."""
    burn_in: float = 0.1
    """Share of the run in which the numbers below move from their first value to their last (authors' code: 20 million images)."""
    lr: tuple[float, float] = (2e-4, 5e-5)
    """Learning rate of both networks (authors' code)."""
    gamma: tuple[float, float] = (0.05, 0.005)
    """Weight of the penalties (authors' code)."""
    beta1: float = 0.0
    """Decay rate of Adam's first moment (authors' code)."""
    beta2: tuple[float, float] = (0.9, 0.99)
    """Decay rate of Adam's second moment (authors' code)."""
    ema_half_life: float | None = 5_000_000.0
    """Images in which the average of the generator's weights forgets half, after the burn-in; it rises from 0 (authors' code)."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "z", "embedding", "width", "most", "depth", "expansion", "group", "base")
        in_range(self, 0.0, 1.0, "burn_in", open_low=True)
        in_range(self, 0.0, 1.0, "beta1", open_high=True)
        in_range(self, 0.0, math.inf, "ema_half_life", open_low=True)
        for name, low, high in (("lr", 0.0, math.inf), ("gamma", 0.0, math.inf), ("beta2", 0.0, 1.0)):
            for value in getattr(self, name):
                fits = isinstance(value, int | float) and low <= value < high
                require(fits, f"--config.{name} holds numbers of at least {low:g}{' and below 1' if high == 1 else ''}, not {value!r}")
        require(self.most >= self.width, f"--config.most must be at least --config.width, {self.width}, not {self.most}")
        for maps in widths_of(self.width, self.most, self.most.bit_length()):
            inner = self.expansion * maps
            fits = inner <= self.group or inner % self.group == 0
            require(fits, f"--config.group must divide the {inner} maps within a block of {maps}, not be {self.group}")


@final
class Generator(nn.Module):
    """Codes (B, Z), and labels (B,) where there are classes, to images (B, C, H, W), not limited to [-1, 1]."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        inputs = c.z + c.embedding if classes else c.z
        widths = widths_of(c.width, c.most, canvas.levels)
        self.embedding = variance(torch.empty(c.embedding, classes)) if classes else None
        self.layers = GroupedGenerator(inputs, canvas, channels, widths, depth=c.depth, group=c.group, expansion=c.expansion)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        if self.embedding is not None and y is not None:
            z = torch.cat([z, self.embedding.t()[y]], 1)
        return self.layers(z)


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W), and labels (B,) where there are classes, to scores (B,): a linear function of the features, or the product of
    as many of them with the class' vector."""

    def __init__(self, c: Config, canvas: Canvas, channels: int, classes: int) -> None:
        super().__init__()
        widths = widths_of(c.width, c.most, canvas.levels)
        self.trunk = GroupedTrunk(channels, canvas, widths, depth=c.depth, group=c.group, expansion=c.expansion)
        outputs = self.trunk.features if classes else 1
        self.weight = variance(torch.empty(outputs, self.trunk.features))
        self.embedding = variance(torch.empty(outputs, classes), 1 / math.sqrt(outputs)) if classes else None

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        features = self.trunk(x)
        # Pairs compare scores whose common level is free and drifts: rounded to bfloat16 their differences would be coarse.
        with torch.autocast(x.device.type, enabled=False):
            scores = features @ self.weight.t()
            if self.embedding is not None and y is not None:
                return (scores * self.embedding.t()[y]).sum(1)
            return scores.squeeze(1)


@final
class R3GAN(GenerativeModel, Latent, Score):
    """The game of pairs, with two penalties and four schedules."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"r3gan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.classes = len(data.classes) if config.conditional else 0
        channels, height, side = data.shape
        canvas = Canvas.fit(height, side, base=config.base)
        self.generator = Generator(config, canvas, channels, self.classes)
        self.discriminator = Discriminator(config, canvas, channels, self.classes)
        self.gamma = cosine(*config.gamma, config.burn_in)

    def conditions(self, listed: tuple[str, ...]) -> tuple[str, ...]:
        return listed if self.classes else ()

    def discriminator_loss(self, step: Step) -> Loss:
        """How far reals are ahead of fresh fakes of the same classes, and both penalties; one pass, in single precision, gives all."""
        n, y, weight = step.batch.size, self._labels(step.batch), at(self.gamma, step.clock) / 2
        with torch.no_grad():
            fake = self.generator(self.draw(n, step.rng), y).float()
        both = None if y is None else torch.cat([y, y])
        scores, slopes = zero_centred(lambda x: self.discriminator(x, both), torch.cat([step.batch.images, fake]))
        (real_scores, fake_scores), (r1, r2) = scores.split(n), slopes.split(n)
        terms = {"comparison": OBJECTIVE.d(real_scores, fake_scores), "r1": weight * r1, "r2": weight * r2}
        return Loss(terms, {"lead": (real_scores - fake_scores).detach().mean()})

    def generator_loss(self, step: Step) -> Loss:
        """How far fresh fakes are ahead of the reals of the batch, whose scores are constants here."""
        y = self._labels(step.batch)
        with torch.no_grad():
            real_scores = self.discriminator(step.batch.images, y)
        fake_scores = self.discriminator(self.generator(self.draw(step.batch.size, step.rng), y), y)
        return Loss({"cost": OBJECTIVE.g(fake_scores, real_scores)})

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.classes else None

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(batch.images, self._labels(batch)).float()

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(name="discriminator", trains=(self.discriminator,), loss=self.discriminator_loss, optimizer=self._optimizer())
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer())
        return [Stage(name="game", phases=(discriminator, generator), images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        c = self.config
        return Adam(lr=cosine(*c.lr, c.burn_in), betas=(c.beta1, cosine(*c.beta2, c.burn_in)))

    def average(self) -> Average | None:
        c = self.config
        if c.ema_half_life is None:
            return None
        return Average(modules=(self.generator,), half_life=cosine(0.0, c.ema_half_life, c.burn_in), ramp=LARGEST_SHARE)

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Samples of the labels asked for, where there are classes; without a condition the classes in turn."""
        require(condition is None or self.classes > 0, "r3gan is not conditional here: its samples cannot be asked for by --labels")
        y = labels.asked(condition, z, self.classes, "r3gan") if self.classes else None
        return self.generator(z, y).float().clamp(-1, 1)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Without a condition labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        if condition is None and self.classes:
            condition = Condition(labels=labels.drawn(n, self.classes, rng))
        return self.decode(z, condition=condition)


PRESETS = {
    "paper": Config(),
    "paper-256": Config(batch=256, conditional=False, width=96, gamma=(150.0, 15.0), ema_half_life=500_000.0),
    "quick": Config(
        images=600_000,
        batch=32,
        conditional=False,
        width=6,
        most=24,
        depth=1,
        group=12,
        base=7,
        burn_in=1.0,
        lr=(2e-3, 1e-4),
        gamma=(1.0, 0.1),
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        embedding=4,
        width=4,
        most=8,
        depth=1,
        group=4,
        burn_in=0.5,
        lr=(4e-3, 1e-3),
        ema_half_life=50.0,
    ),
}

MODEL = R3GAN
