"""PixelRNN - Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759

The probability of an image is the product of the probabilities of its pixels, each given all before it in raster order. LSTMs that run over
the image carry what was seen as far as it matters: a Row LSTM from row to row, a Diagonal BiLSTM from both upper corners at once.

Objective (equations 1 and 2), to be minimised: the exact negative log-likelihood in nats, summed over rows, columns and channels,

    -log p(x) = - sum_i sum_c log p(x_ic | x_1 .. x_(i-1), x_i1 .. x_i(c-1)),      bits/dim = -log2 p(x) / (H W C)

    state (equation 3)    o, f, i = sigma,  g = tanh  of  K_ss * h' + K_is * x;    c = f c' + i g;    h = o tanh(c)

with h', c' of the pixels before. Each factor is a softmax over `levels` values: 256 (section 5.1), or 2, a Bernoulli variable (5.3).

Shapes: B batch, C channels, h = `width`, K = `levels`; images (B, C, H, W) in [-1, 1], level numbers (B, C, H, W), logits (B, K, C, H, W).

    first     7 x 7, mask A, C -> 2h
    layers    x + 1 x 1 (LSTM(x)), 2h -> h -> 2h, mask B (figure 5, right)
      row         K_is 1 x 3, mask B; K_ss 1 x 3 of the row above: a triangle of context
      diagonal    K_is 1 x 1, mask B; K_ss of the pixel beside and the one above, from the left and, one row later, from the right: all
    last      relu, 1 x 1 to `features`, relu, 1 x 1 to K C, mask B (table 1)

What the numbers mean. Levels and binarisation are PixelCNN's. `log_probability` is exact, of the levels of the image.

Context. States see all pixels before, but a pixel is in no map of its own place (mask A), and the last pixel of a row in none of that row:
the row below sees it in its last four columns only, by the first convolution. Of a digit it is background.

Sampling. Each layer remembers its states: a new pixel costs one step of each LSTM, and a new row one run from the right.

Differences from the paper. The diagonals are not laid out in a skewed map, half of which is empty: only pixels are computed. Adam, a
falling learning rate and an average of the weights on request. Maps are dealt to the colours in turn instead of in three blocks.

What to expect. Below PixelCNN at equal images with a fraction of its weights, each of which costs more. `quick` is a Diagonal BiLSTM, to
be set beside `pixelcnn` with as many images, on 28 x 28 black-and-white digits; `quick-row` the same with Row LSTMs. `quick-colour` is what
a small budget gives on 32 x 32 colour images with 256 levels: one pass over CIFAR-10.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from ganvas.engine.capabilities import Complete, LogProbability
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, RMSProp, linear_decay
from ganvas.errors import require
from ganvas.parts.masked import MaskedConv2d
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.raster import Levels, Walker, fill
from ganvas.parts.recurrent import LSTMLayer

CARD = Card(
    title="PixelRNN",
    year=2016,
    paper="van den Oord et al., Pixel Recurrent Neural Networks, arXiv:1601.06759",
    family="autoregressive",
    teaches="memory that runs over an image in two dimensions",
    data=("images",),
    capabilities=("log-probability", "complete"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Table 1 and section 5 of the paper, the Diagonal BiLSTM on CIFAR-10."""

    images: int = 10_000_000
    """Length of the run in training examples (the paper does not say; 200 epochs of CIFAR-10)."""
    batch: int = 16
    """Examples in each update (section 5.2: 16 on MNIST and CIFAR-10)."""
    context: Literal["row", "diagonal"] = "diagonal"
    """Row LSTM (section 3.1) or Diagonal BiLSTM (section 3.2)."""
    levels: int = 256
    """Values that a pixel can take (section 5.1); 2 is a Bernoulli variable (section 5.3)."""
    binarise: Literal["threshold", "draw"] = "threshold"
    """With two levels: white above one half, or white with the grey value as the probability."""
    width: int = 128
    """Units h of each LSTM, between maps of 2h (section 5.7: h = 128 on CIFAR-10)."""
    layers: int = 12
    """LSTM layers with residual connections (section 5.7: 12 on CIFAR-10; 7 of h = 16 on MNIST, section 5.6)."""
    features: int = 1024
    """Maps of the layer before the last (section 5.7)."""
    lr: float = 1e-3
    """Learning rate (section 5.2: set by hand for each data set)."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam's two moments; None, as in section 5.2, trains with RMSProp."""
    clip: float | None = None
    """Upper bound of the gradient's norm; None, as in the paper: none."""
    decay_from: float | None = None
    """Share of the run after which the learning rate falls linearly, to 0 at its end; None: never."""
    ema_half_life: float | None = None
    """Use an average of the weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("row", "diagonal"), "context")
        one_of(self, ("threshold", "draw"), "binarise")
        whole(self, 1, "images", "batch", "width", "layers", "features")
        whole(self, 2, "levels")
        in_range(self, 2, 256, "levels")
        in_range(self, 0.0, math.inf, "lr", "clip", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        require(self.levels == 2 or self.binarise == "threshold", f"--config.binarise draw needs --config.levels 2, not {self.levels}")
        for rate in self.betas or ():
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Network(nn.Module):
    """Images (B, C, H, W) to logits (B, K, C, H, W)."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        c = config
        self.channels = channels
        self.first = MaskedConv2d("A", channels, 2 * c.width, 7, channels)
        self.layers = nn.ModuleList(LSTMLayer(c.context, c.width, channels) for _ in range(c.layers))
        self.penultimate = MaskedConv2d("B", 2 * c.width, c.features, 1, channels)
        self.last = MaskedConv2d("B", c.features, c.levels * channels, 1, channels)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.first(x).permute(2, 3, 0, 1).contiguous()  # pixels first: an LSTM runs over them
        for layer in self.layers:
            maps = layer(maps)
        maps = maps.permute(2, 3, 0, 1)
        return widen(self.last(relu(self.penultimate(relu(maps))))).unflatten(1, (-1, self.channels))

    def walker(self, canvas: Tensor) -> Walker:
        """Logits pixel by pixel, of a canvas (B, H + 6, W + 6, C) with three zeros around the image."""
        n, height, width, _ = canvas.shape
        margin = self.first.margin
        walks = [layer.walk(n, height - 2 * margin, width - 2 * margin) for layer in self.layers if isinstance(layer, LSTMLayer)]
        first, penultimate, last = self.first.rows(), self.penultimate.rows(), self.last.rows()
        begun = torch.full((), -1)

        def at(row: int, column: int) -> Tensor:
            if row > int(begun):
                begun.fill_(row)
                for begin, _ in walks:
                    begin(row)
            x = self.first.at(canvas, row, column, first)
            for _, look in walks:
                x = look(column, x)
            x = torch.addmm(self.penultimate.bias, relu(x), penultimate)
            return torch.addmm(self.last.bias, relu(x), last).unflatten(1, (-1, self.channels))

        return at


@final
class PixelRNN(GenerativeModel, LogProbability, Complete):
    """One network, one loss, and the walk over the pixels."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"pixelrnn takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.levels = Levels(config.levels, config.binarise)
        self.network = Network(config, data.shape[0])

    def _nats(self, numbers: Tensor) -> Tensor:
        """-log p (B,) of level numbers."""
        return cross_entropy(self.network(self.levels.values(numbers)), numbers, reduction="none").flatten(1).sum(1)

    def loss(self, step: Step) -> Loss:
        """The negative log-likelihood of the batch in nats."""
        nats = self._nats(self.levels.numbers(step.batch.images, step.rng))
        return Loss({"nats": nats}, {"bits per dimension": nats.detach().mean() / (math.log(2) * math.prod(self.data.shape))})

    def log_probability(self, batch: Batch, rng: Draws) -> Tensor:
        """log p (B,) in nats, exact, of the levels of the images."""
        return -self._nats(self.levels.numbers(batch.images, rng))

    @property
    def measured(self) -> str:
        return f"exact, of images {self.levels.said}"

    def stages(self) -> Sequence[Stage]:
        c = self.config
        phase = Phase(name="likelihood", trains=(self.network,), loss=self.loss, optimizer=self._optimizer(), clip=c.clip)
        return [Stage(name="fit", phases=(phase,), images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        c = self.config
        lr = c.lr if c.decay_from is None else linear_decay(c.lr, c.decay_from)
        return RMSProp(lr=lr) if c.betas is None else Adam(lr=lr, betas=c.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.network,), half_life=half_life, ramp=0.5)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        require(condition is None, "pixelrnn is not conditional: its samples cannot be asked for by --labels")
        nothing = torch.zeros(n, *self.data.shape, device=self.network.first.bias.device)
        return self.complete(nothing, nothing, rng=rng)

    def complete(self, given: Tensor, mask: Tensor, *, rng: Draws) -> Tensor:
        """Images (n, C, H, W) equal to `given` where `mask` is 1; the rest is drawn in raster order, given all pixels before."""
        return fill(given, mask, self.levels, self.network.first.margin, self.network.walker, rng)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=200_000,
        batch=32,
        levels=2,
        binarise="draw",
        width=16,
        layers=2,
        features=32,
        lr=4e-3,
        betas=(0.9, 0.999),
        clip=100.0,
        decay_from=0.3,
        ema_half_life=5_000.0,
    ),
    "quick-row": Config(
        images=200_000,
        batch=32,
        context="row",
        levels=2,
        binarise="draw",
        width=16,
        layers=3,
        features=32,
        lr=4e-3,
        betas=(0.9, 0.999),
        clip=100.0,
        decay_from=0.3,
        ema_half_life=5_000.0,
    ),
    "quick-colour": Config(
        images=50_000,
        batch=16,
        width=24,
        layers=2,
        features=96,
        lr=2e-3,
        betas=(0.9, 0.999),
        clip=10_000.0,
        decay_from=0.3,
        ema_half_life=5_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        levels=4,
        width=3,
        layers=2,
        features=8,
        lr=1e-2,
        betas=(0.9, 0.999),
        ema_half_life=50.0,
    ),
}

MODEL = PixelRNN
