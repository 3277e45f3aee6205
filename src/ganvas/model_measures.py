"""The numbers that need the model itself: its codes, its likelihood, or samples asked for by label."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ganvas.data.batch import Batch
from ganvas.data.examples import Examples, MemoryImages
from ganvas.data.progress import Progress
from ganvas.engine.capabilities import Classify, Encode, Factors, Latent, LogProbability, Translate, Unnormalised
from ganvas.engine.config import from_json
from ganvas.engine.devices import find
from ganvas.engine.draws import Draws, SampleDraws, key
from ganvas.errors import GanvasError, require
from ganvas.metrics import conditional
from ganvas.metrics.agreement import Agreement, agreement
from ganvas.metrics.codes import nearest_accuracy
from ganvas.metrics.extractor import ClassifierExtractor, Extractor
from ganvas.metrics.incoming import BATCH, choice
from ganvas.metrics.kinds import Metric
from ganvas.metrics.likelihood import likelihood
from ganvas.metrics.measures import Found
from ganvas.metrics.path_length import EPSILON, path_length
from ganvas.metrics.similarity import psnr, ssim
from ganvas.paired import paired_numbers
from ganvas.run import Run, build

RECONSTRUCTED = 1_000
"""Test images that go through codes and back."""
KNOWN = 5_000
"""Training images among whose codes the nearest is looked for."""


@dataclass(frozen=True)
class Setting:
    """A run; the training split and the reference (the same where there is one split), the count of samples wanted, how they are seen; and
    the `pairs` that the reference is the second half of, where it is one."""

    run: Run
    training: Examples
    reference: Examples
    extractor: Extractor | None
    count: int
    seed: int
    poll: Callable[[], None]
    progress: Progress
    pairs: Examples | None = None

    @property
    def title(self) -> str:
        return self.run.entry.card.title

    def judge(self, name: str) -> ClassifierExtractor:
        """The classifier of the data."""
        if not isinstance(self.extractor, ClassifierExtractor):
            raise GanvasError(f"--metrics {name}: needs a classifier of the data, and labels to train it: use --features classifier")
        return self.extractor

    def features(self, name: str) -> Extractor:
        if self.extractor is None:
            raise GanvasError(f"--metrics {name}: needs features, and these data are compared by patches: name one with --features")
        return self.extractor

    def samples(self, name: str) -> MemoryImages:
        """Samples asked for by each label in turn."""
        classes = len(self.run.spec.classes)
        takes = "labels" in self.run.entry.card.conditions and classes >= 2
        require(takes, f"--metrics {name}: {self.title} does not take labels, so its samples cannot be asked for by class")
        parts, asked_for = [], list(range(classes))
        self.progress.start(self.count, "samples by label")
        try:
            for start in range(0, self.count, BATCH):
                self.poll()
                indices = range(start, min(start + BATCH, self.count))
                parts.append(self.run.tensors(len(indices), seed=self.seed, labels=asked_for, indices=indices))
                self.progress.advance(len(indices))
        finally:
            self.progress.close()
        return conditional.asked(torch.cat(parts), torch.arange(self.count) % classes, self.reference)


def perceptual_path_length(s: Setting) -> Found:
    model, extractor = s.run.model, s.features("ppl")
    if not isinstance(model, Latent):
        raise GanvasError(f"--metrics ppl: {s.title} has no latent codes to walk between")
    require(s.reference.spec.kind == "images", "--metrics ppl: is of images")
    found = path_length(model, extractor.features, seed=s.seed, device=find(s.run.device), poll=s.poll)
    said = f"{found.paths:,} paths (98 % kept), full, eps {EPSILON:g}, squared distance of the features, not LPIPS"
    return Found({"ppl": found.length}, {"ppl": said})


@final
@dataclass(frozen=True)
class _Normalised(LogProbability):
    """A model whose constant has been estimated."""

    model: Unnormalised
    log_z: float
    said: str

    def log_probability(self, batch: Batch, rng: Draws) -> Tensor:
        return -self.model.energy(batch, rng) - self.log_z

    @property
    def measured(self) -> str:
        return self.said


def negative_log_likelihood(s: Setting) -> Found:
    model = s.run.model
    if not isinstance(model, LogProbability):
        raise GanvasError(f"--metrics nll: {s.title} gives no likelihood (it is implicit): `ganvas list` shows what each model can do")
    device, constant = find(s.run.device), dict[str, float]()
    known: LogProbability = model
    if isinstance(model, Unnormalised):  # one estimate for all examples
        with torch.no_grad():
            log_z, error = model.log_partition(SampleDraws(s.seed, device=device))
        known, constant = _Normalised(model, log_z, model.measured), {"log_z": log_z, "log_z_error": error}
    found = likelihood(known, s.reference, seed=s.seed, device=device, poll=s.poll, progress=s.progress)
    values = {"nll_nats": found.nats, "nll_error": found.error} | constant | {"bits_per_dim": found.bits_per_dim}
    return Found(values, {"nll": f"{model.measured}; split {s.reference.split}, {found.count:,} examples"})


@torch.no_grad()
def reconstruction(s: Setting) -> Found:
    model = s.run.model
    require(s.reference.spec.kind == "images", "--metrics reconstruction: is of images")
    if not isinstance(model, Encode) or not isinstance(model, Latent):
        raise GanvasError(f"--metrics reconstruction: {s.title} does not map images to codes and back")
    count, device = min(RECONSTRUCTED, len(s.reference)), find(s.run.device)
    there, decibels, likeness = s.reference.to(device), [], []
    for rows in torch.arange(count).split(BATCH):
        s.poll()
        batch = there.batch(rows)
        back = model.decode(model.encode(batch)).float().clamp(-1, 1)
        decibels.append(psnr(back, batch.images))
        likeness.append(ssim(back, batch.images))
    values = {"psnr": float(torch.cat(decibels).clamp(max=100).mean()), "ssim": float(torch.cat(likeness).mean())}
    return Found(values, {"reconstruction": f"split {s.reference.split}, the first {count:,} images"})


@torch.no_grad()
def codes(s: Setting) -> Found:
    """Classes in code space: of the nearest code, of an encoder that has learned nothing, and of what is decoded."""
    model, device = s.run.model, find(s.run.device)
    if not isinstance(model, Encode):
        raise GanvasError(f"--metrics codes: {s.title} does not map data to codes: `ganvas list` shows what each model can do")
    require(len(s.reference.spec.classes) >= 2, "--metrics codes: needs data with labels of at least 2 classes")
    require(s.training is not s.reference, "--metrics codes: needs a training split beside the one that is asked about")
    known, asked = choice(len(s.training), KNOWN, 0), torch.arange(len(s.reference))
    there, labels = _encoded(model, s.training, known, device, s.poll)
    here, truth = _encoded(model, s.reference, asked, device, s.poll)
    values = {"code_1nn": nearest_accuracy(there, labels, here, truth, poll=s.poll)}
    fresh = untrained(s.run).to(device)
    assert isinstance(fresh, Encode)
    start = [_encoded(fresh, examples, rows, device, s.poll)[0] for examples, rows in ((s.training, known), (s.reference, asked))]
    values["code_1nn_untrained"] = nearest_accuracy(start[0], labels, start[1], truth, poll=s.poll)
    said = (
        f"nearest of {len(known):,} training codes, split {s.reference.split}, {len(asked):,} images; untrained: first weights of the run"
    )
    if isinstance(model, Latent) and isinstance(s.extractor, ClassifierExtractor):
        seen = []
        for part in here.split(BATCH):
            s.poll()
            seen.append(s.extractor.probabilities(model.decode(part.to(device)).float().clamp(-1, 1)).argmax(dim=1))
        values["class_kept"] = float((torch.cat(seen) == truth).float().mean())
        said += "; kept: the classifier of the data finds the image's label in what is decoded"
    return Found(values, {"codes": said})


def _encoded(model: Encode, examples: Examples, rows: Tensor, device: torch.device, poll: Callable[[], None]) -> tuple[Tensor, Tensor]:
    """Codes (N, Z) and labels (N,) of the examples numbered `rows`, on the processor."""
    there, found, labels = examples.to(device), [], []
    for part in rows.split(BATCH):
        poll()
        batch = there.batch(part)
        found.append(model.encode(batch).float().cpu())
        labels.append(batch.labels.cpu())
    return torch.cat(found), torch.cat(labels)


def untrained(run: Run) -> torch.nn.Module:
    """The model of a run with the weights it started from; the caller's random state stays as it is."""
    config = from_json(run.entry.config, run.settings["config"], str(run.path))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key("weights", run.settings["run"]["seed"]))
        model = build(run.entry, config, run.spec, run.networks)
    return model.eval().requires_grad_(False)


def intra_class(s: Setting) -> Found:
    found = conditional.within_classes(s.samples("intra-fd"), s.reference, s.features("intra-fd").features, poll=s.poll)
    worst = s.reference.spec.classes[found.worst_class]
    said = f"{s.count:,} samples, every class in turn; worst {worst}; few images of a class bias the distance upwards"
    return Found({"intra_fd": found.mean, "intra_fd_worst": found.worst}, {"intra_fd": said})


def gan_train(s: Setting) -> Found:
    samples = s.samples("gan-train")
    found = conditional.trained_accuracy(samples, s.reference, poll=s.poll, progress=s.progress, what="training on samples")
    rows = torch.randperm(len(s.training), generator=torch.Generator().manual_seed(0))[: len(samples)]
    real = conditional.trained_accuracy(s.training, s.reference, rows, poll=s.poll, progress=s.progress, what="training on the data")
    said = f"{len(samples):,} samples against {len(rows):,} real images, tested on split {s.reference.split}"
    return Found({"gan_train": found, "gan_train_of_data": real}, {"gan_train": said})


def gan_test(s: Setting) -> Found:
    found = conditional.gan_test(s.samples("gan-test"), s.judge("gan-test"), poll=s.poll)
    return Found({"gan_test": found.mean, "gan_test_worst": found.worst}, {"gan_test": f"{s.count:,} samples, every class in turn"})


def augment(s: Setting) -> Found:
    samples, rows = s.samples("augment"), conditional.few_of_each(s.training)
    alone = conditional.trained_accuracy(s.training, s.reference, rows, poll=s.poll, progress=s.progress, what="training on few images")
    both = conditional.joined(s.training, rows, samples)
    found = conditional.trained_accuracy(both, s.reference, poll=s.poll, progress=s.progress, what="training on few images and samples")
    said = f"{len(rows):,} real images, {conditional.FEW} of each class, and {len(samples):,} samples (the generator saw all real images)"
    return Found({"augment": found, "augment_alone": alone}, {"augment": said})


@torch.no_grad()
def factors(s: Setting) -> Found:
    """Of a model with several categorical parts, the one whose samples agree best."""
    model = s.run.model
    if not isinstance(model, Factors) or not isinstance(model, Latent):
        raise GanvasError(f"--metrics factors: the code of {s.title} has no named parts: `ganvas list` shows what each model can do")
    categorical = {name: size for name, size in model.factors.items() if size}
    require(bool(categorical), f"--metrics factors: no part of this code has categories (there are: {', '.join(model.factors)})")
    judge, device = s.judge("factors"), find(s.run.device)
    of_samples = {name: _agreement_of_samples(s, model, judge, name, size, device) for name, size in categorical.items()}
    best = max(of_samples, key=lambda name: of_samples[name].share)
    values = {"factor_agreement": of_samples[best].share}
    named = [judge.classes[label] if label >= 0 else "none" for label in of_samples[best].matched]
    said = f"{s.count:,} samples of {best}, every category in turn; categories are matched with {', '.join(named)}"
    if isinstance(model, Encode):
        told, labels = [], []
        there = s.reference.to(device)
        for rows in torch.arange(len(there)).split(BATCH):
            s.poll()
            batch = there.batch(rows)
            told.append(model.read(model.encode(batch), best).cpu())
            labels.append(batch.labels.cpu())
        of_data = agreement(torch.cat(told), torch.cat(labels), of_categories=categorical[best], of_classes=len(judge.classes))
        values["factor_agreement_of_data"] = of_data.share
        said += f"; split {s.reference.split}, {len(there):,} images, matched anew"
    return Found(values, {"factors": said})


def _agreement_of_samples(
    s: Setting, model: Factors, judge: ClassifierExtractor, factor: str, size: int, device: torch.device
) -> Agreement:
    """Samples of each category in turn, and what the classifier of the data sees in them."""
    assert isinstance(model, Latent)
    categories, seen = torch.arange(s.count) % size, []
    for rows in torch.arange(s.count).split(BATCH):
        s.poll()
        z = model.draw(len(rows), SampleDraws(s.seed, device=device, indices=rows.tolist()))
        samples = model.decode(model.turn(z, factor, categories[rows]))
        seen.append(judge.probabilities(samples).argmax(dim=1))
    return agreement(categories, torch.cat(seen), of_categories=size, of_classes=len(judge.classes))


@torch.no_grad()
def accuracy(s: Setting) -> Found:
    model, device, classes = s.run.model, find(s.run.device), s.reference.spec.classes
    if not isinstance(model, Classify):
        raise GanvasError(f"--metrics accuracy: {s.title} does not tell classes: `ganvas list` shows what each model can do")
    same = f"{', '.join(s.run.spec.classes) or 'none'} and {', '.join(classes) or 'none'}"
    require(len(classes) >= 2 and classes == s.run.spec.classes, f"--metrics accuracy: needs the classes of the training data ({same})")
    there, right = s.reference.to(device), 0
    for rows in torch.arange(len(there)).split(BATCH):
        s.poll()
        batch = there.batch(rows)
        right += int((model.classify(batch).argmax(dim=1) == batch.labels).sum())
    return Found({"accuracy": right / len(there)}, {"accuracy": f"the model's own classifier; split {there.split}, {len(there):,} images"})


@torch.no_grad()
def paired(s: Setting) -> Found:
    model, pairs = s.run.model, s.pairs
    if not isinstance(model, Translate):
        raise GanvasError(f"--metrics pairs: {s.title} does not translate; `ganvas list` shows what each model can do")
    if pairs is None or not pairs.spec.aligned:
        raise GanvasError("--metrics pairs: needs pairs that belong together, so that each translation has a truth; these data are none")
    known, came = s.run.spec, pairs.spec
    same = (known.shape, known.views, known.domains) == (came.shape, came.views, came.domains)
    require(same, f"--metrics pairs: the run knows {' and '.join(known.domains)} of another size or other channels than these data have")
    return paired_numbers(model, pairs, s.extractor, count=s.count, seed=s.seed, device=find(s.run.device), poll=s.poll)


OF_MODELS: Mapping[Metric, Callable[[Setting], Found]] = {
    "ppl": perceptual_path_length,
    "nll": negative_log_likelihood,
    "reconstruction": reconstruction,
    "codes": codes,
    "intra-fd": intra_class,
    "gan-train": gan_train,
    "gan-test": gan_test,
    "augment": augment,
    "factors": factors,
    "accuracy": accuracy,
    "pairs": paired,
}
