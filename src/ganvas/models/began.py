"""BEGAN - Boundary Equilibrium Generative Adversarial Networks (Berthelot et al., 2017), arXiv:1703.10717

The discriminator is an autoencoder, and the game is about the laws of its reconstruction errors on reals and on fakes instead of about the
samples. A controller keeps the two players equal: it holds the mean error of fakes at gamma times that of reals.

Objective (section 3.4), with the error L(v) = mean over entries of |v - D(v)| and the state k, 0 at the start:

    critic      L(x) - k L(G(z))        generator   L(G(z))        k <- clip(k + lambda_k (gamma L(x) - L(G(z))), 0, 1)

    M = L(x) + |gamma L(x) - L(G(z))|        the measure of convergence (section 3.4.1): good reconstruction and balance at once

While fakes are easily reconstructed, k grows, and the critic turns from learning data to spoiling fakes. gamma is the ratio of errors the
game settles at: low values give clean and similar samples, high ones more diverse samples.

Shapes: B batch, Z code of the generator, S code of the autoencoder, C channels, H x W the data's size, h x w the smallest maps, n levels;
z (B, Z), images (B, C, H, W), errors (B,). 28 x 28 is 7 x 7 doubled twice, the paper's 64 x 64 is 8 x 8 doubled three times.

    generator, decoder   z -> h x w x F, two 3 x 3 convolutions to F maps on each size, nearest-neighbour doubling between; -> C
    encoder              C -> F, two 3 x 3 convolutions to F, 2F, 3F, .. maps on each size, strides of 2 between; a linear layer -> S

Hidden convolutions end in exponential linear units (ELU). Nothing is normalised: errors are of single samples. Outputs are linear, and
samples are clipped to [-1, 1]. With `networks` "shallow" the generator is DCGAN's, with batch normalisation; the autoencoder has a strided
layer, its code and a fractionally strided layer, with ReLU between and without normalisation, and both end in tanh.

Differences from the paper. `networks` "shallow" follows arXiv:1711.10337, which has an autoencoder of two strided layers on MNIST and a
normalised generator. The critic moves before the generator sees it (there both at once); k moves after both, by the errors that each
had in its own update. Learning rates are halved at fixed intervals, as in the public re-coding (there: when M stalls). Networks are
those without vanishing residuals or skip connections (section 3.5). Widths are the re-coding's; the text gives none for 64 x 64.

What to expect. Smooth and clean samples early, M (watched as `M`) falling with quality, k creeping upwards from 0 for tens of thousands of
updates. With a low gamma some classes vanish. Data whose classes are not equally easy to reconstruct are a trap: on MNIST, where a 1 is
mostly black, the paper's networks settle on ones alone, whatever gamma in [0.7, 1], with k near 0.1, the share of ones in the data: there
the critic gains as much by spoiling ones as by learning them, and the controller's balance is met. Shallow networks with gamma 1, which are
`quick`, keep all classes: k goes on rising. Without its batch normalisation, or with gamma 0.75, the generator loses classes there too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, at, linear_decay
from ganvas.errors import require
from ganvas.parts import latent
from ganvas.parts.backbones import generator_for
from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.strided import double, halve

CARD = Card(
    title="BEGAN",
    year=2017,
    paper="Berthelot et al., BEGAN: Boundary Equilibrium Generative Adversarial Networks, arXiv:1703.10717",
    family="adversarial",
    teaches="an autoencoder's errors held in balance by feedback",
    data=("images",),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sections 3 and 4 of the paper, at 64 x 64; the public re-coding (BEGAN-tensorflow) for what the text leaves open."""

    images: int = 500_000 * 16
    """Length of the run in training examples: 500,000 updates of 16 (public re-coding)."""
    batch: int = 16
    """Examples in each update of the autoencoder, and codes in each of the generator (section 4.1)."""
    gamma: float = 0.5
    """The ratio of the errors of fakes and of reals that is held (section 3.3; 0.3 to 0.7 in its figures)."""
    lambda_k: float = 1e-3
    """The controller's step (section 3.4)."""
    z: int = 64
    """Entries of the generator's code (section 4.1)."""
    code: int = 64
    """Entries of the autoencoder's code (section 4.1)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (section 3.5) or N(0, 1)."""
    networks: Literal["deep", "shallow"] = "deep"
    """Both networks: the paper's (section 3.5), or those described last above."""
    width: int = 128
    """F above: maps on the largest size, and by which those of the encoder grow on each smaller size (public re-coding). Of shallow
    networks: maps of the generator's last hidden layer, and of the autoencoder."""
    convolutions: int = 2
    """Convolutions on each size (section 3.5)."""
    base: int = 8
    """Side of the smallest maps that is aimed at (section 3.5)."""
    lr_generator: float = 1e-4
    """The generator's first learning rate (section 4.1)."""
    lr_critic: float = 1e-4
    """The autoencoder's first learning rate (section 4.1)."""
    halve_every: int | None = 100_000
    """Learning rates are halved after so many steps (public re-coding; when M stalls in section 4.1); None: never."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (public re-coding)."""
    decay_from: float | None = None
    """Share of the run after which learning rates also fall linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, latent.PRIORS, "prior")
        one_of(self, ("deep", "shallow"), "networks")
        whole(self, 1, "images", "batch", "z", "code", "width", "convolutions", "base", "halve_every")
        in_range(self, 0.0, 1.0, "gamma")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "lambda_k", "lr_generator", "lr_critic", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def bent(below: int, above: int, stride: int = 1) -> list[nn.Module]:
    """A 3 x 3 convolution and the exponential linear unit."""
    return [nn.Conv2d(below, above, 3, stride=stride, padding=1), nn.ELU(inplace=True)]


@final
class Decoder(nn.Module):
    """Codes (B, I) to the canvas (B, C, h 2^n, w 2^n); the generator, and the critic's second half."""

    def __init__(self, inputs: int, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        f = config.width
        self.maps = (*canvas.base, f)
        self.project = nn.Linear(inputs, math.prod(self.maps))
        layers: list[nn.Module] = []
        for level in range(canvas.levels + 1):
            layers += [nn.Upsample(scale_factor=2)] if level else []
            layers += [layer for _ in range(config.convolutions) for layer in bent(f, f)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(f, channels, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        # The projection is read as (h, w, maps), so that its output is channels-last without a copy.
        return self.layers(self.project(z).view(-1, *self.maps).permute(0, 3, 1, 2))


@final
class Encoder(nn.Module):
    """Canvas (B, C, h 2^n, w 2^n) to codes (B, S); maps grow by F with each halving."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        f = config.width
        layers: list[nn.Module] = bent(channels, f)
        for level in range(1, canvas.levels + 2):
            # The stride stands on the last convolution of a size, whose maps are those of the next one.
            for last in [False] * (config.convolutions - 1) + [level <= canvas.levels]:
                layers += bent(level * f, (level + 1) * f, stride=2) if last else bent(level * f, level * f)
        self.layers = nn.Sequential(*layers)
        self.code = nn.Linear(math.prod(canvas.base) * (canvas.levels + 1) * f, config.code)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.layers(x).permute(0, 2, 3, 1).flatten(1))


@final
class Shallow(nn.Module):
    """An autoencoder of the canvas (B, C, H, W), whose only hidden maps have half its size."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        f, self.maps = config.width, (config.width, *canvas.base)
        self.down, self.up = halve(channels, f, 4, bias=True), double(f, channels, 4, bias=True)
        self.code, self.spread = nn.Linear(math.prod(self.maps), config.code), nn.Linear(config.code, math.prod(self.maps))

    def forward(self, x: Tensor) -> Tensor:
        code = self.code(self.down(x).relu().flatten(1)).relu()
        return self.up(self.spread(code).relu().unflatten(1, self.maps)).tanh()


@final
class BEGAN(GenerativeModel, Latent, Score):
    """The game of a generator and an autoencoder, and the controller between them."""

    k: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"began takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        channels, height, width = data.shape
        self.generator: nn.Module
        self.critic: nn.Module
        if config.networks == "deep":
            self.canvas = Canvas.fit(height, width, base=config.base)
            self.generator = Decoder(config.z, config, self.canvas, channels)
            self.critic = nn.Sequential(Encoder(config, self.canvas, channels), Decoder(config.code, config, self.canvas, channels))
        else:
            self.canvas = Canvas.fit(height, width, levels=1)
            self.generator = generator_for(replace(data, shape=(channels, *self.canvas.size)), config.z, width=config.width)
            self.critic = Shallow(config, self.canvas, channels)
        self.register_buffer("k", torch.zeros(()))

    def error(self, x: Tensor) -> Tensor:
        """L: the mean absolute error (B,) of reconstructions of the canvas (B, C, h 2^n, w 2^n); gradients reach x by both sides."""
        return (widen(x) - widen(self.critic(x))).abs().flatten(1).mean(1)

    def critic_loss(self, step: Step) -> Loss:
        """L(x) - k L(G(z)) on the batch and as many fresh fakes; leaves L(x) for the controller."""
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        real_error, fake_error = self.error(self.canvas.pad(step.batch.images)), self.error(fake)
        step.scratch["real error"] = real_error.detach()
        return Loss({"real": real_error, "fake": -self.k * fake_error}, {"L(x)": real_error.detach().mean(), "k": self.k})

    def generator_loss(self, step: Step) -> Loss:
        """L(G(z)) on fresh fakes; watched: what the controller moves by, and M."""
        fake_error = self.error(self.generator(self.draw(step.batch.size, step.rng)))
        real = step.scratch["real error"].mean()
        balance = self.config.gamma * real - fake_error.detach().mean()
        return Loss({"error": fake_error}, {"balance": balance, "M": real + balance.abs()})

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """Move k by the balance of the step, once both players have moved."""
        if "balance" in watch:
            self.k.copy_((self.k + self.config.lambda_k * watch["balance"]).clamp(0.0, 1.0))

    def score(self, batch: Batch) -> Tensor:
        """The negative error."""
        return -self.error(self.canvas.pad(batch.images))

    def stages(self) -> Sequence[Stage]:
        c = self.config
        critic = Phase(name="critic", trains=(self.critic,), loss=self.critic_loss, optimizer=self._optimizer(c.lr_critic))
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        return [Stage(name="game", phases=(critic, generator), images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        c = self.config
        falling = lr if c.decay_from is None else linear_decay(lr, c.decay_from)

        def rate(clock: Clock) -> float:
            return at(falling, clock) * (1.0 if c.halve_every is None else 0.5 ** (clock.step // c.halve_every))

        return Adam(lr=rate, betas=c.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator,), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return self.config.prior

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.draw(self.config.prior, n, self.config.z, rng)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "began is not conditional: its samples cannot be asked for by --labels")
        return self.canvas.crop(self.generator(z)).float().clamp(-1.0, 1.0)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        batch=32,
        gamma=1.0,
        lambda_k=5e-3,
        networks="shallow",
        width=32,
        lr_generator=5e-4,
        lr_critic=5e-4,
        halve_every=None,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(images=8 * 20, batch=8, z=4, code=4, width=4, lr_generator=1e-3, lr_critic=1e-3, ema_half_life=50.0),
}

MODEL = BEGAN
