"""EBGAN - Energy-based Generative Adversarial Network (Zhao et al., 2016), arXiv:1609.03126

The discriminator gives each sample an energy, low on data and high elsewhere; it needs not be a probability. Here it is an autoencoder, and
the energy is its reconstruction error: its target is the sample itself, which says far more than one bit of real or fake.

Objective (equations 1 to 3), with the energy D(v) = mean over entries of (Dec(Enc(v)) - v)^2, a margin m and codes s_i = Enc(G(z_i)):

    critic      D(x) + max(0, m - D(G(z)))                              sample by sample
    generator   D(G(z)) + lambda PT(s),   PT = 1 / (N (N - 1)) sum_{i != j} (s_i . s_j / (|s_i| |s_j|))^2        (equation 4)

A fake of energy m or more is left alone. At the equilibrium samples have the law of the data, and E[D(x)] + E[max(0, m - D(G(z)))] = m
(theorems 1 and 2). The pulling-away term PT draws the codes of a batch of fakes towards right angles, against collapse.

Shapes: B batch (N of PT), Z code of the generator, S code of the autoencoder; z (B, Z), images (B, C, H, W), points (B, D), s (B, S),
energies (B,).

    images   generator: DCGAN's, F = `width`; encoder: DCGAN's discriminator without normalisation and a linear layer to S; decoder:
             DCGAN's generator without normalisation
    points   three hidden layers of F ReLU units each for generator, encoder and decoder

Two stages: first the autoencoder learns from data alone, then the game begins and its optimizer goes on. The paper advises to run it alone
in order to choose the margin (appendix, hints for a proper margin): the energy of reals it comes to (watched as `D(x)`) is what fakes have
to be told from.

Differences from the paper. Its energies are not divided by the number of entries, and so its margins (10 on MNIST, 20 and 80 on 64 x 64)
depend on the image's size; with the mean the margin is about 1 for images in [-1, 1]. There the run alone is an experiment before, here a
stage of the run. The critic has no batch normalisation, because energies would depend on the batch, and torch's first weights (there:
normalisation, and N(0, 0.002^2)). Codes are the outputs of one linear layer (there: the smallest maps). The paper gives no length for
its runs. Autoencoders of images end in tanh, as generators do.

What to expect. Learns fast, and digits are clean early. The watched energies tell the state: D(G(z)) near D(x) is balance, D(G(z)) at the
margin means that the generator has lost. Without PT, or with a small margin, classes may vanish.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise
from ganvas.parts.backbones import generator_for, trunk_for
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, whole

CARD = Card(
    title="EBGAN",
    year=2016,
    paper="Zhao et al., Energy-based Generative Adversarial Network, arXiv:1609.03126",
    family="adversarial",
    teaches="an autoencoder's error as the discriminator",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's networks of 64 x 64 images (appendix) and the numbers of its MNIST search (section 4.1)."""

    images: int = 50 * 60_000
    """Length of the game in training examples (the paper gives none): 50 passes over MNIST."""
    images_alone: int = 2 * 60_000
    """Examples from which the autoencoder learns alone before the game; 0: none (appendix, hints for a proper margin)."""
    batch: int = 64
    """Examples in each update of the autoencoder, and codes in each of the generator (the paper gives none)."""
    margin: float = 1.0
    """m of equation 1, on energies that are means over a sample's entries (10 on MNIST in section 4.1, on its energies)."""
    pulling_away: float = 0.1
    """Weight of the pulling-away term in the generator's loss (section 4.1, EBGAN-PT); 0 is EBGAN without it."""
    z: int = 100
    """Entries of the generator's code, from N(0, 1) (networks after Radford et al. 2015)."""
    code: int = 64
    """Entries of the autoencoder's code."""
    width: int = 128
    """Maps of the generator's last hidden layer (appendix, 64 x 64), or units of each of its hidden layers for points."""
    critic_width: int = 64
    """Maps of the encoder's first and the decoder's last hidden layer (appendix, 64 x 64), or units of their hidden layers for points."""
    kernel: int = 4
    """Side of the convolutions' kernels (appendix, 64 x 64)."""
    init: float | None = 0.02
    """The generator's first weights ~ N(0, v^2), gains of batch normalisation ~ N(1, v^2) (appendix); None takes torch's default."""
    lr_generator: float = 1e-3
    """The generator's learning rate (table 1)."""
    lr_critic: float = 1e-3
    """The autoencoder's learning rate (table 1)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (the paper gives none; those of Radford et al. 2015)."""
    decay_from: float | None = None
    """Share of the game after which learning rates fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "batch", "z", "code", "width", "critic_width")
        whole(self, 0, "images_alone")
        whole(self, 2, "kernel")
        in_range(self, 0.0, math.inf, "margin", "init", "lr_generator", "lr_critic", "ema_half_life", open_low=True)
        in_range(self, 0.0, math.inf, "pulling_away")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Autoencoder(nn.Module):
    """Samples (B, ...) to codes (B, S), and those to reconstructions (B, ...)."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        trunk = trunk_for(data, width=config.critic_width, kernel=config.kernel, norm=None)
        self.encoder = nn.Sequential(trunk, nn.Linear(trunk.features, config.code))
        self.decoder = generator_for(data, config.code, width=config.critic_width, kernel=config.kernel, norm=None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (B,) of samples, and their codes (B, S). Gradients reach x as the input and as the target of the reconstruction."""
        code = self.encoder(x)
        return (widen(self.decoder(code)) - widen(x)).square().flatten(1).mean(1), code


def pulling_away(codes: Tensor) -> Tensor:
    """The mean of squared cosines () between each code (N, S) and the others, in [0, 1] (equation 4); 0 for a single code."""
    n = len(codes)
    unit = nn.functional.normalize(widen(codes), dim=1)
    with torch.autocast(codes.device.type, enabled=False):  # it would take the product in half precision
        squares = torch.mm(unit, unit.t()).square()
    # Of all N^2 squared cosines the N of a code with itself are left out.
    return squares.masked_fill(torch.eye(n, dtype=torch.bool, device=codes.device), 0.0).sum() / max(1, n * (n - 1))


@final
class EBGAN(GenerativeModel, Latent, Score):
    """The game of a generator and an energy."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"ebgan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.generator = generator_for(data, config.z, width=config.width, kernel=config.kernel)
        self.critic = Autoencoder(config, data)
        if config.init is not None:
            initialise.gaussian(self.generator, config.init)

    def real_loss(self, step: Step) -> Loss:
        """D(x): the autoencoder alone."""
        energy, _ = self.critic(step.batch[self.data.kind])
        return Loss({"real": energy}, {"D(x)": energy.detach().mean()})

    def critic_loss(self, step: Step) -> Loss:
        """Equation 1 on the batch and as many fresh fakes."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        real_energy, _ = self.critic(step.batch[self.data.kind])
        fake_energy, _ = self.critic(fake)
        watch = {"D(x)": real_energy.detach().mean(), "D(G(z))": fake_energy.detach().mean()}
        return Loss({"real": real_energy, "fake": (self.config.margin - fake_energy).clamp(min=0.0)}, watch)

    def generator_loss(self, step: Step) -> Loss:
        """Equation 2 on fresh fakes, with the weighted pulling-away term of their codes."""
        energy, codes = self.critic(self.generator(self.draw(step.batch.size, step.rng)))
        repelling = pulling_away(codes)
        weight = self.config.pulling_away
        terms = {"energy": energy} if weight == 0 else {"energy": energy, "pulling-away": weight * repelling}
        return Loss(terms, {"squared cosine": repelling.detach()})

    def score(self, batch: Batch) -> Tensor:
        """The negative energy."""
        return -self.critic(batch[self.data.kind])[0]

    def stages(self) -> Sequence[Stage]:
        c = self.config
        optimizer = self._optimizer(c.lr_critic)
        alone = Phase(name="autoencoder", trains=(self.critic,), loss=self.real_loss, optimizer=optimizer)
        critic = Phase(name="critic", trains=(self.critic,), loss=self.critic_loss, optimizer=optimizer)
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        game = Stage(name="game", phases=(critic, generator), images=c.images, batch=c.batch)
        return [Stage(name="alone", phases=(alone,), images=c.images_alone, batch=c.batch), game] if c.images_alone else [game]

    def _optimizer(self, lr: float) -> Optimizer:
        start = self.config.decay_from
        return Adam(lr=lr if start is None else linear_decay(lr, start), betas=self.config.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator,), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "ebgan is not conditional: its samples cannot be asked for by --labels")
        return self.generator(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=585_000,
        images_alone=15_000,
        batch=32,
        margin=0.2,
        z=64,
        width=48,
        critic_width=16,
        lr_generator=1e-3,
        lr_critic=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": Config(
        images=1_000_000,
        images_alone=24_000,
        batch=256,
        margin=0.2,
        pulling_away=0.01,
        z=2,
        code=8,
        width=128,
        critic_width=128,
        init=None,
        lr_generator=5e-4,
        lr_critic=1e-3,
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 18,
        images_alone=8 * 2,
        batch=8,
        z=4,
        code=4,
        width=4,
        critic_width=4,
        lr_generator=2e-3,
        lr_critic=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = EBGAN
