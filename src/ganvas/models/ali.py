"""ALI - Adversarially Learned Inference (Dumoulin et al., 2016), arXiv:1606.00704

Two ways to draw a pair of a sample and a code: data with a code that an inference network draws for it, or a code from the prior with what
the generator makes of it. A discriminator tells the two kinds of pairs apart; to be taken for each other, the inference network has to
become the posterior of the generator, with no likelihood of it ever written down.

Objective (equations 5 to 7), with q(z|x) = N(mu(x), diag sigma(x)^2), z^ = mu(x) + sigma(x) eps, eps ~ N(0, I), D = sigmoid(a(x, z)) with
the logit a, and sp(t) = log(1 + e^t):

    min_G max_D  V = E_x[log D(x, z^)] + E_z[log(1 - D(G(z), z))]

    discriminator   sp(-a(x, z^)) + sp(a(G(z), z)) = -V      encoder and generator   sp(a(x, z^)) + sp(-a(G(z), z))

The second line is the first with exchanged labels (algorithm 1). For the best D, V = -log 4 + 2 JSD(q(x, z) || p(x, z)) (section 2.1), so
that at the optimum q(z) = p(z), p(x) = q(x), and q(z|x) = p(z|x).

Shapes: B batch, Z code, F = `width`; images (B, C, H, W), z (B, Z), logits (B,). Convolutions as (kernel, stride, maps), none padded; on
32 x 32 images r = 4, and the maps shrink and grow 32-28-13-10-4-1:

    encoder        (5, 1, F) (4, 2, 2F) (4, 1, 4F) (4, 2, 8F) (r, 1, 16F) (1, 1, 16F) (1, 1, 2Z), which are mu and log sigma
    generator      (r, 1, 8F) (4, 2, 4F) (4, 1, 2F) (4, 2, F) (5, 1, F) transposed, (1, 1, F) (1, 1, C)
    discriminator  of x (5, 1, F) (4, 2, 2F) (4, 1, 4F) (4, 2, 8F) (r, 1, 16F), of z two layers of 16F, of both two of 32F, and a logit

Why not a preset of `bigan`, the same game found at the same time: there the encoder is a function, here it draws, and has a second output
for its deviation; and these networks are of other kinds: in the discriminator units are the larger of two linear maps (maxout) under
dropout, without normalisation, and encoder and generator are convolutions. That is more than numbers.

Differences from the paper. Images of other sizes are padded by repeating their edge to 4r + 16 pixels a side, r at least 1, and cropped
back; the last convolution covers what is left, r x r. Images end in tanh (there a sigmoid), and the bias of each pixel starts at 0 (there
at the data's marginal log-odds). Every layer that is not normalised has one bias a map (there some have none). The discriminator is
updated before the other two, on pairs of its own. Points are not taken.

What to expect. Reconstructions keep what an image is of sooner than how it is drawn, but late: after the 300,000 images of `quick` on
MNIST samples are of all ten classes and rough (fd 0.11), nearest codes tell 0.70 of the classes (untrained 0.63), and reconstructions do
not keep the class yet. A discriminator with a tenth of the others' rate never tells the pairs apart, and samples stay alike (fd 0.49). If
sigma falls to 0 everywhere the encoder has become a function, as in `bigan`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn

from ganvas.engine.capabilities import Encode, Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise
from ganvas.parts.canvas import Canvas
from ganvas.parts.objectives import NON_SATURATING, widen
from ganvas.parts.ranges import in_range, whole

CARD = Card(
    title="ALI",
    year=2016,
    paper="Dumoulin et al., Adversarially Learned Inference, arXiv:1606.00704",
    family="adversarial",
    teaches="an inference network that draws codes, learned by a game alone",
    data=("images",),
    capabilities=("latent", "encode", "score"),
)

LEAK = 0.1  # slope of LeakyReLU below 0 in encoder and generator (table 3)
LARGEST_LOG_SIGMA = 5.0  # beyond it e^(log sigma) is held: the first steps must not overflow


@dataclass(frozen=True, kw_only=True)
class Config:
    """Table 3 of the paper and the authors' script, on CIFAR-10."""

    images: int = 1000 * 50_000
    """Length of the run in training examples: 1,000 epochs of CIFAR-10 (authors' script)."""
    batch: int = 100
    """Examples in each update, and codes beside them (table 3)."""
    z: int = 64
    """Entries of the code, which are normal (table 3)."""
    width: int = 32
    """Maps of the first layers, F above (table 3)."""
    pieces: int = 2
    """Linear pieces of each unit of the discriminator, which outputs their maximum (table 3: maxout of 2); 1 is a LeakyReLU unit."""
    dropout_input: float = 0.2
    """Share of the entries of x and z hidden from the discriminator at each update (table 3)."""
    dropout: float = 0.5
    """Share of each hidden layer's outputs hidden in the discriminator at each update (table 3)."""
    init: float | None = 0.01
    """First weights ~ N(0, v^2) (table 3); None takes torch's default."""
    lr: float = 1e-4
    """Learning rate of encoder and generator (table 3)."""
    lr_discriminator: float = 1e-4
    """The discriminator's learning rate (table 3)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (table 3)."""
    decay_from: float | None = None
    """Share of the run after which the learning rate falls linearly, to 0 at its end; None, as in the paper: never."""
    ema_half_life: float | None = None
    """Use an average of encoder and generator that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        whole(self, 1, "images", "z", "width", "pieces")
        whole(self, 2, "batch")
        in_range(self, 0.0, 1.0, "dropout_input", "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "init", "lr", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def canvas_for(height: int, width: int) -> tuple[Canvas, tuple[int, int]]:
    """The smallest canvas of 4r + 16 pixels a side, and the maps (r, r) that are left of it after four convolutions."""
    left = max(1, -(-(height - 16) // 4)), max(1, -(-(width - 16) // 4))
    return Canvas(height=height, width=width, base=(4 * left[0] + 16, 4 * left[1] + 16), levels=0), left


def layers_of(width: int, left: tuple[int, int]) -> list[tuple[int | tuple[int, int], int, int]]:
    """(kernel, stride, maps) from the image to one entry a map."""
    return [(5, 1, width), (4, 2, 2 * width), (4, 1, 4 * width), (4, 2, 8 * width), (left, 1, 16 * width)]


def bent(maps: int) -> list[nn.Module]:
    """What follows a hidden layer of encoder and generator."""
    return [nn.BatchNorm2d(maps), nn.LeakyReLU(LEAK, inplace=True)]


@final
class Encoder(nn.Module):
    """Canvas (B, C, ...) to mu and log sigma (B, Z) of q(z|x)."""

    def __init__(self, config: Config, left: tuple[int, int], channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        below = channels
        for kernel, stride, maps in [*layers_of(config.width, left), (1, 1, 16 * config.width)]:
            layers += [nn.Conv2d(below, maps, kernel, stride, bias=False), *bent(maps)]
            below = maps
        self.layers = nn.Sequential(*layers, nn.Conv2d(below, 2 * config.z, 1), nn.Flatten())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_sigma = widen(self.layers(x)).chunk(2, dim=1)
        return mean, log_sigma.clamp(max=LARGEST_LOG_SIGMA)


@final
class Generator(nn.Module):
    """Codes (B, Z) to the canvas (B, C, ...) in [-1, 1]."""

    def __init__(self, config: Config, canvas: Canvas, left: tuple[int, int], channels: int) -> None:
        super().__init__()
        shrinking = layers_of(config.width, left)
        layers: list[nn.Module] = []
        below = config.z
        for (kernel, stride, _), maps in zip(shrinking[::-1], [8, 4, 2, 1, 1], strict=True):
            above = maps * config.width
            layers += [nn.ConvTranspose2d(below, above, kernel, stride, bias=False), *bent(above)]
            below = above
        layers += [nn.ConvTranspose2d(below, below, 1, bias=False), *bent(below), nn.Conv2d(below, channels, 1, bias=False)]
        self.layers = nn.Sequential(*layers)
        self.bias = nn.Parameter(torch.zeros(channels, *canvas.size))

    def forward(self, z: Tensor) -> Tensor:
        return (self.layers(z[:, :, None, None]) + self.bias).tanh()


@final
class Maxout(nn.Module):
    """The largest of each P neighbouring maps (Goodfellow et al. 2013, arXiv:1302.4389): (B, P O, ...) to (B, O, ...)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.pieces)).amax(2)


@final
class Discriminator(nn.Module):
    """Pairs of canvas (B, C, ...) and codes (B, Z) to logits (B,): a part for each of the two, and one for both."""

    def __init__(self, config: Config, left: tuple[int, int], channels: int) -> None:
        super().__init__()
        units, hidden, pieces = 16 * config.width, config.dropout, config.pieces
        look: list[nn.Module] = []
        below, share = channels, config.dropout_input
        for kernel, stride, maps in layers_of(config.width, left):
            look += [nn.Dropout(share), nn.Conv2d(below, pieces * maps, kernel, stride), unit(pieces)]
            below, share = maps, hidden
        self.look = nn.Sequential(*look, nn.Flatten())
        self.read = nn.Sequential(*dense(config.z, units, config.dropout_input, pieces), *dense(units, units, hidden, pieces))
        both = [*dense(2 * units, 2 * units, hidden, pieces), *dense(2 * units, 2 * units, hidden, pieces)]
        self.join = nn.Sequential(*both, nn.Dropout(hidden), nn.Linear(2 * units, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.join(torch.cat([self.look(x), self.read(z)], 1)).squeeze(1)


def unit(pieces: int) -> nn.Module:
    """What follows a linear map of the discriminator."""
    return Maxout(pieces) if pieces > 1 else nn.LeakyReLU(LEAK)


def dense(below: int, above: int, share: float, pieces: int) -> list[nn.Module]:
    """A fully connected layer of the discriminator, behind dropout."""
    return [nn.Dropout(share), nn.Linear(below, pieces * above), unit(pieces)]


@final
class ALI(GenerativeModel, Latent, Encode, Score):
    """A game over pairs of samples and codes, in which the encoder draws."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"ali takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        channels, height, width = data.shape
        self.canvas, left = canvas_for(height, width)
        self.generator = Generator(config, self.canvas, left, channels)
        self.encoder, self.discriminator = Encoder(config, left, channels), Discriminator(config, left, channels)
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def _pairs(self, step: Step) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The batch with codes drawn for it, and as many codes of the prior with what is generated from them: x, z^, G(z), z."""
        x = self.canvas.pad(step.batch.images)
        z, noise = self.draw(len(x), step.rng), self.draw(len(x), step.rng)
        mean, log_sigma = self.encoder(x)
        return x, mean + log_sigma.exp() * noise, self._bordered(self.generator(z)), z

    def _bordered(self, image: Tensor) -> Tensor:
        """A generated canvas with the border that data have: its own edge repeated."""
        return self.canvas.pad(self.canvas.crop(image))

    def discriminator_loss(self, step: Step) -> Loss:
        """-V of equation 5."""
        with torch.no_grad():
            x, code, fake, z = self._pairs(step)
        real_logits, fake_logits = self.discriminator(x, code), self.discriminator(fake, z)
        watch = {"D(x, z^)": real_logits.detach().float().sigmoid().mean(), "D(G(z), z)": fake_logits.detach().float().sigmoid().mean()}
        return Loss({"value": NON_SATURATING.d(real_logits, fake_logits)}, watch)

    def inverse_loss(self, step: Step) -> Loss:
        """The discriminator's loss with exchanged labels: -log(1 - D) of the encoder's pairs, -log D of the generator's."""
        x, code, fake, z = self._pairs(step)
        real_logits, fake_logits = self.discriminator(x, code), self.discriminator(fake, z)
        return Loss({"encoder": NON_SATURATING.g(-real_logits), "generator": NON_SATURATING.g(fake_logits)})

    def score(self, batch: Batch) -> Tensor:
        """Logits (B,) of the pairs (x, mu(x))."""
        x = self.canvas.pad(batch.images)
        return self.discriminator(x, self.encoder(x)[0])

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(
            name="discriminator", trains=(self.discriminator,), loss=self.discriminator_loss, optimizer=self._optimizer(c.lr_discriminator)
        )
        inverse = Phase(name="inverse", trains=(self.generator, self.encoder), loss=self.inverse_loss, optimizer=self._optimizer(c.lr))
        return [Stage(name="game", phases=(discriminator, inverse), images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        start = self.config.decay_from
        return Adam(lr=lr if start is None else linear_decay(lr, start), betas=self.config.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator, self.encoder), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def encode(self, batch: Batch) -> Tensor:
        """The means (B, Z) of q(z|x)."""
        mean, _ = self.encoder(self.canvas.pad(batch.images))
        return mean

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "ali is not conditional: its samples cannot be asked for by --labels")
        return self.canvas.crop(self.generator(z)).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


_QUICK = Config(
    images=300_000,
    z=32,
    width=6,
    pieces=1,
    init=None,
    lr=1e-3,
    decay_from=0.7,
    ema_half_life=10_000.0,
)  # what the presets below share

PRESETS = {
    "paper": Config(),
    "quick": replace(_QUICK, lr=4e-4, lr_discriminator=4e-4),
    "tiny": replace(_QUICK, images=8 * 20, batch=8, z=4, width=2, lr=2e-3, lr_discriminator=2e-3, ema_half_life=50.0),
}

MODEL = ALI
