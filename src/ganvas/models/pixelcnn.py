"""PixelCNN - Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759

The probability of an image is the product of the probabilities of its pixels, each given all before it in raster order, red before green
before blue. A convolutional network with masked kernels computes all of these factors at once; sampling goes pixel by pixel.

Objective (equations 1 and 2), to be minimised: the exact negative log-likelihood in nats, summed over rows, columns and channels,

    -log p(x) = - sum_i sum_c log p(x_ic | x_1 .. x_(i-1), x_i1 .. x_i(c-1)),      bits/dim = -log2 p(x) / (H W C)

with a softmax over `levels` values for each factor: 256 (section 5.1), or 2, which is a Bernoulli variable (section 5.3).

Shapes: B batch, C channels, h = `width`, K = `levels`; images (B, C, H, W) in [-1, 1], level numbers (B, C, H, W), logits (B, K, C, H, W).

    first     7 x 7, mask A, C -> 2h
    blocks    x + conv1(relu(conv3(relu(conv1(relu(x)))))), 2h -> h -> h -> 2h, mask B (figure 5, left)
    last      relu, 1 x 1 to `features`, relu, 1 x 1 to K C, mask B (table 1)

What the numbers mean. A pixel's level is the nearest of K evenly spaced grey values. With two levels, `binarise draw` makes a pixel white
with its own grey value as the probability, anew at each step, as is usual for MNIST; `threshold` whitens those above one half.
`log_probability` is exact, of the levels of the image (for `draw`, of levels drawn with its `rng`).

Sampling. The features of a pixel depend on pixels before it only, so each layer remembers what it has computed, and a new pixel costs one
patch in each layer instead of a whole image. A level is found by where one uniform number falls among the cumulated probabilities.

Differences from the paper. Adam, a falling learning rate and an average of the weights on request. Maps are dealt to the colours in turn
instead of in three blocks. The network has the blind spot that the gated PixelCNN (arXiv:1606.05328) later removed: a cone to the right
above a pixel that no stack of these kernels reaches.

What to expect. A smooth, never unstable fall of the likelihood. Samples are sharp and locally right; long strokes sometimes lose their way.
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

CARD = Card(
    title="PixelCNN",
    year=2016,
    paper="van den Oord et al., Pixel Recurrent Neural Networks, arXiv:1601.06759",
    family="autoregressive",
    teaches="an exact likelihood, one pixel after another",
    data=("images",),
    capabilities=("log-probability", "complete"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Table 1 and section 5 of the paper, on CIFAR-10."""

    images: int = 10_000_000
    """Length of the run in training examples (the paper does not say; 200 epochs of CIFAR-10)."""
    batch: int = 16
    """Examples in each update (section 5.2: 16 on MNIST and CIFAR-10)."""
    levels: int = 256
    """Values that a pixel can take (section 5.1); 2 is a Bernoulli variable (section 5.3)."""
    binarise: Literal["threshold", "draw"] = "threshold"
    """With two levels: white above one half, or white with the grey value as the probability."""
    width: int = 128
    """Maps h inside the blocks, which carry 2h (section 5.7: h = 128 on CIFAR-10)."""
    blocks: int = 15
    """Residual blocks (section 5.7: 15 layers)."""
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
        one_of(self, ("threshold", "draw"), "binarise")
        whole(self, 1, "images", "batch", "width", "blocks", "features")
        whole(self, 2, "levels")
        in_range(self, 2, 256, "levels")
        in_range(self, 0.0, math.inf, "lr", "clip", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        Levels(self.levels, self.binarise)
        for rate in self.betas or ():
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Block(nn.Module):
    """A residual block (figure 5, left)."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.enter = MaskedConv2d("B", 2 * width, width, 1, channels)
        self.look = MaskedConv2d("B", width, width, 3, channels)
        self.leave = MaskedConv2d("B", width, 2 * width, 1, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.leave(relu(self.look(relu(self.enter(relu(x))))))


@final
class Network(nn.Module):
    """Images (B, C, H, W) to logits (B, K, C, H, W)."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.first = MaskedConv2d("A", channels, 2 * config.width, 7, channels)
        self.blocks = nn.ModuleList(Block(config.width, channels) for _ in range(config.blocks))
        self.penultimate = MaskedConv2d("B", 2 * config.width, config.features, 1, channels)
        self.last = MaskedConv2d("B", config.features, config.levels * channels, 1, channels)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.first(x)
        for block in self.blocks:
            maps = block(maps)
        logits = self.last(relu(self.penultimate(relu(maps))))
        return widen(logits).unflatten(1, (-1, self.channels))

    def walker(self, canvas: Tensor) -> Walker:
        """A function of (row, column) that gives the logits (B, K, C) of one pixel of the canvas (B, H + 6, W + 6, C).

        The canvas has three zeros around the image and is read anew at each call. Pixels are asked for in raster order, any number of
        times each: every layer remembers what it computed for those before.
        """
        n, height, width, _ = canvas.shape
        masked = [layer for layer in self.modules() if isinstance(layer, MaskedConv2d)]
        rows = {layer: layer.rows() for layer in masked}
        inner = self.first.margin
        memory = [canvas.new_zeros(n, height - 2 * inner + 2, width - 2 * inner + 2, len(block.look.bias)) for block in self._blocks()]

        def at(row: int, column: int) -> Tensor:
            x = self.first.at(canvas, row, column, rows[self.first])
            for block, seen in zip(self._blocks(), memory, strict=True):
                seen[:, row + 1, column + 1] = relu(torch.addmm(block.enter.bias, relu(x), rows[block.enter]))
                looked = block.look.at(seen, row, column, rows[block.look])
                x = x + torch.addmm(block.leave.bias, relu(looked), rows[block.leave])
            x = relu(torch.addmm(self.penultimate.bias, relu(x), rows[self.penultimate]))
            return torch.addmm(self.last.bias, x, rows[self.last]).unflatten(1, (-1, self.channels))

        return at

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]


@final
class PixelCNN(GenerativeModel, LogProbability, Complete):
    """One network, one loss, and the walk over the pixels."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"pixelcnn takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.levels = Levels(config.levels, config.binarise)
        self.network = Network(config, data.shape[0])

    def _nats(self, levels: Tensor) -> Tensor:
        """-log p (B,) of level numbers."""
        return cross_entropy(self.network(self.levels.values(levels)), levels, reduction="none").flatten(1).sum(1)

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
        require(condition is None, "pixelcnn is not conditional: its samples cannot be asked for by --labels")
        nothing = torch.zeros(n, *self.data.shape, device=self.network.first.bias.device)
        return self.complete(nothing, nothing, rng=rng)

    def complete(self, given: Tensor, mask: Tensor, *, rng: Draws) -> Tensor:
        """Images (n, C, H, W) equal to `given` where `mask` is 1; the rest is drawn in raster order, given all pixels before."""
        return fill(given, mask, self.levels, self.network.first.margin, self.network.walker, rng)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=300_000,
        batch=32,
        levels=2,
        binarise="draw",
        width=32,
        blocks=7,
        features=64,
        lr=2e-3,
        betas=(0.9, 0.999),
        clip=100.0,
        decay_from=0.3,
        ema_half_life=5_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        levels=4,
        width=4,
        blocks=2,
        features=8,
        lr=1e-2,
        betas=(0.9, 0.999),
        ema_half_life=50.0,
    ),
}

MODEL = PixelCNN
