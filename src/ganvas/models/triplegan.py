"""Triple-GAN - Triple Generative Adversarial Nets (Li et al., 2017), arXiv:1703.02291

Three players share the work that overloads two: a generator makes an image of a class, a classifier finds the class of an image, and a
discriminator judges whether image and class are a real pair. So with a few labels both become good: the classifier gives unlabelled images
their classes, and the generator gives classes their images.

Objective (equations 3 and 4), with D(x, y) = sigma(a(x, y)), sp(t) = log(1 + e^t), p_c(y|x) the classifier's probabilities, alpha = 1/2:

    min_{C,G} max_D  E_p[log D(x, y)] + alpha E_{p_c}[log(1 - D(x, y))] + (1 - alpha) E_{p_g}[log(1 - D(G(y, z), y))] + R_L + w R_P

    discriminator   E_p[sp(-a(x, y))] + alpha E_x[sp(a(x, y_c))] + (1 - alpha) E_{y,z}[sp(a(G(y, z), y))]
    generator       (1 - alpha) E_{y,z}[sp(-a(G(y, z), y))]
    classifier      alpha E_x[p_c(y_c|x) sp(-a(x, y_c))] + R_L + w R_P + w_e E_x[H(p_c(.|x))] + w_b H(u, E_x[p_c(.|x)])

    R_L = E_{x,y few}[-log p_c(y|x)]        R_P = E_{y,z}[-log p_c(y|G(y, z))], the pseudo discriminative loss, from `pseudo_from` on

A class is discrete, so no gradient reaches the classifier through the pair it makes; it comes through the probability that weighs the
pair's cost, without the variance of a score-function estimate. With `pairs` argmax y_c is the likeliest class; with integrate the terms
with y_c are sums over all classes, each weighted by p_c(y|x), in the discriminator's loss too: exact, at K times the cost. Against few
labels the discriminator learns them by heart, so most of its real pairs are unlabelled images with the classes that C gives them (section
3.3): E_p is `labelled_share` of it over the few, the rest over other unlabelled images than those that are judged as C's.

Shapes: B batch, Z code, K classes, C channels, H x W the data's size; z (B, Z), classes y (B,), images (B, C, H, W), a (B,), logits of
the classifier (B, K). Half of a batch makes real pairs with C's classes, the other half pairs of C to be judged.

    dense      the paper's MNIST generator and discriminator: noise, normalised weights, the class joined to every layer
    strided    DCGAN's networks: the class is joined to z, one-hot, and to the image as K more maps; an addition

Differences from the paper. `paper` is the authors' MNIST script with 100 labels (x2y_yz2x_xy2p_ssl_mnist.py). C and G minimise -log D, as
in it, where equation 3 has log(1 - D); terms w_e and w_b stand in it alone. There batches have a size for each use (100 labelled, 100
judged, 400 real, 200 made), here one. Images lie in [-1, 1] and the generator ends in tanh (there: [0, 1] and a sigmoid); codes are
uniform on [-1, 1) in place of the unit cube; convolutions are padded, for images of any size; C's last layer has no weight decay. The
generator's weights are averaged like the classifier's.

What to expect. Rows of a grid are classes as soon as the classifier finds them; `ganvas evaluate --metrics accuracy gan-test` measures the
classifier on test images and how often samples have the class asked for. If two rows show one class, the classifier has mixed up the two:
lengthen `pretrain_images`, or know more labels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, one_hot, softplus

from ganvas.engine.capabilities import Classify, Latent
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Clock, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer
from ganvas.errors import require
from ganvas.parts import labels, latent
from ganvas.parts.backbones import generator_for, label_maps, trunk_for
from ganvas.parts.noisy import Noise, NoisyTrunk, SoftplusGenerator, UnitLinear
from ganvas.parts.objectives import widen
from ganvas.parts.ranges import in_range, one_of, whole

CARD = Card(
    title="Triple-GAN",
    year=2017,
    paper="Li et al., Triple Generative Adversarial Nets, arXiv:1703.02291",
    family="adversarial",
    teaches="a classifier as third player, learning from few labels",
    data=("images",),
    capabilities=("classify", "latent"),
    conditions=("labels",),
    needs=("labelled",),
)

Cost = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' MNIST script with 100 labels; it decides what the paper's text leaves open."""

    images: int = 1000 * 60_000
    """Length of the game in training examples: 1,000 epochs of MNIST (authors' script)."""
    pretrain_images: int = 30 * 60_000
    """Training examples in which the classifier learns alone before: 30 epochs (authors' script, for 100 labels or fewer)."""
    batch: int = 100
    """Images, labelled images and codes in each update: the classifier's of the authors' script."""
    network: Literal["dense", "strided"] = "dense"
    """Generator and discriminator: fully connected with noise (authors' script), or DCGAN's strided convolutions."""
    z: int = 100
    """Entries of the code (authors' script)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (authors' script: U[0, 1)) or N(0, 1)."""
    generator_widths: tuple[int, ...] = (500, 500)
    """Units of the generator's hidden layers; `dense` only (authors' script)."""
    discriminator_widths: tuple[int, ...] = (1000, 500, 250, 250, 250)
    """Units of the discriminator's hidden layers; `dense` only (authors' script)."""
    noise_input: float = 0.6
    """Standard deviation of the noise on the discriminator's input; `dense` only (authors' script: 0.3 on pixels in [0, 1])."""
    noise: float = 0.5
    """Standard deviation of the noise on each hidden layer of the discriminator; `dense` only (authors' script)."""
    width: int = 64
    """Maps of the generator's last hidden layer; `strided` only (not in the paper)."""
    discriminator_width: int = 64
    """Maps of the discriminator's first hidden layer; `strided` only (not in the paper)."""
    dropout: float = 0.0
    """Share of each hidden map's entries hidden in the discriminator; `strided` only (not in the paper)."""
    classifier_width: int = 32
    """Maps of the classifier's first layer; the next have 2, 2, 4 and 4 times as many (authors' script)."""
    classifier_pooling: Literal["max", "stride"] = "max"
    """How the classifier halves its maps: by the largest of four (authors' script), or by strides of the convolution before, which is
    several times faster."""
    classifier_dropout: float = 0.5
    """Share of entries hidden after each pooling of the classifier (authors' script)."""
    alpha: float = 0.5
    """Share of the classifier's pairs among those that are not real, alpha of equation 3 (section 3.2)."""
    pairs: Literal["argmax", "integrate"] = "argmax"
    """Which class the classifier's pair has: the likeliest, or all, weighted by their probabilities (authors' script has both)."""
    labelled_share: float = 1 / 401
    """Weight of labelled images among the discriminator's real pairs: one beside 400 with C's classes (authors' script)."""
    pseudo_weight: float = 0.1
    """Weight of the pseudo discriminative loss, w above (authors' script)."""
    pseudo_from: float = 0.3
    """Share of the game after which that loss begins: epoch 300 of 1,000 (authors' script), when samples are good enough to learn from."""
    entropy_weight: float = 0.3
    """Weight of the mean entropy of the classifier on unlabelled images, w_e above (authors' script)."""
    balance_weight: float = 1e-3
    """Weight of the cross-entropy of equal classes and the classifier's mean, w_b above, in the game (authors' script)."""
    pretrain_balance_weight: float = 0.3
    """The same while the classifier learns alone (authors' script)."""
    lr: float = 1e-3
    """All learning rates of the game (authors' script)."""
    lr_pretrain: float = 3e-4
    """The classifier's learning rate while it learns alone (authors' script)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments in the game (authors' script)."""
    betas_pretrain: tuple[float, float] = (0.9, 0.999)
    """The same while the classifier learns alone (authors' script)."""
    decay_from: float | None = 0.3
    """Share of the game after which learning rates fall exponentially: epoch 300 of 1,000 (authors' script); None: never."""
    decay_to: float = 0.995**700
    """What they have fallen to at its end, as a share: 0.995 an epoch, for 700 epochs (authors' script)."""
    ema_half_life: float | None = 100 * math.log(0.5) / math.log(0.99)
    """Images in which the averages that are used afterwards forget half: 0.01 a step of 100 (authors' script, for the classifier)."""

    def __post_init__(self) -> None:
        one_of(self, ("dense", "strided"), "network")
        one_of(self, latent.PRIORS, "prior")
        one_of(self, ("argmax", "integrate"), "pairs")
        one_of(self, ("max", "stride"), "classifier_pooling")
        whole(self, 1, "images", "z", "generator_widths", "discriminator_widths", "width", "discriminator_width", "classifier_width")
        whole(self, 2, "batch")
        whole(self, 0, "pretrain_images")
        in_range(self, 0.0, 1.0, "alpha", "labelled_share")
        in_range(self, 0.0, 1.0, "dropout", "classifier_dropout", "pseudo_from", "decay_from", open_high=True)
        in_range(self, 0.0, 1.0, "decay_to", open_low=True)
        in_range(
            self, 0.0, math.inf, "noise_input", "noise", "pseudo_weight", "entropy_weight", "balance_weight", "pretrain_balance_weight"
        )
        in_range(self, 0.0, math.inf, "lr", "lr_pretrain", "ema_half_life", open_low=True)
        for rate in (*self.betas, *self.betas_pretrain):
            require(0.0 <= rate < 1.0, f"--config.betas and betas_pretrain hold numbers of at least 0 and below 1, not {rate!r}")


@final
class Generator(nn.Module):
    """Codes (B, Z) and classes (B,) to images (B, C, H, W) in [-1, 1]."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.classes = len(data.classes)
        self.dense = config.network == "dense"
        self.layers: nn.Module
        if self.dense:
            self.layers = SoftplusGenerator(data, config.z, config.generator_widths, norm=nn.BatchNorm1d, joined=self.classes)
        else:
            self.layers = generator_for(data, config.z + self.classes, width=config.width)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        hot = one_hot(y, self.classes).to(z.dtype)
        return self.layers(z, hot) if self.dense else self.layers(torch.cat([z, hot], 1))


@final
class Discriminator(nn.Module):
    """Images (B, C, H, W) and classes (B,) to the logit (B,) that they are a real pair; without normalisation that mixes pairs."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.classes = len(data.classes)
        self.dense = config.network == "dense"
        self.trunk: nn.Module
        self.score: nn.Module
        if self.dense:
            widths, noises = config.discriminator_widths, {"noise_input": config.noise_input, "noise": config.noise}
            noisy = NoisyTrunk(data, widths, joined=self.classes, **noises)
            self.trunk, self.score = noisy, UnitLinear(noisy.features + self.classes, 1)
        else:
            inputs = data.shape[0] + self.classes
            trunk = trunk_for(data, inputs=inputs, width=config.discriminator_width, norm=None, dropout=config.dropout)
            self.trunk, self.score = trunk, nn.Linear(trunk.features, 1)
        self.noise = Noise(config.noise if self.dense else 0.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.dense:
            return self.score(self.trunk(label_maps(y, self.classes, x))).squeeze(1)
        hot = one_hot(y, self.classes).to(x.dtype)
        features = self.noise(self.trunk(x, hot))
        return self.score(torch.cat([features, hot.to(features.dtype)], 1)).squeeze(1)


@final
class Classifier(nn.Module):
    """Images (B, C, H, W) to logits (B, K): five convolutions, batch normalisation and ReLU, pooled after the first and the third and at
    the end over all places."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        below, width = data.shape[0], config.classifier_width
        for share, kernel, pooled in ((1, 5, True), (2, 3, False), (2, 3, True), (4, 3, False), (4, 3, False)):
            above = share * width
            stride = 2 if pooled and config.classifier_pooling == "stride" else 1
            layers += [nn.Conv2d(below, above, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(above), nn.ReLU(inplace=True)]
            if pooled:
                layers += [] if stride == 2 else [nn.MaxPool2d(2, ceil_mode=True)]
                layers += [nn.Dropout(config.classifier_dropout)]
            below = above
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(below, len(data.classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layers(x).mean((2, 3)))


@final
class TripleGAN(GenerativeModel, Latent, Classify):
    """The game of a generator, a classifier and a discriminator of pairs."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        require(data.kind in CARD.data, f"triplegan takes images, not {data.kind}: `ganvas list` shows what each model takes")
        require(len(data.classes) >= 2 and data.has("labelled"), "triplegan needs data with few labels: few:100:SOURCE")
        self.config, self.data, self.classes = config, data, len(data.classes)
        self.generator, self.discriminator = Generator(config, data), Discriminator(config, data)
        self.classifier = Classifier(config, data)

    def pretraining_loss(self, step: Step) -> Loss:
        """The classifier alone: the few labels, and on all images sure and balanced answers."""
        known, unknown = self._logits(step)
        return Loss(self._own_terms(step, known, unknown, self.config.pretrain_balance_weight), self._watched(step, known, unknown))

    def discriminator_loss(self, step: Step) -> Loss:
        """Real pairs against those of the classifier and of the generator."""
        c, share = self.config, self.config.labelled_share
        y = labels.drawn(step.batch.size, self.classes, step.rng)
        real_images, judged = step.batch.images.tensor_split(2)
        with torch.no_grad():
            fake = self.generator(self.draw(step.batch.size, step.rng), y)
            found = widen(self.classifier(step.batch.images)).softmax(1)
        of_real, of_judged = found.tensor_split(2)
        with_labels = self._pair(step.batch["labelled"], step.batch["labelled_classes"].argmax(1))
        with_answers, made = self._pair(real_images, of_real.argmax(1)), self._pair(fake, y)
        real = share * softplus(-with_labels).mean() + (1 - share) * softplus(-with_answers).mean()
        classified, logit = self._of_pairs(judged, of_judged, softplus)
        terms = {"real": real, "classified": c.alpha * classified.mean(), "made": (1 - c.alpha) * softplus(made)}
        means = {"D(x, y)": with_labels, "D(x, C(x))": logit, "D(G(y, z), y)": made}
        return Loss(terms, {name: values.detach().sigmoid().mean() for name, values in means.items()})

    def generator_loss(self, step: Step) -> Loss:
        """Images that are a real pair with the class they were asked for."""
        y = labels.drawn(step.batch.size, self.classes, step.rng)
        fake = self.generator(self.draw(step.batch.size, step.rng), y)
        return Loss({"cost": (1 - self.config.alpha) * softplus(-self._pair(fake, y))})

    def classifier_loss(self, step: Step) -> Loss:
        """Pairs that are taken for real, the few labels, and later the generator's images."""
        c = self.config
        known, unknown = self._logits(step)
        probabilities = unknown.softmax(1)
        if c.pairs == "argmax":
            with torch.no_grad():
                cost = softplus(-self._pair(step.batch.images, probabilities.argmax(1)))
            pairs = probabilities.amax(1) * cost
        else:
            pairs, _ = self._of_pairs(step.batch.images, probabilities, lambda a: softplus(-a))
        terms = {"pairs": c.alpha * pairs, **self._own_terms(step, known, unknown, c.balance_weight)}
        if c.pseudo_weight and step.clock.stage_fraction >= c.pseudo_from:
            y = labels.drawn(step.batch.size, self.classes, step.rng)
            with torch.no_grad():
                fake = self.generator(self.draw(step.batch.size, step.rng), y)
            terms["pseudo"] = c.pseudo_weight * cross_entropy(widen(self.classifier(fake)), y, reduction="none")
        return Loss(terms, self._watched(step, known, unknown))

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        return widen(self.discriminator(x, y))

    def _of_pairs(self, x: Tensor, probabilities: Tensor, cost: Cost) -> tuple[Tensor, Tensor]:
        """The cost (B,) of the classifier's pairs of images (B, C, H, W), and the logit (B,) of the likeliest one."""
        likeliest = probabilities.argmax(1)
        if self.config.pairs == "argmax":
            logit = self._pair(x, likeliest)
            return cost(logit), logit
        every = torch.arange(self.classes, device=x.device).repeat(len(x))
        logits = self._pair(x.repeat_interleave(self.classes, 0), every).view(len(x), self.classes)
        return (probabilities * cost(logits)).sum(1), logits.gather(1, likeliest[:, None]).squeeze(1)

    def _logits(self, step: Step) -> tuple[Tensor, Tensor]:
        """The classifier's logits of labelled and of unlabelled images, normalised as one batch."""
        logits = widen(self.classifier(torch.cat([step.batch["labelled"], step.batch.images])))
        known, unknown = logits.tensor_split(2)
        return known, unknown

    def _own_terms(self, step: Step, known: Tensor, unknown: Tensor, balance: float) -> dict[str, Tensor]:
        """R_L, the entropy of single answers, and the cross-entropy of equal classes and the mean answer."""
        answers = log_softmax(unknown, 1)
        mean_answer = answers.logsumexp(0) - math.log(len(answers))
        return {
            "labelled": -(step.batch["labelled_classes"] * log_softmax(known, 1)).sum(1),
            "entropy": -self.config.entropy_weight * (answers.exp() * answers).sum(1),
            "balance": -balance * mean_answer.mean(),
        }

    def _watched(self, step: Step, known: Tensor, unknown: Tensor) -> dict[str, Tensor]:
        right = (known.detach().argmax(1) == step.batch["labelled_classes"].argmax(1)).float()
        return {"right": right.mean(), "sure": unknown.detach().softmax(1).amax(1).mean()}

    def classify(self, batch: Batch) -> Tensor:
        return widen(self.classifier(batch.images))

    def stages(self) -> Sequence[Stage]:
        c = self.config
        alone = Adam(lr=c.lr_pretrain, betas=c.betas_pretrain)
        learn = Phase(name="classifier alone", trains=(self.classifier,), loss=self.pretraining_loss, optimizer=alone)
        game = (
            Phase(name="discriminator", trains=(self.discriminator,), loss=self.discriminator_loss, optimizer=self._optimizer()),
            Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer()),
            Phase(name="classifier", trains=(self.classifier,), loss=self.classifier_loss, optimizer=self._optimizer()),
        )
        first = [Stage(name="classifier alone", phases=(learn,), images=c.pretrain_images, batch=c.batch)] if c.pretrain_images else []
        return [*first, Stage(name="game", phases=game, images=c.images, batch=c.batch)]

    def _optimizer(self) -> Optimizer:
        return Adam(lr=self._rate, betas=self.config.betas)

    def _rate(self, clock: Clock) -> float:
        """The learning rate now: the first one, and after `decay_from` exponentially less."""
        c = self.config
        if c.decay_from is None:
            return c.lr
        gone = max(0.0, clock.stage_fraction - c.decay_from) / (1 - c.decay_from)
        return c.lr * c.decay_to**gone

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        modules = (self.generator, self.classifier)
        return None if half_life is None else Average(modules=modules, half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return self.config.prior

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.draw(self.config.prior, n, self.config.z, rng)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Samples of the labels asked for; without a condition the classes in turn."""
        return self.generator(z, labels.asked(condition, z, self.classes, "triplegan")).float()

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Without a condition labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        return self.decode(z, condition=condition or Condition(labels=labels.drawn(n, self.classes, rng)))


PRESETS = {
    "paper": Config(),
    "quick": Config(
        images=500_000,
        pretrain_images=100_000,
        batch=64,
        network="strided",
        prior="normal",
        width=24,
        discriminator_width=16,
        classifier_width=16,
        classifier_pooling="stride",
        lr_pretrain=1e-3,
        decay_from=0.6,
        ema_half_life=10_000.0,
    ),
    "tiny": Config(
        images=8 * 20,
        pretrain_images=8 * 4,
        batch=8,
        network="strided",
        z=4,
        prior="normal",
        width=4,
        discriminator_width=4,
        classifier_width=2,
        classifier_dropout=0.1,
        labelled_share=0.25,
        pseudo_from=0.0,
        lr=2e-3,
        lr_pretrain=2e-3,
        ema_half_life=50.0,
    ),
}

MODEL = TripleGAN
