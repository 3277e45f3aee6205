"""Relativistic GAN - The Relativistic Discriminator: a Key Element Missing from Standard GAN (Jolicoeur-Martineau, 2018), arXiv:1807.00734

The discriminator is asked how much more realistic a real is than a fake, not whether each is real. Half of what it is shown is fake, so
when fakes gain, reals have to lose: the generator is rewarded for both, as it is where a divergence is minimised.

Objective (section 4), with the critic's score a(.), a_r = a(x), a_f = a(G(z)), their means m_r and m_f over the batch, and a criterion
f(t) that is small where the lead t is large:

    paired      critic   E[f(a_r - a_f)]                                generator   E[f(a_f - a_r)]
    averaged    critic   E[f(a_r - m_f)] / 2 + E[f(m_r - a_f)] / 2      generator   E[f(a_f - m_r)] / 2 + E[f(m_f - a_r)] / 2

    RSGAN      paired     f(t) = log(1 + e^-t)        RaLSGAN    averaged   f(t) = (t - 1)^2
    RaSGAN     averaged   f(t) = log(1 + e^-t)        RaHinge    averaged   f(t) = max(0, 1 - t)

The generator's loss needs reals as well; their scores are constants to it, but steer how strongly each fake is pushed.

Shapes: B batch, Z code; z (B, Z), samples (B, C, H, W) or points (B, D), scores (B,).

    images   DCGAN's networks: generator z -> h x w x 8F -> .. -> F -> C, critic its mirror image, a linear score at the end
    points   both three hidden layers of F ReLU units                                            (F = `width`, `critic_width`)

Differences from the paper. Networks are DCGAN's, as for its cats, of any size through a canvas; its CIFAR-10 critic has 3 x 3
convolutions between those of stride 2. The generator compares its fakes with the reals that the critic has just seen (author's code: new
ones). The halves of the averaged forms are those of the author's code, not of the text. Means are over the batch of a process, or over the
micro-batch where gradients are accumulated. The games with a gradient penalty are left out.

What to expect. Digits of all ten classes within 40,000 images; the paper finds it more stable than the standard game. The watched `lead`,
m_r - m_f, tells who is winning; scores themselves mean nothing, for a constant added to all of them changes no loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise, latent
from ganvas.parts.backbones import Critic, generator_for, trunk_for
from ganvas.parts.objectives import Objective
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.relativistic import CRITERIA, averaged, paired

CARD = Card(
    title="Relativistic GAN",
    year=2018,
    paper="Jolicoeur-Martineau, The Relativistic Discriminator: a Key Element Missing from Standard GAN, arXiv:1807.00734",
    family="adversarial",
    teaches="a critic that compares reals with fakes",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


GAMES: dict[str, Objective] = {
    "RSGAN": paired(CRITERIA["logistic"]),
    "RaSGAN": averaged(CRITERIA["logistic"]),
    "RaLSGAN": averaged(CRITERIA["least-squares"]),
    "RaHinge": averaged(CRITERIA["hinge"]),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's experiments on CIFAR-10 with one critic update a step, as in the author's script (stable.sh of the published code)."""

    images: int = 100_000 * 32
    """Length of the run in training examples: 100,000 batches of 32 (author's script)."""
    batch: int = 32
    """Reals and fakes in each update of the critic, and in each of the generator (author's script)."""
    game: Literal["RSGAN", "RaSGAN", "RaLSGAN", "RaHinge"] = "RaSGAN"
    """Which scores are compared, and by which criterion: the paper's names, as listed above."""
    z: int = 128
    """Entries of the code (author's script)."""
    prior: latent.Prior = "normal"
    """Law of the code's entries: N(0, 1) as in the author's script, or U[-1, 1)."""
    width: int = 128
    """Maps of the generator's last hidden layer (author's script), or units of each hidden layer for points."""
    critic_width: int = 128
    """Maps of the critic's first hidden layer (author's script), or units of each hidden layer for points."""
    kernel: int = 4
    """Side of the convolutions' kernels (author's script)."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (author's script); None takes torch's default."""
    lr_generator: float = 2e-4
    """The generator's learning rate (author's script)."""
    lr_critic: float = 2e-4
    """The critic's learning rate (author's script)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (author's script)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, GAMES, "game")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "z", "width", "critic_width")
        whole(self, 2, "kernel")
        in_range(self, 0.0, math.inf, "init", "lr_generator", "lr_critic", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class RelativisticGAN(GenerativeModel, Latent, Score):
    """The game of a critic that compares, and a generator that wants to be ahead."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"relativistic takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.objective = GAMES[config.game]
        self.generator = generator_for(data, config.z, width=config.width, kernel=config.kernel)
        self.critic = Critic(trunk_for(data, width=config.critic_width, kernel=config.kernel))
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def critic_loss(self, step: Step) -> Loss:
        """The criterion of how far reals are ahead of as many fresh fakes."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        # Two calls, not one on the joined batch: the statistics of reals and fakes are not to mix.
        real_scores, fake_scores = self.critic(step.batch[self.data.kind]), self.critic(fake)
        lead = real_scores.detach().float().mean() - fake_scores.detach().float().mean()
        return Loss({"comparison": self.objective.d(real_scores, fake_scores)}, {"lead": lead})

    def generator_loss(self, step: Step) -> Loss:
        """The criterion of how far fresh fakes are ahead of the reals of the batch, whose scores are constants here."""
        with torch.no_grad():
            real_scores = self.critic(step.batch[self.data.kind])
        fake_scores = self.critic(self.generator(self.draw(step.batch.size, step.rng)))
        return Loss({"cost": self.objective.g(fake_scores, real_scores)})

    def score(self, batch: Batch) -> Tensor:
        return self.critic(batch[self.data.kind])

    def stages(self) -> Sequence[Stage]:
        c = self.config
        critic = Phase(name="critic", trains=(self.critic,), loss=self.critic_loss, optimizer=self._optimizer(c.lr_critic))
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        return [Stage(name="game", phases=(critic, generator), images=c.images, batch=c.batch)]

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
        require(condition is None, "relativistic is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        z=100,
        width=32,
        critic_width=24,
        lr_generator=1e-3,
        lr_critic=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": Config(
        images=512_000,
        batch=256,
        z=2,
        width=256,
        critic_width=256,
        init=None,
        lr_generator=5e-4,
        lr_critic=1e-3,
        betas=(0.5, 0.9),
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        width=4,
        critic_width=4,
        init=0.1,
        lr_generator=2e-3,
        lr_critic=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = RelativisticGAN
