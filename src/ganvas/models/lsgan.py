"""LSGAN - Least Squares Generative Adversarial Networks (Mao et al., 2016), arXiv:1611.04076

The discriminator gives a number without bounds and is fitted to targets by least squares, like a regression. Fakes that it takes for
reals by far are pulled back as well, where the logistic loss has nothing left to say, so that gradients do not vanish.

Objective (equation 2), with the score a(.), the target `a` of fakes, `b` of reals, and `c` what the generator wants fakes to get:

    discriminator   E_x[(a(x) - b)^2] / 2 + E_z[(a(G(z)) - a)^2] / 2        generator   E_z[(a(G(z)) - c)^2] / 2

    targets (0, 1, 1)     equation 9: labels 0 and 1, and the generator wants the label of reals
    targets (-1, 1, 0)    equation 8: b - c = 1 and b - a = 2

The best discriminator for a fixed G is (b p_data + a p_g) / (p_data + p_g). Against it, with the second targets, twice the generator's
cost (with the like term of reals, which is constant to G) is the Pearson chi-square divergence between p_data + p_g and 2 p_g.

Shapes: B batch, Z code; z (B, Z), samples (B, C, H, W) or points (B, D), scores (B,).

    images   DCGAN's networks: generator z -> h x w x 8F -> .. -> F -> C, discriminator its mirror image, a linear score at the end
    points   both three hidden layers of F ReLU units                                            (F = `width`, `discriminator_width`)

Differences from the paper. Its generator for 112 x 112 scenes has more layers, of stride 1 and 3 x 3 kernels, and starts from 7 x 7 maps;
here it is the plain strided one for any size, which pads 112 onto 128 = 4 * 2^5. Numbers the text does not give are those of the authors'
script for these scenes. That script sums the loss over the batch, which Adam does not notice; here it is the mean. The conditional form
for characters is left out.

What to expect. Digits of all ten classes within 40,000 images, at first with specks around them. D(x) and D(G(z)) are watched as mean
scores: near b and a the discriminator is winning, near each other the two are even. Nothing holds the scale of scores. On the ring of
Gaussians some modes are dropped: `quick-points` found 6 and 5 of 8 in two runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise, latent
from ganvas.parts.backbones import Critic, generator_for, trunk_for
from ganvas.parts.objectives import least_squares
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="LSGAN",
    year=2016,
    paper="Mao et al., Least Squares Generative Adversarial Networks, arXiv:1611.04076",
    family="adversarial",
    teaches="targets instead of probabilities, and a chi-square divergence",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4 of the paper for the LSUN scenes, and the authors' script for them (train_lsun.py of their published code)."""

    images: int = 1_000_000 * 64
    """Length of the run in training examples: a million batches of 64, the upper bound of the authors' script."""
    batch: int = 64
    """Examples in each update of the discriminator, and codes in each of the generator (authors' script)."""
    targets: tuple[float, float, float] = (0.0, 1.0, 1.0)
    """Scores (a, b, c) that fakes, reals, and the generator's fakes are drawn to: equation 9; (-1, 1, 0) is equation 8."""
    z: int = 1024
    """Entries of the code (figure 1)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (authors' script) or N(0, 1)."""
    width: int = 64
    """Maps of the generator's last hidden layer (figure 1), or units of each hidden layer for points."""
    discriminator_width: int = 64
    """Maps of the discriminator's first hidden layer (figure 1), or units of each hidden layer for points."""
    kernel: int = 5
    """Side of the convolutions' kernels (figure 1); 4 spreads the load of stride 2 evenly, against checkerboards."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (authors' script); None takes torch's default."""
    lr_generator: float = 1e-3
    """The generator's learning rate (section 4, scenes; 2e-4 for Chinese characters)."""
    lr_discriminator: float = 1e-3
    """The discriminator's learning rate (section 4, scenes; 2e-4 for Chinese characters)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (section 4; the second is the authors' framework's default)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "z", "width", "discriminator_width")
        whole(self, 2, "kernel")
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        a, b, c = self.targets
        fits = all(math.isfinite(target) for target in self.targets) and a < min(b, c)
        require(
            fits, f"--config.targets are scores a, b, c with a (of fakes) below b (of reals) and c (the generator's), not {self.targets}"
        )
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class LSGAN(GenerativeModel, Latent, Score):
    """The game of scores that are fitted to targets."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"lsgan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.objective = least_squares(*config.targets)
        self.generator = generator_for(data, config.z, width=config.width, kernel=config.kernel)
        self.discriminator = Critic(trunk_for(data, width=config.discriminator_width, kernel=config.kernel))
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def discriminator_loss(self, step: Step) -> Loss:
        """Squared distances of the scores of the batch, and of as many fresh fakes, from their targets."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        # Two calls, not one on the joined batch: the statistics of reals and fakes are not to mix.
        real_scores, fake_scores = self.discriminator(step.batch[self.data.kind]), self.discriminator(fake)
        watch = {"D(x)": real_scores.detach().float().mean(), "D(G(z))": fake_scores.detach().float().mean()}
        return Loss({"fit": self.objective.d(real_scores, fake_scores)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """Squared distances of the scores of fresh fakes from c."""
        return Loss({"cost": self.objective.g(self.discriminator(self.generator(self.draw(step.batch.size, step.rng))))})

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(batch[self.data.kind])

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
        require(condition is None, "lsgan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        batch=32,
        z=100,
        prior="normal",
        width=32,
        discriminator_width=24,
        kernel=4,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": Config(
        images=512_000,
        batch=256,
        z=2,
        prior="normal",
        width=256,
        discriminator_width=256,
        init=None,
        lr_generator=5e-4,
        lr_discriminator=1e-3,
        betas=(0.5, 0.9),
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        prior="normal",
        width=4,
        discriminator_width=4,
        kernel=4,
        init=0.1,
        ema_half_life=50.0,
    ),
}

MODEL = LSGAN
