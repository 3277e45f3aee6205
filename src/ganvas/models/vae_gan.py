"""VAE-GAN - Autoencoding beyond pixels using a learned similarity metric (Larsen et al., 2015), arXiv:1512.09300

A VAE and a GAN that share the decoder, which is the generator. The VAE's error is not measured in pixels but in the features of a layer
of the discriminator, so that a shifted edge costs little and a missing one much.

Objective (equations 5 to 9 and algorithm 1), with x~ = Dec(z) for z ~ q(z|x), x_p = Dec(z_p) for z_p ~ N(0, I), features D_l(.) and
the logit a(.), sp(t) = log(1 + e^t):

    L_prior = KL(q(z|x) || N(0, I))      L_llike = 1/2 |D_l(x) - D_l(x~)|^2 (identity covariance, up to a constant)
    L_GAN   = log D(x) + log(1 - D(x~)) + log(1 - D(x_p)) = -sp(-a(x)) - sp(a(x~)) - sp(a(x_p))

    encoder   L_prior + L_llike        decoder   gamma L_llike + [its part of L_GAN]        discriminator   -L_GAN

No gradient of L_GAN reaches the encoder, and none of L_llike the discriminator. All three losses belong to the same x~ and x_p: the
encoder's phase leaves its draws and fakes to the other two.

Balance (authors' code). With the costs c_r = mean -log(D(x) + 0.001) and c_f = mean -log(1 - D(x_p) + 0.001), the discriminator rests
while one of them is below `equilibrium` - `margin`, and the decoder while one is above `equilibrium` + `margin`; if both would, neither.

Shapes: B batch, Z code, n levels, h x w the smallest maps, F = `width`; images (B, C, H, W), z (B, Z), logits (B,), features (B, 4F h' w').

    encoder         C -> F -> 2F -> 4F by strides of 2, one linear layer, mean and log-variance of the code (table 1)
    decoder         z -> h x w x 4F -> 4F -> 2F -> F/2, doubled at each, and a last convolution to C
    discriminator   C -> F/2 -> 2F -> 4F -> 4F by strides of 2 after the first, one linear layer, one logit; D_l is the third convolution

Differences from the paper. Any image size, through the canvas: 64 x 64 is 8 x 8 doubled three times as in table 1, 28 x 28 is 7 x 7
doubled twice. Reals, reconstructions and samples pass the discriminator in one batch, as in the authors' code, so that batch
normalisation treats x and x~ alike. The paper does not give the length of a run. `quick` uses Adam, an average of the weights, the
non-saturating cost of the decoder, narrower networks, and a gamma for its own number of features.

What to expect. Reconstructions that are sharp but not exact, and samples sharper than a VAE's. If the discriminator's costs stay far
apart for long, the balance makes one side wait: `discriminator/watch/...` falls silent in the curves for these steps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Encode, Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, RMSProp, linear_decay
from ganvas.errors import require
from ganvas.parts.canvas import Canvas
from ganvas.parts.gaussian import kl_to_standard_normal
from ganvas.parts.objectives import MINIMAX, NON_SATURATING, widen
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.strided import double, halve

CARD = Card(
    title="VAE-GAN",
    year=2015,
    paper="Larsen et al., Autoencoding beyond pixels using a learned similarity metric, arXiv:1512.09300",
    family="variational",
    teaches="a discriminator's features as the measure of likeness",
    data=("images",),
    capabilities=("latent", "encode", "score"),
    exceptions={
        "a_judge_s_batch_normalisation_sees_reals_and_fakes_apart": "the authors' code judges reals and both kinds of fakes as one batch"
    },
)

FLOOR = 1e-3  # added to probabilities before their logarithm (authors' code)
COSTS = {"minimax": MINIMAX, "non-saturating": NON_SATURATING}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 4 and table 1 of the paper, on 64 x 64 faces."""

    images: int = 4_000_000
    """Length of the run in training examples (the paper does not say; about 25 epochs of its faces)."""
    batch: int = 64
    """Examples in each update (section 4)."""
    z: int = 128
    """Entries of the code (table 1)."""
    width: int = 64
    """Maps of the encoder's first layer, F above (table 1: 64-128-256)."""
    kernel: int = 5
    """Side of the convolutions' kernels (table 1)."""
    base: int = 8
    """Side of the smallest maps that is aimed at, from which the canvas is doubled (table 1)."""
    encoder_hidden: int = 2048
    """Units of the encoder's linear layer (table 1)."""
    discriminator_hidden: int = 512
    """Units of the discriminator's linear layer (table 1)."""
    gamma: float = 1e-6
    """Weight of reconstruction against the adversarial cost in the decoder's loss, gamma of equation 9 (authors' code)."""
    decoder_cost: Literal["minimax", "non-saturating"] = "minimax"
    """The decoder's part of L_GAN: log(1 - D), or -log D."""
    equilibrium: float = 0.68
    """Cost around which the discriminator's two costs are kept (authors' code)."""
    margin: float = 0.4
    """Distance from it at which one of the players rests (authors' code)."""
    lr: float = 3e-4
    """Learning rate of all three (section 4)."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam's two moments; None, as in section 4, trains with RMSProp."""
    decay_from: float | None = None
    """Share of the run after which the learning rate falls linearly, to 0 at its end; None: never."""
    ema_half_life: float | None = None
    """Use an average of encoder and decoder that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, tuple(COSTS), "decoder_cost")
        whole(self, 1, "images", "batch", "z", "base", "encoder_hidden", "discriminator_hidden")
        whole(self, 2, "width", "kernel")
        in_range(self, 0.0, math.inf, "gamma", "equilibrium", "margin")
        in_range(self, 0.0, math.inf, "lr", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for rate in self.betas or ():
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def bend(maps: int) -> list[nn.Module]:
    """What follows a hidden convolution: batch normalisation and ReLU (table 1)."""
    return [nn.BatchNorm2d(maps), nn.ReLU(inplace=True)]


@final
class Encoder(nn.Module):
    """Canvas (B, C, ...) to mean and log-variance (B, Z) of q(z|x)."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        widths = [channels, *(config.width * min(2**level, 4) for level in range(canvas.levels))]
        layers: list[nn.Module] = []
        for below, above in pairwise(widths):
            layers += [halve(below, above, config.kernel, bias=False), *bend(above)]
        inputs, hidden = math.prod(canvas.base) * widths[-1], config.encoder_hidden
        dense = [nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(hidden, 2 * config.z))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = widen(self.layers(x)).chunk(2, dim=1)
        return mean, log_variance


@final
class Decoder(nn.Module):
    """Codes (B, Z) to the canvas (B, C, ...) in [-1, 1]."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        f, n = config.width, canvas.levels
        widths = [4 * f, *[4 * f] * (n - 2), 2 * f, f // 2]
        self.maps = (*canvas.base, 4 * f)
        self.project = nn.Linear(config.z, math.prod(self.maps), bias=False)
        layers = bend(4 * f)
        for below, above in pairwise(widths):
            layers += [double(below, above, config.kernel, bias=False), *bend(above)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 5, padding=2), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.project(z).view(-1, *self.maps).permute(0, 3, 1, 2))


@final
class Discriminator(nn.Module):
    """Canvas (B, C, ...) to the features (B, ...) of its third convolution and logits (B,)."""

    def __init__(self, config: Config, canvas: Canvas, channels: int) -> None:
        super().__init__()
        f, n, hidden = config.width, canvas.levels, config.discriminator_hidden
        self.first = nn.Sequential(
            nn.Conv2d(channels, f // 2, 5, padding=2),
            nn.ReLU(inplace=True),
            halve(f // 2, 2 * f, config.kernel, bias=False),
            *bend(2 * f),
            halve(2 * f, 4 * f, config.kernel, bias=False),
        )
        layers = bend(4 * f)
        for _ in range(n - 2):
            layers += [halve(4 * f, 4 * f, config.kernel, bias=False), *bend(4 * f)]
        dense = [nn.Linear(math.prod(canvas.base) * 4 * f, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
        self.rest = nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(hidden, 1))

    def features(self, x: Tensor) -> Tensor:
        return self.first(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.first(x)).squeeze(1)


@final
class VAEGAN(GenerativeModel, Latent, Encode, Score):
    """Three networks, three losses, two of which stop at a border."""

    costs: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"vae_gan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        channels, height, width = data.shape
        self.canvas = Canvas.fit(height, width, base=config.base)
        self.encoder = Encoder(config, self.canvas, channels)
        self.decoder = Decoder(config, self.canvas, channels)
        self.discriminator = Discriminator(config, self.canvas, channels)
        self.objective = COSTS[config.decoder_cost]
        self.register_buffer("costs", torch.full((2,), config.equilibrium))

    def encoder_loss(self, step: Step) -> Loss:
        """L_prior + L_llike; leaves the codes and fakes of this step to the other phases, and its costs to the balance."""
        x = self.canvas.pad(step.batch.images)
        mean, log_variance = self.encoder(x)
        z = mean + (0.5 * log_variance).exp() * step.rng.normal(*mean.shape)
        z_prior = step.rng.normal(*mean.shape)
        reconstruction = self.decoder(z)
        with torch.no_grad():
            sample = self.decoder(z_prior)
            a_real, _, a_prior = self._logits(x, reconstruction, sample)
        step.scratch.update(z=z.detach(), z_prior=z_prior, reconstruction=reconstruction.detach(), sample=sample)
        watch = {
            "real cost": -(a_real.sigmoid() + FLOOR).log().mean(),
            "fake cost": -((-a_prior).sigmoid() + FLOOR).log().mean(),
        }
        return Loss({"prior": kl_to_standard_normal(mean, log_variance), "likeness": self._likeness(x, reconstruction)}, watch)

    def decoder_loss(self, step: Step) -> Loss:
        """gamma L_llike and the decoder's part of L_GAN, on the codes of the encoder's phase."""
        x = self.canvas.pad(step.batch.images)
        reconstruction, sample = self.decoder(step.scratch["z"]), self.decoder(step.scratch["z_prior"])
        _, a_reconstruction, a_prior = self._logits(x, reconstruction, sample)
        adversarial = self.objective.g(a_reconstruction) + self.objective.g(a_prior)
        return Loss({"likeness": self.config.gamma * self._likeness(x, reconstruction), "adversarial": adversarial})

    def discriminator_loss(self, step: Step) -> Loss:
        """-L_GAN on the fakes of the encoder's phase."""
        x = self.canvas.pad(step.batch.images)
        a_real, a_reconstruction, a_prior = self._logits(x, step.scratch["reconstruction"], step.scratch["sample"])
        # The objective's value holds the reals' term twice when asked for both kinds of fakes; L_GAN holds it once.
        value = NON_SATURATING.d(a_real, a_reconstruction) + NON_SATURATING.d(a_real, a_prior) - NON_SATURATING.g(a_real)
        means = {"D(x)": a_real, "D(x~)": a_reconstruction, "D(x_p)": a_prior}
        return Loss({"value": value}, {name: a.detach().sigmoid().mean() for name, a in means.items()})

    def _logits(self, x: Tensor, reconstruction: Tensor, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B,) of the three kinds of images, judged in one batch."""
        a_real, a_reconstruction, a_prior = widen(self.discriminator(torch.cat([x, reconstruction, sample]))).chunk(3)
        return a_real, a_reconstruction, a_prior

    def _likeness(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        """L_llike (B,), summed over all features; x and x~ are normalised in one batch."""
        features, approximate = widen(self.discriminator.features(torch.cat([x, reconstruction]))).flatten(1).chunk(2)
        return 0.5 * (features - approximate).square().sum(1)

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """Remember the discriminator's costs for the balance."""
        if self.encoder in phase.trains:
            self.costs.copy_(torch.stack([watch["real cost"], watch["fake cost"]]))

    def _balance(self) -> tuple[bool, bool]:
        """Whether the decoder and the discriminator play in this step."""
        c = self.config
        decoder = bool((self.costs <= c.equilibrium + c.margin).all())
        discriminator = bool((self.costs >= c.equilibrium - c.margin).all())
        return (decoder, discriminator) if decoder or discriminator else (True, True)

    def stages(self) -> Sequence[Stage]:
        c = self.config
        phases = (
            Phase(name="encoder", trains=(self.encoder,), loss=self.encoder_loss, optimizer=self._optimizer()),
            Phase(
                name="decoder", trains=(self.decoder,), loss=self.decoder_loss, optimizer=self._optimizer(), when=lambda: self._balance()[0]
            ),
            Phase(
                name="discriminator",
                trains=(self.discriminator,),
                loss=self.discriminator_loss,
                optimizer=self._optimizer(),
                when=lambda: self._balance()[1],
            ),
        )
        return [Stage(name="game", phases=phases, images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        c = self.config
        lr = c.lr if c.decay_from is None else linear_decay(c.lr, c.decay_from)
        return RMSProp(lr=lr) if c.betas is None else Adam(lr=lr, betas=c.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.encoder, self.decoder), half_life=half_life, ramp=0.5)

    def score(self, batch: Batch) -> Tensor:
        return self.discriminator(self.canvas.pad(batch.images))

    def encode(self, batch: Batch) -> Tensor:
        """The means (B, Z) of q(z|x)."""
        mean, _ = self.encoder(self.canvas.pad(batch.images))
        return mean

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "vae_gan is not conditional: its samples cannot be asked for by --labels")
        return self.canvas.crop(self.decoder(z)).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=400_000,
        z=64,
        width=32,
        kernel=4,
        encoder_hidden=512,
        discriminator_hidden=256,
        gamma=2e-3,
        decoder_cost="non-saturating",
        lr=5e-4,
        betas=(0.5, 0.999),
        decay_from=0.7,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        z=4,
        width=4,
        kernel=4,
        encoder_hidden=8,
        discriminator_hidden=8,
        gamma=1e-2,
        decoder_cost="non-saturating",
        lr=2e-3,
        betas=(0.5, 0.999),
        ema_half_life=50.0,
    ),
}

MODEL = VAEGAN
