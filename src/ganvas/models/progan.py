"""ProGAN - Progressive Growing of GANs (Karras et al., 2017), arXiv:1710.10196

Generator and critic begin on tiny images and grow together: when a resolution is learnt, both get layers for twice its height and width,
which are faded in smoothly. What is large is learnt first and cheaply, and each new layer has only a small step to learn.

Objective (WGAN-GP with a drift term, appendix A.1), with u = x + t (x_hat - x), x_hat = G(z), one t ~ U[0, 1) for each pair:

    critic      E[f(x_hat)] - E[f(x)] + lambda E[(|| grad_u f(u) ||_2 - 1)^2] + e_drift E[f(x)^2]
    generator   -E[f(x_hat)]

Shapes: B batch, Z code, C channels, H x W the data's size, h x w the smallest images, n levels, l the level reached; z (B, Z), images
(B, C, H, W), canvas (B, C, h 2^n, w 2^n), images of level l (B, C, h 2^l, w 2^l), scores f (B,). F_l are the maps at level l.

    generator   z / |z| -> h x w x F_0 -> 3 x 3 -> [x2, 3 x 3, 3 x 3] for each level -> 1 x 1 to C       pixel norm after each layer
    critic      1 x 1 from C -> [3 x 3, 3 x 3, mean of 2 x 2] for each level -> batch deviation, 3 x 3, dense F_0 -> 1

Fade (figure 2): with alpha going from 0 to 1 over a stage, y_l = lerp(x2(y_(l-1)), to_rgb_l(..), alpha) in the generator, the critic
mixes from_rgb of the halved image with the new layers' maps likewise, and reals are lerp(x2(halved x), x, alpha). So at alpha 0 the
grown networks are the small ones. A level has two stages, the fade and the time after it, each with a fresh Adam, as in the authors'
code. Each group of a few examples shares one number, how much its maps vary, that the critic sees as one more map; so the penalty holds
the slope of a group's summed scores, as there.

Differences from the paper. Any image size, through the canvas: 28 x 28 digits are padded to 32 = 4 * 2^3 by repeating their edge pixels
and samples are cropped back; 8 x 8 is 2 x 2 doubled twice. Networks, batches and the group of 4 are those of the authors' code for one
GPU; appendix A.1 has batches of 16, and of fewer from 256 pixels on. Learning rates are constant. Samples are cut to [-1, 1].

What to expect. At first samples are a few blocks of grey: they are drawn at the resolution reached and enlarged to the data's size. Each
fade adds a level of detail. The watched `wasserstein` can be compared within a level only: larger images lie farther apart. Weights start
at a scale of 1, so a step of the paper's 1e-3 moves them by a thousandth, and short runs need a larger rate: the 3e-3 of `quick`. At 8e-3
MNIST fell apart at 32 x 32 (coverage 0.06 after 200,000 images, 0.69 with 3e-3).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import MethodType
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam
from ganvas.errors import require
from ganvas.parts.canvas import Canvas
from ganvas.parts.equalised import HE, EqualConv2d, EqualLinear, pixel_norm
from ganvas.parts.minibatch import minibatch_std
from ganvas.parts.objectives import WASSERSTEIN, widen
from ganvas.parts.penalties import gradient_penalty
from ganvas.parts.ranges import in_range, whole

CARD = Card(
    title="ProGAN",
    year=2017,
    paper="Karras et al., Progressive Growing of GANs for Improved Quality, Stability, and Variation, arXiv:1710.10196",
    family="adversarial",
    teaches="both networks grow from tiny images to large",
    data=("images",),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Appendix A.1 of the paper, and the authors' code for one GPU where the paper is silent."""

    images: int = 12_000_000
    """Length of the run in training examples (authors' code); the last resolution has what growth leaves, at least `phase_images`."""
    phase_images: int = 600_000
    """Examples of the first resolution, of each fade, and of each resolution after its fade (800,000 in appendix A.1)."""
    batch: tuple[int, ...] = (128, 128, 128, 64, 32, 16, 8, 4)
    """Batch of each resolution from the smallest on, its last entry for all beyond (authors' code; 16 to 3 in appendix A.1)."""
    channels: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64, 32, 16)
    """Maps of both networks at each resolution from the smallest on, its last entry for all beyond (table 2)."""
    z: int = 512
    """Entries of the code, from N(0, 1) and then brought to one length (table 2)."""
    base: int = 4
    """Side of the smallest images that is aimed at, from which the canvas is doubled (section 2)."""
    group: int = 4
    """Examples whose deviation the critic is shown (authors' code); in a batch it does not divide, the largest divisor below it."""
    penalty_weight: float = 10.0
    """Lambda, the weight of the gradient penalty (appendix A.1)."""
    drift_weight: float = 1e-3
    """Weight of the squared scores of reals, which holds scores near 0 (appendix A.1)."""
    lr_generator: float = 1e-3
    """The generator's learning rate (appendix A.1)."""
    lr_critic: float = 1e-3
    """The critic's learning rate (appendix A.1)."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Decay rates of Adam's two moments (appendix A.1)."""
    ema_decay: float = 0.999
    """Share of the generator's averaged weights that is kept at each step (appendix A.1)."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "phase_images", "batch", "channels", "z", "base", "group")
        for field, entries in (("batch", self.batch), ("channels", self.channels)):
            require(len(entries) > 0, f"--config.{field} needs a number for the smallest resolution at least")
        in_range(self, 0.0, math.inf, "penalty_weight", "drift_weight")
        in_range(self, 0.0, math.inf, "lr_generator", "lr_critic", open_low=True)
        in_range(self, 0.0, 1.0, "ema_decay", open_low=True, open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def entry(values: tuple[int, ...], level: int) -> int:
    """The value of a level; the last one beyond the end."""
    return values[min(level, len(values) - 1)]


def enlarged(x: Tensor, levels: int = 1) -> Tensor:
    """(B, C, H, W) to (B, C, 2^levels H, 2^levels W), each pixel repeated."""
    return interpolate(x, scale_factor=2**levels, mode="nearest") if levels else x


def halved(x: Tensor, levels: int = 1) -> Tensor:
    """(B, C, 2^levels H, 2^levels W) to (B, C, H, W) by means; the left inverse of `enlarged`."""
    return avg_pool2d(x, 2**levels) if levels else x


def blend(old: Tensor, new: Tensor, alpha: Tensor) -> Tensor:
    """(1 - alpha) old + alpha new in single precision; exactly `old` at 0 and `new` at 1."""
    return torch.lerp(widen(old), widen(new), alpha.to(widen(new).dtype))


@final
class Seed(nn.Module):
    """The generator's first layers: codes (B, Z) of length sqrt(Z) to maps (B, F_0, h, w)."""

    def __init__(self, z: int, maps: int, base: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (*base, maps)
        # The gain of a transposed convolution, whose fan-in counts the pixels it reaches: sqrt(2) / 4 on 4 x 4 (authors' code).
        self.project = EqualLinear(z, math.prod(self.shape), gain=HE / math.sqrt(math.prod(base)), bias=False)
        self.bias = nn.Parameter(torch.zeros(maps))
        self.conv = EqualConv2d(maps, maps, 3)

    def forward(self, z: Tensor) -> Tensor:
        # The projection is read as (h, w, maps), so that its output is channels-last without a copy.
        x = self.project(z).view(-1, *self.shape).permute(0, 3, 1, 2) + self.bias[:, None, None]
        return bend(self.conv(bend(x)))


@final
class Grow(nn.Module):
    """A level of the generator: maps (B, F_(l-1), H, W) to (B, F_l, 2H, 2W)."""

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        self.first, self.second = EqualConv2d(below, above, 3), EqualConv2d(above, above, 3)

    def forward(self, x: Tensor) -> Tensor:
        return bend(self.second(bend(self.first(enlarged(x)))))


def bend(x: Tensor) -> Tensor:
    """What follows a layer of the generator: LeakyReLU, then pixel norm."""
    return pixel_norm(leaky_relu(x, 0.2))


@final
class Generator(nn.Module):
    """Codes (B, Z) to images of a level (B, C, h 2^l, w 2^l), unbounded; in a fade also the level's alpha () in [0, 1]."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        maps = [entry(config.channels, level) for level in range(canvas.levels + 1)]
        grown = [Grow(below, above) for below, above in pairwise(maps)]
        self.blocks = nn.ModuleList([Seed(config.z, maps[0], canvas.base), *grown])
        self.to_rgb = nn.ModuleList([EqualConv2d(count, channels, 1, gain=1.0) for count in maps])

    def used(self, level: int, *, fading: bool) -> tuple[nn.Module, ...]:
        """The modules that make images of a level."""
        return (*self.blocks[: level + 1], *self.to_rgb[level - fading : level + 1])

    def forward(self, z: Tensor, level: int, alpha: Tensor | None = None) -> Tensor:
        x = self.blocks[0](pixel_norm(z))
        for block in self.blocks[1:level]:
            x = block(x)
        images: Tensor = self.to_rgb[level](self.blocks[level](x) if level else x)
        return images if alpha is None else blend(enlarged(self.to_rgb[level - 1](x)), images, alpha)


@final
class Shrink(nn.Module):
    """A level of the critic: maps (B, F_l, 2H, 2W) to (B, F_(l-1), H, W)."""

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        self.first, self.second = EqualConv2d(below, below, 3), EqualConv2d(below, above, 3)

    def forward(self, x: Tensor) -> Tensor:
        return halved(leaky_relu(self.second(leaky_relu(self.first(x), 0.2)), 0.2))


@final
class Judge(nn.Module):
    """The critic's last layers: maps (B, F_0, h, w) and their deviation in groups to scores (B,)."""

    def __init__(self, maps: int, base: tuple[int, int], group: int) -> None:
        super().__init__()
        self.group = group
        self.conv = EqualConv2d(maps + 1, maps, 3)
        self.dense = EqualLinear(math.prod(base) * maps, maps)
        self.score = EqualLinear(maps, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.conv(minibatch_std(x, self.group)), 0.2)
        return self.score(leaky_relu(self.dense(x.permute(0, 2, 3, 1).flatten(1)), 0.2)).squeeze(1)


@final
class Critic(nn.Module):
    """Images of a level (B, C, h 2^l, w 2^l) to scores (B,); in a fade also the level's alpha () in [0, 1]."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        maps = [entry(config.channels, level) for level in range(canvas.levels + 1)]
        shrinking = [Shrink(below, above) for above, below in pairwise(maps)]
        self.blocks = nn.ModuleList([Judge(maps[0], canvas.base, config.group), *shrinking])
        self.from_rgb = nn.ModuleList([EqualConv2d(channels, count, 1) for count in maps])

    def used(self, level: int, *, fading: bool) -> tuple[nn.Module, ...]:
        """The modules that judge images of a level."""
        return (*self.blocks[: level + 1], *self.from_rgb[level - fading : level + 1])

    def forward(self, images: Tensor, level: int, alpha: Tensor | None = None) -> Tensor:
        x = leaky_relu(self.from_rgb[level](images), 0.2)
        for below in range(level, 0, -1):
            x = self.blocks[below](x)
            if alpha is not None and below == level:
                x = blend(leaky_relu(self.from_rgb[level - 1](halved(images)), 0.2), x, alpha)
        scores: Tensor = self.blocks[0](x)
        return scores


@final
class ProGAN(GenerativeModel, Latent, Score):
    """The Wasserstein game of two networks that grow; `level` and `alpha` say how far they are, for samples and scores."""

    level: Tensor
    alpha: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"progan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        channels, height, width = data.shape
        self.canvas = Canvas.fit(height, width, base=config.base)
        self.generator = Generator(config, self.canvas, channels)
        self.critic = Critic(config, self.canvas, channels)
        self.register_buffer("level", torch.zeros((), dtype=torch.int64))
        self.register_buffer("alpha", torch.ones(()))

    def shrunk(self, images: Tensor, level: int, alpha: Tensor | None = None) -> Tensor:
        """Data (B, C, H, W) at a level (B, C, h 2^l, w 2^l), in a fade blended with what the level below can show."""
        x = halved(self.canvas.pad(images), self.canvas.levels - level)
        return x if alpha is None else blend(enlarged(halved(x)), x, alpha)

    def critic_loss(self, step: Step, level: int, *, fading: bool) -> Loss:
        """The critic's objective at a level, on the batch and as many fresh fakes."""
        c = self.config
        alpha = self._alpha(step, fading=fading)
        faded = alpha if fading else None
        real = self.shrunk(step.batch.images, level, faded)
        with torch.no_grad():
            fake = widen(self.generator(self.draw(step.batch.size, step.rng), level, faded))
        # Two calls, not one on the joined batch: no group is to hold reals and fakes.
        real_score, fake_score = self.critic(real, level, faded), self.critic(fake, level, faded)
        distance = WASSERSTEIN.d(real_score, fake_score)
        penalty = gradient_penalty(lambda u: self.critic(u, level, faded), real, fake, step.rng)
        drift = widen(real_score).square()
        terms = {"distance": distance, "penalty": c.penalty_weight * penalty, "drift": c.drift_weight * drift}
        return Loss(terms, {"wasserstein": -distance.detach().mean(), "level": alpha.new_full((), level), "alpha": alpha})

    def generator_loss(self, step: Step, level: int, *, fading: bool) -> Loss:
        """-f(G(z)) at a level, on fresh fakes."""
        faded = self._alpha(step, fading=fading) if fading else None
        fake = self.generator(self.draw(step.batch.size, step.rng), level, faded)
        return Loss({"cost": WASSERSTEIN.g(self.critic(fake, level, faded))})

    def _alpha(self, step: Step, *, fading: bool) -> Tensor:
        """How far the fade is, (); 1 outside of fades. A function of the clock, so that a resumed run goes on where it was."""
        return torch.full((), step.clock.stage_fraction if fading else 1.0, device=step.batch.images.device)

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        if "level" in watch:
            self.level.copy_(watch["level"].round())
            self.alpha.copy_(watch["alpha"])

    def stages(self) -> Sequence[Stage]:
        c, levels = self.config, self.canvas.levels
        last = max(c.phase_images, c.images - 2 * levels * c.phase_images)
        stages = [self._stage(0, fading=False, images=c.phase_images)]
        for level in range(1, levels + 1):
            stages.append(self._stage(level, fading=True, images=c.phase_images))
            stages.append(self._stage(level, fading=False, images=last if level == levels else c.phase_images))
        return stages

    def _stage(self, level: int, *, fading: bool, images: int) -> Stage:
        """A stage with optimizers of its own, so that Adam starts anew."""
        c, (height, width) = self.config, self.canvas.base
        game = (
            ("critic", self.critic.used(level, fading=fading), ProGAN.critic_loss, c.lr_critic),
            ("generator", self.generator.used(level, fading=fading), ProGAN.generator_loss, c.lr_generator),
        )
        phases = tuple(
            Phase(
                name=name,
                trains=modules,
                loss=MethodType(partial(loss, level=level, fading=fading), self),
                optimizer=Adam(lr=lr, betas=c.betas, eps=1e-8),
            )
            for name, modules, loss, lr in game
        )
        name = f"{'fade ' if fading else ''}{height * 2**level}x{width * 2**level}"
        return Stage(name=name, phases=phases, images=images, batch=entry(c.batch, level))

    def average(self) -> Average | None:
        return Average(modules=(self.generator,), decay=self.config.ema_decay)

    def _reached(self) -> tuple[int, Tensor | None]:
        """The level, and its alpha while it fades in."""
        level = int(self.level)
        return level, self.alpha if level and float(self.alpha) < 1.0 else None

    def score(self, batch: Batch) -> Tensor:
        """Scores (B,) at the level reached; examples of a group share how much the group varies."""
        level, alpha = self._reached()
        return self.critic(self.shrunk(batch.images, level, alpha), level, alpha)

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Images of the data's size, of the level reached and enlarged from there."""
        require(condition is None, "progan is not conditional: its samples cannot be asked for by --labels")
        level, alpha = self._reached()
        images = enlarged(self.generator(z, level, alpha).float(), self.canvas.levels - level)
        return self.canvas.crop(images).clamp(-1.0, 1.0)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=200_000,
        phase_images=20_000,
        batch=(16,),
        channels=(64, 64, 32, 16),
        z=64,
        lr_generator=3e-3,
        lr_critic=3e-3,
        ema_decay=0.999,
    ),
    "tiny": Config(images=400, phase_images=80, batch=(8, 4), channels=(6, 4), z=4, group=2, ema_decay=0.9),
}

MODEL = ProGAN
