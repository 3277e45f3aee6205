"""RBM - Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002), doi:10.1162/089976602760128018

A layer of visible black-and-white pixels and a layer of hidden units, each unit joined to all of the other layer and to none of its own. Of
one layer the other can be drawn at once, so a Markov chain between the two brings samples, and the gradient of the likelihood: what the
data hold, less what the chain holds.

Objective. With energy E(v, h) = -a'v - b'h - v'W h, p(v, h) = exp(-E(v, h)) / Z, the free energy F and sp(t) = log(1 + e^t),

    F(v) = -a'v - sum_j sp(b_j + v'W_j),     log p(v) = -F(v) - log Z,     p(h_j|v) = sigma(b_j + v'W_j),     p(v_i|h) = sigma(a_i + W_i h)

    loss    E_data[F(v)] - E_chain[F(v~)] + l / 2 |W|^2        v~ is not differentiated

whose gradient is that of -log p(v) where the chain's states v~ are samples of the model. Contrastive divergence (CD-k) starts the chain at
the data and takes k steps; persistent contrastive divergence (PCD; Tieleman 2008, doi:10.1145/1390156.1390290) goes on where it stopped at
the update before. The value of the loss says nothing: it is near 0 for a chain that mixes well and for a model that has learned nothing.

Shapes: B batch, V = C H W visible units, H = `hidden`; images (B, C, H, W) in [-1, 1], v (B, V) and h (B, H) of 0 and 1, W (V, H),
chains (`batch`, V).

What the numbers mean. A pixel of an image is white with its grey value as the probability, drawn anew at each step (`binarise draw`), or
where it is above one half (`threshold`). `log_probability` is that of the binarised image. Z is a sum over 2^V states, which annealed
importance sampling estimates (Salakhutdinov & Murray 2008, doi:10.1145/1390156.1390266), from a model without W whose pixels are white as
often as the data's: `chains` runs over `temperatures` steps. The error of log Z is the same for all images. The estimate is rather too low
than too high, so the log-probability is rather too high: more temperatures tell.

Sampling. `gibbs` steps of the chain, from the persistent chains where there are some, otherwise from noise. Shown is the last p(v|h), as
everybody shows, or the states themselves. A completion holds the known pixels at their colour and runs the chain over the rest.

Differences from the paper. Numbers are those of Hinton's practical guide (2012, doi:10.1007/978-3-642-35289-8_32). Visible units are drawn,
also in CD-1. The visible biases start from one batch. With several processes each has the chains of its part of the batch.

What to expect. CD-1 learns fast and gives good features and middling samples; the chains of PCD move between digits in training because the
weights move under them. Digits can be read after a minute. A learning rate that does not fall to 0 leaves PCD with wrong probabilities of
what the chains are at: `decay_from`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganvas.engine.capabilities import Complete, Encode, LogProbability, Unnormalised
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import SGD, Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts.ais import anneal
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.raster import Levels

CARD = Card(
    title="RBM",
    year=2002,
    paper="Hinton, Training Products of Experts by Minimizing Contrastive Divergence, doi:10.1162/089976602760128018",
    family="energy-based",
    teaches="a likelihood whose gradient is sampled by a Markov chain",
    data=("images",),
    capabilities=("log-probability", "unnormalised", "encode", "complete"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """CD-1 as Hinton's practical guide recommends it, at the size of Salakhutdinov & Murray's MNIST models."""

    images: int = 50 * 60_000
    """Length of the run in training examples: 50 epochs of MNIST (the papers leave it open)."""
    batch: int = 100
    """Examples in each update, and persistent chains (practical guide, section 4: 10 to 100)."""
    hidden: int = 500
    """Hidden units H (Salakhutdinov & Murray, section 5)."""
    chain: Literal["data", "persistent"] = "data"
    """Where the chain of an update starts: at the data (CD), or where it stopped (PCD)."""
    steps: int = 1
    """Steps k of the chain in an update (practical guide, section 3)."""
    binarise: Literal["threshold", "draw"] = "draw"
    """White with the grey value as the probability, or white above one half."""
    init: float = 0.01
    """Standard deviation of the first weights (practical guide, section 8)."""
    lr: float = 0.05
    """Learning rate (practical guide, section 7, leaves it to the data; of this order for CD-1 on MNIST)."""
    momentum: tuple[float, float] | None = (0.5, 0.9)
    """Momentum in the first tenth of the run and after it (practical guide, section 9); None where `betas` are given."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam's two moments; None, as in the guide, where plain gradient descent with `momentum` is used."""
    weight_decay: float = 1e-4
    """Weight l of the squared weights, biases excepted (practical guide, section 10)."""
    decay_from: float | None = None
    """Share of the run after which the learning rate falls linearly, to 0 at its end; None: never."""
    ema_half_life: float | None = None
    """Use an average of the weights that forgets half in so many images; None: no average."""
    gibbs: int = 1_000
    """Steps of the chain for each sample (at least as many as the chain needs to forget where it began)."""
    show: Literal["probabilities", "states"] = "probabilities"
    """What a sample is: the last p(v|h), or pixels drawn from it."""
    chains: int = 100
    """Runs of annealed importance sampling (Salakhutdinov & Murray, section 5)."""
    temperatures: int = 14_500
    """Steps of each run (Salakhutdinov & Murray, section 5)."""

    def __post_init__(self) -> None:
        one_of(self, ("data", "persistent"), "chain")
        one_of(self, ("threshold", "draw"), "binarise")
        one_of(self, ("probabilities", "states"), "show")
        whole(self, 1, "images", "batch", "hidden", "steps", "gibbs", "temperatures")
        whole(self, 2, "chains")
        in_range(self, 0.0, math.inf, "weight_decay")
        in_range(self, 0.0, math.inf, "init", "lr", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        one = (self.momentum is None) != (self.betas is None)
        require(one, "--config.momentum (gradient descent) and --config.betas (Adam): give one of them and set the other to None")
        for rate in (*(self.momentum or ()), *(self.betas or ())):
            require(0.0 <= rate < 1.0, f"--config.momentum and --config.betas hold numbers of at least 0 and below 1, not {rate!r}")


@final
class Network(nn.Module):
    """The two layers: weights W (V, H), biases a (V,) and b (H,). All in single precision, of states 0 and 1 or of probabilities."""

    def __init__(self, visible: int, hidden: int, init: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(init * torch.randn(visible, hidden))
        self.visible, self.hidden = nn.Parameter(torch.zeros(visible)), nn.Parameter(torch.zeros(hidden))

    def forward(self, v: Tensor) -> Tensor:
        """Logits (B, H) of p(h|v)."""
        return torch.addmm(self.hidden, v, self.weight)

    def to_visible(self, h: Tensor) -> Tensor:
        """Logits (B, V) of p(v|h)."""
        return torch.addmm(self.visible, h, self.weight.T)

    def free_energy(self, v: Tensor) -> Tensor:
        """F (B,)."""
        with torch.autocast(v.device.type, enabled=False):  # a difference of two large numbers
            return -(v @ self.visible) - softplus(self(v)).sum(1)

    def gibbs(self, v: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The states v (B, V) after some steps of the chain, and the probabilities they were drawn from last; uniform (B, steps, H + V)."""
        probability = v
        for numbers in uniform.unbind(1):
            for_hidden, for_visible = numbers.split(self.weight.shape[::-1], 1)
            h = (for_hidden < self(v).sigmoid()).to(v.dtype)
            probability = self.to_visible(h).sigmoid()
            v = (for_visible < probability).to(v.dtype)
        return v, probability


@final
class RBM(GenerativeModel, LogProbability, Unnormalised, Encode, Complete):
    """Two layers, the chain between them, and what is known of Z."""

    chains: Tensor
    base: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"rbm takes images, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.levels, units = Levels(2, config.binarise), math.prod(data.shape)
        self.network = Network(units, config.hidden, config.init)
        persistent = config.batch if config.chain == "persistent" else 0
        self.register_buffer("chains", torch.randint(2, (persistent, units)).float())
        self.register_buffer("base", torch.zeros(units))

    def rank_buffers(self) -> tuple[str, ...]:
        return ("chains",) if len(self.chains) else ()

    def states(self, images: Tensor, rng: Draws) -> Tensor:
        """v (B, V) of images in [-1, 1]."""
        return self.levels.numbers(images, rng).float().flatten(1)

    def enter(self, batch: Batch, fresh: bool) -> None:
        """The visible biases start at the log-odds of a white pixel in the first batch; one image of each colour is added to it."""
        if fresh:
            grey = (batch.images.float().flatten(1) + 1) / 2
            white = (grey.sum(0) + 1) / (len(grey) + 2)
            self.base.copy_(white.logit())
            self.network.visible.copy_(self.base)

    def loss(self, step: Step) -> Loss:
        """Free energy of the data less that of the chain."""
        c, network, n = self.config, self.network, step.batch.size
        v = self.states(step.batch.images, step.rng)
        uniform = step.rng.uniform(n, c.steps, sum(network.weight.shape))
        with torch.no_grad(), torch.autocast(v.device.type, enabled=False):
            rows = step.rng.places(n)
            end, probability = network.gibbs(self.chains[rows] if len(self.chains) else v, uniform)
        if len(self.chains):
            step.scratch.update(rows=rows, ends=end)
        real, made = network.free_energy(v), network.free_energy(end)
        terms = {"free energies": real - made, "decay": 0.5 * c.weight_decay * network.weight.square().sum()}
        watch = {"F(data)": real.detach().mean(), "F(chain)": made.detach().mean(), "white": end.mean()}
        if not len(self.chains):
            watch["error"] = (v - probability).square().sum(1).mean()
        return Loss(terms, watch)

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """The chains are where they stopped."""
        if "ends" in scratch:
            self.chains[scratch["rows"]] = scratch["ends"]

    def stages(self) -> Sequence[Stage]:
        c = self.config
        phase = Phase(name="energy", trains=(self.network,), loss=self.loss, optimizer=self._optimizer())
        return [Stage(name="fit", phases=(phase,), images=c.images, batch=c.batch, enter=self.enter)]

    def _optimizer(self) -> Optimizer:
        c = self.config
        lr = c.lr if c.decay_from is None else linear_decay(c.lr, c.decay_from)
        if c.betas is not None:
            return Adam(lr=lr, betas=c.betas)
        assert c.momentum is not None
        first, later = c.momentum

        def momentum(clock: Clock) -> float:
            return first if clock.fraction < 0.1 else later

        return SGD(lr=lr, momentum=momentum)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.network,), half_life=half_life, ramp=0.5)

    def energy(self, batch: Batch, rng: Draws) -> Tensor:
        return self.network.free_energy(self.states(batch.images, rng))

    def log_partition(self, rng: Draws) -> tuple[float, float]:
        """By annealed importance sampling: f_b(v) = exp((1 - b) base'v + b a'v + sum_j sp(b (b_j + v'W_j)))."""
        c, network = self.config, self.network
        units, hidden = network.weight.shape

        def seen(v: Tensor) -> tuple[Tensor, Tensor]:
            return v, network(v)

        def log_ratio(state: tuple[Tensor, Tensor], low: float, high: float) -> Tensor:
            v, logits = state
            rise = (softplus(high * logits) - softplus(low * logits)).sum(1)
            return (high - low) * (v @ (network.visible - self.base)) + rise

        def move(state: tuple[Tensor, Tensor], b: float) -> tuple[Tensor, Tensor]:
            uniform = rng.uniform(1, c.chains, hidden + units)[0]
            h = (uniform[:, :hidden] < (b * state[1]).sigmoid()).to(state[0].dtype)
            logits = torch.lerp(self.base, network.to_visible(h), b)
            return seen((uniform[:, hidden:] < logits.sigmoid()).to(h.dtype))

        first = (rng.uniform(1, c.chains, units)[0] < self.base.sigmoid()).to(self.base.dtype)
        known = hidden * math.log(2) + float(softplus(self.base).sum())
        levels = [k / c.temperatures for k in range(c.temperatures + 1)]
        with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
            found = anneal(seen(first), known, levels, log_ratio, move)
        return found.value, found.error

    def log_probability(self, batch: Batch, rng: Draws) -> Tensor:
        """log p (B,) in nats of the binarised images; Z is estimated anew at each call."""
        return -self.energy(batch, rng) - self.log_partition(rng)[0]

    @property
    def measured(self) -> str:
        c = self.config
        runs = f"{c.chains:,} runs of {c.temperatures:,} steps"
        return f"log Z estimated by annealed importance sampling, {runs}, of images {self.levels.said}"

    def encode(self, batch: Batch) -> Tensor:
        """p(h|v) (B, H), grey pixels taken as the probability of white."""
        return self.network((batch.images.float().flatten(1) + 1) / 2).sigmoid()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        require(condition is None, "rbm is not conditional: its samples cannot be asked for by --labels")
        nothing = torch.zeros(n, *self.data.shape, device=self.base.device)
        return self.complete(nothing, nothing, rng=rng)

    def complete(self, given: Tensor, mask: Tensor, *, rng: Draws) -> Tensor:
        """Images (n, C, H, W) equal to `given` where `mask` is 1, after the chain has run over the rest."""
        c, n, network = self.config, len(given), self.network
        known, held = self.levels.nearest(given).float().flatten(1), mask.flatten(1) > 0
        v = self.chains[rng.integers(n, len(self.chains))] if len(self.chains) else (rng.uniform(n, len(self.base)) < 0.5).float()
        v, probability = torch.where(held, known, v), known
        with torch.autocast(v.device.type, enabled=False):
            for done in range(0, c.gibbs, _AT_ONCE):
                uniform = rng.uniform(n, min(_AT_ONCE, c.gibbs - done), sum(network.weight.shape))
                for numbers in uniform.split(1, 1):
                    v, probability = network.gibbs(v, numbers)
                    v = torch.where(held, known, v)
        shown = 2 * (probability if c.show == "probabilities" else v) - 1
        return torch.where(mask > 0, given, shown.view_as(given))


_AT_ONCE = 20  # steps whose numbers are drawn together: 1,000 images of 784 pixels and 256 hidden units take 80 MB

PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=3_000_000,
        hidden=256,
        chain="persistent",
        lr=0.05,
        momentum=(0.0, 0.0),
        weight_decay=0.0,
        decay_from=0.0,
        ema_half_life=100_000.0,
        temperatures=10_000,
    ),
    "tiny": Config(images=8 * 20, batch=8, hidden=12, chain="persistent", momentum=(0.5, 0.5), gibbs=10, chains=10, temperatures=20),
}

MODEL = RBM
