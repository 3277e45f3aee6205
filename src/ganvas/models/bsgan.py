"""BSGAN - Boundary-Seeking Generative Adversarial Networks (Hjelm et al., 2017), arXiv:1702.08431

Black-and-white pixels have no gradient, so the discriminator cannot push a generator of them. But its odds D / (1 - D) say how many times
more likely a sample is under the data than under the generator: weighted by them, the generator's own samples are samples of the data, and
the generator learns to make those of large weight likelier.

Objective (theorem 2, equations 8 and 9), with a the discriminator's logit, g(x|z) independent Bernoulli pixels, x_1 .. x_M ~ g(x|z):

    weight          w(x) = D / (1 - D) = exp(a(x))        w~_m = w(x_m) / sum_k w(x_k) = softmax_m a(x_m)
    generator       -E_z[sum_m w~_m log g(x_m|z)]          w~ is not differentiated
    discriminator   E_x[sp(-a(x))] + E[sp(a(x_hat))]       sp(t) = log(1 + e^t)

Its gradient is that of KL(p~(x|z) || g(x|z)), averaged over z, with p~(x|z) = w(x) g(x|z) / Z(z); the mean of the w(x_m) estimates Z(z),
which is 1 for samples of the whole game at the best D. As log g is linear in x, the sum over m is the log-probability of the weighted mean
sum_m w~_m x_m, and so is computed.

    continuous      (log D - log(1 - D))^2 = a(x_hat)^2    section 2.4, for grey images: go to where the discriminator cannot decide

Shapes: B batch, M samples for each code, Z code; z (B, Z), images (B, C, H, W), drawn (B, M, C, H, W), logits (B,), weights (B, M). Of
28 x 28 images:

    generator        z -> 1024 -> 7 x 7 x 2F -> F -> C          5 x 5 kernels, stride 2, batch normalisation, ReLU
    discriminator    C -> F -> 2F -> 1024 -> 1                  LeakyReLU of slope 0.2, no normalisation

Differences from the paper. Numbers are those of the authors' published code. White is 1 and black -1 (there 1 and 0). Grey data are made
black and white at one half, or drawn (there: such data are given). The discriminator is trained on one sample of each code (there on all
M). Codes are from U[-1, 1) (there U[0, 1)). `control` is not in the paper: it takes 1 / M from each weight, which changes no expectation,
as E[grad log g] = 0, but takes away the noise that all x_m share.

What to expect. `decode` gives each pixel's likelier colour, `sample` draws. Digits can be read after a few minutes with `control`, later
without, and have loose pixels at their edges, which are drawn apart. `effective` (1 / sum w~^2) lies between 1, where one sample takes all
weight, and M, where the discriminator sees no difference and nothing is learned. `log Z` near 0 means that the players are even. A
reference of grey images is never matched: judge by classes, and by distances between black-and-white images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import latent
from ganvas.parts.dense import DenseGenerator, DenseTrunk, dense_canvas
from ganvas.parts.objectives import NON_SATURATING, widen
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="BSGAN",
    year=2017,
    paper="Hjelm et al., Boundary-Seeking Generative Adversarial Networks, arXiv:1702.08431",
    family="adversarial",
    teaches="a game over pixels that have no gradient",
    data=("images",),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' published code for discrete data (main_discrete.py and its 28 x 28 network)."""

    images: int = 100 * 60_000
    """Length of the run in training examples: 100 epochs of MNIST (authors' code)."""
    batch: int = 64
    """Examples in each update of the discriminator, and codes in each of the generator (authors' code)."""
    version: Literal["discrete", "continuous"] = "discrete"
    """Black-and-white pixels and weighted samples (section 2.3), or grey pixels and the squared log-odds (section 2.4)."""
    samples: int = 20
    """Images drawn for each code, M above (authors' code); of `discrete` alone."""
    control: bool = False
    """Take 1 / M from the weights, a control variate (not in the paper)."""
    binarise: Literal["threshold", "draw"] = "threshold"
    """A grey pixel of the data is white above one half, or with its own probability at each step; of `discrete` alone."""
    z: int = 64
    """Entries of the code (authors' code)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1), for the U[0, 1) of the authors' code, or N(0, 1)."""
    width: int = 64
    """F above: maps of the largest hidden layer (authors' code)."""
    units: int = 1024
    """Units of the fully connected layers (authors' code)."""
    kernel: int = 5
    """Side of the convolutions' kernels (authors' code); 4 spreads the load of stride 2 evenly."""
    lr_generator: float = 1e-4
    """The generator's learning rate (authors' code)."""
    lr_discriminator: float = 1e-4
    """The discriminator's learning rate (authors' code)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (authors' code)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("discrete", "continuous"), "version")
        one_of(self, ("threshold", "draw"), "binarise")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "z", "width", "units")
        whole(self, 2, "batch", "samples", "kernel")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def weights_of(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The weights w~ (B, M), which sum to 1, and log Z (B,), the log of the mean of exp(a), of the logits a (B, M)."""
    logits = widen(logits)
    return logits.softmax(1), logits.logsumexp(1) - math.log(logits.shape[1])


def weighted_target(drawn: Tensor, weights: Tensor, probability: Tensor | None = None) -> Tensor:
    """sum_m w~_m x_m (B, ...) of x (B, M, ...) in {0, 1}; with the probabilities (B, ...) they were drawn from, the control variate
    p + sum_m (w~_m - 1 / M) x_m, whose cross-entropy has the gradient of the weights less 1 / M."""
    if probability is None:
        return torch.einsum("bm...,bm->b...", drawn, weights)
    return probability + torch.einsum("bm...,bm->b...", drawn, weights - 1 / weights.shape[1])


def cost_of(logits: Tensor, target: Tensor) -> Tensor:
    """-sum over pixels of t log g + (1 - t) log(1 - g) (B,), from the generator's logits (B, ...)."""
    return binary_cross_entropy_with_logits(widen(logits), target, reduction="none").flatten(1).sum(1)


@final
class BSGAN(GenerativeModel, Latent, Score):
    """A generator of Bernoulli pixels that learns from its own samples, weighted by the discriminator's odds."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"bsgan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        c = config
        self.config, self.data, self.discrete = c, data, c.version == "discrete"
        channels, height, width = data.shape
        canvas = dense_canvas(height, width)
        self.generator = DenseGenerator(c.z, canvas, channels, width=c.width, units=c.units, kernel=c.kernel)
        trunk = DenseTrunk(channels, canvas, width=c.width, units=c.units, kernel=c.kernel, norm=False)
        self.discriminator = nn.Sequential(trunk, nn.Linear(c.units, 1), nn.Flatten(0))

    def _real(self, images: Tensor, rng: Draws) -> Tensor:
        """The data as the discriminator sees them: black and white where the game is."""
        if not self.discrete:
            return images
        level = rng.uniform(*images.shape) * 2 - 1 if self.config.binarise == "draw" else torch.zeros_like(images)
        return torch.where(images > level, 1.0, -1.0)

    def discriminator_loss(self, step: Step) -> Loss:
        """Logistic loss on the batch and one sample of each of as many codes."""
        real = self._real(step.batch.images, step.rng)
        with torch.no_grad():
            outputs = widen(self.generator(self.draw(step.batch.size, step.rng)))
            fake = self._coloured(outputs, step.rng)
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        watch = {"D(x)": real_logits.detach().float().sigmoid().mean(), "D(G(z))": fake_logits.detach().float().sigmoid().mean()}
        return Loss({"value": NON_SATURATING.d(real_logits, fake_logits)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """The log-probability of M samples of each code, weighted by the odds; or the squared log-odds."""
        c, outputs = self.config, widen(self.generator(self.draw(step.batch.size, step.rng)))
        if not self.discrete:
            return Loss({"cost": widen(self.discriminator(outputs.tanh())).square()})
        with torch.no_grad():
            probability = outputs.sigmoid()
            drawn = (step.rng.uniform(len(outputs), c.samples, *outputs.shape[1:]) < probability[:, None]).to(outputs.dtype)
            logits = self.discriminator((2 * drawn - 1).flatten(0, 1)).view(len(outputs), c.samples)
            weights, log_z = weights_of(logits)
            target = weighted_target(drawn, weights, probability if c.control else None)
        watch = {"log Z": log_z.mean(), "effective": (1 / weights.square().sum(1)).mean()}
        return Loss({"cost": cost_of(outputs, target)}, watch)

    def _coloured(self, outputs: Tensor, rng: Draws) -> Tensor:
        """Images (B, C, H, W) from the generator's outputs: pixels drawn black or white, or grey ones."""
        if not self.discrete:
            return outputs.tanh()
        return torch.where(rng.uniform(*outputs.shape) < outputs.sigmoid(), 1.0, -1.0)

    def score(self, batch: Batch) -> Tensor:
        """Logits (B,) of the images; the discriminator takes grey ones, though of `discrete` it was shown none."""
        return self.discriminator(batch.images)

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
        """The likeliest image of each code: black or white at each pixel, or grey."""
        require(condition is None, "bsgan is not conditional: its samples cannot be asked for by --labels")
        outputs = self.generator(z).float()
        return torch.where(outputs > 0, 1.0, -1.0) if self.discrete else outputs.tanh()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        require(condition is None, "bsgan is not conditional: its samples cannot be asked for by --labels")
        return self._coloured(self.generator(self.draw(n, rng)).float(), rng)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        control=True,
        width=16,
        units=256,
        kernel=4,
        lr_generator=1e-3,
        lr_discriminator=5e-4,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        samples=3,
        z=4,
        width=4,
        units=16,
        kernel=4,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = BSGAN
