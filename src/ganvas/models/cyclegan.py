"""CycleGAN - Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (Zhu et al., 2017), arXiv:1703.10593

Two generators translate between two domains of which no pairs are known. Each is judged by a discriminator of its target domain; that a
translation belongs to its original is enforced by translating it back.

Objective (equations 1 to 3, with the squared error of section 4 for the adversarial terms, and the identity term of section 5.2):

    generators      (D_B(G(a)) - 1)^2 + (D_A(F(b)) - 1)^2 + lambda (|F(G(a)) - a|_1 + |G(F(b)) - b|_1)
                    + mu lambda (|G(b) - b|_1 + |F(a) - a|_1)
    discriminators  1/2 [(D_B(b) - 1)^2 + D_B(b')^2] + 1/2 [(D_A(a) - 1)^2 + D_A(a')^2]

where |.|_1 is the mean over pixels and a', b' are fakes shown from a pool of 50 earlier ones (section 4). Both generators move first, then
both discriminators (authors' code). D_B judges images of B: the authors' code calls that network D_A.

Shapes: B batch, C_A and C_B channels, F = `width`; images and translations (B, C, H, W) in [-1, 1], maps of logits (B, 1, h, w).

    generator       7 x 7 to F, two strides of 2 to 4F, `blocks` residual blocks, two fractional strides back, 7 x 7 and tanh; reflection
                    padding, instance normalisation (appendix, section 7.2)
    discriminator   4 x 4 convolutions: `layers` of stride 2, then two of stride 1; sees patches of 70 x 70 at three layers

Samples are translations of images of the first domain to the second.

Differences from the paper. Sizes that are no multiple of 4 are padded by repeating their edge, and cropped back, sides below 8 likewise.
Images too small for three strided layers have as many as leave the discriminator a map. With several processes each has a pool of its
own. Domains of different channels are possible without the identity term.

What to expect. Colour, texture and the weight of strokes change well, shapes hardly. On MNIST in two looks (28 x 28, `quick`) translations
are right after a few thousand images, one or two minutes on a processor; time grows with the number of pixels. A low cycle loss is no
proof of a good translation: a generator can hide the original in faint patterns. Look at the pictures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganvas.engine.capabilities import Translate
from ganvas.engine.card import Card
from ganvas.engine.contract import Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import nearest, require
from ganvas.parts import initialise, pool
from ganvas.parts.objectives import LEAST_SQUARES, per_sample, widen
from ganvas.parts.ranges import in_range, whole
from ganvas.parts.strided import double, halve

CARD = Card(
    title="CycleGAN",
    year=2017,
    paper="Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, arXiv:1703.10593",
    family="translation",
    teaches="translation without pairs, held by the way back",
    data=("images",),
    capabilities=("translate",),
    conditions=("images",),
    needs=("target",),
    exceptions={"samples_follow_their_seed": "a sample is a function of the image it is made from"},
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4 and the appendix of the paper, on horses and zebras of 256 x 256."""

    images: int = 200 * 1_334
    """Length of the run in training examples: 200 epochs of the larger domain (section 4)."""
    batch: int = 1
    """Images of each domain in an update (section 4)."""
    width: int = 64
    """Maps of the generators' first layer (appendix 7.2: c7s1-64)."""
    blocks: int = 9
    """Residual blocks of a generator (appendix 7.2: 9 for 256 x 256, 6 for 128 x 128)."""
    discriminator_width: int = 64
    """Maps of the discriminators' first layer (appendix 7.2: C64)."""
    layers: int = 3
    """Strided layers of a discriminator, as far as the images are large enough (appendix 7.2)."""
    cycle: float = 10.0
    """Weight of the cycle loss, lambda (section 4)."""
    identity: float = 0.5
    """Weight of the identity loss as a share of lambda (section 5.2); 0 leaves it out."""
    pool: int = 50
    """Earlier fakes kept for each discriminator (section 4); 0 keeps none."""
    init: float = 0.02
    """First weights ~ N(0, v^2) (appendix 7.1)."""
    lr: float = 2e-4
    """Learning rate of all networks (section 4)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (authors' code)."""
    decay_from: float = 0.5
    """Share of the run after which learning rates fall linearly, to 0 at its end (section 4: the last 100 of 200 epochs)."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "width", "blocks", "discriminator_width")
        whole(self, 0, "layers", "pool")
        in_range(self, 0.0, math.inf, "cycle", "identity")
        in_range(self, 0.0, math.inf, "init", "lr", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def normalised(layer: nn.Module, maps: int, after: nn.Module) -> list[nn.Module]:
    """A layer, instance normalisation without parameters, and what bends its output."""
    return [layer, nn.InstanceNorm2d(maps), after]


@final
class Block(nn.Module):
    """Two 3 x 3 convolutions whose output is added to the input (B, maps, h, w)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        inner = normalised(nn.Conv2d(maps, maps, 3, padding=1, padding_mode="reflect"), maps, nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*inner, nn.Conv2d(maps, maps, 3, padding=1, padding_mode="reflect"), nn.InstanceNorm2d(maps))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


@final
class Generator(nn.Module):
    """Images (B, C, H, W) of one domain to images (B, C', H, W) of the other, of any size."""

    def __init__(self, config: Config, below: int, above: int) -> None:
        super().__init__()
        f = config.width
        layers = normalised(nn.Conv2d(below, f, 7, padding=3, padding_mode="reflect"), f, nn.ReLU(inplace=True))
        for maps in (f, 2 * f):
            layers += normalised(halve(maps, 2 * maps, 3, bias=True), 2 * maps, nn.ReLU(inplace=True))
        layers += [Block(4 * f) for _ in range(config.blocks)]
        for maps in (4 * f, 2 * f):
            layers += normalised(double(maps, maps // 2, 3, bias=True), maps // 2, nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers, nn.Conv2d(f, above, 7, padding=3, padding_mode="reflect"), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # The smallest maps are a quarter of the canvas, and a border can be reflected only where there are two pixels.
        right, below = max(-width % 4, 8 - width), max(-height % 4, 8 - height)
        padded = pad(x, (0, right, 0, below), mode="replicate")
        return self.layers(padded)[:, :, :height, :width]


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W) to a map of logits (B, 1, h, w), one for each patch."""

    def __init__(self, config: Config, channels: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        below, above = channels, config.discriminator_width
        while len(layers) < 3 * config.layers and side // 2 >= 3:
            layers += [nn.Conv2d(below, above, 4, stride=2, padding=1), *self._bend(above, first=not layers)]
            below, above, side = above, min(2 * above, 8 * config.discriminator_width), side // 2
        layers += [nn.Conv2d(below, above, 4, padding=1), *self._bend(above, first=not layers)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(above, 1, 4, padding=1))

    @staticmethod
    def _bend(maps: int, *, first: bool) -> list[nn.Module]:
        """The first layer is not normalised (appendix 7.2)."""
        return [nn.Identity() if first else nn.InstanceNorm2d(maps), nn.LeakyReLU(0.2, inplace=True)]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference (B,)."""
    return per_sample((widen(x) - widen(y)).abs())


@final
class CycleGAN(GenerativeModel, Translate):
    """Two generators and two discriminators."""

    pool_a: Tensor
    pool_b: Tensor
    filled_a: Tensor
    filled_b: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"cyclegan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        require("target" in data.views, "cyclegan needs data of two domains (folders trainA and trainB, or `inked`)")
        (a, height, width), (b, *size) = data.shape, data.views["target"]
        require([height, width] == size, f"both domains need one size, not {width} x {height} and {size[1]} x {size[0]}: give --resolution")
        require(min(height, width) >= 5, f"cyclegan takes images of at least 5 x 5 pixels, not {width} x {height}")
        same = a == b or config.identity == 0
        require(same, f"the identity loss needs domains of equal channels, not {a} and {b}: set --config.identity 0")
        self.config, self.data = config, data
        side = min(height, width)
        self.to_b, self.to_a = Generator(config, a, b), Generator(config, b, a)
        self.judge_a, self.judge_b = Discriminator(config, a, side), Discriminator(config, b, side)
        initialise.gaussian(self, config.init)
        for name, channels in (("a", a), ("b", b)):
            self.register_buffer(f"pool_{name}", torch.zeros(config.pool, channels, height, width))
            self.register_buffer(f"filled_{name}", torch.zeros((), dtype=torch.int64))

    def rank_buffers(self) -> tuple[str, ...]:
        return ("pool_a", "pool_b", "filled_a", "filled_b")

    def generators_loss(self, step: Step) -> Loss:
        """Both ways there and back; the fakes stay for the discriminators."""
        c, a, b = self.config, step.batch.images, step.batch["target"]
        fake_b, fake_a = self.to_b(a), self.to_a(b)
        step.scratch.update(fake_a=fake_a.detach(), fake_b=fake_b.detach())
        terms = {
            "adversarial": 2 * LEAST_SQUARES.g(self.judge_b(fake_b)) + 2 * LEAST_SQUARES.g(self.judge_a(fake_a)),
            "cycle": c.cycle * (distance(self.to_a(fake_b), a) + distance(self.to_b(fake_a), b)),
        }
        if c.identity:
            terms["identity"] = c.identity * c.cycle * (distance(self.to_b(b), b) + distance(self.to_a(a), a))
        return Loss(terms)

    def discriminators_loss(self, step: Step) -> Loss:
        """Reals against fakes of the pool, for both domains."""
        scratch = step.scratch
        shown_b, scratch["slots_b"] = pool.shown(self.pool_b, self.filled_b, scratch["fake_b"], step.rng)
        shown_a, scratch["slots_a"] = pool.shown(self.pool_a, self.filled_a, scratch["fake_a"], step.rng)
        return Loss(
            {
                "of A": LEAST_SQUARES.d(self.judge_a(step.batch.images), self.judge_a(shown_a)),
                "of B": LEAST_SQUARES.d(self.judge_b(step.batch["target"]), self.judge_b(shown_b)),
            }
        )

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """The fakes of this step enter the pools."""
        if self.judge_a in phase.trains:
            pool.keep(self.pool_a, self.filled_a, scratch["fake_a"], scratch["slots_a"])
            pool.keep(self.pool_b, self.filled_b, scratch["fake_b"], scratch["slots_b"])

    def stages(self) -> Sequence[Stage]:
        c = self.config
        phases = (
            Phase(name="generators", trains=(self.to_a, self.to_b), loss=self.generators_loss, optimizer=self._optimizer()),
            Phase(name="discriminators", trains=(self.judge_a, self.judge_b), loss=self.discriminators_loss, optimizer=self._optimizer()),
        )
        return [Stage(name="game", phases=phases, images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        return Adam(lr=linear_decay(self.config.lr, self.config.decay_from), betas=self.config.betas)

    @property
    def targets(self) -> tuple[str, ...]:
        return self.data.domains

    @property
    def multiple(self) -> int:
        return 1

    def translate(self, images: Tensor, *, to: str, rng: Draws) -> Tensor:
        known = self.data.domains
        require(to in known, f"there is no domain '{to}', only {' and '.join(known)}.{nearest(to, known)}")
        return (self.to_b if to == known[1] else self.to_a)(images).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Translations of `condition.images` (n, C, H, W) from the first domain to the second."""
        require(condition is None or condition.labels is None, "cyclegan is not conditional on labels: it translates images")
        require(condition is not None and condition.images is not None, "cyclegan makes samples from images: give the data they are of")
        assert condition is not None and condition.images is not None
        return self.translate(condition.images, to=self.data.domains[1], rng=rng)


PRESETS = {
    "paper": Config(),
    "quick": Config(images=16_000, batch=4, width=16, blocks=3, discriminator_width=24, layers=2, lr=5e-4),
    "tiny": Config(images=8 * 20, batch=4, width=2, blocks=1, discriminator_width=4, layers=1, pool=20, lr=2e-3),
}

MODEL = CycleGAN
