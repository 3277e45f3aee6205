"""f-GAN - Training Generative Neural Samplers using Variational Divergence Minimization (Nowozin et al., 2016), arXiv:1606.00709

The game of `gan` is one case of a larger one: a network estimates how far apart two distributions are, by the f-divergence of one's
choice, and the generator brings that down. Which divergence it is decides what a generator that cannot do everything does instead.

Objective (equation 6), for the data's law P and the generator's Q, a network V, its output v, and T = g_f(v) in the domain of f*:

    min_G max_V  F(G, V) = E_P[g_f(V(x))] - E_Q[f*(g_f(V(x_hat)))]  <=  D_f(P || Q),      x_hat = G(z)

with equality at T*(x) = f'(p(x) / q(x)). f, g_f and f* of the eight divergences stand in parts/divergences. The critic maximises F, whose
value is watched as `bound`; the generator minimises

    minimax          -E_Q[f*(T)]    equation 6; at the best critic its slope is that of D_f
    non-saturating   -E_Q[T]        section 3.2; stronger while the critic is sure, but the slope is that of another divergence

Non-saturating `kl` descends reverse KL, `reverse-kl` half of Neyman's divergence, `pearson` twice KL; `gan` is the usual GAN. T > f'(1)
says "data": the shares of reals and fakes judged right are watched as `reals_right` and `fakes_right`.

Shapes: B batch, Z code, C channels, H x W the data's size; z (B, Z), samples (B, C, H, W) or points (B, D), outputs v and T (B,).

    dense     generator Z -> 1200 -> 1200 -> sample (batch norm, ReLU), critic sample -> 240 -> 240 -> 1 (ELU)     (section 4, MNIST)
    strided   the networks of `dcgan`, images only; F = `width`                                                    (section 4, LSUN)

Differences from the paper. The players take turns, each on its own draws (there: one backward pass moves both, algorithm 1). Images lie in
[-1, 1] and the generator ends in tanh (there: [0, 1] and a sigmoid); points get a linear output. Hidden units of the strided critic are
LeakyReLU (there: ELU). v is held within +-10 where its exponential appears. The length of a run is given in images (there: one hour). The
`quick-points` preset adds a penalty on the critic's slope at data (arXiv:1801.04406), which lets all eight settle on the grid.

What to expect. `bound` falls towards 0 (`gan`: -log 4) as samples come to look like data; it is an estimate from below, on the batch.
A generator that cannot hold two clusters covers both with `kl`, and much between, and keeps to one with `reverse-kl`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import backbones, initialise, latent
from ganvas.parts.divergences import COSTS, DIVERGENCES, Cost, Name, objective
from ganvas.parts.penalties import input_gradient, slope
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="f-GAN",
    year=2016,
    paper="Nowozin et al., f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, arXiv:1606.00709",
    family="adversarial",
    teaches="a divergence of one's choice as the game",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4 of the paper, on MNIST."""

    images: int = 500 * 60_000
    """Length of the run in training examples: 500 epochs of MNIST, chosen here (the paper trains for an hour)."""
    batch: int = 4096
    """Examples in each update of the critic, and codes in each of the generator (section 4)."""
    divergence: Name = "kl"
    """What the critic estimates and the generator brings down (table 1 and appendix); P is the data, Q the model."""
    generator_cost: Cost = "minimax"
    """What the generator minimises: the bound (equation 6), or -E_Q[T] (section 3.2)."""
    critic_steps: int = 1
    """Critic updates before each generator update; 1 is the single-step method of algorithm 1."""
    network: Literal["dense", "strided"] = "dense"
    """Fully connected networks (MNIST), or those of `dcgan` (LSUN); both in section 4. Points take `dense`."""
    z: int = 100
    """Entries of the code (section 4)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (section 4) or N(0, 1)."""
    generator_widths: tuple[int, ...] = (1200, 1200)
    """Units of the dense generator's hidden layers (section 4); with none it is linear, and its samples of normal codes Gaussian."""
    generator_norm: bool = True
    """Batch normalisation after each hidden layer of the dense generator (section 4)."""
    critic_widths: tuple[int, ...] = (240, 240)
    """Units of the dense critic's hidden layers (section 4)."""
    critic_activation: Literal["elu", "relu"] = "elu"
    """What the dense critic's hidden units are: ELU (section 4), or ReLU, which draws sharper borders."""
    width: int = 64
    """F above, of `strided`: maps of the generator's last hidden layer and of the critic's first (DCGAN's published code)."""
    kernel: int = 5
    """Side of the strided networks' kernels (DCGAN's published code); 4 spreads the load of stride 2 evenly."""
    penalty_weight: float = 0.0
    """Weight w of w/2 E_P[|| grad_x V(x) ||^2] in the dense critic's loss (arXiv:1801.04406, equation 9); 0, as in the paper: none."""
    lr_generator: float = 2e-4
    """The generator's learning rate (section 4)."""
    lr_critic: float = 2e-4
    """The critic's learning rate (section 4)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (section 4 gives the first)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, DIVERGENCES, "divergence")
        one_of(self, COSTS, "generator_cost")
        one_of(self, ("dense", "strided"), "network")
        one_of(self, ("elu", "relu"), "critic_activation")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "critic_steps", "z", "generator_widths", "critic_widths", "width")
        whole(self, 2, "kernel")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "penalty_weight")
        sees_alone = self.penalty_weight == 0 or self.network == "dense"
        require(sees_alone, "--config.penalty_weight needs --config.network dense: the strided critic's batch normalisation mixes samples")
        in_range(self, 0.0, math.inf, "lr_generator", "lr_critic", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Generator(nn.Module):
    """Codes (B, Z) to samples (B, *shape) through fully connected layers; images end in tanh, points in a linear layer."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.shape = data.shape
        widths = (config.z, *config.generator_widths)
        layers: list[nn.Module] = []
        for below, above in pairwise(widths):
            layers += [nn.Linear(below, above), *([nn.BatchNorm1d(above)] if config.generator_norm else []), nn.ReLU()]
        layers += [nn.Linear(widths[-1], math.prod(data.shape)), *([nn.Tanh()] if data.kind == "images" else [])]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).view(-1, *self.shape)


@final
class Critic(nn.Module):
    """Samples (B, ...) to v (B,), before the output activation g_f."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        widths = (math.prod(data.shape), *config.critic_widths)
        layers: list[nn.Module] = []
        for below, above in pairwise(widths):
            layers += [nn.Linear(below, above), nn.ELU() if config.critic_activation == "elu" else nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).squeeze(1)


@final
class FGAN(GenerativeModel, Latent, Score):
    """The game of a generator and an estimate of an f-divergence."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"fgan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.divergence = DIVERGENCES[config.divergence]
        self.objective = objective(self.divergence, config.generator_cost)
        if config.network == "dense":
            self.generator: nn.Module = Generator(config, data)
            self.critic: nn.Module = Critic(config, data)
        else:
            require(data.kind == "images", "--config.network strided takes images: points need --config.network dense")
            self.generator = backbones.generator_for(data, config.z, width=config.width, kernel=config.kernel)
            self.critic = backbones.Critic(backbones.trunk_for(data, width=config.width, kernel=config.kernel))
            initialise.gaussian(self, 0.02)

    def critic_loss(self, step: Step) -> Loss:
        """-F(G, V) of equation 6 on the batch and as many fresh fakes."""
        real = step.batch[self.data.kind]
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        # Two calls, not one on the joined batch: a strided critic normalises reals and fakes apart.
        real_v, fake_v = self.critic(real), self.critic(fake)
        value = self.objective.d(real_v, fake_v)
        edge = self.divergence.threshold
        watch = {
            "bound": -value.detach().mean(),
            "reals_right": (self.divergence.judge(real_v.detach()) > edge).float().mean(),
            "fakes_right": (self.divergence.judge(fake_v.detach()) < edge).float().mean(),
        }
        if self.config.penalty_weight == 0:
            return Loss({"value": value}, watch)
        penalty = self.config.penalty_weight / 2 * slope(input_gradient(self.critic, real)).square()
        return Loss({"value": value, "penalty": penalty}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """The bound, or section 3.2's cost, on fresh fakes."""
        return Loss({"cost": self.objective.g(self.critic(self.generator(self.draw(step.batch.size, step.rng))))})

    def score(self, batch: Batch) -> Tensor:
        return self.critic(batch[self.data.kind])

    def stages(self) -> Sequence[Stage]:
        c = self.config
        critic = Phase(
            name="critic", trains=(self.critic,), loss=self.critic_loss, optimizer=self._optimizer(c.lr_critic), repeat=c.critic_steps
        )
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
        require(condition is None, "fgan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        batch=64,
        network="strided",
        prior="normal",
        width=32,
        kernel=4,
        lr_generator=1e-3,
        lr_critic=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": Config(
        images=1_000_000,
        batch=100,
        z=2,
        prior="normal",
        generator_widths=(128, 128, 128),
        generator_norm=False,
        critic_widths=(128, 128, 128),
        critic_activation="relu",
        penalty_weight=0.1,
        lr_generator=1e-3,
        lr_critic=1e-3,
        betas=(0.5, 0.9),
        decay_from=0.5,
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        generator_widths=(16, 16),
        critic_widths=(16, 16),
        width=4,
        kernel=4,
        lr_generator=2e-3,
        lr_critic=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = FGAN
