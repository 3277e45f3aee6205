"""SinGAN - Learning a Generative Model from a Single Natural Image (Shaham et al., 2019), arXiv:1905.01164

A pyramid of small networks learns the patches of one image, from the coarsest scale, which draws a layout, to the finest, which adds
detail. Each is a game of its own between patches of the image and patches of samples, played when the scale below has been learnt.

Objective (equations 4 and 5), at scale n, with u = x + t (x_hat - x), D the mean of a map of patch scores, p the pixels:

    critic      E[D_n(x_hat)] - D_n(x) + lambda E[mean over p of (|| grad_(u_p) sum of the map of D_n(u) ||_2 - 1)^2]
    generator   -E[D_n(x_hat)] + alpha || G_n(sigma_n z*_n, y*) - x ||^2 / (number of values)

    G_n(v, y) = y + tanh(five convolutions of v), here v = y + sigma_n z;  y is the sample of the scale below, enlarged, and 0 at first

z* is one fixed draw at the coarsest scale and 0 at all others, so one code returns the image itself; y* is its image of the scale
below. sigma_0 = 1, and sigma_n = `noise` times the root mean squared error of y* (section 2), so what a scale still has to add decides
how much noise it gets.

Shapes: B batch, C channels, N + 1 scales, (h_n, w_n) the size of scale n; images (B, C, h_N, w_N), of scale n (B, C, h_n, w_n), z_0
(B, 1, h_0, w_0) repeated over channels, z_n (B, C, h_n, w_n), patch scores (B, 1, h_n - 10, w_n - 10). An output sees 11 x 11 pixels.

    generator   zeros around, [3 x 3, norm, LeakyReLU] four times, 3 x 3, tanh      32 maps, twice as many after every four scales
    critic      the same without zeros around and without tanh, to one map

Scales (section 2): the shorter side of the coarsest is `coarsest`, and sizes grow by the factor nearest to 4/3 that leads to the data's
size in whole steps. Each scale is a stage with new networks, copied from the scale below where they are equally wide, and a fresh Adam.
Scales already learnt stand still.

Differences from the paper. Maps are normalised by each image's own mean and variance: in training, where a batch is one image and this
is batch normalisation, and afterwards, too. The authors' code then takes running averages; with them a flower of 96 x 64 pixels came
back at 21.8 dB although its training had reached 26.4. The penalty holds the slope of each pixel by itself, as written above (authors'
code); as it stands in Gulrajani et al. it would hold that of whole images. Every update draws its own noise and samples; in the authors'
code the updates of an iteration share a part of them. Their code has one or two scales more than the nearest factor needs. Images for
animation are not trained with noise in place of the zeros around them. `enlarge` needs no model of its own with a factor nearer to 1.

What to expect. The layout of samples is that of the image, shuffled: textures and repeated things are redrawn well, a face is not. The
border varies least, for zeros mark it. `reconstruction` in the curves falls within each scale; distances of different scales cannot be
compared. Editing starts at a scale: from a coarse one much is drawn anew, from a fine one little more than the texture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.engine.capabilities import AnySize, Edit, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam
from ganvas.errors import require
from ganvas.parts import initialise
from ganvas.parts.objectives import WASSERSTEIN, per_sample, widen
from ganvas.parts.penalties import input_gradient
from ganvas.parts.ranges import in_range, whole

CARD = Card(
    title="SinGAN",
    year=2019,
    paper="Shaham et al., SinGAN: Learning a Generative Model from a Single Natural Image, arXiv:1905.01164",
    family="adversarial",
    teaches="the patches of one image, scale by scale",
    data=("images",),
    capabilities=("any-size", "edit", "score"),
    needs=("single",),
)

LAYERS = 5
REACH = 2 * LAYERS + 1
"""Side of the patch of pixels that one output of a network sees."""

AT_ONCE = 2**18
"""Pixels of the finest scale that are drawn together; more samples are drawn in parts, so that memory stays bounded."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 2 of the paper and its supplement, and the authors' code where both are silent."""

    images: int = 6_000
    """Length of each scale's stage in training examples: 2,000 iterations of three updates (supplement)."""
    batch: int = 1
    """Examples in each update; all are the same image with other noise."""
    updates: int = 3
    """Updates of each network in an iteration (authors' code)."""
    factor: float = 0.75
    """Size of a scale as a share of the next one that is aimed at (section 2: 1 / r = 3 / 4)."""
    coarsest: int = 25
    """Pixels of the shorter side at the coarsest scale (section 2)."""
    width: int = 32
    """Maps at the coarsest scale (section 2)."""
    widest: int = 128
    """Most maps (authors' code)."""
    widen_every: int = 4
    """Scales after which maps are doubled (section 2)."""
    penalty_weight: float = 0.1
    """Lambda, the weight of the gradient penalty (authors' code)."""
    reconstruction_weight: float = 10.0
    """Alpha, the weight of the reconstruction (supplement)."""
    noise: float = 0.1
    """Standard deviation of a scale's noise as a share of the error left by the scales below (authors' code)."""
    init: float = 0.02
    """First weights ~ N(0, v^2) (authors' code)."""
    lr: float = 5e-4
    """Learning rate of all networks (supplement)."""
    drop_at: float = 0.8
    """Share of a stage after which learning rates are a tenth (supplement: 1,600 of 2,000 iterations)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (supplement)."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "updates", "width", "widest", "widen_every")
        whole(self, REACH, "coarsest")
        in_range(self, 0.0, 1.0, "factor", open_low=True, open_high=True)
        in_range(self, 0.0, math.inf, "penalty_weight", "reconstruction_weight", "noise")
        in_range(self, 0.0, math.inf, "init", "lr", open_low=True)
        in_range(self, 0.0, 1.0, "drop_at")
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def ratio(side: int, coarsest: int, factor: float) -> tuple[int, float]:
    """Steps N from `coarsest` pixels to `side`, and the factor nearest to `factor` that makes them whole: side * ratio^N = coarsest."""
    if side <= coarsest:
        return 0, factor
    steps = max(1, round(math.log(coarsest / side) / math.log(factor)))
    return steps, (coarsest / side) ** (1 / steps)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) to (B, C, *size), bicubic and anti-aliased."""
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="bicubic", antialias=True)


def block(below: int, above: int) -> list[nn.Module]:
    """A 3 x 3 convolution without border, normalised, LeakyReLU: (B, I, H, W) to (B, O, H - 2, W - 2)."""
    return [nn.Conv2d(below, above, 3, bias=False), nn.InstanceNorm2d(above, affine=True), nn.LeakyReLU(0.2, inplace=True)]


def patches(channels: int, maps: int, out: int) -> nn.Sequential:
    """What both networks are made of: (B, C, H, W) to (B, O, H - 10, W - 10)."""
    hidden = [layer for below in (channels, *[maps] * (LAYERS - 2)) for layer in block(below, maps)]
    return nn.Sequential(*hidden, nn.Conv2d(maps, out, 3))


@final
class Generator(nn.Module):
    """G_n: y (B, C, H, W) and noise of the same shape, scaled, to y and what is to be added to it."""

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        self.patches = patches(channels, maps, channels)

    def forward(self, y: Tensor, noise: Tensor) -> Tensor:
        added: Tensor = self.patches(F.pad(y + noise, [LAYERS] * 4)).tanh()
        return y + widen(added)


@final
class SinGAN(GenerativeModel, AnySize, Edit, Score):
    """A game for each scale; `level` is the one reached, `amplitudes` (N + 1,) are sigma_n, `z_star` is z*_0."""

    level: Tensor
    amplitudes: Tensor
    z_star: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"singan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        channels, height, width = data.shape
        shorter = min(height, width)
        require(shorter >= REACH, f"singan needs an image of at least {REACH} x {REACH} pixels, not {width} x {height}: raise --resolution")
        self.config, self.data = config, data
        self.steps, self.ratio = ratio(shorter, config.coarsest, config.factor)
        self.sizes = self.sizes_of(height, width)
        maps = [min(config.width * 2 ** (n // config.widen_every), config.widest) for n in range(self.steps + 1)]
        self.generators = nn.ModuleList([Generator(channels, count) for count in maps])
        self.critics = nn.ModuleList([patches(channels, count, 1) for count in maps])
        initialise.gaussian(self, config.init)
        self.register_buffer("level", torch.zeros((), dtype=torch.int64))
        self.register_buffer("amplitudes", torch.tensor([1.0, *[0.0] * self.steps]))
        self.register_buffer("z_star", torch.randn(1, 1, *self.sizes[0]))

    def sizes_of(self, height: int, width: int) -> list[tuple[int, int]]:
        """The sizes of all scales of an image of (height, width), the coarsest first."""
        shares = [self.ratio ** (self.steps - n) for n in range(self.steps + 1)]
        return [(max(1, round(height * share)), max(1, round(width * share))) for share in shares]

    def noises(self, n: int, sizes: Sequence[tuple[int, int]], rng: Draws, first: int = 0) -> list[Tensor]:
        """z_n for n images at the scales from `first` on, (n, C, h, w) each; at the coarsest the channels are equal."""
        channels = self.data.shape[0]
        drawn = [rng.normal(n, channels if scale else 1, *size) for scale, size in enumerate(sizes[first:], first)]
        return [noise.expand(-1, channels, -1, -1) for noise in drawn]

    def star(self, scales: int) -> list[Tensor]:
        """z*_n at the first `scales` scales."""
        shapes = [(1, self.data.shape[0], *size) for size in self.sizes[:scales]]
        return [self.z_star.expand(shape) if scale == 0 else self.z_star.new_zeros(shape) for scale, shape in enumerate(shapes)]

    def grown(self, noises: Sequence[Tensor], y: Tensor | None = None, first: int = 0) -> Tensor:
        """Samples of the scales that noise is given for, from `first` on, where `y` (any size) is the sample of the scale below."""
        x = torch.zeros_like(noises[0]) if y is None else y
        for scale, noise in enumerate(noises, first):
            x = resized(x, (noise.shape[2], noise.shape[3]))
            x = self.generators[scale](x, self.amplitudes[scale] * noise)
        return x

    def below(self, noises: Sequence[Tensor], scale: int) -> Tensor:
        """y of a scale, from the noise of all scales below."""
        with torch.no_grad():
            return resized(self.grown(noises[:scale]), self.sizes[scale]) if scale else torch.zeros_like(noises[0])

    def enter(self, batch: Batch, fresh: bool, *, scale: int) -> None:
        """Begin a scale: with the weights of the one below where they fit, and with as much noise as it leaves errors."""
        if not fresh:
            return
        with torch.no_grad():
            self.level.fill_(scale)
            if scale == 0:
                return
            for networks in (self.generators, self.critics):
                here, learnt = networks[scale].state_dict(), networks[scale - 1].state_dict()
                if all(here[name].shape == tensor.shape for name, tensor in learnt.items()):
                    networks[scale].load_state_dict(learnt)
            real, y = resized(batch.images[:1], self.sizes[scale]), self.below(self.star(scale), scale)
            self.amplitudes[scale] = self.config.noise * (real - y).square().mean().sqrt()

    def fake(self, n: int, scale: int, rng: Draws) -> Tensor:
        """n samples of a scale that is being learnt."""
        noises = self.noises(n, self.sizes[: scale + 1], rng)
        fake: Tensor = self.generators[scale](self.below(noises, scale), self.amplitudes[scale] * noises[scale])
        return fake

    def critic_loss(self, step: Step, scale: int) -> Loss:
        """The critic's objective on the image and as many fresh samples."""
        critic, x = self.critics[scale], resized(step.batch.images, self.sizes[scale])
        with torch.no_grad():
            x_hat = self.fake(len(x), scale, step.rng)
        distance = WASSERSTEIN.d(critic(x), critic(x_hat))
        t = step.rng.uniform(len(x)).view(-1, 1, 1, 1)
        slopes = input_gradient(lambda u: critic(u).flatten(1).sum(1), x + t * (x_hat - x)).norm(dim=1)
        penalty = self.config.penalty_weight * per_sample((slopes - 1).square())
        return Loss({"distance": distance, "penalty": penalty}, {"wasserstein": -distance.detach().mean(), "slope": slopes.detach().mean()})

    def generator_loss(self, step: Step, scale: int) -> Loss:
        """-D(x_hat) on fresh samples, and the reconstruction of the image."""
        x, z = resized(step.batch.images, self.sizes[scale]), self.star(scale + 1)
        cost = WASSERSTEIN.g(self.critics[scale](self.fake(len(x), scale, step.rng)))
        error = (self.generators[scale](self.below(z, scale), self.amplitudes[scale] * z[scale]) - x).square()
        return Loss({"cost": cost, "reconstruction": self.config.reconstruction_weight * per_sample(error)})

    def stages(self) -> Sequence[Stage]:
        return [self._stage(scale) for scale in range(self.steps + 1)]

    def _stage(self, scale: int) -> Stage:
        c, (height, width) = self.config, self.sizes[scale]
        game = (
            ("critic", self.critics[scale], SinGAN.critic_loss),
            ("generator", self.generators[scale], SinGAN.generator_loss),
        )
        phases = tuple(
            Phase(
                name=name,
                trains=(network,),
                loss=MethodType(partial(loss, scale=scale), self),
                optimizer=Adam(lr=self._rate, betas=c.betas),
                repeat=c.updates,
            )
            for name, network, loss in game
        )
        return Stage(
            name=f"scale {scale}, {height}x{width}", phases=phases, images=c.images, batch=c.batch, enter=partial(self.enter, scale=scale)
        )

    def _rate(self, clock: Clock) -> float:
        return self.config.lr * (1.0 if clock.stage_fraction < self.config.drop_at else 0.1)

    def score(self, batch: Batch) -> Tensor:
        """The mean patch score (B,) of images of the data's size, at the scale reached."""
        scale = int(self.level)
        return per_sample(self.critics[scale](resized(batch.images, self.sizes[scale])))

    def reconstruct(self) -> Tensor:
        """What z* gives at the scale reached, (1, C, h, w)."""
        return self.grown(self.star(int(self.level) + 1))

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        require(condition is None, "singan is not conditional: its samples cannot be asked for by --labels")
        return self.sample_sized(n, *self.data.shape[1:], rng=rng)

    def sample_sized(self, n: int, height: int, width: int, *, rng: Draws) -> Tensor:
        """Of the scales reached, enlarged from there; what is larger than the image shows more of the same things, not larger ones."""
        require(min(height, width) >= 1, f"a sample of {width} x {height} pixels was asked for")
        noises = self.noises(n, self.sizes_of(height, width)[: int(self.level) + 1], rng)
        parts = zip(*(noise.split(max(1, AT_ONCE // (height * width))) for noise in noises), strict=True)
        return torch.cat([resized(self.grown(part), (height, width)).clamp(-1.0, 1.0) for part in parts])

    @property
    def scales(self) -> int:
        return int(self.level)

    def edit(self, image: Tensor, *, mask: Tensor | None, start: int | None, rng: Draws) -> Tensor:
        """The image reduced to the scale below `start` and drawn anew from there (section 4). By default from the second scale on
        (a painting becomes an image), or, where there is a mask, from the middle (what was put in takes the image's texture)."""
        level, size = self.scales, (image.shape[1], image.shape[2])
        lowest = min(1, level)
        chosen = (lowest if mask is None else -(-level // 2)) if start is None else start
        require(
            lowest <= chosen <= level, f"--start {chosen}: this model has been trained to scale {level}, of which {lowest} is the first"
        )
        sizes = self.sizes_of(*size)
        coarse = resized(image[None], sizes[max(0, chosen - 1)])
        made = resized(self.grown(self.noises(1, sizes[: level + 1], rng, chosen), coarse, chosen), size).clamp(-1.0, 1.0)
        return made if mask is None else torch.lerp(image[None], made, mask.to(made))

    def enlarge(self, image: Tensor, *, factor: float, rng: Draws) -> Tensor:
        """The finest network, played again at each of a few larger sizes (section 4)."""
        require(factor > 1, f"--factor {factor:g}: must be above 1")
        level, steps = int(self.level), max(1, round(math.log(factor) / -math.log(self.ratio)))
        x = image[None]
        for step in range(1, steps + 1):
            height, width = (max(1, round(side * factor ** (step / steps))) for side in image.shape[1:])
            noise = rng.normal(1, image.shape[0], height, width)
            x = self.grown([noise], resized(x, (height, width)), level)
        return x.clamp(-1.0, 1.0)

    def animate(self, frames: int, *, start: int | None, rng: Draws) -> Tensor:
        """A walk z(t+1) = a z* + (1 - a) (z(t) + d(t+1)), d(t+1) = b (z(t) - z(t-1)) + (1 - b) u(t), with noise u, a 0.1, b 0.9
        (supplement).

        Scales below `start` (the second by default) keep z*, so their layout stands still.
        """
        level = self.scales
        first = min(1, level) if start is None else start
        require(0 <= first <= level, f"--start {first}: this model has been trained to scale {level}, of which 0 is the first")
        pull, momentum = 0.1, 0.9
        walks = []
        for scale, star in enumerate(self.star(level + 1)):
            fresh = rng.normal(1, frames + 1, 1 if scale == 0 else star.shape[1], *star.shape[2:])[0]
            before, now = star[0], 0.95 * star[0] + 0.05 * fresh[0]
            walk = []
            for noise in fresh[1:]:
                moved = pull * star[0] + (1 - pull) * (now + momentum * (now - before) + (1 - momentum) * noise)
                before, now = now, moved
                walk.append(moved if scale >= first else star[0])
            walks.append(torch.stack(walk))
        size = (self.data.shape[1], self.data.shape[2])
        parts = zip(*(walk.split(max(1, AT_ONCE // math.prod(size))) for walk in walks), strict=True)
        return torch.cat([resized(self.grown(part), size).clamp(-1.0, 1.0) for part in parts])


PRESETS = {
    "paper": Config(),
    "quick": Config(images=1_200),
    "tiny": Config(images=24, batch=2, updates=2, coarsest=REACH, width=4, widen_every=1, widest=6, lr=2e-3),
}

MODEL = SinGAN
