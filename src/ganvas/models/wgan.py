"""WGAN - Wasserstein GAN (Arjovsky et al., 2017), arXiv:1701.07875

A critic estimates the Wasserstein-1 distance between data and samples, which has a slope even where the two have no point in common. The
critic has to be Lipschitz; here it is because each of its weights is clipped to a small interval after each of its updates.

Objective (equations 2 and 3), f over functions of slope at most K:

    K W(p_data, p_g) = max_f E[f(x)] - E[f(G(z))]        critic      E[f(G(z))] - E[f(x)]      several updates for each of the generator
                                                         generator   -E[f(G(z))]

K is not known: it follows from the clipping bound c and the networks. For a critic of linear layers and ReLU it is at most the product of
the layers' largest row sums, c for one number in and c F for each layer with F inputs. So the estimate is W up to a factor, which stands
still while c and the networks do.

Shapes: B batch, Z code, C channels, H x W the data's size, h x w the smallest maps, n levels; z (B, Z), images (B, C, H, W), points (B, D),
scores f (B,).

    images   generator z -> h x w x 8F -> .. -> 2F -> F -> C, critic the mirror image and one linear unit, 4 x 4 kernels, stride 2, both
             with batch normalisation (F = `width` and `critic_width`; 8F on four levels or more, else 4F)
    points   three hidden layers of F ReLU units each

All parameters of the critic are clipped, those of its batch normalisation too: its gains start near 1 and are at most c after an update.

Differences from the paper. It minimises over the sign the authors' code does not (there f is negated; the game is the same). The text gives
networks by name; widths, length and the long rounds of the critic are those of the authors' published code. There weights are clipped
before each update of the critic, here after it (algorithm 1), so that the generator never meets a weight beyond the bound. The last layers
are linear layers (there 4 x 4 convolutions without padding, of the critic without a bias, which no score difference depends on). The
`textbook` preset has the numbers of the well-known Keras version, whose labels of -1 for reals and 1 for fakes times the scores are the
losses above: bound, rates, five updates of the critic, no long rounds, dropout, widths. There the generator upsamples and convolves
(here: fractional strides), normalisation precedes dropout in other places, and a critic's update sees 16 reals and 16 fakes in turn (here
a batch of 64 each).

What to expect. The estimate E[f(x)] - E[f(G(z))] (watched as `wasserstein`) falls as samples get better, and balance needs no care: the
better the critic, the better the slope. It learns slowly at the paper's rate, and clipping makes critics too simple: on 2-D mixtures modes
are found, but points lie between them, too. `wgan_gp` was written to mend this. Momentum (Adam) unsettles the critic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Optimizer, RMSProp, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise
from ganvas.parts.backbones import Critic, generator_for, trunk_for
from ganvas.parts.objectives import WASSERSTEIN
from ganvas.parts.ranges import in_range, whole

CARD = Card(
    title="WGAN",
    year=2017,
    paper="Arjovsky et al., Wasserstein GAN, arXiv:1701.07875",
    family="adversarial",
    teaches="a distance as the loss, held by clipping",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Algorithm 1 of the paper, and the authors' published code (main.py) for what the text leaves open."""

    images: int = 25 * 3_033_042
    """Length of the run in training examples: 25 epochs of the LSUN bedrooms (authors' code)."""
    batch: int = 64
    """Examples in each update of the critic, and codes in each of the generator (algorithm 1)."""
    critic_steps: int = 5
    """Critic updates before each generator update, n_critic of algorithm 1."""
    long_round: int = 100
    """Critic updates before those generator updates that the next two fields name (authors' code)."""
    long_first: int = 25
    """The first so many generator updates have a long round of the critic before them (authors' code); 0: none."""
    long_every: int | None = 500
    """So has every generator update whose number, from 0, is divisible by this (authors' code); None: none."""
    clip: float = 0.01
    """Each parameter of the critic lies in [-clip, clip] after each of its updates, c of algorithm 1."""
    z: int = 100
    """Entries of the code, from N(0, 1) (authors' code)."""
    width: int = 64
    """Maps of the generator's last hidden layer (authors' code), or units of each of its hidden layers for points."""
    critic_width: int = 64
    """Maps of the critic's first hidden layer (authors' code), or units of each of its hidden layers for points."""
    kernel: int = 4
    """Side of the convolutions' kernels (authors' code)."""
    dropout: float = 0.0
    """Share of each hidden map's entries hidden in the critic (the paper has none; the Keras version 0.25)."""
    init: float | None = 0.02
    """First weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (authors' code); None takes torch's default."""
    lr_generator: float = 5e-5
    """The generator's learning rate, alpha of algorithm 1 (RMSProp)."""
    lr_critic: float = 5e-5
    """The critic's learning rate, alpha of algorithm 1 (RMSProp)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "critic_steps", "long_round", "long_every", "z", "width", "critic_width")
        whole(self, 0, "long_first")
        whole(self, 2, "kernel")
        in_range(self, 0.0, 1.0, "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "clip", "init", "lr_generator", "lr_critic", "ema_half_life", open_low=True)


@final
class WGAN(GenerativeModel, Latent, Score):
    """The game of a generator and a critic with clipped weights."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"wgan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.generator = generator_for(data, config.z, width=config.width, kernel=config.kernel)
        self.critic = Critic(trunk_for(data, width=config.critic_width, kernel=config.kernel, dropout=config.dropout))
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def critic_loss(self, step: Step) -> Loss:
        """Equation 2 on the batch and as many fresh fakes."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        # Two calls, not one on the joined batch: the statistics of reals and fakes are not to mix.
        distance = WASSERSTEIN.d(self.critic(step.batch[self.data.kind]), self.critic(fake))
        return Loss({"distance": distance}, {"wasserstein": -distance.detach().mean()})

    def generator_loss(self, step: Step) -> Loss:
        """-f(G(z)) on fresh fakes."""
        return Loss({"cost": WASSERSTEIN.g(self.critic(self.generator(self.draw(step.batch.size, step.rng))))})

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """Clip the critic's parameters where it has moved (algorithm 1, line 7)."""
        if any(module is self.critic for module in phase.trains):
            for parameter in self.critic.parameters():
                parameter.clamp_(-self.config.clip, self.config.clip)

    def critic_round(self, clock: Clock) -> int:
        """Critic updates before this generator update; `clock.step` counts those."""
        c = self.config
        due = c.long_every is not None and clock.step % c.long_every == 0
        return c.long_round if due or clock.step < c.long_first else c.critic_steps

    def score(self, batch: Batch) -> Tensor:
        return self.critic(batch[self.data.kind])

    def stages(self) -> Sequence[Stage]:
        c = self.config
        critic = Phase(
            name="critic",
            trains=(self.critic,),
            loss=self.critic_loss,
            optimizer=self._optimizer(c.lr_critic),
            repeat=self.critic_round,
        )
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        return [Stage(name="game", phases=(critic, generator), images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        start = self.config.decay_from
        return RMSProp(lr=lr if start is None else linear_decay(lr, start))

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator,), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "wgan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "textbook": Config(
        images=4_000 * 5 * 64,
        long_first=0,
        long_every=None,
        critic_width=16,
        dropout=0.25,
        init=None,
    ),
    "quick": Config(
        images=600_000,
        batch=32,
        critic_steps=2,
        long_round=20,
        z=64,
        width=64,
        critic_width=24,
        lr_generator=5e-4,
        lr_critic=5e-4,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": Config(
        images=1_152_000,
        batch=256,
        critic_steps=3,
        long_round=20,
        clip=0.1,
        z=2,
        width=128,
        critic_width=128,
        init=None,
        lr_generator=5e-4,
        lr_critic=1e-3,
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 3 * 20,
        batch=8,
        critic_steps=2,
        long_round=4,
        long_first=1,
        long_every=3,
        z=4,
        width=4,
        critic_width=4,
        lr_generator=1e-3,
        lr_critic=1e-3,
    ),
}

MODEL = WGAN
