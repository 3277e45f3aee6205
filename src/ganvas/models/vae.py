"""VAE - Auto-Encoding Variational Bayes (Kingma & Welling, 2013), arXiv:1312.6114

A decoder p(x|z) explains data by a code z ~ N(0, I), and an encoder q(z|x) guesses the code of each example; both are trained together on
a lower bound of the data's log-likelihood. Writing the random code as z = mu + sigma eps lets gradients pass through the draw.

Objective (equations 3 and 10), to be maximised, with q(z|x) = N(mu(x), diag sigma(x)^2) and one draw z = mu + sigma eps, eps ~ N(0, I):

    ELBO(x) = log p(x|z) - KL(q(z|x) || N(0, I)) <= log p(x),      KL = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - log sigma_j^2)

    Bernoulli (appendix C.1)   log p(x|z) = sum_i x_i log y_i + (1 - x_i) log(1 - y_i),  x in [0, 1]^D,  y = sigmoid of the decoder
    Gaussian (appendix C.2)    log p(x|z) = sum_i log N(x_i; m_i, s_i^2),  m the decoder's output (tanh on images), s too, or a number

Both sums run over all pixels and all code entries: averaging one of them would silently weigh the other.

Shapes: B batch, Z code, D numbers in one sample (C H W, or a point's entries); images (B, C, H, W) in [-1, 1], z (B, Z).

What the numbers mean. `sample` and `decode` return the mean of p(x|z) for images (Bernoulli: the probabilities, rescaled to [-1, 1]), as
everybody shows; samples of points are drawn from p(x|z). `log_probability` is in nats: for a Bernoulli decoder that of the image
binarised at one half (or at random, to stand beside models that are measured so), for a Gaussian one the log-density of x as the model
sees it. It is the bound with k = `bound_samples` draws (Burda et al. 2015, arXiv:1509.00519, equation 8),

    log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x),  z_i ~ q(z|x),

an unbiased estimate of the ELBO for k = 1, and with growing k ever nearer to log p(x) from below.

Differences from the paper. Any number of hidden layers, Adam, another weight of the KL term and its warm-up on request; images for a
Gaussian decoder lie in [-1, 1] (there [0, 1] with a sigmoid). The prior of the weights, N(0, I), is weight decay of 1 / 60,000, for MNIST's
60,000 examples.

What to expect. Fast and never unstable; samples of every class, blurred, since the decoder's mean averages over what the code leaves
open. If `kl` falls to 0 the codes are ignored: use a warm-up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ganvas.engine.capabilities import Encode, Latent, LogProbability
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adagrad, Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import initialise
from ganvas.parts.gaussian import gaussian_log_density, kl_to_standard_normal
from ganvas.parts.layered import Layered
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="VAE",
    year=2013,
    paper="Kingma & Welling, Auto-Encoding Variational Bayes, arXiv:1312.6114",
    family="variational",
    teaches="a likelihood bound instead of an adversary",
    data=("images", "points"),
    capabilities=("latent", "encode", "log-probability"),
)

LEAST_LOG_VARIANCE = -10.0  # s = 0.0067, less than one grey level: without a floor, pixels that never change have unbounded density


@dataclass(frozen=True, kw_only=True)
class Config:
    """Section 5 of the paper, on MNIST."""

    images: int = 100_000_000
    """Length of the run in training examples: 10^8, the end of the curves in figure 2."""
    batch: int = 100
    """Examples in each update, M of algorithm 1 (section 5)."""
    z: int = 20
    """Entries of the code (3, 5, 10, 20 and 200 in figure 2)."""
    hidden: tuple[int, ...] = (500,)
    """Units of the encoder's hidden layers; the decoder has them in reverse order (section 5: one layer of 500 on MNIST)."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Hidden units (appendix C: tanh)."""
    likelihood: Literal["auto", "bernoulli", "gaussian"] = "auto"
    """p(x|z); `auto` is Bernoulli for images (appendix C.1) and Gaussian for points (appendix C.2)."""
    binarise: Literal["no", "threshold", "draw"] = "no"
    """Bernoulli targets: pixels of [0, 1] as they are, 1 where they are above one half, or 1 with their own probability at each step."""
    sigma: float | None = None
    """Standard deviation of the Gaussian p(x|z); None lets the decoder give one for each entry (appendix C.2)."""
    beta: float = 1.0
    """Weight of KL (1 in the paper, which makes a bound of it; Higgins et al. 2017 raise it for codes of independent parts)."""
    kl_warmup: float = 0.0
    """Share of the run during which the weight of KL rises from 0 to `beta` (none in the paper; Bowman et al. 2015, section 3.1)."""
    bound_samples: int = 1
    """Codes drawn for each example by `log_probability`; more give a tighter bound (Burda et al. 2015)."""
    bound_binarise: Literal["threshold", "draw"] = "threshold"
    """Images that `log_probability` of a Bernoulli decoder is of: white above one half, or with their grey value as the probability."""
    lr: float = 0.02
    """Learning rate (section 5: chosen among 0.01, 0.02 and 0.1)."""
    betas: tuple[float, float] | None = None
    """Decay rates of Adam's two moments; None, as in section 5, trains with Adagrad."""
    decay_from: float | None = None
    """Share of the run after which the learning rate falls linearly, to 0 at its end; None, as in the paper: never."""
    weight_decay: float = 1 / 60_000
    """Weight decay of Adagrad or Adam: the N(0, I) prior of all parameters, shared among 60,000 examples (section 5)."""
    init: float | None = 0.01
    """First weights ~ N(0, v^2), biases 0 (section 5: "N(0, 0.01)", read as v = 0.01); None takes torch's default."""
    ema_half_life: float | None = None
    """Sample from an average of the weights that forgets half in so many images; None, as in the paper: no average."""

    def __post_init__(self) -> None:
        one_of(self, ("tanh", "relu"), "activation")
        one_of(self, ("auto", "bernoulli", "gaussian"), "likelihood")
        one_of(self, ("no", "threshold", "draw"), "binarise")
        one_of(self, ("threshold", "draw"), "bound_binarise")
        whole(self, 1, "images", "batch", "z", "hidden", "bound_samples")
        in_range(self, 0.0, math.inf, "sigma", "lr", "init", "ema_half_life", open_low=True)
        in_range(self, 0.0, 1.0, "kl_warmup")
        in_range(self, 0.0, 1.0, "decay_from", open_high=True)
        in_range(self, 0.0, math.inf, "beta", "weight_decay")
        for rate in self.betas or ():
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


@final
class VAE(GenerativeModel, Latent, Encode, LogProbability):
    """An encoder and a decoder, trained together on the evidence lower bound."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"vae takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        images = data.kind == "images"
        self.bernoulli = config.likelihood == "bernoulli" or (config.likelihood == "auto" and images)
        require(images or not self.bernoulli, "--config.likelihood bernoulli is for images; points need gaussian (or auto)")
        self.config, self.data = config, data
        entries = math.prod(data.shape)
        outputs = entries if self.bernoulli or config.sigma is not None else 2 * entries
        self.encoder = Layered((entries, *config.hidden, 2 * config.z), config.activation)
        self.decoder = Layered((config.z, *reversed(config.hidden), outputs), config.activation)
        if config.init is not None:
            initialise.gaussian(self, config.init)

    def loss(self, step: Step) -> Loss:
        """-ELBO (equation 10) on the batch, the KL term weighted by beta and the warm-up."""
        c = self.config
        x = self._entries(step.batch)
        if self.bernoulli and c.binarise == "threshold":
            x = (x > 0.5).to(x.dtype)
        elif self.bernoulli and c.binarise == "draw":
            x = (step.rng.uniform(*x.shape) < x).to(x.dtype)
        mean, log_variance = self._posterior(x)
        z = mean + (0.5 * log_variance).exp() * step.rng.normal(*mean.shape)
        reconstruction, kl = -self._log_likelihood(x, z), kl_to_standard_normal(mean, log_variance)
        weight = c.beta * (min(1.0, step.clock.fraction / c.kl_warmup) if c.kl_warmup else 1.0)
        return Loss({"reconstruction": reconstruction, "kl": weight * kl}, {"elbo": -(reconstruction + kl).detach().mean()})

    def _entries(self, batch: Batch) -> Tensor:
        """The batch as vectors (B, D): pixels in [0, 1] for a Bernoulli decoder, else values as they are."""
        x = batch[self.data.kind].flatten(1)
        return (x + 1) / 2 if self.bernoulli else x

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, Z) of q(z|x)."""
        mean, log_variance = widen(self.encoder(x)).chunk(2, dim=1)
        return mean, log_variance

    def _gaussian(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, D) and log-variance (B, D) or () of a Gaussian p(x|z)."""
        decoded = widen(self.decoder(z))
        if self.config.sigma is not None:
            mean, log_variance = decoded, decoded.new_tensor(2 * math.log(self.config.sigma))
        else:
            mean, log_variance = decoded.chunk(2, dim=1)
        return mean.tanh() if self.data.kind == "images" else mean, log_variance.clamp(min=LEAST_LOG_VARIANCE)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) (B,) of vectors (B, D)."""
        if self.bernoulli:
            return -binary_cross_entropy_with_logits(widen(self.decoder(z)), x, reduction="none").sum(1)
        return gaussian_log_density(x, *self._gaussian(z))

    def log_probability(self, batch: Batch, rng: Draws) -> Tensor:
        """A lower bound of log p(x) (B,) in nats; a Bernoulli decoder is asked about the image binarised as `bound_binarise` says."""
        x = self._entries(batch)
        if self.bernoulli:
            x = (x > (rng.uniform(*x.shape) if self.config.bound_binarise == "draw" else 0.5)).to(x.dtype)
        mean, log_variance = self._posterior(x)
        log_weights = []
        for _ in range(self.config.bound_samples):
            z = mean + (0.5 * log_variance).exp() * rng.normal(*mean.shape)
            log_prior = gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
            log_weights.append(self._log_likelihood(x, z) + log_prior - gaussian_log_density(z, mean, log_variance))
        return torch.stack(log_weights).logsumexp(0) - math.log(len(log_weights))

    @property
    def measured(self) -> str:
        how = "at random" if self.config.bound_binarise == "draw" else "at one half"
        what = f"images binarised {how}" if self.bernoulli else "the density of values as the model sees them, not dequantised"
        return f"a lower bound by {self.config.bound_samples} draw(s) of the code, of {what}"

    def stages(self) -> Sequence[Stage]:
        c = self.config
        phase = Phase(name="bound", trains=(self.encoder, self.decoder), loss=self.loss, optimizer=self._optimizer())
        return [Stage(name="fit", phases=(phase,), images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        c = self.config
        lr = c.lr if c.decay_from is None else linear_decay(c.lr, c.decay_from)
        if c.betas is None:
            return Adagrad(lr=lr, weight_decay=c.weight_decay)
        return Adam(lr=lr, betas=c.betas, weight_decay=c.weight_decay)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.encoder, self.decoder), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return "normal"

    def encode(self, batch: Batch) -> Tensor:
        """The means (B, Z) of q(z|x)."""
        x = self._entries(batch)
        return self._posterior((x > 0.5).to(x.dtype) if self.bernoulli and self.config.binarise == "threshold" else x)[0]

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, self.config.z)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """The mean of p(x|z): images (n, C, H, W) in [-1, 1] or points (n, D)."""
        require(condition is None, "vae is not conditional: its samples cannot be asked for by --labels")
        mean = 2 * widen(self.decoder(z)).sigmoid() - 1 if self.bernoulli else self._gaussian(z)[0]
        return mean.view(-1, *self.data.shape)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Means of p(x|z) for images, draws from p(x|z) for points."""
        mean = self.decode(z := self.draw(n, rng), condition=condition)
        if self.data.kind == "images":
            return mean
        return mean + (0.5 * self._gaussian(z)[1]).exp() * rng.normal(*mean.shape)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=1_200_000,
        hidden=(500, 500),
        activation="relu",
        binarise="draw",
        lr=1e-3,
        betas=(0.9, 0.999),
        decay_from=0.5,
        weight_decay=0.0,
        init=None,
    ),
    "tiny": Config(images=8 * 20, batch=8, z=2, hidden=(8,), lr=1e-2, betas=(0.9, 0.999), weight_decay=0.0, init=None),
}

MODEL = VAE
