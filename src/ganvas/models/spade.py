"""SPADE - Semantic Image Synthesis with Spatially-Adaptive Normalization (Park et al., 2019), arXiv:1903.07291

A picture is made from a map that says what stands where. Fed into the first layer, the map would be washed out by the normalisation of the
next ones; here every normalisation is told the map again, and draws its gains and shifts from it, place by place.

Objective (hinge as in section 3.2, feature matching and weights as in pix2pixHD; encoder as in section 3.2 and the appendix), m the map,
y the picture, y' = G(z, m), k the scales of D, f_kl its maps after layer l:

    discriminator   mean_k  max(0, 1 - D_k(m, y)) + max(0, 1 + D_k(m, y'))
    generator       -mean_k D_k(m, y')  +  lambda mean_k sum_l |f_kl(m, y) - f_kl(m, y')|_1  +  kappa KL(E(y) || N(0, I))

with lambda = 10, kappa = 0.05, |.|_1 a mean over places and maps, and D_k a mean over patches. While training z is drawn from E(y), the
style of the picture itself; a sample has z ~ N(0, I), or the style of an example.

    normalisation   x -> BN(x) (1 + g(m)) + b(m), where g and b are convolutions of the map (`parts/spatial_norm.py`)

Shapes: B batch, K colours of the palette, F = `width`, n doublings of the smallest maps h x w; map as a picture (B, C, H, W) and one-hot
(B, K, H, W), picture (B, C', H, W) in [-1, 1], code z (B, Z), maps of logits (B, 1, ., .) for each scale.

    generator       z -> h x w x 16F; a block there, two on the next size, one on each further; 16F-16F-8F-4F-2F-F at n = 5 (figure 11)
    block           twice [normalise with m, LeakyReLU, 3 x 3], beside it [normalise with m, 1 x 1] where widths differ (figure 4)
    encoder         3 x 3 of stride 2, F' 2F' 4F' 8F' 8F' 8F', n + 1 of them; linear to mean and log-variance of z (figure 14)
    discriminator   patches of 70 x 70 that see m and the picture, at full and half size (figure 13)

Colours are told by the palette of the data (`maps:SOURCE`): a pixel is of the class whose colour is nearest. So maps blurred by JPEG, and
new ones, are read like those of the training set.

Differences from the paper. No loss of a pretrained VGG: features are matched in the discriminator alone. In the norms label maps go on at
the border as they end there; in the authors' code zeros stand there. The discriminator sees the fakes of the generator's update, not fresh
ones. KL is the mean over the batch, where the code sums. As in the code, spectral normalisation is not on D's first and last layers. Any
size, through the canvas; small pictures have fewer doublings, at n = 3 8F-4F-2F-F.

What to expect. Colour and texture follow the regions after some passes; shapes within a region are blurred longer. With a hundred pairs
pictures of the training set come out sharp and new maps less so. Codes change the style of the whole picture. Batches below 8 make the
normalisation noisy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, one_hot

from ganvas.engine.capabilities import Style, Translate
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import nearest, require
from ganvas.parts import spectral
from ganvas.parts.canvas import Canvas
from ganvas.parts.gaussian import kl_to_standard_normal
from ganvas.parts.jitter import jittered
from ganvas.parts.objectives import HINGE, per_sample, widen
from ganvas.parts.patch import PATCHES, Patch, strides_for
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.residual import widths_up
from ganvas.parts.spatial_norm import SpatialNorm

CARD = Card(
    title="SPADE",
    year=2019,
    paper="Park et al., Semantic Image Synthesis with Spatially-Adaptive Normalization, arXiv:1903.07291",
    family="translation",
    teaches="pictures from label maps, told again in every layer",
    data=("images",),
    capabilities=("translate", "style"),
    conditions=("images",),
    needs=("aligned", "palette"),
)

SMALLEST: Final = 4  # pixels that an image's shorter side has to have


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4 and the appendix of the paper, on ADE20K at 256 x 256."""

    images: int = 200 * 20_210
    """Length of the run in training examples: 200 epochs of ADE20K (appendix A)."""
    batch: int = 32
    """Pairs in an update (appendix A)."""
    width: int = 64
    """Maps of the generator's last block, F above (figure 11)."""
    hidden: int = 128
    """Maps between a label map and its gains and shifts (appendix A, figure 10)."""
    base: int = 8
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (figure 11: 4; authors' code for 256 x 256: 8)."""
    style: bool = True
    """Whether there is a code z with its encoder (section 3.2); without it the first layer sees the label map (authors' code)."""
    z: int = 256
    """Entries of the code (figure 11)."""
    encoder_width: int = 64
    """Maps of the encoder's first layer, F' above (figure 14)."""
    patch: Patch = "70"
    """What a logit of the discriminator sees at full size: pixel, 16, 34 or 70 pixels, or the image (figure 13: 70)."""
    discriminator_width: int = 64
    """Maps of the discriminators' first layers (figure 13)."""
    scales: int = 2
    """Discriminators, each on half the size of the one before, as far as pictures are large enough (appendix A: 2)."""
    features: float = 10.0
    """Weight of feature matching, lambda above (appendix A, as in pix2pixHD); 0 leaves it out."""
    kl: float = 0.05
    """Weight of the code's divergence from its prior, kappa above (appendix A)."""
    jitter: float = 286 / 256
    """Pairs are enlarged by this factor and cropped at random to their size (authors' code); 1 leaves them."""
    mirror: bool = True
    """Whether half of the pairs are mirrored from left to right (authors' code)."""
    init: float = 0.02
    """Gain of Glorot's normal first weights (authors' code: xavier, 0.02)."""
    lr_generator: float = 1e-4
    """Learning rate of generator and encoder (section 4: two time-scales)."""
    lr_discriminator: float = 4e-4
    """Learning rate of the discriminator (section 4: two time-scales)."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Decay rates of Adam's two moments (authors' code; section 4 has 0 and 0.999)."""
    decay_from: float | None = 0.5
    """Share of the run after which learning rates fall linearly, to 0 at its end (appendix A: after 100 of 200 epochs); None: never."""
    ema_half_life: float | None = None
    """Sample from an average of generator and encoder that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "width", "hidden", "base", "z", "encoder_width", "discriminator_width", "scales")
        one_of(self, PATCHES, "patch")
        in_range(self, 0.0, math.inf, "features", "kl")
        in_range(self, 1.0, 2.0, "jitter")
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Block(nn.Module):
    """Maps x (B, below, h, w) and a label map m (B, K, H, W) to (B, above, h, w); every convolution is spectrally normalised."""

    def __init__(self, below: int, above: int, classes: int, hidden: int) -> None:
        super().__init__()
        between = min(below, above)
        self.first_norm, self.second_norm = SpatialNorm(below, classes, hidden), SpatialNorm(between, classes, hidden)
        self.first = spectral.spectral(nn.Conv2d(below, between, 3, padding=1))
        self.second = spectral.spectral(nn.Conv2d(between, above, 3, padding=1))
        self.bent = below != above
        if self.bent:
            self.shortcut_norm = SpatialNorm(below, classes, hidden)
            self.shortcut = spectral.spectral(nn.Conv2d(below, above, 1, bias=False))

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        inner = self.first(leaky_relu(self.first_norm(x, m), 0.2))
        outer = self.second(leaky_relu(self.second_norm(inner, m), 0.2))
        return outer + (self.shortcut(self.shortcut_norm(x, m)) if self.bent else x)


@final
class Generator(nn.Module):
    """Label maps m (B, K, H, W) and codes z (B, Z), if there are any, to pictures (B, C', H, W) in [-1, 1]."""

    def __init__(self, c: Config, canvas: Canvas, classes: int, channels: int) -> None:
        super().__init__()
        widths = widths_up("doubling", c.width, canvas.levels)
        self.canvas, self.maps = canvas, (widths[0], *canvas.base)
        self.begin: nn.Module = nn.Linear(c.z, math.prod(self.maps)) if c.style else nn.Conv2d(classes, widths[0], 3, padding=1)
        self.head = Block(widths[0], widths[0], classes, c.hidden)
        self.middle = Block(widths[0], widths[0], classes, c.hidden)
        self.up = nn.ModuleList(Block(below, above, classes, c.hidden) for below, above in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, m: Tensor, z: Tensor | None) -> Tensor:
        m = self.canvas.pad(m)
        if z is None:
            x = self.begin(interpolate(m, size=self.canvas.base, mode="nearest-exact"))
        else:
            x = self.begin(z).view(-1, *self.maps)
        x = self.head(x, m)
        for level, block in enumerate(self.up):
            x = interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x if level else self.middle(x, m), m)
        return self.canvas.crop(torch.tanh(self.last(leaky_relu(x, 0.2))))


@final
class Encoder(nn.Module):
    """Pictures (B, C', H, W) to mean and log-variance (B, Z) of their codes, in single precision."""

    def __init__(self, c: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        below, above, (height, width) = channels, c.encoder_width, canvas.size
        while len(layers) < 3 * (canvas.levels + 1) and min(height, width) > 2:
            convolution = nn.Conv2d(below, above, 3, stride=2, padding=1, bias=False)
            layers += [spectral.spectral(convolution), nn.InstanceNorm2d(above), nn.LeakyReLU(0.2, inplace=True)]
            below, above, height, width = above, min(2 * above, 8 * c.encoder_width), -(-height // 2), -(-width // 2)
        self.canvas, self.layers = canvas, nn.Sequential(*layers)
        self.heads = nn.Linear(below * height * width, 2 * c.z)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = widen(self.heads(self.layers(self.canvas.pad(y)).flatten(1))).chunk(2, dim=1)
        return mean, log_variance


@final
class Critic(nn.Module):
    """A label map and a picture joined on their channels (B, K + C', h, w) to the maps after each layer; the last are logits (B, 1, ., .).

    C64-C128-C256-C512 for 70 pixels, then one filter; LeakyReLU of slope 0.2; the layers between the first and the last have spectral and
    instance normalisation. Convolutions are padded by 2, so that the smallest pictures have a logit.
    """

    def __init__(self, channels: int, height: int, width: int, *, patch: Patch, maps: int) -> None:
        super().__init__()
        pixel = patch == "pixel"
        kernel, edge, most = (1, 0, 2 * maps) if pixel else (4, 2, 8 * maps)
        strides = [1, 1] if pixel else [2] * strides_for(patch, height, width) + [1]
        stages: list[nn.Module] = []
        below, above = channels, maps
        for index, stride in enumerate(strides):
            layer = nn.Conv2d(below, above, kernel, stride=stride, padding=edge, bias=index == 0)
            normed = [spectral.spectral(layer), nn.InstanceNorm2d(above)] if index else [layer]
            stages.append(nn.Sequential(*normed, nn.LeakyReLU(0.2)))
            below, above = above, min(2 * above, most)
        self.stages = nn.ModuleList([*stages, nn.Conv2d(below, 1, kernel, padding=edge)])

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


@final
class Critics(nn.Module):
    """Critics of several sizes, each half the one before: for each the maps after all its layers, logits last."""

    def __init__(self, c: Config, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.each = nn.ModuleList()
        for scale in range(c.scales):
            tall, wide = (math.ceil(side / 2**scale) for side in (height, width))
            if scale == 0 or min(tall, wide) >= 2:
                self.each.append(Critic(channels, tall, wide, patch=c.patch, maps=c.discriminator_width))

    def forward(self, m: Tensor, y: Tensor) -> list[list[Tensor]]:
        x, found = torch.cat([m, y], dim=1), []
        for index, critic in enumerate(self.each):
            x = avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False) if index else x
            found.append(critic(x))
        return found


def matched(fake: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """How far the maps of fakes are from those of reals (B,): mean over scales, sum over layers but the logits, of absolute differences."""
    scales = [
        torch.stack([per_sample((widen(a) - widen(b).detach()).abs()) for a, b in zip(one[:-1], other[:-1], strict=True)]).sum(0)
        for one, other in zip(fake, real, strict=True)
    ]
    return torch.stack(scales).mean(0)


@final
class SPADE(GenerativeModel, Translate, Style):
    """A generator that is told its label map in every layer, critics of patches, and an encoder of styles."""

    palette: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"spade takes images, not {data.kind}: `ganvas list` shows what each model takes")
        known = data.aligned and "target" in data.views and len(data.palette) > 1
        require(known, "spade needs pairs of a label map and a picture, and the map's colours: say maps:SOURCE for --data")
        (below, height, width), (above, *size) = data.shape, data.views["target"]
        require([height, width] == size, f"both images of a pair need one size, not {width} x {height} and {size[1]} x {size[0]}")
        require(min(height, width) >= SMALLEST, f"spade takes images of at least {SMALLEST} x {SMALLEST} pixels, not {width} x {height}")
        alike = all(len(colour) == below for colour in data.palette)
        require(alike, f"the label maps have {below} channels and the colours of their palette {len(data.palette[0])}")
        self.config, self.data, c, classes = config, data, config, len(data.palette)
        self.register_buffer("palette", torch.tensor(data.palette, dtype=torch.float32) / 127.5 - 1)
        canvas = Canvas.fit(height, width, base=c.base)
        self.generator = Generator(c, canvas, classes, above)
        self.encoder = Encoder(c, canvas, above) if c.style else None
        self.judge = Critics(c, classes + above, height, width)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.xavier_normal_(layer.weight, c.init)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        spectral.settle(self)

    def classes_of(self, images: Tensor) -> Tensor:
        """Label maps as pictures (B, C, H, W) to one-hot (B, K, H, W): of each pixel the nearest colour of the palette."""
        x, away = widen(images), torch.zeros(())
        for channel in range(x.shape[1]):
            away = away + (x[:, channel : channel + 1] - self.palette[:, channel].view(1, -1, 1, 1)).square()
        return one_hot(away.argmin(1), len(self.palette)).permute(0, 3, 1, 2).to(x.dtype)

    def _pairs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Label maps, one-hot, and pictures as this step shows them, to both sides alike."""
        c, scratch = self.config, step.scratch
        if "maps" not in scratch:
            x, y = step.batch.images, step.batch["target"]
            if c.jitter > 1 or c.mirror:
                x, y = jittered(x, y, c.jitter, c.mirror, step.rng, maps=True)
            scratch["maps"], scratch["truth"] = self.classes_of(x).detach(), y.detach()
        return scratch["maps"], scratch["truth"]

    def generator_loss(self, step: Step) -> Loss:
        """To be taken for true, to look to the critics as the truth does, and to leave the styles a normal law."""
        c, (m, y) = self.config, self._pairs(step)
        terms, z = {}, None
        if self.encoder is not None:
            mean, log_variance = self.encoder(y)
            z = mean + (0.5 * log_variance).exp() * step.rng.normal(len(y), c.z)
            terms["kl"] = c.kl * kl_to_standard_normal(mean, log_variance)
        fake = self.generator(m, z)
        step.scratch["fake"] = fake.detach().float()
        seen = self.judge(m, fake)
        terms["adversarial"] = torch.stack([HINGE.g(maps[-1]) for maps in seen]).mean(0)
        if c.features:
            with torch.no_grad():
                wanted = self.judge(m, y)
            terms["features"] = c.features * matched(seen, wanted)
        return Loss(terms)

    def discriminator_loss(self, step: Step) -> Loss:
        """The hinge of true pairs, and of those the generator has just made."""
        m, y = self._pairs(step)
        real, fake = self.judge(m, y), self.judge(m, step.scratch["fake"])
        terms = [HINGE.d(a[-1], b[-1]) for a, b in zip(real, fake, strict=True)]
        logits = {"D(m, y)": real[0][-1], "D(m, G)": fake[0][-1]}
        return Loss({"pairs": torch.stack(terms).mean(0)}, {name: widen(values.detach()).mean() for name, values in logits.items()})

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """One power iteration in what has just moved."""
        spectral.advance(*phase.trains)

    def stages(self) -> Sequence[Stage]:
        c = self.config
        generator = Phase(name="generator", trains=self._makers(), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        judging = self._optimizer(c.lr_discriminator)
        discriminator = Phase(name="discriminator", trains=(self.judge,), loss=self.discriminator_loss, optimizer=judging)
        return [Stage(name="game", phases=(generator, discriminator), images=c.images, batch=c.batch)]

    def _makers(self) -> tuple[nn.Module, ...]:
        return (self.generator,) if self.encoder is None else (self.generator, self.encoder)

    def _optimizer(self, lr: float) -> Optimizer:
        start = self.config.decay_from
        return Adam(lr=lr if start is None else linear_decay(lr, start), betas=self.config.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=self._makers(), half_life=half_life, ramp=0.5)

    @property
    def targets(self) -> tuple[str, ...]:
        return self.data.domains[1:]

    @property
    def multiple(self) -> int:
        return 0

    def _made(self, images: Tensor, z: Tensor | None, to: str) -> Tensor:
        known, size = self.data.domains[1], self.data.shape[1:]
        require(to == known, f"there is no domain '{to}' to translate to, only {known}.{nearest(to, (known,))}")
        fits = tuple(images.shape[2:]) == tuple(size)
        require(fits, f"spade makes pictures of label maps of {size[1]} x {size[0]} pixels, not {images.shape[3]} x {images.shape[2]}")
        return self.generator(self.classes_of(images), z).float()

    def translate(self, images: Tensor, *, to: str, rng: Draws) -> Tensor:
        return self._made(images, rng.normal(len(images), self.config.z) if self.config.style else None, to)

    def styled(self, images: Tensor, example: Tensor, *, to: str, rng: Draws) -> Tensor:
        """In the mean style of `example`; nothing is drawn."""
        require(self.encoder is not None, "spade: this run was trained with --config.style False, so it knows no styles")
        assert self.encoder is not None
        return self._made(images, self.encoder(example)[0].expand(len(images), -1), to)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Pictures of the label maps `condition.images` (n, C, H, W), in styles drawn from the prior."""
        require(condition is None or condition.labels is None, "spade is not conditional on labels: it makes pictures from label maps")
        require(condition is not None and condition.images is not None, "spade makes samples from images: give the data they are of")
        assert condition is not None and condition.images is not None
        return self.translate(condition.images, to=self.data.domains[1], rng=rng)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=20_000,
        batch=8,
        width=12,
        hidden=24,
        z=32,
        encoder_width=12,
        patch="34",
        discriminator_width=20,
        lr_generator=5e-4,
        lr_discriminator=1e-3,
        betas=(0.0, 0.99),
        ema_half_life=2_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=4,
        width=2,
        hidden=4,
        base=4,
        z=4,
        encoder_width=4,
        patch="16",
        discriminator_width=4,
        jitter=1.0,
        mirror=False,
        lr_generator=1e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = SPADE
