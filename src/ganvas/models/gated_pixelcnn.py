"""Gated PixelCNN - Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016), arXiv:1606.05328

The probability of an image is a product over its pixels in raster order, as in PixelCNN. Two stacks of convolutions compute it: a vertical
one sees all rows above, a horizontal one the pixels to the left, so that together no earlier pixel is left out; and each layer multiplies
what it has found by a gate that says how much of it to let through. A label moves all gates.

Objective (equations 1 and 3), to be minimised: the exact negative log-likelihood in nats, given the label y where there is one,

    -log p(x|y) = - sum_i sum_c log p(x_ic | x_1 .. x_(i-1), x_i1 .. x_i(c-1), y),      bits/dim = -log2 p(x|y) / (H W C)

    layer (equations 2 and 4)    tanh(W_f * x + V_f[y]) sigma(W_g * x + V_g[y])

Shapes: B batch, C channels, p = `width`, K = `levels`; images (B, C, H, W) in [-1, 1], level numbers (B, C, H, W), logits (B, K, C, H, W),
labels (B,). A layer of kernel n, of figure 2:

    vertical      (n/2 + 1) x n over row r and those above: p -> 2p, gate -> p
    horizontal    1 x (n/2 + 1) masked: p -> 2p, plus 1 x 1 of the vertical 2p of row r - 1; gate -> p; 1 x 1, plus its own input
    last          relu, 1 x 1 to `features`, relu, 1 x 1 to K C, mask B

What the numbers mean. Levels and binarisation are PixelCNN's. Without labels `log_probability` is exact, log p(x). With labels it is exact,
too, log p(x|y) of the image's own label: a label tells about log 10 = 2.3 nats of a digit at most, so the two are not to be compared.

Sampling. The vertical stack takes a whole row at once when the row is done; a new pixel costs one patch of a row in each layer.

Completion. Of a model with labels, the label is drawn first, from p(y | the known pixels before the first unknown one) with all classes
equally likely before: K passes over the given image.

Differences from the paper. Maps are dealt to the colours in turn. Adam, a falling learning rate and an average of the weights on request.
The paper's numbers are those of ImageNet at 32 x 32; it gives no learning rate and no optimizer for it: the default is PixelCNN's.

What to expect. A smooth fall of the likelihood, below PixelCNN's at equal images, with fewer weights. `quick` has no labels, to be set
beside `pixelcnn`; `quick-labels` has them.
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
from ganvas.parts import labels
from ganvas.parts.gated import GatedLayer
from ganvas.parts.masked import MaskedConv2d
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.raster import Levels, Walker, draw, fill

CARD = Card(
    title="Gated PixelCNN",
    year=2016,
    paper="van den Oord et al., Conditional Image Generation with PixelCNN Decoders, arXiv:1606.05328",
    family="autoregressive",
    teaches="two stacks without a blind spot, and gates for labels",
    data=("images",),
    capabilities=("log-probability", "complete"),
    conditions=("labels",),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 3 of the paper, ImageNet at 32 x 32."""

    images: int = 200_000 * 128
    """Length of the run in training examples (section 3: 200,000 updates of 128)."""
    batch: int = 128
    """Examples in each update (section 3)."""
    conditional: bool = True
    """Learn p(x|y) where the data have classes (section 3.2); False learns p(x) of any data (section 3.1)."""
    levels: int = 256
    """Values that a pixel can take (section 2); 2 is a Bernoulli variable."""
    binarise: Literal["threshold", "draw"] = "threshold"
    """With two levels: white above one half, or white with the grey value as the probability."""
    width: int = 384
    """Units p of each stack (section 3)."""
    layers: int = 20
    """Layers of both stacks after the first (section 3)."""
    first_kernel: int = 7
    """Side of the first layer's kernels (PixelCNN's table 1)."""
    kernel: int = 5
    """Side of the other layers' kernels (section 3)."""
    features: int = 1024
    """Maps of the layer before the last (PixelCNN's section 5.7)."""
    lr: float = 1e-3
    """Learning rate (the paper gives none)."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam's two moments; None, as in PixelCNN's section 5.2, trains with RMSProp."""
    clip: float | None = None
    """Upper bound of the gradient's norm; None, as in the paper: none."""
    decay_from: float | None = None
    """Share of the run after which the learning rate falls linearly, to 0 at its end; None: never."""
    ema_half_life: float | None = None
    """Use an average of the weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("threshold", "draw"), "binarise")
        whole(self, 1, "images", "batch", "width", "layers", "features", "first_kernel", "kernel")
        whole(self, 2, "levels")
        in_range(self, 2, 256, "levels")
        in_range(self, 0.0, math.inf, "lr", "clip", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        for name in ("first_kernel", "kernel"):
            side = getattr(self, name)
            require(side % 2 == 1, f"--config.{name} must be odd, not {side}")
        require(self.levels == 2 or self.binarise == "threshold", f"--config.binarise draw needs --config.levels 2, not {self.levels}")
        for rate in self.betas or ():
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class Network(nn.Module):
    """Images (B, C, H, W) and labels (B,) or None to logits (B, K, C, H, W)."""

    def __init__(self, config: Config, channels: int, classes: int) -> None:
        super().__init__()
        c = config
        self.channels = channels
        first = GatedLayer("A", channels, c.width, c.first_kernel, channels, classes)
        self.layers = nn.ModuleList([first, *(GatedLayer("B", c.width, c.width, c.kernel, channels, classes) for _ in range(c.layers))])
        self.penultimate = MaskedConv2d("B", c.width, c.features, 1, channels)
        self.last = MaskedConv2d("B", c.features, c.levels * channels, 1, channels)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        v = h = x
        for layer in self.layers:
            v, h = layer(v, h, y)
        return widen(self.last(relu(self.penultimate(relu(h))))).unflatten(1, (-1, self.channels))

    def walker(self, canvas: Tensor, y: Tensor | None) -> Walker:
        """Logits pixel by pixel, of a canvas (B, H, W, C)."""
        n, height, width, _ = canvas.shape
        stacks = [layer.walk(n, height, width, y) for layer in self.layers if isinstance(layer, GatedLayer)]
        penultimate, final = self.penultimate.rows(), self.last.rows()

        def at(row: int, column: int) -> Tensor:
            if column == 0 and row > 0:  # the row above is whole: take it into the vertical stack
                v = canvas[:, row - 1].transpose(1, 2)
                for take, _ in stacks:
                    v = take(row - 1, v)
            h, last = canvas[:, row, column], canvas[:, row, column - 1]
            for number, (_, look) in enumerate(stacks):
                h = look(column, h, None if number else last)
            h = torch.addmm(self.penultimate.bias, relu(h), penultimate)
            return torch.addmm(self.last.bias, relu(h), final).unflatten(1, (-1, self.channels))

        return at


@final
class GatedPixelCNN(GenerativeModel, LogProbability, Complete):
    """One network of two stacks, one loss, and the walk over the pixels."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"gated_pixelcnn takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.classes = len(data.classes) if config.conditional else 0
        self.levels = Levels(config.levels, config.binarise)
        self.network = Network(config, data.shape[0], self.classes)

    def conditions(self, listed: tuple[str, ...]) -> tuple[str, ...]:
        return listed if self.classes else ()

    def _nats(self, numbers: Tensor, y: Tensor | None) -> Tensor:
        """-log p (B, C, H, W) of each level number, given those before."""
        return cross_entropy(self.network(self.levels.values(numbers), y), numbers, reduction="none")

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.classes else None

    def loss(self, step: Step) -> Loss:
        """The negative log-likelihood of the batch in nats."""
        nats = self._nats(self.levels.numbers(step.batch.images, step.rng), self._labels(step.batch)).flatten(1).sum(1)
        return Loss({"nats": nats}, {"bits per dimension": nats.detach().mean() / (math.log(2) * math.prod(self.data.shape))})

    def log_probability(self, batch: Batch, rng: Draws) -> Tensor:
        """log p (B,) in nats, exact, of the levels of the images; given the labels where the model has them."""
        return -self._nats(self.levels.numbers(batch.images, rng), self._labels(batch)).flatten(1).sum(1)

    @property
    def measured(self) -> str:
        return f"exact, {'given the label, ' if self.classes else ''}of images {self.levels.said}"

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
        """Without a condition labels are drawn, every class equally likely."""
        nothing = torch.zeros(n, *self.data.shape, device=self.network.last.bias.device)
        if not self.classes:
            require(condition is None, "gated_pixelcnn is not conditional here: its samples cannot be asked for by --labels")
            return self._fill(nothing, nothing, None, rng)
        wanted = condition or Condition(labels=labels.drawn(n, self.classes, rng))
        return self._fill(nothing, nothing, labels.asked(wanted, nothing, self.classes, "gated_pixelcnn"), rng)

    def complete(self, given: Tensor, mask: Tensor, *, rng: Draws) -> Tensor:
        """Images (n, C, H, W) equal to `given` where `mask` is 1; the rest is drawn in raster order, given all pixels before."""
        y = self._likely(given, mask, rng) if self.classes else None
        return self._fill(given, mask, y, rng)

    def _likely(self, given: Tensor, mask: Tensor, rng: Draws) -> Tensor:
        """Labels (n,) drawn from their probability given the pixels known before the first unknown one."""
        prefix = mask.permute(0, 2, 3, 1).flatten(1).cumprod(1)
        numbers, uniform = self.levels.nearest(given), rng.uniform(len(given))
        logits = []
        for label in range(self.classes):
            nats = self._nats(numbers, torch.full((len(given),), label, device=given.device))
            logits.append(-(nats.permute(0, 2, 3, 1).flatten(1) * prefix).sum(1))
        return draw(torch.stack(logits, 1), uniform)

    def _fill(self, given: Tensor, mask: Tensor, y: Tensor | None, rng: Draws) -> Tensor:
        return fill(given, mask, self.levels, 0, lambda canvas: self.network.walker(canvas, y), rng)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=300_000,
        batch=32,
        conditional=False,
        levels=2,
        binarise="draw",
        width=16,
        layers=5,
        features=64,
        lr=4e-3,
        betas=(0.9, 0.999),
        clip=100.0,
        decay_from=0.3,
        ema_half_life=5_000.0,
    ),
    "quick-labels": Config(
        images=300_000,
        batch=32,
        conditional=True,
        levels=2,
        binarise="draw",
        width=16,
        layers=5,
        features=64,
        lr=4e-3,
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
        layers=2,
        first_kernel=5,
        kernel=3,
        features=8,
        lr=1e-2,
        betas=(0.9, 0.999),
        ema_half_life=50.0,
    ),
}

MODEL = GatedPixelCNN
