"""cGAN - Conditional Generative Adversarial Nets (Mirza & Osindero, 2014), arXiv:1411.1784

Both players are told the class: the generator makes a sample of it, and the discriminator judges whether sample and class are a real pair.
So a sample can be asked for by its label, and the code is left to say everything else.

Objective (equation 2), with D(x|y) = sigma(a(x, y)) and sp(t) = log(1 + e^t); codes z and labels y of fakes are drawn independently:

    min_G max_D  V(D, G) = E_{x,y}[log D(x|y)] + E_{z,y}[log(1 - D(G(z|y)|y))]

    discriminator   E[sp(-a(x, y))] + (1 - m) E[sp(a(G(z|y), y))] + m E[sp(a(x, y'))]        generator   E[sp(-a(G(z|y), y))]

Labels of fakes are drawn evenly. Where the data's classes are equally frequent, the best D for a fixed G is p(x|y) / (p(x|y) + p_g(x|y));
else each of the two is weighed by the share of y among reals, among fakes, and G(.|y) = p(.|y) is still best for G.

The last term, m = `mismatched`, is 0 in the paper: real images with a wrong label y' as further negatives tell the discriminator early
that labels matter (Reed et al. 2016, arXiv:1605.05396, section 4.2, with m = 1/2). With separate `heads` one logit r(x) says real or fake
and another t(x, y) whether image and label match, w its weight:

    discriminator   E[sp(-r(x)) + sp(r(G(z|y)))] + w E[sp(-t(x, y)) + sp(t(x, y'))]
    generator       E[sp(-r(G(z|y)))] + w E[sp(-t(G(z|y), y))]

Shapes: B batch, Z code, K classes, C channels, H x W the data's size; z (B, Z), labels (B,), images (B, C, H, W), logits (B, heads).

    mlp        generator: z and y through a layer each, both through further ones; the discriminator alike, of maxout units (section 4.1)
    strided    DCGAN's networks: y is joined to z, one-hot, and to the image as K more maps, each 0 or 1 all over

Differences from the paper. The generator has the non-saturating cost, as in `gan`. Images lie in [-1, 1] and the generator ends in tanh
(there: [0, 1] and a sigmoid); codes are uniform on [-1, 1) in place of the unit cube. The paper stops by a validation likelihood and gives
no length: here the run ends about when the learning rate comes to its least value. It gives no initialisation: torch's. `strided`,
`mismatched` and `heads` are not in it. The `textbook` preset is the small network of the well-known Keras chapter, which multiplies an
embedding of the label into the code and into the image; there the discriminator takes a half-batch of 16 reals and one of 16 fakes in
turn, here batches of 32 in one update.

What to expect. Every row of a grid is one class, soon after samples are digits at all. If rows mix classes, the discriminator ignores the
label: raise `mismatched`. D(x, wrong) tells: it falls well below D(x) as soon as labels are looked at. Variety within a class is that of
a plain GAN and can collapse class by class, which `intra-fd` of `ganvas evaluate` shows and label agreement does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import SGD, Adam, Optimizer, at, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise, labels, latent
from ganvas.parts.backbones import Perceptron, generator_for, label_maps, trunk_for
from ganvas.parts.objectives import NON_SATURATING
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="cGAN",
    year=2014,
    paper="Mirza & Osindero, Conditional Generative Adversarial Nets, arXiv:1411.1784",
    family="adversarial",
    teaches="how to ask a generator for a class",
    data=("images",),
    capabilities=("latent", "score"),
    conditions=("labels",),
    needs=("labels",),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4.1 of the paper, its MNIST experiment."""

    images: int = 287_829 * 100
    """Length of the run in training examples: updates until the learning rate is 1e-6, times the batch (section 4.1 gives no length)."""
    batch: int = 100
    """Examples in each update of the discriminator, and codes in each of the generator (section 4.1)."""
    network: Literal["mlp", "strided"] = "mlp"
    """Fully connected layers (section 4.1), or DCGAN's strided convolutions."""
    join: Literal["concatenate", "multiply"] = "concatenate"
    """How a label is joined to code and image: beside them (section 3.2), or by an embedding that they are multiplied by."""
    heads: Literal["joint", "separate"] = "joint"
    """One logit for 'real and of this class' (section 3.2), or one for 'real' and one for 'image and label match'."""
    mismatched: float = 0.0
    """Share of real images with wrong labels among the negatives of a joint head, m above (the paper has none)."""
    match_weight: float = 1.0
    """Weight of the second of two separate heads for both players, w above (not in the paper)."""
    z: int = 100
    """Entries of the code (section 4.1)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (section 4.1, there on the unit cube) or N(0, 1)."""
    code_units: int = 200
    """Units that the code is mapped to before it meets the label (section 4.1; `mlp` that concatenates)."""
    code_label_units: int = 1000
    """Units that the label is mapped to before it meets the code (section 4.1; `mlp` that concatenates)."""
    generator_widths: tuple[int, ...] = (1200,)
    """Units of the generator's further hidden layers (section 4.1; `mlp`)."""
    generator_slope: float = 0.0
    """Slope of the generator's hidden units below 0: 0 is ReLU (section 4.1), 0.2 the usual LeakyReLU (`mlp`)."""
    generator_norm: float | None = None
    """Batch normalisation after these layers, with this share of new statistics per update (Keras calls 0.2 momentum 0.8; `mlp`)."""
    generator_dropout: float = 0.5
    """Share of each hidden layer's outputs hidden in the generator while training (section 4.1; `mlp`)."""
    image_units: int = 240
    """Units that the image is mapped to in the discriminator before it meets the label (section 4.1; `mlp` that concatenates)."""
    image_label_units: int = 50
    """Units that the label is mapped to in the discriminator before it meets the image (section 4.1; `mlp` that concatenates)."""
    discriminator_widths: tuple[int, ...] = (240,)
    """Units of the discriminator's further hidden layers (section 4.1; `mlp`)."""
    pieces: tuple[int, int] = (5, 4)
    """Linear pieces of the maxout units before and after image and label meet (section 4.1); 1 is an ordinary layer."""
    discriminator_slope: float = 1.0
    """Slope of the discriminator's hidden units below 0: 1 adds nothing to maxout, 0.2 makes an ordinary layer a LeakyReLU layer."""
    dropout: float = 0.5
    """Share of hidden outputs hidden in the discriminator while training (section 4.1; after the first layer only where it joins)."""
    width: int = 64
    """Maps of the generator's last hidden layer (`strided`; not in the paper)."""
    discriminator_width: int = 64
    """Maps of the discriminator's first hidden layer (`strided`; not in the paper)."""
    kernel: int = 4
    """Side of the convolutions' kernels (`strided`; not in the paper)."""
    init: float | None = None
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2); None, as the paper says nothing, takes torch's default."""
    lr_generator: float = 0.1
    """The generator's first learning rate (section 4.1)."""
    lr_discriminator: float = 0.1
    """The discriminator's first learning rate (section 4.1)."""
    lr_divisor: float = 1.00004
    """Learning rates are divided by this after every step (section 4.1); 1 keeps them."""
    lr_least: float = 1e-6
    """Least learning rate that the division comes to (section 4.1)."""
    decay_from: float | None = None
    """Share of the run after which learning rates also fall linearly, to 0 at its end; None, as in the paper: never."""
    momentum: tuple[float, float] | None = (0.5, 0.7)
    """Momentum of gradient descent at the start and at the end of the run (section 4.1); None where `betas` are given."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam's two moments; None, as in the paper, where plain gradient descent with `momentum` is used."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("mlp", "strided"), "network")
        one_of(self, ("concatenate", "multiply"), "join")
        one_of(self, ("joint", "separate"), "heads")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "z", "code_units", "code_label_units", "generator_widths", "image_units", "image_label_units")
        whole(self, 1, "discriminator_widths", "pieces", "width", "discriminator_width")
        whole(self, 2, "kernel")
        in_range(self, 0.0, 1.0, "generator_slope", "discriminator_slope")
        in_range(self, 0.0, 1.0, "mismatched", "generator_dropout", "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, 1.0, "generator_norm", open_low=True)
        in_range(self, 0.0, math.inf, "match_weight")
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_discriminator", "lr_least", "ema_half_life", open_low=True)
        in_range(self, 1.0, math.inf, "lr_divisor")
        one = (self.momentum is None) != (self.betas is None)
        require(one, "--config.momentum (gradient descent) and --config.betas (Adam): give one of them and set the other to None")
        for rate in (*(self.momentum or ()), *(self.betas or ())):
            require(0.0 <= rate < 1.0, f"--config.momentum and --config.betas hold numbers of at least 0 and below 1, not {rate!r}")
        if self.heads == "separate":
            require(self.join == "concatenate", "--config.heads separate: the first head sees no label, so --config.join is concatenate")
            require(self.mismatched == 0, "--config.mismatched is of a joint head: separate heads always see wrong labels, set it to 0")


@final
class Join(nn.Module):
    """Vectors (B, I) and labels (B,): one-hot beside them, (B, I + K), or multiplied by an embedding of the label, (B, I)."""

    def __init__(self, join: str, inputs: int, classes: int) -> None:
        super().__init__()
        self.classes, self.features = classes, inputs + classes
        self.embedding: nn.Embedding | None = None
        if join == "multiply":
            self.embedding, self.features = nn.Embedding(classes, inputs), inputs
            nn.init.uniform_(self.embedding.weight, -0.05, 0.05)  # Keras' default

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return label_maps(y, self.classes, x) if self.embedding is None else x * self.embedding(y)


@final
class Hidden(nn.Module):
    """A layer of maxout units (Goodfellow et al. 2013, arXiv:1302.4389): (B, I) to the largest of `pieces` linear maps, (B, O)."""

    def __init__(self, below: int, above: int, pieces: int, slope: float) -> None:
        super().__init__()
        self.pieces, self.slope = pieces, slope
        self.linear = nn.Linear(below, above * pieces)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        if self.pieces > 1:
            h = h.unflatten(1, (-1, self.pieces)).max(dim=2).values
        return leaky_relu(h, self.slope)


@final
class Meeting(nn.Module):
    """Vectors (B, I) and labels (B,) through a hidden layer each, then side by side: (B, units + label_units); dropout after both."""

    def __init__(self, inputs: int, classes: int, units: tuple[int, int], pieces: int, slope: float, dropout: float) -> None:
        super().__init__()
        self.classes, self.features = classes, sum(units)
        self.vector, self.label = Hidden(inputs, units[0], pieces, slope), Hidden(classes, units[1], pieces, slope)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hot = one_hot(y, self.classes).to(x.dtype)
        return self.dropout(torch.cat([self.vector(x), self.label(hot)], 1))


@final
class MlpGenerator(nn.Module):
    """Codes (B, Z) and labels (B,) to images (B, C, H, W) through fully connected layers and tanh."""

    def __init__(self, c: Config, data: DataSpec) -> None:
        super().__init__()
        self.shape, classes = data.shape, len(data.classes)
        units = (c.code_units, c.code_label_units)
        if c.join == "concatenate":
            self.meet: nn.Module = Meeting(c.z, classes, units, 1, c.generator_slope, c.generator_dropout)
            inputs = sum(units)
        else:
            self.meet, inputs = Join(c.join, c.z, classes), c.z
        layers: list[nn.Module] = []
        for below, above in pairwise((inputs, *c.generator_widths)):
            layers += [nn.Linear(below, above), nn.LeakyReLU(c.generator_slope)]
            if c.generator_norm is not None:
                layers.append(nn.BatchNorm1d(above, eps=1e-3, momentum=c.generator_norm))
            layers.append(nn.Dropout(c.generator_dropout))
        self.layers = nn.Sequential(*layers, nn.Linear((inputs, *c.generator_widths)[-1], math.prod(self.shape)), nn.Tanh())

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(self.meet(z, y)).view(-1, *self.shape)


@final
class StridedGenerator(nn.Module):
    """Codes (B, Z) and labels (B,) to images (B, C, H, W) through DCGAN's generator."""

    def __init__(self, c: Config, data: DataSpec) -> None:
        super().__init__()
        self.meet = Join(c.join, c.z, len(data.classes))
        self.layers = generator_for(data, self.meet.features, width=c.width, kernel=c.kernel)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(self.meet(z, y))


@final
class MlpDiscriminator(nn.Module):
    """Images (B, C, H, W) and labels (B,) to logits (B, heads); of two heads the first hangs on what only the image was mapped to."""

    def __init__(self, c: Config, data: DataSpec) -> None:
        super().__init__()
        entries, classes, (before, after) = math.prod(data.shape), len(data.classes), c.pieces
        units = (c.image_units, c.image_label_units)
        concatenates = c.join == "concatenate"
        self.meet: nn.Module = (
            Meeting(entries, classes, units, before, c.discriminator_slope, c.dropout) if concatenates else Join(c.join, entries, classes)
        )
        widths = (sum(units) if concatenates else entries, *c.discriminator_widths)
        layers: list[nn.Module] = []
        for place, (below, above) in enumerate(pairwise(widths)):
            layers.append(Hidden(below, above, after, c.discriminator_slope))
            if concatenates or place:  # the Keras chapter hides nothing of its first layer
                layers.append(nn.Dropout(c.dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.real = nn.Linear(c.image_units, 1) if c.heads == "separate" else None
        self.image_units = c.image_units

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        met = self.meet(x.flatten(1), y)
        logits = self.layers(met)
        return logits if self.real is None else torch.cat([self.real(met[:, : self.image_units]), logits], 1)


@final
class StridedDiscriminator(nn.Module):
    """Images (B, C, H, W) and labels (B,) to logits (B, heads) through DCGAN's discriminator.

    A joint head sees the label from the first layer on; of two heads the first sees none, and the second has a hidden layer for both."""

    def __init__(self, c: Config, data: DataSpec) -> None:
        super().__init__()
        self.classes, self.shape, channels = len(data.classes), data.shape, data.shape[0]
        self.separate = c.heads == "separate"
        self.meet = None if self.separate else Join(c.join, math.prod(data.shape), self.classes)
        maps = channels + self.classes if c.join == "concatenate" and not self.separate else channels
        self.trunk = trunk_for(data, width=c.discriminator_width, inputs=maps, kernel=c.kernel, dropout=c.dropout)
        self.score = nn.Linear(self.trunk.features, 1)
        self.match = Perceptron(self.trunk.features + self.classes, (8 * c.discriminator_width,), 1, slope=0.2) if self.separate else None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if self.match is not None:
            features = self.trunk(x)
            return torch.cat([self.score(features), self.match(label_maps(y, self.classes, features))], 1)
        return self.score(self.trunk(self._joined(x, y)))

    def _joined(self, x: Tensor, y: Tensor) -> Tensor:
        assert self.meet is not None
        if self.meet.embedding is None:
            return label_maps(y, self.classes, x)
        return self.meet(x.flatten(1), y).view(-1, *self.shape)


@final
class CGAN(GenerativeModel, Latent, Score):
    """The two-player game, class by class."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"cgan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        least = 2 if config.mismatched or config.heads == "separate" else 1
        self.config, self.data, self.classes = config, data, len(data.classes)
        require(self.classes >= least, f"cgan needs data with labels of at least {least} classes, and these have {self.classes}")
        strided = config.network == "strided"
        self.generator: nn.Module = StridedGenerator(config, data) if strided else MlpGenerator(config, data)
        self.discriminator: nn.Module = StridedDiscriminator(config, data) if strided else MlpDiscriminator(config, data)
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def discriminator_loss(self, step: Step) -> Loss:
        """The pairs of the batch against as many fresh fakes of drawn labels, and against the batch with wrong labels where asked."""
        c, x, y = self.config, step.batch.images, step.batch.labels
        z, of = self._drawn(step.batch.size, step.rng)
        with torch.no_grad():
            fake = self.generator(z, of)
        # Calls of their own, not one on a joined batch: the statistics of reals and fakes are not to mix.
        real, made = self.discriminator(x, y), self.discriminator(fake, of)
        seen = {"D(x)": real, "D(G(z))": made}
        if c.heads == "joint" and not c.mismatched:
            return Loss({"value": NON_SATURATING.d(real[:, 0], made[:, 0])}, _watched(seen))
        other = self.discriminator(x, labels.wrong(y, self.classes, step.rng))
        if c.heads == "joint":
            value, mismatch = NON_SATURATING.d(real[:, 0], made[:, 0]), NON_SATURATING.d(real[:, 0], other[:, 0])
            terms = {"value": (1 - c.mismatched) * value, "mismatched": c.mismatched * mismatch}
            return Loss(terms, _watched(seen | {"D(x, wrong)": other}))
        terms = {
            "value": NON_SATURATING.d(real[:, 0], made[:, 0]),
            "match": c.match_weight * NON_SATURATING.d(real[:, 1], other[:, 1]),
        }
        return Loss(terms, _watched(seen | {"match": real[:, 1:], "match, wrong": other[:, 1:], "match, fakes": made[:, 1:]}))

    def generator_loss(self, step: Step) -> Loss:
        """Non-saturating costs of all heads on fresh fakes."""
        z, of = self._drawn(step.batch.size, step.rng)
        logits = self.discriminator(self.generator(z, of), of)
        terms = {"cost": NON_SATURATING.g(logits[:, 0])}
        if self.config.heads == "separate":
            terms["match"] = self.config.match_weight * NON_SATURATING.g(logits[:, 1])
        return Loss(terms)

    def _drawn(self, n: int, rng: Draws) -> tuple[Tensor, Tensor]:
        """Codes and labels of n fakes."""
        return self.draw(n, rng), labels.drawn(n, self.classes, rng)

    def score(self, batch: Batch) -> Tensor:
        """The logit of the pair, or the sum of both heads' logits."""
        return self.discriminator(batch.images, batch.labels).sum(1)

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(
            name="discriminator", trains=(self.discriminator,), loss=self.discriminator_loss, optimizer=self._optimizer(c.lr_discriminator)
        )
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        return [Stage(name="game", phases=(discriminator, generator), images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        """Gradient descent with rising momentum, or Adam; the learning rate falls as the configuration says."""
        c = self.config
        share = 1.0 if c.decay_from is None else linear_decay(1.0, c.decay_from)

        def rate(clock: Clock) -> float:
            return at(share, clock) * max(lr / c.lr_divisor**clock.step, min(lr, c.lr_least))

        if c.betas is not None:
            return Adam(lr=rate, betas=c.betas)
        assert c.momentum is not None
        first, last = c.momentum
        return SGD(lr=rate, momentum=lambda clock: first + (last - first) * clock.fraction)

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
        return self.generator(z, labels.asked(condition, z, self.classes, "cgan")).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Without a condition labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        return self.decode(z, condition=condition or Condition(labels=labels.drawn(n, self.classes, rng)))


def _watched(seen: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean probability that the first head of each gives."""
    return {name: logits[:, 0].detach().float().sigmoid().mean() for name, logits in seen.items()}


PRESETS = {
    "paper": Config(),
    "textbook": Config(
        images=10_000 * 32,
        batch=32,
        join="multiply",
        prior="normal",
        generator_widths=(256, 512, 1024),
        generator_slope=0.2,
        generator_norm=1 - 0.8,
        generator_dropout=0.0,
        discriminator_widths=(512, 512, 512),
        pieces=(1, 1),
        discriminator_slope=0.2,
        dropout=0.4,
        lr_generator=2e-4,
        lr_discriminator=2e-4,
        lr_divisor=1.0,
        momentum=None,
        betas=(0.5, 0.999),
    ),
    "quick": Config(
        images=600_000,
        batch=64,
        network="strided",
        mismatched=0.25,
        prior="normal",
        width=24,
        discriminator_width=16,
        dropout=0.0,
        init=0.02,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        lr_divisor=1.0,
        decay_from=0.8,
        momentum=None,
        betas=(0.5, 0.999),
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        network="strided",
        mismatched=0.25,
        z=4,
        prior="normal",
        width=4,
        discriminator_width=4,
        dropout=0.0,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        lr_divisor=1.0,
        momentum=None,
        betas=(0.5, 0.999),
        ema_half_life=50.0,
    ),
}

MODEL = CGAN
