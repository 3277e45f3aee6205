"""Improved GAN - Improved Techniques for Training GANs (Salimans et al., 2016), arXiv:1606.03498

Five remedies for a game that does not settle, each of which can be switched on by itself, and a discriminator that also tells classes: with
a few labels it becomes a classifier that learns from unlabelled images, because it has to tell them from samples.

Objective. The discriminator gives K logits l_k(x), one for each class, and the logit of the class "made" is fixed at 0, so that (section 5)

    D(x) = Z(x) / (Z(x) + 1),  Z(x) = sum_k exp(l_k(x)),   that is D = sigma(a) with a = log Z;   p(k | x, real) = exp(l_k) / Z

Without labels K is 1 and D the ordinary discriminator. With sp(t) = log(1 + e^t), phi the features below the head, u = `unlabelled_weight`:

    discriminator   u E_x[s sp(-a(x)) + (1 - s) sp(a(x))] + u E_z[sp(a(G(z)))] + E_{x,y few}[-log p(y | x, real)]
    generator       || E_x[phi(x)] - E_z[phi(G(z))] ||^2        feature matching, section 3.1
              or    E_z[sp(-a(G(z)))]                           the usual cost, which minibatch discrimination needs

    s = `real_target`      one-sided label smoothing, section 3.4: 0.9 for reals, 0 for samples
    `kernels`              minibatch discrimination, section 3.2: the head sees how near a sample's features are to those of its batch
    `history_weight` w     historical averaging, section 3.3: each player's loss gets w || theta - mean of all its past theta ||^2
    `generator_norm`       virtual batch normalisation, section 3.5: by a reference batch of codes that was drawn at the start

Shapes: B batch, Z code, K classes (1 without labels), R reference codes, A features; z (B, Z), samples (B, C, H, W) or points (B, D),
features (B, A), logits l (B, K), a (B,).

    dense     the paper's MNIST networks (section 6.1): noise before every layer of the discriminator, normalised weights
    strided   DCGAN's networks for images, three hidden layers for points; an addition

Differences from the paper. `paper` is the authors' MNIST script with 100 labels (train_mnist_feature_matching.py); it has feature matching
alone of the five. Images lie in [-1, 1] and the generator ends in tanh (there: [0, 1] and a sigmoid), so the noise on them is twice as
strong in number; codes are uniform on [-1, 1) in place of the unit cube. Lengths of weights are set by a formula (there: by 500 images).
The squared norm is summed over features (there: their mean); Adam does not notice. The reference codes are drawn with the first weights,
and are part of the state. Batch statistics, those of minibatch discrimination too, are of one process' part of the batch.

What to expect. Without labels (`quick`): digits of all ten classes after a few minutes; kernels keep samples different from each other.
With labels (`quick-few`, data `few:100:SOURCE`): `ganvas evaluate --metrics accuracy` tells how many test images the discriminator
classifies rightly. Feature matching gives the better classifier and the worse samples, minibatch discrimination the reverse (section 6.1).
Logits of minibatch discrimination depend on the batch an example stands in.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softplus

from ganvas.engine.capabilities import Classify, Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import require
from ganvas.parts import latent
from ganvas.parts.backbones import Norm, generator_for, trunk_for
from ganvas.parts.history import History
from ganvas.parts.minibatch import MinibatchDiscrimination
from ganvas.parts.noisy import Noise, NoisyTrunk, SoftplusGenerator, UnitLinear
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.virtual_norm import VirtualNorm, beside

CARD = Card(
    title="Improved GAN",
    year=2016,
    paper="Salimans et al., Improved Techniques for Training GANs, arXiv:1606.03498",
    family="adversarial",
    teaches="five remedies for the game, and learning from few labels",
    data=("images", "points"),
    capabilities=("classify", "latent", "score"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' MNIST script for semi-supervised learning; it decides what section 6.1 leaves open."""

    images: int = 300 * 60_000
    """Length of the run in training examples: 300 epochs of MNIST (authors' script)."""
    batch: int = 100
    """Examples, labelled examples and codes in each update (authors' script)."""
    network: Literal["dense", "strided"] = "dense"
    """Fully connected networks with noise (section 6.1), or DCGAN's strided convolutions."""
    z: int = 100
    """Entries of the code (authors' script)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (authors' script: U[0, 1)) or N(0, 1)."""
    generator_widths: tuple[int, ...] = (500, 500)
    """Units of the generator's hidden layers; `dense` only (authors' script)."""
    generator_norm: Literal["batch", "virtual", "none"] = "batch"
    """Normalisation in the generator: by the batch (authors' script), or by a reference batch (section 3.5)."""
    reference: int = 100
    """Codes of the reference batch of virtual normalisation: as many as a batch of the authors' script has."""
    discriminator_widths: tuple[int, ...] = (1000, 500, 250, 250, 250)
    """Units of the discriminator's hidden layers; `dense` only (section 6.1: five layers; authors' script)."""
    discriminator_norm: Literal["batch", "none"] = "none"
    """Normalisation in the discriminator; `strided` images only, `dense` normalises weights instead (section 6.1)."""
    noise_input: float = 0.6
    """Standard deviation of the noise on the discriminator's input; `dense` only (authors' script: 0.3 on pixels in [0, 1])."""
    noise: float = 0.5
    """Standard deviation of the noise on each hidden layer of the discriminator; `dense` only (authors' script)."""
    width: int = 64
    """Maps of the generator's last hidden layer, units of each hidden layer for points; `strided` only (not in the paper)."""
    discriminator_width: int = 64
    """Maps of the discriminator's first hidden layer, units of each hidden layer for points; `strided` only (not in the paper)."""
    kernel: int = 4
    """Side of the convolutions' kernels; `strided` only (not in the paper)."""
    dropout: float = 0.0
    """Share of each hidden map's entries hidden in the discriminator; `strided` images only (not in the paper)."""
    generator_cost: Literal["feature-matching", "non-saturating"] = "feature-matching"
    """What the generator minimises: section 3.1 (authors' script), or the usual cost."""
    kernels: int = 0
    """Numbers that minibatch discrimination adds to the features, B of section 3.2; 0, as in the authors' MNIST script: none."""
    kernel_size: int = 5
    """Entries of each kernel, C of section 3.2 (authors' code, which has 100 kernels for CIFAR-10)."""
    history_weight: float = 0.0
    """Weight of historical averaging, section 3.3, which gives no number; 0, as in the authors' script: none."""
    real_target: float = 1.0
    """What the discriminator is to say of reals, s above; 0.9 smooths (section 3.4), 1 does not (authors' MNIST script)."""
    unlabelled_weight: float = 0.5
    """Weight of the two terms without labels beside that with labels, u above (authors' script); without labels 1."""
    lr_generator: float = 3e-3
    """The generator's learning rate (authors' script)."""
    lr_discriminator: float = 3e-3
    """The discriminator's learning rate (authors' script)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (authors' script)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the authors' MNIST script: never."""
    ema_half_life: float | None = 100 * math.log(0.5) / math.log1p(-1e-4)
    """Images in which the average of weights that is used afterwards forgets half: 1e-4 a step of 100 (authors' script, for the
    discriminator; here with labels for both, without labels for the generator alone)."""

    def __post_init__(self) -> None:
        one_of(self, ("dense", "strided"), "network")
        one_of(self, latent.PRIORS, "prior")
        one_of(self, ("batch", "virtual", "none"), "generator_norm")
        one_of(self, ("batch", "none"), "discriminator_norm")
        one_of(self, ("feature-matching", "non-saturating"), "generator_cost")
        whole(self, 1, "images", "batch", "z", "generator_widths", "discriminator_widths", "width", "discriminator_width", "kernel_size")
        whole(self, 2, "kernel", "reference")
        whole(self, 0, "kernels")
        in_range(self, 0.0, math.inf, "noise_input", "noise", "history_weight", "unlabelled_weight")
        in_range(self, 0.0, 1.0, "dropout", "decay_from", open_high=True)
        in_range(self, 0.0, 1.0, "real_target", open_low=True)
        in_range(self, 0.0, math.inf, "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")


def norm_of(config: Config, dense: bool) -> Norm | None:
    """What follows a layer of the generator."""
    if config.generator_norm == "virtual":
        return lambda maps: VirtualNorm(maps, config.reference)
    if config.generator_norm == "batch":
        return nn.BatchNorm1d if dense else nn.BatchNorm2d
    return None


def generator_of(config: Config, data: DataSpec) -> nn.Module:
    """Codes (B, Z) to samples of the data; with virtual normalisation the reference codes go first."""
    if config.network == "dense":
        return SoftplusGenerator(data, config.z, config.generator_widths, norm=norm_of(config, True))
    return generator_for(data, config.z, width=config.width, kernel=config.kernel, norm=norm_of(config, False))


@final
class Discriminator(nn.Module):
    """Samples (B, ...) to logits (B, K) of the real classes; `features` are those that the generator matches."""

    def __init__(self, config: Config, data: DataSpec, outputs: int) -> None:
        super().__init__()
        dense = config.network == "dense"
        self.trunk: nn.Module
        if dense:
            trunk = NoisyTrunk(data, config.discriminator_widths, noise_input=config.noise_input, noise=config.noise)
            self.trunk, features = trunk, trunk.features
        else:
            norm = nn.BatchNorm2d if config.discriminator_norm == "batch" else None
            borrowed = trunk_for(data, width=config.discriminator_width, kernel=config.kernel, norm=norm, dropout=config.dropout)
            self.trunk, features = borrowed, borrowed.features
        compare = MinibatchDiscrimination(features, config.kernels, config.kernel_size) if config.kernels else None
        features = features if compare is None else compare.features
        last = [Noise(config.noise), UnitLinear(features, outputs)] if dense else [nn.Linear(features, outputs)]
        self.head = nn.Sequential(*([] if compare is None else [compare]), *last)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


def realness(logits: Tensor) -> Tensor:
    """a = log Z (B,) of logits (B, K): the logit of D(x) = Z / (Z + 1)."""
    return widen(logits).logsumexp(1)


@final
class ImprovedGAN(GenerativeModel, Latent, Score, Classify):
    """The two-player game with remedies, and K real classes where a few labels are known."""

    reference: Tensor

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"improved_gan takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
        self.config, self.data = config, data
        self.classes = len(data.classes) if data.has("labelled") else 0
        self.generator = generator_of(config, data)
        self.discriminator = Discriminator(config, data, max(1, self.classes))
        self.virtual = any(isinstance(layer, VirtualNorm) for layer in self.generator.modules())
        codes = torch.randn(config.reference, config.z) if config.prior == "normal" else torch.rand(config.reference, config.z) * 2 - 1
        self.register_buffer("reference", codes if self.virtual else torch.empty(0, config.z))
        remembers = config.history_weight > 0
        self.generator_history = History(self.generator) if remembers else None
        self.discriminator_history = History(self.discriminator) if remembers else None

    def discriminator_loss(self, step: Step) -> Loss:
        """Real or made, and where labels are known, which class."""
        c = self.config
        with torch.no_grad():
            fake = self.made(self.draw(step.batch.size, step.rng))
        # Each batch by itself: statistics and kernels of reals, fakes and labelled examples are not to mix.
        real_logit, fake_logit = (realness(self.discriminator(x)) for x in (step.batch[self.data.kind], fake))
        weight = c.unlabelled_weight if self.classes else 1.0
        real = c.real_target * softplus(-real_logit) + (1 - c.real_target) * softplus(real_logit)
        terms = {"real": weight * real, "fake": weight * softplus(fake_logit)}
        watch = {"D(x)": real_logit.detach().sigmoid().mean(), "D(G(z))": fake_logit.detach().sigmoid().mean()}
        if self.classes:
            logits, classes = self.discriminator(step.batch["labelled"]), step.batch["labelled_classes"]
            terms["labelled"] = -(classes * log_softmax(widen(logits), 1)).sum(1)
            watch["right"] = (logits.detach().argmax(1) == classes.argmax(1)).float().mean()
        return Loss(terms | self._held(self.discriminator_history, self.discriminator), watch)

    def generator_loss(self, step: Step) -> Loss:
        """Feature matching, or the usual cost."""
        fake = self.made(self.draw(step.batch.size, step.rng))
        if self.config.generator_cost == "feature-matching":
            with torch.no_grad():
                wanted = widen(self.discriminator.features(step.batch[self.data.kind])).mean(0)
            terms = {"features": (widen(self.discriminator.features(fake)).mean(0) - wanted).square().sum()}
        else:
            terms = {"cost": softplus(-realness(self.discriminator(fake)))}
        return Loss(terms | self._held(self.generator_history, self.generator))

    def _held(self, history: History | None, network: nn.Module) -> dict[str, Tensor]:
        return {} if history is None else {"history": self.config.history_weight * history.distance(network)}

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        for network, history in ((self.generator, self.generator_history), (self.discriminator, self.discriminator_history)):
            if history is not None and network in phase.trains:
                history.remember(network)

    def made(self, z: Tensor) -> Tensor:
        """Samples of codes (B, Z)."""
        return beside(self.generator, self.reference, z) if self.virtual else self.generator(z)

    def score(self, batch: Batch) -> Tensor:
        return realness(self.discriminator(batch[self.data.kind]))

    def classify(self, batch: Batch) -> Tensor:
        require(self.classes > 0, "improved_gan: this run had no labels to learn classes from; train on few:100:SOURCE")
        return widen(self.discriminator(batch.images))

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(
            name="discriminator", trains=(self.discriminator,), loss=self.discriminator_loss, optimizer=self._optimizer(c.lr_discriminator)
        )
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        return [Stage(name="game", phases=(discriminator, generator), images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        start = self.config.decay_from
        return Adam(lr=lr if start is None else linear_decay(lr, start), betas=self.config.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        modules = (self.generator, self.discriminator) if self.classes else (self.generator,)
        return None if half_life is None else Average(modules=modules, half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return self.config.prior

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.draw(self.config.prior, n, self.config.z, rng)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        require(condition is None, "improved_gan is not conditional: its samples cannot be asked for by --labels")
        return self.made(z).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=600_000,
        batch=64,
        network="strided",
        prior="normal",
        generator_norm="virtual",
        reference=16,
        discriminator_norm="batch",
        width=24,
        discriminator_width=16,
        generator_cost="non-saturating",
        kernels=16,
        real_target=0.9,
        lr_generator=1e-3,
        lr_discriminator=1e-3,
        decay_from=0.8,
        ema_half_life=10_000.0,
    ),
    "quick-few": Config(images=600_000, decay_from=0.5, ema_half_life=20_000.0),
    "quick-points": Config(
        images=512_000,
        batch=256,
        network="strided",
        z=2,
        prior="normal",
        generator_norm="none",
        width=256,
        discriminator_width=256,
        generator_cost="non-saturating",
        kernels=8,
        real_target=0.9,
        lr_generator=5e-4,
        lr_discriminator=1e-3,
        betas=(0.5, 0.9),
        ema_half_life=20_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        batch=8,
        network="strided",
        z=4,
        prior="normal",
        generator_norm="virtual",
        reference=4,
        width=4,
        discriminator_width=4,
        generator_cost="non-saturating",
        kernels=3,
        kernel_size=2,
        history_weight=1e-3,
        real_target=0.9,
        lr_generator=2e-3,
        lr_discriminator=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = ImprovedGAN
