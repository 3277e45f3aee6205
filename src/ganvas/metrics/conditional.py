"""Numbers of samples that were asked for by class: GAN-train, GAN-test, use beside few real images, and the distance within classes.

GAN-train is the accuracy on real images of a classifier trained on samples: it falls with quality and with variety. GAN-test is the
accuracy on samples of a classifier trained on real images: it falls with quality alone, and is high where samples are copies (Shmelkov et
al. 2018, arXiv:1807.09499, section 3). The distance within classes is a Frechet distance for each class, averaged, which sees classes
that are mixed up or have no variety of their own (Miyato & Koyama 2018, arXiv:1802.05637, section 5).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ganvas.data.examples import About, Examples, MemoryImages
from ganvas.data.progress import Progress, Silent
from ganvas.errors import require
from ganvas.metrics import classifier
from ganvas.metrics.extractor import ClassifierExtractor
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.incoming import BATCH
from ganvas.metrics.neighbours import nothing

FEW = 10
"""Real images of each class in the small labelled set of `augmented`."""


@dataclass(frozen=True)
class Agreement:
    """Share of samples that are what they were asked to be: of all, and of the worst class."""

    mean: float
    worst: float


@dataclass(frozen=True)
class Within:
    """Frechet distance within a class: mean over classes, the worst, and that one's number."""

    mean: float
    worst: float
    worst_class: int


def asked(images: Tensor, labels: Tensor, like: Examples) -> MemoryImages:
    """Samples (N, C, H, W) in [-1, 1] asked for by labels (N,), as labelled examples with the classes of `like`."""
    require(len(like.spec.classes) >= 2, "samples by class are measured on data with at least 2 classes")
    require(len(images) == len(labels) > 0, f"{len(images)} samples need as many labels, {len(labels)} came")
    pixels = images.detach().cpu().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return MemoryImages(About(spec=like.spec, split="samples"), pixels, labels.cpu().long())


def trained_accuracy(
    training: Examples,
    held_out: Examples,
    rows: Tensor | None = None,
    *,
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
    what: str = "training a classifier",
) -> float:
    """Accuracy on `held_out` of a classifier trained on `training`, or its `rows`, by the recipe of `ganvas.metrics.classifier`."""
    rows = torch.arange(len(training)) if rows is None else rows
    require(len(rows) >= 2, f"a classifier needs at least 2 training images, not {len(rows)}")
    watcher = progress or Silent()
    with torch.inference_mode(False):
        network = classifier.build(held_out.spec.shape, len(held_out.spec.classes))
        watcher.start(classifier.budget(len(rows)), what)
        try:
            classifier.train(network, training, rows, poll=poll, progress=watcher)
        finally:
            watcher.close()
        return classifier.accuracy(network, held_out, torch.arange(len(held_out)), poll=poll)


def gan_test(samples: Examples, judge: ClassifierExtractor, *, poll: Callable[[], None] = nothing) -> Agreement:
    """How often the classifier of the data finds in a sample the class it was asked for. Classes that were not asked for do not count."""
    right, asked_for = torch.zeros(len(judge.classes)), torch.zeros(len(judge.classes))
    for rows in torch.arange(len(samples)).split(BATCH):
        poll()
        batch = samples.batch(rows)
        same = (judge.probabilities(batch.images).argmax(dim=1) == batch.labels).float()
        right.index_add_(0, batch.labels, same)
        asked_for.index_add_(0, batch.labels, torch.ones_like(same))
    by_class = right[asked_for > 0] / asked_for[asked_for > 0]
    return Agreement(float(right.sum() / asked_for.sum()), float(by_class.min()))


def few_of_each(examples: Examples, each: int = FEW) -> Tensor:
    """Row numbers of `each` examples of every class (all of a smaller one), drawn by a fixed seed."""
    labels = torch.cat([examples.batch(rows).labels.cpu() for rows in torch.arange(len(examples)).split(BATCH)])
    order = torch.randperm(len(labels), generator=Generator().manual_seed(0))
    kept = [order[labels[order] == label][:each] for label in range(len(examples.spec.classes))]
    return torch.cat(kept).sort().values


def joined(first: Examples, rows: Tensor, second: Examples) -> MemoryImages:
    """The `rows` of one set and all of another, with the classes of the first; the first repeated to half of the whole."""
    drawn = first.batch(rows)
    repeats = max(1, len(second) // len(rows))
    images = torch.cat([drawn.images.repeat(repeats, 1, 1, 1), second.batch(torch.arange(len(second))).images])
    return asked(images, torch.cat([drawn.labels.repeat(repeats), second.batch(torch.arange(len(second))).labels]), first)


def within_classes(
    samples: Examples, reference: Examples, features: Callable[[Tensor], Tensor], *, poll: Callable[[], None] = nothing
) -> Within:
    """The Frechet distance between the samples asked for as each class and the real images of it; `features` maps images to (N, D).

    Raises `GanvasError` for a class with fewer than 2 samples or 2 real images.
    """
    found = [_by_class(examples, features, poll) for examples in (samples, reference)]
    distances = []
    for number, name in enumerate(reference.spec.classes):
        fake, real = (rows[labels == number] for rows, labels in found)
        enough = min(len(fake), len(real)) >= 2
        require(enough, f"class '{name}' has {len(fake)} samples and {len(real)} real images: a distance needs 2 of each; use more samples")
        distances.append(frechet_distance(*moments(real), *moments(fake)))
    worst = max(range(len(distances)), key=distances.__getitem__)
    return Within(sum(distances) / len(distances), distances[worst], worst)


def _by_class(examples: Examples, features: Callable[[Tensor], Tensor], poll: Callable[[], None]) -> tuple[Tensor, Tensor]:
    rows, labels = [], []
    for numbers in torch.arange(len(examples)).split(BATCH):
        poll()
        batch = examples.batch(numbers)
        rows.append(features(batch.images))
        labels.append(batch.labels.cpu())
    return torch.cat(rows), torch.cat(labels)
