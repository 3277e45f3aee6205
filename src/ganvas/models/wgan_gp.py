"""WGAN-GP - Improved Training of Wasserstein GANs (Gulrajani et al., 2017), arXiv:1704.00028

A critic estimates the Wasserstein-1 distance between data and samples, and the generator walks down its slope. The critic has to be
1-Lipschitz; instead of clipping its weights (WGAN), the norm of its gradient is drawn to 1 between reals and fakes, where the best
critic has slope 1 (proposition 1).

Objective (equation 3), with u = x + alpha (x_hat - x), x_hat = G(z), one alpha ~ U[0, 1) for each pair:

    critic      E[f(x_hat)] - E[f(x)] + lambda E[(|| grad_u f(u) ||_2 - 1)^2]        several updates for each of the generator
    generator   -E[f(x_hat)]

Shapes: B batch, Z code, C channels, H x W the data's size, h x w the smallest maps, n levels; z (B, Z), images (B, C, H, W), canvas
(B, C, h 2^n, w 2^n), points (B, D), scores f (B,).

    images   generator z -> h x w x 4F -> 2F -> F -> C, critic C -> F -> 2F -> 4F -> 1, 5 x 5 kernels, stride 2   (n = 3; F = `width`)
    points   both three hidden layers of F ReLU units

The critic has no batch normalisation: the penalty is on the gradient by each sample, and normalisation would mix the samples.

Differences from the paper. The text gives residual networks for CIFAR-10; numbers and networks here are those of the authors' MNIST
script (`paper`) and 2-D script (`paper-points`). Images lie in [-1, 1] and the generator ends in tanh (there: [0, 1] and a sigmoid), which
doubles all distances between images and so the Wasserstein estimate. 28 x 28 images are padded onto a canvas of 32 (there: the second
maps are cropped from 8 to 7); other sizes get more or fewer levels. Points are standardised.

What to expect. The Wasserstein estimate E[f(x)] - E[f(x_hat)] (watched as `wasserstein`) falls steadily and follows quality, as no other
GAN's loss does; training seldom fails, is slower than DCGAN's, and every mode is found.
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
from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import WASSERSTEIN
from ganvas.parts.penalties import gradient_penalty
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.strided import double, doubled, halve

CARD = Card(
    title="WGAN-GP",
    year=2017,
    paper="Gulrajani et al., Improved Training of Wasserstein GANs, arXiv:1704.00028",
    family="adversarial",
    teaches="a distance as the loss, held by a penalty",
    data=("images", "points"),
    capabilities=("latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Algorithm 1 of the paper, and the authors' MNIST script (gan_mnist.py of their published code)."""

    images: int = 200_000 * 5 * 50
    """Length of the run in training examples: 200,000 generator updates, each after 5 batches of 50 (authors' MNIST script)."""
    batch: int = 50
    """Examples in each update of the critic, and codes in each of the generator (authors' MNIST script)."""
    critic_steps: int = 5
    """Critic updates before each generator update, n_critic of algorithm 1."""
    z: int = 128
    """Entries of the code, from N(0, 1) (authors' MNIST script; 2 in the 2-D script)."""
    width: int = 64
    """F above: maps of the largest hidden layer of images (authors' MNIST script), units of each hidden layer of points (there 512)."""
    kernel: int = 5
    """Side of the convolutions' kernels (authors' MNIST script); 4 spreads the load of stride 2 evenly."""
    penalty: Literal["two-sided", "one-sided"] = "two-sided"
    """Draw slopes to 1 from both sides (equation 3), or only those above 1 (section 4, 'two-sided penalty')."""
    penalty_weight: float = 10.0
    """Lambda of equation 3 (section 4; 0.1 in the authors' 2-D script)."""
    lr_generator: float = 1e-4
    """The generator's learning rate (algorithm 1)."""
    lr_critic: float = 1e-4
    """The critic's learning rate (algorithm 1)."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Decay rates of Adam's two moments (authors' MNIST script; algorithm 1 has 0 and 0.9, for residual networks)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the authors' MNIST script: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("two-sided", "one-sided"), "penalty")
        whole(self, 1, "images", "batch", "critic_steps", "z", "width")
        whole(self, 2, "kernel")
        in_range(self, 0.0, math.inf, "penalty_weight")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "lr_generator", "lr_critic", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Generator(nn.Module):
    """Codes (B, Z) to the canvas (B, C, h 2^n, w 2^n) by n fractionally strided convolutions; values in [-1, 1]."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        widths, kernel = doubled(config.width, canvas.levels)[::-1], config.kernel
        self.maps = (*canvas.base, widths[0])
        self.project = nn.Linear(config.z, math.prod(self.maps))
        layers: list[nn.Module] = []
        for below, above in pairwise((*widths, channels)):
            layers += [nn.ReLU(), double(below, above, kernel, bias=True)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        # The projection is read as (h, w, maps), so that its output is channels-last without a copy.
        return self.layers(self.project(z).view(-1, *self.maps).permute(0, 3, 1, 2))


@final
class Critic(nn.Module):
    """Canvas (B, C, h 2^n, w 2^n) to scores (B,) by n strided convolutions, without any normalisation."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        widths = doubled(config.width, canvas.levels)
        layers: list[nn.Module] = []
        for below, above in pairwise((channels, *widths)):
            layers += [halve(below, above, config.kernel, bias=True), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.score = nn.Linear(math.prod(canvas.base) * widths[-1], 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.layers(x).permute(0, 2, 3, 1).flatten(1)).squeeze(1)


def initialise(network: nn.Module) -> None:
    """The authors' scheme: uniform with variance 4 / (fan_in + fan_out) for convolutions, 2 / (..) for linear layers; biases 0.

    A stride of 2 leaves a quarter of a convolution's outputs, or of a fractionally strided one's inputs, and its fan counts so many.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            variance = 4 / (layer.kernel_size[0] ** 2 * (layer.in_channels + layer.out_channels / 4))
        elif isinstance(layer, nn.ConvTranspose2d):
            variance = 4 / (layer.kernel_size[0] ** 2 * (layer.in_channels / 4 + layer.out_channels))
        elif isinstance(layer, nn.Linear):
            variance = 2 / (layer.in_features + layer.out_features)
        else:
            continue
        bound = math.sqrt(3 * variance)
        nn.init.uniform_(layer.weight, -bound, bound)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


@final
class Perceptron(nn.Module):
    """Vectors (B, I) to vectors (B, O) through three hidden layers of F ReLU units; He's initialisation, the last layer Glorot's."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        hidden = [nn.Linear(below, width) for below in (inputs, width, width)]
        last = nn.Linear(width, outputs)
        for layer in hidden:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.xavier_uniform_(last.weight)
        for layer in (*hidden, last):
            nn.init.zeros_(layer.bias)
        self.layers = nn.Sequential(*[module for layer in hidden for module in (layer, nn.ReLU())], last)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@final
class WGANGP(GenerativeModel, Latent, Score):
    """The game of a generator and a critic of slope 1."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"wgan_gp takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        if data.kind == "images":
            channels, height, width = data.shape
            self.canvas: Canvas | None = Canvas.fit(height, width)
            self.generator: nn.Module = Generator(config, self.canvas, channels)
            self.critic: nn.Module = Critic(config, self.canvas, channels)
        else:
            self.canvas = None
            self.generator = Perceptron(config.z, config.width, data.shape[0])
            self.critic = Perceptron(data.shape[0], config.width, 1)

    def critic_loss(self, step: Step) -> Loss:
        """Equation 3 on the batch and as many fresh fakes."""
        c, real = self.config, step.batch[self.data.kind]
        real = real if self.canvas is None else self.canvas.pad(real)
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng))
        distance = WASSERSTEIN.d(self.critic(real), self.critic(fake))
        penalty = gradient_penalty(self.critic, real, fake, step.rng, one_sided=c.penalty == "one-sided")
        return Loss({"distance": distance, "penalty": c.penalty_weight * penalty}, {"wasserstein": -distance.detach().mean()})

    def generator_loss(self, step: Step) -> Loss:
        """-f(G(z)) on fresh fakes."""
        return Loss({"cost": WASSERSTEIN.g(self.critic(self.generator(self.draw(step.batch.size, step.rng))))})

    def score(self, batch: Batch) -> Tensor:
        x = batch[self.data.kind]
        return self.critic(x if self.canvas is None else self.canvas.pad(x)).flatten()

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
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "wgan_gp is not conditional: its samples cannot be asked for by --labels")
        samples = self.generator(z).float()
        return samples if self.canvas is None else self.canvas.crop(samples)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "paper-points": Config(images=100_000 * 5 * 256, batch=256, z=2, width=512, penalty_weight=0.1),
    "quick": Config(
        images=600_000,
        batch=32,
        critic_steps=2,
        width=32,
        kernel=4,
        lr_generator=5e-4,
        lr_critic=5e-4,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-points": Config(
        images=1_152_000,
        batch=256,
        critic_steps=3,
        z=2,
        width=128,
        penalty_weight=0.1,
        lr_generator=1e-3,
        lr_critic=1e-3,
        ema_half_life=20_000.0,
    ),
    "tiny": Config(images=8 * 2 * 20, batch=8, critic_steps=2, z=4, width=4, kernel=4, lr_generator=1e-3, lr_critic=1e-3),
}

MODEL = WGANGP
