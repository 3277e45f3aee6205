"""pix2pix - Image-to-Image Translation with Conditional Adversarial Networks (Isola et al., 2016), arXiv:1611.07004

From pairs of images that belong together, such as a plan and its photo, a network learns to draw the second from the first. A mean absolute
error alone blurs what the first leaves open; a discriminator that sees both images of a pair, patch by patch, asks for sharp ones.

Objective (equations 1 to 4, the generator's part of 1 non-saturating as in section 3.3), x the input, y the truth, z the noise:

    discriminator  1/2 [-log D(x, y) - log(1 - D(x, G(x, z)))]
    generator      -w log D(x, G(x, z)) + lambda |y - G(x, z)|_1

where |.|_1 is the mean over pixels, the first two terms are means over patches, and w = 1. With w = 0 it is a regression, and there is no
discriminator. Without `conditional` D sees the second image alone.

Shapes: B batch, C and C' channels, F = `width`; input (B, C, H, W) and output (B, C', H, W) in [-1, 1], map of logits (B, 1, h, w).

    generator      U-Net: 4 x 4 convolutions of stride 2 to F, 2F, 4F, 8F, 8F, ... maps until one pixel is left (at most `levels`), as many
                   fractionally strided back, each beside the encoder's maps of its size; tanh (appendix 6.1.1)
    discriminator  both images joined on their channels; a logit for every patch of 1, 16, 34 or 70 pixels, or of the whole image
                   (appendix 6.1.2)

The noise is dropout of half of the three innermost layers of the decoder, in training and afterwards (section 3.2.1). Here it is drawn from
the numbers of the sample: output i of a seed is the same whatever is drawn with it.

Differences from the paper. Instance normalisation with gain and bias stands for batch normalisation: it is the same with the paper's batch
of one image, and a sample must not depend on its batch. The innermost maps are not normalised (one pixel would be normalised to 0). Sides
that are no multiple of 2^levels are padded by repeating their edge, and cropped back. Images too small for the strided layers of a patch
have as many as leave the discriminator a logit.

What to expect. Where the input says much (maps, edges, noisy photos) outputs are right after some passes through the data; where it says
little the L1 term rules and details are average. Outputs of one input hardly differ: the network learns to overlook the noise (section 4).
Fewer than a hundred pairs are learned by heart; mirror images and jitter, which are on, put that off. Enlarging smooths noise and undoes
mosaics, and mirroring turns Bayer's pattern round: `quick-restore`, for the pairs of `task:`, has neither, and no dropout.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Translate
from ganvas.engine.card import Card
from ganvas.engine.contract import Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import nearest, require
from ganvas.parts import initialise
from ganvas.parts.jitter import jittered
from ganvas.parts.objectives import NON_SATURATING, per_sample, widen
from ganvas.parts.patch import PATCHES, Patch, PatchCritic
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.unet import UNet, levels_for

CARD = Card(
    title="pix2pix",
    year=2016,
    paper="Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004",
    family="translation",
    teaches="translation from pairs, sharpened by a judge of patches",
    data=("images",),
    capabilities=("translate",),
    conditions=("images",),
    needs=("aligned",),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 3.3 and the appendix of the paper, on facades of 256 x 256."""

    images: int = 200 * 400
    """Length of the run in training examples: 200 epochs of 400 facades (appendix 6.2)."""
    batch: int = 1
    """Pairs in an update (appendix 6.2: facades)."""
    width: int = 64
    """Maps of the generator's first layer, F above (appendix 6.1.1: C64)."""
    levels: int = 8
    """Halvings of the images at most, until their shorter side is one pixel (appendix 6.1.1)."""
    skips: bool = True
    """Whether the decoder sees the encoder's maps; False is the encoder-decoder of section 4.3."""
    dropout: float = 0.5
    """Share of the entries hidden in the three innermost layers of the decoder, the only noise (appendix 6.1.1)."""
    patch: Patch = "70"
    """What a logit of the discriminator sees: pixel, 16, 34 or 70 pixels, or the image (appendix 6.1.2; 34 is not in the paper)."""
    discriminator_width: int = 64
    """Maps of the discriminator's first layer (appendix 6.1.2: C64)."""
    conditional: bool = True
    """Whether the discriminator sees the input beside the output (equation 1), or the output alone (equation 2)."""
    adversarial: float = 1.0
    """Weight of the adversarial term in the generator's loss, w above (equation 4); 0 leaves the L1 term alone (section 4.2)."""
    l1: float = 100.0
    """Weight of the L1 term, lambda (section 4.2: 100)."""
    jitter: float = 286 / 256
    """Pairs are enlarged by this factor and cropped at random to their size (appendix 6.2); 1 leaves them."""
    mirror: bool = True
    """Whether half of the pairs are mirrored from left to right (appendix 6.2)."""
    init: float = 0.02
    """First weights ~ N(0, v^2), gains of the normalisation ~ N(1, v^2) (appendix 6.2, the gains as in the authors' code)."""
    lr: float = 2e-4
    """Learning rate of both networks (section 3.3)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (section 3.3)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end (0.5 in the authors' second code); None: never."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "width", "discriminator_width")
        whole(self, 2, "levels")
        one_of(self, PATCHES, "patch")
        in_range(self, 0.0, 1.0, "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "adversarial", "l1")
        require(
            self.adversarial > 0 or self.l1 > 0, "--config.l1 must be above 0 where --config.adversarial is 0: nothing would be learned"
        )
        in_range(self, 1.0, 2.0, "jitter")
        in_range(self, 0.0, math.inf, "init", "lr", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Pix2Pix(GenerativeModel, Translate):
    """A U-Net, and unless its loss is L1 alone a discriminator of patches."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"pix2pix takes images, not {data.kind}: `ganvas list` shows what each model takes")
        aligned = "target" in data.views and data.aligned
        require(aligned, "pix2pix needs pairs (folders A and B of equal names, --layout left-right, `inked-pairs`, or task:denoise:FOLDER)")
        (below, height, width), (above, *size) = data.shape, data.views["target"]
        require([height, width] == size, f"both images of a pair need one size, not {width} x {height} and {size[1]} x {size[0]}")
        require(min(height, width) >= 4, f"pix2pix takes images of at least 4 x 4 pixels, not {width} x {height}")
        self.config, self.data, c = config, data, config
        levels = levels_for(height, width, c.levels)
        self.generator = UNet(below, above, width=c.width, levels=levels, dropout=c.dropout, skips=c.skips)
        self.judge: PatchCritic | None = None
        if c.adversarial:
            seen = (below, above) if c.conditional else (above,)
            self.judge = PatchCritic(seen, height, width, patch=c.patch, maps=c.discriminator_width)
        initialise.gaussian(self, c.init)
        for layer in self.modules():
            if isinstance(layer, nn.InstanceNorm2d):
                nn.init.normal_(layer.weight, 1.0, c.init)

    def _pairs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Inputs and truths as this step shows them, to both networks alike."""
        c, scratch = self.config, step.scratch
        if "input" not in scratch:
            x, y = step.batch.images, step.batch["target"]
            if c.jitter > 1 or c.mirror:
                x, y = jittered(x, y, c.jitter, c.mirror, step.rng)
            scratch["input"], scratch["truth"] = x.detach(), y.detach()
        return scratch["input"], scratch["truth"]

    def _logits(self, x: Tensor, y: Tensor) -> Tensor:
        assert self.judge is not None
        return self.judge(x, y) if self.config.conditional else self.judge(y)

    def discriminator_loss(self, step: Step) -> Loss:
        """Half of the logistic loss of true pairs and of pairs with fresh outputs."""
        x, y = self._pairs(step)
        with torch.no_grad():
            fake = self.generator(x, step.rng)
        return Loss({"pairs": 0.5 * NON_SATURATING.d(self._logits(x, y), self._logits(x, fake))})

    def generator_loss(self, step: Step) -> Loss:
        """To be taken for true, and to be near the truth."""
        c, (x, y) = self.config, self._pairs(step)
        fake = self.generator(x, step.rng)
        terms = {}
        if c.adversarial:
            terms["adversarial"] = c.adversarial * NON_SATURATING.g(self._logits(x, fake))
        if c.l1:
            terms["l1"] = c.l1 * per_sample((widen(fake) - widen(y)).abs())
        return Loss(terms)

    def stages(self) -> Sequence[Stage]:
        c = self.config
        phases = [Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer())]
        if self.judge is not None:
            judging = Phase(name="discriminator", trains=(self.judge,), loss=self.discriminator_loss, optimizer=self._optimizer())
            phases.insert(0, judging)
        return [Stage(name="game", phases=tuple(phases), images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        c = self.config
        return Adam(lr=c.lr if c.decay_from is None else linear_decay(c.lr, c.decay_from), betas=c.betas)

    @property
    def targets(self) -> tuple[str, ...]:
        return self.data.domains[1:]

    @property
    def multiple(self) -> int:
        return 1

    def translate(self, images: Tensor, *, to: str, rng: Draws) -> Tensor:
        known = self.data.domains[1]
        require(to == known, f"there is no domain '{to}' to translate to, only {known}.{nearest(to, (known,))}")
        return self.generator(images, rng).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Translations of `condition.images` (n, C, H, W) to the second domain."""
        require(condition is None or condition.labels is None, "pix2pix is not conditional on labels: it translates images")
        require(condition is not None and condition.images is not None, "pix2pix makes samples from images: give the data they are of")
        assert condition is not None and condition.images is not None
        return self.translate(condition.images, to=self.data.domains[1], rng=rng)


PRESETS = {
    "paper": Config(),
    "quick": Config(images=8_000, batch=4, width=16, levels=6, discriminator_width=16, patch="34", lr=5e-4, decay_from=0.5),
    "quick-restore": Config(
        images=20_000,
        batch=8,
        width=16,
        levels=4,
        dropout=0.0,
        discriminator_width=16,
        patch="16",
        jitter=1.0,
        mirror=False,
        lr=5e-4,
        decay_from=0.5,
    ),
    "tiny": Config(images=8 * 20, batch=4, width=4, levels=3, discriminator_width=4, patch="16", jitter=1.0, mirror=False, lr=2e-3),
}

MODEL = Pix2Pix
