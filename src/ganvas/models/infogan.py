"""InfoGAN - Interpretable Representation Learning by Information Maximizing GANs (Chen et al., 2016), arXiv:1606.03657

A part c of the generator's code is to be found again in the sample: a second head Q on the discriminator's trunk guesses it, and both are
rewarded when the guess is right. Without a label ever shown, categories of c become kinds of images and its numbers ways in which they
vary.

Objective (equation 6), with V the value of the game of `gan`, and the bound of equation 5 on the mutual information of code and sample:

    min_{G,Q} max_D  V(D, G) - lambda L_I(G, Q)        L_I = E[log Q(c | G(z, c))] + H(c)  <=  I(c; G(z, c))

    categorical code of K    log Q(k|x) = log softmax(l)_k                            H = log K
    number on [-1, 1]        log Q(c|x) = -(c - mu)^2 / 2 - log(2 pi) / 2             H = log 2

L_I is at most H(c): for a category equality holds where Q is always sure and right. For a number Q has standard deviation 1, as in the
authors' code, so its bound is at most log 2 - log(2 pi) / 2 = -0.23 nats: watch how far it rises, not where zero lies.

Shapes: B batch, Z code, K categories; z (B, Z) = noise, one-hot categories, numbers; images (B, C, H, W), logits a (B,), Q's outputs (B,
K .. + numbers). 28 x 28 images:

    generator        z -> 1024 -> 7 x 7 x 2F -> F -> C, tanh        batch normalisation, ReLU
    trunk            C -> F -> 2F -> 1024                           4 x 4 kernels, stride 2, batch normalisation, LeakyReLU
    discriminator    trunk -> 1            Q    trunk -> 128 -> outputs

Differences from the paper. It follows the authors' code: lambda times the bound is added to the reward of the discriminator as well, and Q
is trained with it, on the discriminator's own fakes. Images lie in [-1, 1] and the generator ends in tanh (there: [0, 1] and a sigmoid).
H(c) is exact; the authors' code takes log Q's standard normal in the place of the uniform law of numbers, which moves the bound by a
constant. Other sizes than 28 x 28 get a canvas.

What to expect. The bound of the category `I(c1)` climbs to nearly log 10 = 2.3 nats in the first minutes, while a trained network agrees
with the classes of MNIST on most samples, differently from seed to seed: two classes may share a category or swap parts. Which category
means which class is arbitrary, so `ganvas evaluate --metrics factors` matches them first. c2 and c3 often turn out as slant and width. A
large weight of the numbers costs variety.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.engine.capabilities import Encode, Factors, Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import nearest, require
from ganvas.parts import initialise
from ganvas.parts.dense import DenseGenerator, DenseTrunk, dense_canvas
from ganvas.parts.objectives import NON_SATURATING, widen
from ganvas.parts.ranges import in_range, whole

CARD = Card(
    title="InfoGAN",
    year=2016,
    paper="Chen et al., InfoGAN, arXiv:1606.03657",
    family="adversarial",
    teaches="codes with a meaning, found without labels",
    data=("images",),
    capabilities=("latent", "score", "encode", "factors"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' MNIST script (run_mnist_exp.py of their published code), which agrees with appendix C.1 of the paper."""

    images: int = 50 * 100 * 128
    """Length of the run in training examples: 50 epochs of 100 updates (authors' MNIST script)."""
    batch: int = 128
    """Examples in each update of the discriminator, and codes in each of the generator (authors' MNIST script)."""
    noise: int = 62
    """Entries of the code that mean nothing, from U[-1, 1) (section C.1)."""
    categories: tuple[int, ...] = (10,)
    """Categories of each categorical code, all equally likely; they are named c1, c2, .. (section C.1: one code of 10)."""
    numbers: int = 2
    """Continuous codes, from U[-1, 1); their names go on after those of the categorical codes (section C.1)."""
    information_weight: float = 1.0
    """Lambda of equation 6 for categorical codes (authors' MNIST script)."""
    numbers_weight: float = 1.0
    """Lambda for continuous codes (authors' MNIST script); section 6 advises a smaller one where they are many."""
    width: int = 64
    """F above: maps of the largest hidden layer (section C.1)."""
    units: int = 1024
    """Units of the fully connected layers (section C.1)."""
    recogniser_units: int = 128
    """Units of Q's own hidden layer (section C.1)."""
    slope: float = 0.01
    """Slope below 0 in the discriminator and Q (authors' code)."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (authors' code); None takes torch's default."""
    lr_generator: float = 1e-3
    """The generator's learning rate (section C.1)."""
    lr_discriminator: float = 2e-4
    """The learning rate of the discriminator and Q (section C.1)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (authors' code)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "noise", "width", "units", "recogniser_units")
        whole(self, 2, "batch", "categories")
        whole(self, 0, "numbers")
        in_range(self, 0.0, math.inf, "information_weight", "numbers_weight")
        in_range(self, 0.0, 1.0, "slope")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")
        some = len(self.categories) + self.numbers > 0
        require(some, "--config.categories and --config.numbers: there is no code to be found again; give one of them")


def category_bound(logits: Tensor, category: Tensor) -> Tensor:
    """log Q(k|x) + log K (B,) in nats, from logits (B, K) and the categories (B,) that were drawn."""
    return math.log(logits.shape[1]) - F.cross_entropy(widen(logits), category, reduction="none")


def number_bound(mean: Tensor, number: Tensor) -> Tensor:
    """log N(c; mu, 1) + log 2 (B,) in nats, from mu (B,) and the numbers (B,) that were drawn from U[-1, 1)."""
    return math.log(2.0) - 0.5 * math.log(2 * math.pi) - 0.5 * (widen(mean) - number).square()


@final
class InfoGAN(GenerativeModel, Latent, Score, Encode, Factors):
    """The non-saturating game with a head that finds a part of the code again."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"infogan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        c = config
        self.config, self.data = c, data
        channels, height, width = data.shape
        canvas, named = dense_canvas(height, width), (*c.categories, *[0] * c.numbers)
        self.factors_of = {f"c{place}": size for place, size in enumerate(named, start=1)}
        outputs = sum(c.categories) + c.numbers
        self.generator = DenseGenerator(c.noise + outputs, canvas, channels, width=c.width, units=c.units)
        self.trunk = DenseTrunk(channels, canvas, width=c.width, units=c.units, slope=c.slope)
        self.discriminator = nn.Linear(c.units, 1)
        self.recogniser = nn.Sequential(
            nn.Linear(c.units, c.recogniser_units, bias=False),
            nn.BatchNorm1d(c.recogniser_units),
            nn.LeakyReLU(c.slope, inplace=True),
            nn.Linear(c.recogniser_units, outputs),
        )
        if c.init is not None:
            initialise.gaussian(self, c.init)

    def discriminator_loss(self, step: Step) -> Loss:
        """-V on the batch and as many fresh fakes, less lambda times the bound on those fakes."""
        with torch.no_grad():
            fake = self.generator(z := self.draw(step.batch.size, step.rng)).tanh()
        # Two calls, not one on the joined batch: the statistics of reals and fakes are not to mix.
        real_logits, seen = self.discriminator(self.trunk(step.batch.images)).squeeze(1), self.trunk(fake)
        fake_logits, bounds = self.discriminator(seen).squeeze(1), self.bounds(self.recogniser(seen), z)
        watch = {"D(x)": real_logits.detach().float().sigmoid().mean(), "D(G(z))": fake_logits.detach().float().sigmoid().mean()}
        watch |= {f"I({name})": bound.detach().mean() for name, bound in bounds.items()}
        return Loss({"value": NON_SATURATING.d(real_logits, fake_logits), "information": -self._weighed(bounds)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """Non-saturating cost on fresh fakes, less lambda times the bound on them."""
        seen = self.trunk(self.generator(z := self.draw(step.batch.size, step.rng)).tanh())
        cost = NON_SATURATING.g(self.discriminator(seen).squeeze(1))
        return Loss({"cost": cost, "information": -self._weighed(self.bounds(self.recogniser(seen), z))})

    def bounds(self, outputs: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Of each code the bound (B,) in nats, from Q's outputs on the samples of the codes z (B, Z)."""
        said = outputs.split([max(1, size) for size in self.factors.values()], dim=1)
        return {
            name: category_bound(part, self.read(z, name)) if size else number_bound(part.squeeze(1), self.read(z, name))
            for (name, size), part in zip(self.factors.items(), said, strict=True)
        }

    def _weighed(self, bounds: Mapping[str, Tensor]) -> Tensor:
        """Lambda times the bounds, summed over codes (B,)."""
        weights = (self.config.information_weight if size else self.config.numbers_weight for size in self.factors.values())
        return torch.stack([weight * bound for weight, bound in zip(weights, bounds.values(), strict=True)]).sum(0)

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(self.trunk(batch.images)).squeeze(1)

    def stages(self) -> Sequence[Stage]:
        c = self.config
        judges = (self.trunk, self.discriminator, self.recogniser)
        discriminator = Phase(
            name="discriminator", trains=judges, loss=self.discriminator_loss, optimizer=self._optimizer(c.lr_discriminator)
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
    def factors(self) -> Mapping[str, int]:
        return self.factors_of

    def _place(self, factor: str) -> tuple[int, int, int]:
        """Where a code begins and ends in z, and the number of its categories."""
        require(
            factor in self.factors,
            f"--factor: there is no '{factor}' (there are: {', '.join(self.factors)}).{nearest(factor, self.factors)}",
        )
        start = self.config.noise
        for name, size in self.factors.items():
            if name == factor:
                break
            start += max(1, size)
        return start, start + max(1, size), size

    def turn(self, z: Tensor, factor: str, value: Tensor) -> Tensor:
        start, end, size = self._place(factor)
        value = value.to(z.device).expand(len(z))
        part = F.one_hot(value, size).to(z.dtype) if size else value[:, None].to(z.dtype)
        return torch.cat([z[:, :start], part, z[:, end:]], 1)

    def read(self, z: Tensor, factor: str) -> Tensor:
        start, end, size = self._place(factor)
        return z[:, start:end].argmax(1) if size else z[:, start]

    def encode(self, batch: Batch) -> Tensor:
        """Q's most likely codes (B, Z); what it says nothing of, the noise, is 0."""
        outputs = widen(self.recogniser(self.trunk(batch.images)))
        z = outputs.new_zeros(len(outputs), self.config.noise + outputs.shape[1])
        for (name, size), part in zip(self.factors.items(), outputs.split([max(1, s) for s in self.factors.values()], dim=1), strict=True):
            z = self.turn(z, name, part.argmax(1) if size else part[:, 0].clamp(-1, 1))
        return z

    @property
    def prior(self) -> str:
        return "uniform"

    def draw(self, n: int, rng: Draws) -> Tensor:
        """n codes (n, Z): noise and numbers from U[-1, 1), categories one-hot."""
        c = self.config
        noise = rng.uniform(n, c.noise) * 2 - 1
        hot = [F.one_hot(rng.integers(n, size), size).to(noise.dtype) for size in c.categories]
        return torch.cat([noise, *hot, rng.uniform(n, c.numbers) * 2 - 1], 1)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "infogan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float().tanh()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(width=32, units=512, batch=64, decay_from=0.8, ema_half_life=10_000.0),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        noise=4,
        width=4,
        units=16,
        recogniser_units=8,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = InfoGAN
