"""AC-GAN - Conditional Image Synthesis with Auxiliary Classifier GANs (Odena et al., 2016), arXiv:1610.09585

The generator is told the class, the discriminator is not: it has to find it out. A second head on its trunk names the class of an image,
and both players are paid for classes that are named right.

Objective (section 3), with the logit a(x), the classifier's probabilities p(c|x), and fakes G(z, c) of drawn classes c:

    L_S = E[log sigma(a(x))] + E[log(1 - sigma(a(G(z, c))))]        L_C = E[log p(c|x)] + E[log p(c|G(z, c))]

D maximises L_S + L_C and G maximises L_C - L_S. As losses, with sp(t) = log(1 + e^t) and G's part of L_S in its non-saturating form:

    discriminator   E[sp(-a(x)) + sp(a(G(z, c)))] + w_D (E[-log p(c|x)] + [fakes count] E[-log p(c|G(z, c))])
    generator       E[sp(-a(G(z, c)))] + w_G E[-log p(c|G(z, c))]

The paper's weights are w_D = w_G = 1. L_C pays for samples that are easy to name, not for true ones, so a large w_G draws each class to
what is typical of it alone. The code of Gulrajani et al. 2017 (arXiv:1704.00028) guards against that: w_G = 0.1, and a classifier that
learns from reals only, so that the players can agree upon no sign of their own. `guarded` is `paper` with both. `quick` has that
classifier and w_G = 0.5: beside the logistic cost 0.1 is weak, and after 40,000 MNIST digits less than half of the samples were what they
had been asked to be.

Shapes: B batch, Z code, K classes, C channels, H x W the data's size, n levels; z (B, Z), labels (B,), images (B, C, H, W), logits (B,),
class logits (B, K). The generator is DCGAN's, the class joined to the code one-hot (100 + 10 entries).

    alternating   convolutions of stride 2 and 1 in turn, F-2F-4F-8F-16F-32F on 32 x 32 (F = `discriminator_width`), dropout after each
    strided       DCGAN's discriminator: strides of 2 alone

Differences from the paper. The defaults are its CIFAR-10 network (appendix A); other sizes through the canvas, as in `dcgan`, and at most
32F maps. Activation noise, one of the options tried there, is left out, and so are the normalised features of a later guard
(arXiv:2111.01118). Logits of reals and fakes come from batches of their own.

What to expect. Rows of a grid are classes early on, as the classifier learns faster than the game. `worst recall` is the share of the
worst class's fakes that the discriminator's own classifier takes for it, a running average: if it stays near 0 while others rise, that
class is lost, and w_G is the first number to change. Recall near 1 says nothing of variety: see `intra-fd` of `ganvas evaluate`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ganvas.engine.capabilities import Classify, Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise, labels, latent
from ganvas.parts.backbones import generator_for, label_maps, trunk_for
from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import NON_SATURATING, widen
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="AC-GAN",
    year=2016,
    paper="Odena et al., Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585",
    family="adversarial",
    teaches="a discriminator that also names the class",
    data=("images",),
    capabilities=("latent", "classify", "score"),
    conditions=("labels",),
    needs=("labels",),
)

KEPT: Final = 0.98  # share of the old running recall kept at each update: an average over about 50
NAMED: Final = 12  # classes up to which each has a curve of its own


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 3 and appendix A of the paper, its CIFAR-10 experiment."""

    images: int = 50_000 * 100
    """Length of the run in training examples: 50,000 updates of 100 images (appendix A)."""
    batch: int = 100
    """Examples in each update of the discriminator, and codes in each of the generator (appendix A)."""
    class_weight_discriminator: float = 1.0
    """Weight of the classifier's loss for the discriminator, w_D above (section 3); not above 1, where its gradients take over early."""
    class_weight_generator: float = 1.0
    """Weight of the classifier's loss for the generator, w_G above (section 3; 0.1 in the code of arXiv:1704.00028)."""
    classify_fakes: bool = True
    """Train the classifier on fakes as well (section 3); the code of arXiv:1704.00028 trains it on reals only."""
    z: int = 100
    """Entries of the code; the class is joined to them, one-hot (appendix A: 100 + 10)."""
    prior: latent.Prior = "normal"
    """Law of the code's entries: N(0, 1) or U[-1, 1) (the paper does not say)."""
    trunk: Literal["alternating", "strided"] = "alternating"
    """The discriminator's convolutions: of stride 2 and 1 in turn (appendix A), or DCGAN's."""
    width: int = 96
    """Maps of the generator's last hidden layer (appendix A: 384-192-96)."""
    discriminator_width: int = 16
    """Maps of the discriminator's first hidden layer, F above (appendix A)."""
    kernel: int = 5
    """Side of the generator's kernels (appendix A), and of a `strided` trunk's; an `alternating` one has 3 (appendix A)."""
    dropout: float = 0.5
    """Share of each hidden map's entries hidden in the discriminator while training (appendix A)."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (appendix A); None takes torch's default."""
    lr_generator: float = 2e-4
    """The generator's learning rate (appendix A)."""
    lr_discriminator: float = 2e-4
    """The discriminator's learning rate (appendix A)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (appendix A)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("alternating", "strided"), "trunk")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "z", "width", "discriminator_width")
        whole(self, 2, "kernel")
        in_range(self, 0.0, 1.0, "class_weight_discriminator")
        in_range(self, 0.0, math.inf, "class_weight_generator")
        in_range(self, 0.0, 1.0, "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Generator(nn.Module):
    """Codes (B, Z) and labels (B,) to images (B, C, H, W) in [-1, 1]."""

    def __init__(self, c: Config, data: DataSpec) -> None:
        super().__init__()
        self.classes = len(data.classes)
        self.layers = generator_for(data, c.z + self.classes, width=c.width, kernel=c.kernel)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(label_maps(y, self.classes, z))


@final
class AlternatingTrunk(nn.Module):
    """Images (B, C, H, W) to features (B, features): two 3 x 3 convolutions a level, of stride 2 and 1, whose maps double up to 32F."""

    def __init__(self, c: Config, data: DataSpec) -> None:
        super().__init__()
        channels, height, side = data.shape
        self.canvas = Canvas.fit(height, side)
        widths = (channels, *(c.discriminator_width * min(2**place, 32) for place in range(2 * self.canvas.levels)))
        layers: list[nn.Module] = []
        for place, (below, above) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(below, above, 3, stride=2 - place % 2, padding=1, bias=place == 0))
            layers += [nn.BatchNorm2d(above)] if place else []
            layers += [nn.LeakyReLU(0.2, inplace=True), nn.Dropout(c.dropout)]
        self.layers = nn.Sequential(*layers)
        self.features = math.prod(self.canvas.base) * widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.canvas.pad(x)).permute(0, 2, 3, 1).flatten(1)


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W) to logits (B,) and class logits (B, K), from one trunk."""

    def __init__(self, c: Config, data: DataSpec) -> None:
        super().__init__()
        if c.trunk == "alternating":
            self.trunk: nn.Module = (found := AlternatingTrunk(c, data))
            features = found.features
        else:
            lent = trunk_for(data, width=c.discriminator_width, kernel=c.kernel, dropout=c.dropout)
            self.trunk, features = lent, lent.features
        self.score, self.classify = nn.Linear(features, 1), nn.Linear(features, len(data.classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.score(features).squeeze(1), self.classify(features)


@final
class ACGAN(GenerativeModel, Latent, Classify, Score):
    """The two-player game with a classifier that both players want to be right."""

    tally: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"acgan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data, self.classes = config, data, len(data.classes)
        require(self.classes >= 1, "acgan needs data with labels, and these have none")
        self.generator, self.discriminator = Generator(config, data), Discriminator(config, data)
        if config.init is not None:
            initialise.gaussian(self, config.init)
        # Running shares (2, K): of fakes asked for as each class, and of those that were also taken for it. It starts at chance.
        even = torch.full((self.classes,), 1 / self.classes)
        self.register_buffer("tally", torch.stack([even, even / self.classes]))

    def discriminator_loss(self, step: Step) -> Loss:
        """-L_S - w_D L_C on the batch and as many fresh fakes of drawn classes."""
        c, y = self.config, step.batch.labels
        z, of = self._drawn(step.batch.size, step.rng)
        with torch.no_grad():
            fake = self.generator(z, of)
        # Two calls, not one on the joined batch: the statistics of reals and fakes are not to mix.
        (real_logits, real_classes), (fake_logits, fake_classes) = self.discriminator(step.batch.images), self.discriminator(fake)
        terms = {
            "value": NON_SATURATING.d(real_logits, fake_logits),
            "class of reals": c.class_weight_discriminator * classified(real_classes, y),
        }
        if c.classify_fakes:
            terms["class of fakes"] = c.class_weight_discriminator * classified(fake_classes, of)
        watch = {
            "D(x)": real_logits.detach().float().sigmoid().mean(),
            "D(G(z))": fake_logits.detach().float().sigmoid().mean(),
            "accuracy": (real_classes.argmax(1) == y).float().mean(),
        }
        return Loss(terms, watch)

    def generator_loss(self, step: Step) -> Loss:
        """The non-saturating cost and the classifier's, on fresh fakes; leaves what was recognised to `after_update`."""
        z, of = self._drawn(step.batch.size, step.rng)
        logits, classes = self.discriminator(self.generator(z, of))
        terms = {"cost": NON_SATURATING.g(logits), "class": self.config.class_weight_generator * classified(classes, of)}
        step.scratch["tally"] = step.mean(recognised(classes.detach(), of))[None]
        recall = self.recall
        watch = {"worst recall": recall.min()}
        if self.classes <= NAMED:
            watch |= {f"recall of {name}": recall[place] for place, name in enumerate(self.data.classes)}
        return Loss(terms, watch)

    @property
    def recall(self) -> Tensor:
        """The share (K,) of each class's fakes that the discriminator's classifier takes for it, a running average."""
        return self.tally[1] / self.tally[0]

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """Move the running recall."""
        if self.generator in phase.trains:
            self.tally.lerp_(scratch["tally"].mean(0), 1 - KEPT)

    def _drawn(self, n: int, rng: Draws) -> tuple[Tensor, Tensor]:
        """Codes and labels of n fakes."""
        return self.draw(n, rng), labels.drawn(n, self.classes, rng)

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(batch.images)[0]

    def classify(self, batch: Batch) -> Tensor:
        return self.discriminator(batch.images)[1]

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
        """Samples of the labels asked for; without a condition the classes in turn."""
        return self.generator(z, labels.asked(condition, z, self.classes, "acgan")).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Without a condition labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        return self.decode(z, condition=condition or Condition(labels=labels.drawn(n, self.classes, rng)))


def classified(logits: Tensor, y: Tensor) -> Tensor:
    """-log p(y|x) (B,) of class logits (B, K)."""
    return cross_entropy(widen(logits), y, reduction="none")


def recognised(logits: Tensor, y: Tensor) -> Tensor:
    """Shares (2, K) of a batch: asked for as each class, and of these also taken for it."""
    hot = one_hot(y, logits.shape[1]).float()
    return torch.stack([hot.mean(0), (hot * (logits.argmax(1) == y)[:, None]).mean(0)])


PRESETS = {
    "paper": Config(),
    "guarded": Config(class_weight_generator=0.1, classify_fakes=False),
    "quick": Config(
        images=600_000,
        batch=64,
        class_weight_generator=0.5,
        classify_fakes=False,
        trunk="strided",
        width=32,
        discriminator_width=16,
        kernel=4,
        dropout=0.0,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        class_weight_generator=0.5,
        classify_fakes=False,
        z=4,
        trunk="strided",
        width=4,
        discriminator_width=4,
        kernel=4,
        dropout=0.0,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = ACGAN
