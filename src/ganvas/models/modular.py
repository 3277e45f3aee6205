"""Modular GAN - A Large-Scale Study on Regularization and Normalization in GANs (Kurach et al., 2018), arXiv:1807.04720

Papers change the loss, the penalty, the networks and the normalisation at once, and so it is hard to say what helped. Here each is chosen
by itself, so that one can be changed while all others stay.

Objective, with the score a, fakes x_hat = G(z), the objective's pair (d, g), a penalty P of weight w, an augmentation T:

    discriminator   E[d(a(T x), a(T x_hat))] + w E[P] + consistency + class        generator   E[g(a(T x_hat), a(T x))] + class

    objective       f-* (fgan's divergences; g is -T, section 3.2 there), paired-* and averaged-* (relativistic), and the usual ones
    penalty         r1, r2  |grad a|^2 / 2 on what is shown of reals, of fakes      wgan-gp, one-sided  (|grad a| - 1)^2 between both
                    local  the same around reals (DRAGAN)                          lecam  towards the other side's mean score
    normalisation   of the discriminator: batch, layer, spectral (generators: batch)        clip  its parameters within a bound
    conditioning    concat: one-hot classes joined to z and x; projection: e_y . f(x) + psi(f(x)); classifier: a second head, AC-GAN's
    augmentation    diffaugment, adaptive (both for both players), or consistency of the discriminator, balanced- and improved-

Shapes: B batch, Z code, K classes; z (B, Z), samples (B, C, H, W) or points (B, D), labels (B,), scores (B,), or (B, ...) of your own nets.

Networks of your own: `ganvas.train("modular", networks={"generator": G, "discriminator": D}, config={"backbone": "own"}, ...)`, with
G(z) -> samples and D(x) -> scores; where classes count G(z, y) and D(x, y), with a classifier D(x) -> (scores, class scores). All their
parameters are trained, `normalisation` and `init` leave them as they are, and `resume` and `load` need them again.

Differences from the paper. The defaults are its code's residual networks on CIFAR-10 with the loss and normalisation that it recommends;
the L2 penalty is left out. Everything after 2018 is added. Penalties are on the slope at what is shown, so after an augmentation. Labels of
fakes are drawn evenly; a penalty between a real and a fake has the real's label.

What to expect. Presets are well-known combinations at a size for minutes. Choices that contradict each other are refused with the reason.
Watch `a(x)` and `a(G(z))`; `p` is the strength of adaptive augmentation and `sign` what it follows: near 1 the reals are known by heart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.card import Card
from ganvas.engine.contract import Average, Batch, Condition, DataSpec, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.optimizers import Adam, Optimizer, linear_decay
from ganvas.errors import GanvasError, require
from ganvas.parts import consistency, labels, latent, mixed, spectral
from ganvas.parts.adaptive import GROUPS, Adaptive, Group
from ganvas.parts.choices import OBJECTIVES, SLOPES, Name
from ganvas.parts.diff_augment import POLICIES, Policy, diff_augment
from ganvas.parts.lecam import LeCam
from ganvas.parts.mixed import MixedDiscriminator, MixedGenerator
from ganvas.parts.objectives import per_sample, widen
from ganvas.parts.ranges import in_range, one_of, whole
from ganvas.parts.residual import Shape

CARD = Card(
    title="Modular GAN",
    year=2018,
    paper="Kurach et al., A Large-Scale Study on Regularization and Normalization in GANs, arXiv:1807.04720",
    family="adversarial",
    teaches="which part of a recipe makes the difference",
    data=("images", "points"),
    capabilities=("latent", "score"),
    conditions=("labels",),
    networks=("generator", "discriminator"),
)

CONSISTENT: Final = ("consistency", "balanced-consistency", "improved-consistency")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The study's code for CIFAR-10 (resnet_cifar10.gin of compare_gan): spectral norm, no penalty; later papers where they are named."""

    images: int = 40_000 * 5 * 64
    """Length of the run in training examples: 40,000 generator updates, each after 5 batches of 64 (authors' code)."""
    batch: int = 64
    """Examples in each update of the discriminator, and codes in each of the generator (authors' code)."""
    objective: Name = "non-saturating"
    """What both players minimise, as listed above (authors' code)."""
    penalty: Literal["none", "r1", "r2", "r1-r2", "wgan-gp", "one-sided", "local", "lecam"] = "none"
    """What is added to the discriminator's loss, as listed above (authors' code)."""
    penalty_weight: float = 1.0
    """Weight w of the penalty: gamma of r1 and r2, lambda of the others (authors' code; papers have 10, and 0.3 of lecam)."""
    lecam_decay: float = 0.99
    """Share of the old mean scores kept at an update (arXiv:2104.03310)."""
    lecam_start: int = 1_000
    """Updates of the discriminator without the lecam penalty (code of arXiv:2104.03310)."""
    clip: float | None = None
    """Each parameter of the discriminator lies in [-clip, clip] after each of its updates (arXiv:1701.07875: 0.01); None: anywhere."""
    backbone: Literal["perceptron", "strided", "residual", "own"] = "residual"
    """Networks: three hidden layers, DCGAN's, those of SNGAN (authors' code), or given by you in Python."""
    levels: Shape = "constant"
    """Maps of residual networks: as many on all levels (authors' code), or twice as many on each smaller one."""
    normalisation: mixed.Normalisation = "spectral"
    """How the discriminator's layers are normalised (authors' code); batch and layer are for strided networks. Generators but perceptrons
    have batch normalisation."""
    conditioning: Literal["none", "concat", "projection", "classifier"] = "none"
    """How both networks are told the class, as listed above (authors' code)."""
    class_weight: float = 0.5
    """Weight of the classifier's loss for the generator (arXiv:1610.09585: 1); for the discriminator, on reals alone, it is 1."""
    augmentation: Literal["none", "diffaugment", "adaptive", "consistency", "balanced-consistency", "improved-consistency"] = "none"
    """What is done to images before the discriminator sees them, or asked of its scores, as listed above (authors' code)."""
    policy: tuple[Policy, ...] = ("colour", "translation", "cutout")
    """What diffaugment changes (arXiv:2006.10738, for small sets)."""
    operations: tuple[Group, ...] = ("blit", "geometry", "colour")
    """What adaptive augmentation changes (arXiv:2006.06676, 'bgc')."""
    adaptive_target: float = 0.6
    """The mean sign of the scores of reals that adaptive augmentation aims at (arXiv:2006.06676)."""
    adaptive_speed: float = 500_000.0
    """Images in which its strength can go from 0 to 1 (arXiv:2006.06676)."""
    mirror: bool = True
    """Whether consistency also mirrors images (arXiv:1910.12027); not for letters and digits."""
    consistency_weight: float = 10.0
    """Weight of the consistency of reals and, where balanced or improved, of fakes (arXiv:1910.12027, arXiv:2002.04724)."""
    latent_noise: float = 0.07
    """Deviation of what improved consistency adds to a code (arXiv:2002.04724)."""
    latent_weights: tuple[float, float] = (5.0, 0.5)
    """Weights of improved consistency's terms on codes, for discriminator and generator (arXiv:2002.04724)."""
    discriminator_steps: int = 5
    """Updates of the discriminator before each one of the generator (authors' code)."""
    z: int = 128
    """Entries of the code (authors' code)."""
    prior: latent.Prior = "uniform"
    """Law of the code's entries: U[-1, 1) (authors' code) or N(0, 1)."""
    width: int = 256
    """Maps of the generator's largest hidden layer (authors' code), or units of each hidden layer of a perceptron."""
    discriminator_width: int = 128
    """Maps of the discriminator's first layer (authors' code), or units of each hidden layer of a perceptron."""
    kernel: int = 4
    """Side of the kernels of strided networks."""
    init: float | None = 0.02
    """First weights of normalised strided networks ~ N(0, v^2) (arXiv:1511.06434); None and other networks: their own default."""
    lr_generator: float = 2e-4
    """The generator's learning rate (authors' code)."""
    lr_discriminator: float = 2e-4
    """The discriminator's learning rate (authors' code)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's two moments (authors' code)."""
    decay_from: float | None = None
    """Share of the run after which learning rates fall linearly, to 0 at its end; None, as in the authors' code: never."""
    ema_half_life: float | None = None
    """Sample from an average of the generator's weights that forgets half in so many images; None, as in the authors' code: no average."""

    def __post_init__(self) -> None:
        one_of(self, OBJECTIVES, "objective")
        one_of(self, ("none", *SLOPES, "lecam"), "penalty")
        one_of(self, (*mixed.BACKBONES, "own"), "backbone")
        one_of(self, ("constant", "doubling"), "levels")
        one_of(self, mixed.NORMS, "normalisation")
        one_of(self, ("none", "concat", "projection", "classifier"), "conditioning")
        one_of(self, ("none", "diffaugment", "adaptive", *CONSISTENT), "augmentation")
        one_of(self, latent.PRIORS, "prior")
        whole(self, 1, "images", "batch", "discriminator_steps", "z", "width", "discriminator_width")
        whole(self, 0, "lecam_start")
        whole(self, 2, "kernel")
        in_range(self, 0.0, math.inf, "penalty_weight", "class_weight", "consistency_weight", "latent_noise")
        in_range(self, 0.0, 1.0, "lecam_decay", "decay_from", open_high=True)
        in_range(self, -1.0, 1.0, "adaptive_target", open_low=True)
        in_range(self, 0.0, math.inf, "clip", "adaptive_speed", "init", "lr_generator", "lr_discriminator", "ema_half_life", open_low=True)
        for name, known in (("policy", tuple(POLICIES)), ("operations", GROUPS)):
            good = bool(getattr(self, name)) and set(getattr(self, name)) <= set(known)
            require(good, f"--config.{name} must be one or more of {', '.join(known)}, not {getattr(self, name)!r}")
        for weight in self.latent_weights:
            require(0.0 <= weight < math.inf, f"--config.latent_weights holds numbers of at least 0, not {weight!r}")
        for rate in self.betas:
            require(0.0 <= rate < 1.0, f"--config.betas holds numbers of at least 0 and below 1, not {rate!r}")
        _agree(self)


def _agree(c: Config) -> None:
    """Refuse choices that contradict each other whatever the data."""
    ours = c.backbone != "own"
    require(
        not (ours and c.normalisation == "batch" and c.penalty in SLOPES),
        f"--config.normalisation batch with --config.penalty {c.penalty}: batch normalisation mixes the examples of a batch, and the"
        " penalty is on the gradient by each of them: choose --config.normalisation layer, spectral or none",
    )
    require(
        not (ours and c.normalisation in ("batch", "layer") and c.backbone != "strided"),
        f"--config.normalisation {c.normalisation} with --config.backbone {c.backbone}: its discriminator has no such layers; choose"
        " --config.normalisation spectral or none, or --config.backbone strided",
    )
    require(
        not (ours and c.clip is not None and c.normalisation == "spectral"),
        "--config.clip with --config.normalisation spectral: weights are divided by their largest singular value, so that a bound on their"
        " size bounds nothing: choose one of the two",
    )
    require(
        not (ours and c.objective == "wasserstein" and c.penalty == "none" and c.clip is None and c.normalisation != "spectral"),
        "--config.objective wasserstein has no least value if nothing bounds the discriminator's slopes: choose --config.penalty wgan-gp,"
        " --config.normalisation spectral or --config.clip",
    )
    require(
        not (c.augmentation == "adaptive" and OBJECTIVES[c.objective].middle is None),
        f"--config.augmentation adaptive with --config.objective {c.objective}: the strength follows signs of scores, and this objective"
        " knows only their differences: choose --config.augmentation diffaugment, or another objective",
    )


def _suit(c: Config, data: DataSpec) -> None:
    """Refuse choices that the data cannot fulfil."""
    require(data.kind in CARD.data, f"modular takes images or points, not {data.kind}: `ganvas list` shows what each model takes")
    labelled = c.conditioning == "none" or len(data.classes) >= 1
    require(
        labelled, f"--config.conditioning {c.conditioning} needs data with labels, and these have none: choose --config.conditioning none"
    )
    if data.kind == "points":
        flat, plain = c.backbone in ("perceptron", "own"), c.augmentation == "none"
        require(flat, f"--config.backbone {c.backbone} is made of convolutions, and points have no neighbours: choose perceptron")
        require(plain, f"--config.augmentation {c.augmentation} moves and paints images, and these are points: choose none")


@final
class Modular(GenerativeModel, Latent, Score):
    """The game that the configuration describes."""

    def __init__(self, config: Config, data: DataSpec, networks: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        _suit(config, data)
        self.config, self.data = config, data
        self.classes = len(data.classes) if config.conditioning != "none" else 0
        self.choice = OBJECTIVES[config.objective]
        if config.backbone == "own":
            self.generator, self.discriminator = _given(config, data, networks)
        else:
            ours = f"networks: --config.backbone {config.backbone} builds its own; choose --config.backbone own to have yours trained"
            require(networks is None, ours)
            self.generator, self.discriminator = _built(config.backbone, config, data)
        adaptive = Adaptive(target=config.adaptive_target, speed=config.adaptive_speed, groups=config.operations)
        self.adaptive = adaptive if config.augmentation == "adaptive" else None
        self.lecam = LeCam(decay=config.lecam_decay, start=config.lecam_start) if config.penalty == "lecam" else None

    def discriminator_loss(self, step: Step) -> Loss:
        """The objective on the batch and as many fresh fakes, and all that is asked of the discriminator besides."""
        c, rng, real, y = self.config, step.rng, step.batch[self.data.kind], self._labels(step.batch)
        z, of = self._drawn(step.batch.size, rng)
        with torch.no_grad():
            fake = self._made(z, of)
        real, fake = self._shown(real, rng), self._shown(fake, rng)
        # Two calls, not one on the joined batch: where there are statistics of batches, those of reals and fakes are not to mix.
        (real_scores, real_classes), (fake_scores, _) = self._judged(real, y), self._judged(fake, of)
        terms = {"value": self.choice.objective.d(real_scores, fake_scores)}
        if real_classes is not None and y is not None:
            terms["class"] = cross_entropy(widen(real_classes), y, reduction="none")
        if c.penalty in SLOPES:
            of_reals, of_fakes = (lambda u: self._judged(u, y)[0]), (lambda u: self._judged(u, of)[0])
            terms["penalty"] = c.penalty_weight * SLOPES[c.penalty](of_reals, of_fakes, real, fake, rng)
        if self.lecam is not None:
            terms["penalty"] = c.penalty_weight * self.lecam.penalty(real_scores, fake_scores)
        if c.augmentation in CONSISTENT:
            terms |= self._consistent(((real, real_scores, y), (fake, fake_scores, of)), z, rng)
        watch = {"a(x)": widen(real_scores.detach()).mean(), "a(G(z))": widen(fake_scores.detach()).mean()}
        if self.adaptive is not None and self.choice.middle is not None:
            watch |= {"sign": torch.sign(widen(real_scores.detach()) - self.choice.middle).mean(), "p": self.adaptive.strength.clone()}
        return Loss(terms, watch)

    def generator_loss(self, step: Step) -> Loss:
        """The objective's other half on fresh fakes, and what else the generator is asked for."""
        c, rng, real_scores = self.config, step.rng, None
        if self.choice.compares:
            with torch.no_grad():
                real_scores, _ = self._judged(self._shown(step.batch[self.data.kind], rng), self._labels(step.batch))
        z, of = self._drawn(step.batch.size, rng)
        fake = self._made(z, of)
        scores, classes = self._judged(self._shown(fake, rng), of)
        terms = {"cost": self.choice.objective.g(scores, real_scores)}
        if classes is not None and of is not None:
            terms["class"] = c.class_weight * cross_entropy(widen(classes), of, reduction="none")
        if c.augmentation == "improved-consistency":
            terms["spread"] = -c.latent_weights[1] * consistency.spread(fake, self._made(self._disturbed(z, rng), of))
        return Loss(terms)

    def _consistent(self, judged: Sequence[tuple[Tensor, Tensor, Tensor | None]], z: Tensor, rng: Draws) -> dict[str, Tensor]:
        """What the discriminator pays for changing its mind, on reals and fakes with their scores and labels, and on codes z of fakes."""
        c = self.config
        names = ("consistency", "consistency of fakes")[: 1 if c.augmentation == "consistency" else 2]
        terms = {}
        for name, (x, scores, y) in zip(names, judged, strict=False):
            again = self._judged(consistency.transformed(x, rng, mirror=c.mirror), y)[0]
            terms[name] = c.consistency_weight * consistency.difference(scores, again)
        if c.augmentation == "improved-consistency":
            _, scores, of = judged[1]
            with torch.no_grad():
                near = self._made(self._disturbed(z, rng), of)
            terms["consistency of codes"] = c.latent_weights[0] * consistency.difference(scores, self._judged(near, of)[0])
        return terms

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        """One power iteration in what has just moved; after the discriminator's updates its bound, the strength and the mean scores."""
        spectral.advance(*phase.trains)
        if self.discriminator not in phase.trains:
            return
        if self.config.clip is not None:
            for parameter in self.discriminator.parameters():
                parameter.clamp_(-self.config.clip, self.config.clip)
        if self.adaptive is not None:
            self.adaptive.update(watch["sign"], self.config.batch)
        if self.lecam is not None:
            self.lecam.update(watch["a(x)"], watch["a(G(z))"])

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.classes else None

    def _drawn(self, n: int, rng: Draws) -> tuple[Tensor, Tensor | None]:
        """Codes of n fakes, and their labels where classes count."""
        return self.draw(n, rng), labels.drawn(n, self.classes, rng) if self.classes else None

    def _disturbed(self, z: Tensor, rng: Draws) -> Tensor:
        return z + self.config.latent_noise * rng.normal(*z.shape)

    def _made(self, z: Tensor, y: Tensor | None) -> Tensor:
        return mixed.asked(self.generator, z, y).float()

    def _shown(self, x: Tensor, rng: Draws) -> Tensor:
        """What the discriminator sees of samples x."""
        if self.adaptive is not None:
            return self.adaptive.augment(x, rng)
        return diff_augment(x, rng, self.config.policy) if self.config.augmentation == "diffaugment" else x

    def _judged(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Scores of samples of labels y, and class scores where there is a classifier, which is not told the label."""
        if self.config.conditioning == "classifier":
            scores, classes = self.discriminator(x)
            return scores, classes
        return mixed.asked(self.discriminator, x, y), None

    def score(self, batch: Batch) -> Tensor:
        return per_sample(self._judged(batch[self.data.kind], self._labels(batch))[0])

    def conditions(self, listed: tuple[str, ...]) -> tuple[str, ...]:
        return listed if self.classes else ()

    def stages(self) -> Sequence[Stage]:
        c = self.config
        discriminator = Phase(
            name="discriminator",
            trains=(self.discriminator,),
            loss=self.discriminator_loss,
            optimizer=self._optimizer(c.lr_discriminator),
            repeat=c.discriminator_steps,
        )
        generator = Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=self._optimizer(c.lr_generator))
        return [Stage(name="game", phases=(discriminator, generator), images=c.images, batch=c.batch)]

    def _optimizer(self, lr: float) -> Optimizer:
        start = self.config.decay_from
        return Adam(lr=lr if start is None else linear_decay(lr, start), betas=self.config.betas)

    def average(self) -> Average | None:
        half_life = self.config.ema_half_life
        return None if half_life is None else Average(modules=(self.generator,), half_life=half_life, ramp=0.5)

    @property
    def prior(self) -> str:
        return self.config.prior

    def draw(self, n: int, rng: Draws) -> Tensor:
        return latent.draw(self.config.prior, n, self.config.z, rng)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        """Samples of the labels asked for; where classes count and there is no condition, of the classes in turn."""
        if self.classes:
            return self._made(z, labels.asked(condition, z, self.classes, "modular"))
        require(
            condition is None, "modular is not conditional here (--config.conditioning none): its samples cannot be asked for by --labels"
        )
        return self._made(z, None)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        """Where classes count and there is no condition, labels are drawn, every class equally likely."""
        z = self.draw(n, rng)
        if self.classes and condition is None:
            condition = Condition(labels=labels.drawn(n, self.classes, rng))
        return self.decode(z, condition=condition)


def _given(c: Config, data: DataSpec, networks: Mapping[str, nn.Module] | None) -> tuple[nn.Module, nn.Module]:
    """Copies of a user's networks, if they fit."""
    if networks is None:
        said = "which are in no run directory: pass networks={'generator': ..., 'discriminator': ...} to ganvas.train, resume or load"
        raise GanvasError(f"--config.backbone own means networks of yours, {said}")
    generator, discriminator = (mixed.copied(name, networks[name]) for name in CARD.networks)
    if c.penalty in SLOPES and mixed.mixes_examples(discriminator):
        said = f"batch normalisation, which mixes examples; --config.penalty {c.penalty} is on the gradient by each of them"
        raise GanvasError(f"networks: 'discriminator' has {said}: take it out, or choose --config.penalty none")
    classes = len(data.classes)
    told, found = c.conditioning in ("concat", "projection"), classes if c.conditioning == "classifier" else 0
    mixed.probe(generator, discriminator, data, c.z, told=told, classified=found)
    return generator, discriminator


def _built(backbone: mixed.Backbone, c: Config, data: DataSpec) -> tuple[nn.Module, nn.Module]:
    """The networks of a backbone."""
    told = {name: len(data.classes) if c.conditioning == name else 0 for name in ("concat", "projection", "classifier")}
    normed = told["projection"] if backbone == "residual" else 0
    generator = MixedGenerator(
        backbone,
        data,
        c.z,
        width=c.width,
        kernel=c.kernel,
        levels=c.levels,
        init=c.init,
        joined=sum(told.values()) - normed,
        normed=normed,
    )
    discriminator = MixedDiscriminator(
        backbone,
        data,
        width=c.discriminator_width,
        kernel=c.kernel,
        levels=c.levels,
        normalisation=c.normalisation,
        init=c.init,
        joined=told["concat"],
        projected=told["projection"],
        classified=told["classifier"],
    )
    return generator, discriminator


_SMALL = Config(
    images=600_000,
    batch=32,
    backbone="strided",
    normalisation="batch",
    discriminator_steps=1,
    z=100,
    prior="normal",
    width=32,
    discriminator_width=24,
    lr_generator=1e-3,
    lr_discriminator=1e-3,
    decay_from=0.8,
    ema_half_life=10_000.0,
)  # DCGAN's recipe at a size for minutes, which the named combinations change
_SPECTRAL = replace(_SMALL, objective="hinge", normalisation="spectral")
_TINY = replace(_SMALL, images=8 * 2 * 20, batch=8, z=4, width=4, discriminator_width=4, decay_from=None, ema_half_life=50.0)

PRESETS = {
    "paper": Config(),
    "quick": _SMALL,
    "quick-points": replace(
        _SMALL,
        images=512_000,
        batch=256,
        backbone="perceptron",
        normalisation="none",
        z=2,
        width=256,
        discriminator_width=256,
        lr_generator=5e-4,
        betas=(0.5, 0.9),
        decay_from=None,
        ema_half_life=20_000.0,
    ),
    "dcgan": _SMALL,
    "lsgan": replace(_SMALL, objective="least-squares"),
    "wgan-gp": replace(
        _SMALL,
        objective="wasserstein",
        penalty="wgan-gp",
        penalty_weight=10.0,
        normalisation="none",
        discriminator_steps=2,
        lr_generator=5e-4,
        lr_discriminator=5e-4,
        betas=(0.5, 0.9),
    ),
    "hinge-spectral": _SPECTRAL,
    "relativistic-r1": replace(_SMALL, objective="paired-logistic", penalty="r1", normalisation="none"),
    "projection": replace(_SPECTRAL, backbone="residual", levels="doubling", conditioning="projection", width=16, discriminator_width=16),
    "lecam": replace(_SMALL, penalty="lecam", penalty_weight=0.3),
    "diffaugment": replace(_SMALL, augmentation="diffaugment"),
    "adaptive": replace(_SMALL, augmentation="adaptive", adaptive_speed=50_000.0),
    "consistency": replace(_SMALL, augmentation="consistency", mirror=False),
    "tiny": replace(
        _TINY,
        objective="hinge",
        normalisation="spectral",
        conditioning="projection",
        augmentation="adaptive",
        adaptive_target=-0.9,
        adaptive_speed=100.0,
        discriminator_steps=2,
    ),
    "tiny-points": replace(
        _TINY,
        objective="averaged-logistic",
        penalty="lecam",
        lecam_start=1,
        backbone="perceptron",
        normalisation="none",
        width=16,
        discriminator_width=16,
    ),
}

MODEL = Modular
