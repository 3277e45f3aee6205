"""What turns images into the features that metrics compare.

A number means nothing without its features, so an extractor names itself: `name`, a `hash` of everything that decides its output, and a
`protocol` that is printed beside every number. Only numbers of one extractor can be compared.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Generator, Tensor, nn

from ganvas.data.cache import cache_directory
from ganvas.data.examples import Examples
from ganvas.data.progress import Progress, Silent
from ganvas.errors import require
from ganvas.metrics import classifier, store
from ganvas.metrics.neighbours import nothing


@dataclass(frozen=True)
class Reading:
    """`features` (N, D) of images, and their class `probabilities` (N, K), None where no classes are known. Float32, on the processor."""

    features: Tensor
    probabilities: Tensor | None = None


class Extractor(ABC):
    """A fixed function from images to features."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A word: `classifier`, `rotations`, `inception`, `pixels`, or that of a user's module."""

    @property
    @abstractmethod
    def hash(self) -> str:
        """SHA-256 (hexadecimal) of everything that decides the features."""

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What to say beside a number: JSON values, the name and hash among them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes whose probabilities `read` gives; () if none."""
        return ()

    @property
    def standard(self) -> bool:
        """Whether it is the Inception network that published numbers are made with."""
        return False

    @property
    def layers(self) -> nn.Sequential | None:
        """The layers of its network one after another, where it is one that was trained on the data and begins with convolutions."""
        return None

    @abstractmethod
    def read(self, images: Tensor) -> Reading:
        """The reading of images (N, C, H, W) in [-1, 1]; `GanvasError` for images of a wrong shape."""

    def features(self, images: Tensor) -> Tensor:
        """Features (N, D) float32 on the processor, of images (N, C, H, W) in [-1, 1]; `GanvasError` for images of a wrong shape."""
        return self.read(images).features


@final
class PixelExtractor(Extractor):
    """The pixels themselves, reduced to at most 16 x 16; only where they are asked for."""

    LARGEST = 16

    @property
    def name(self) -> str:
        return "pixels"

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"ganvas pixels 1, {self.LARGEST}".encode()).hexdigest()

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "hash": self.hash,
            "input": f"pixels in [-1, 1], reduced to at most {self.LARGEST} x {self.LARGEST} by area averaging",
            "note": "Distances between pixels are weak: they see colour and layout only, and take blurred images for precise ones.",
        }

    def read(self, images: Tensor) -> Reading:
        """Features (N, C h w): h and w at most 16, in the images' proportions."""
        require(images.dim() == 4, f"images (N, C, H, W) are wanted, not {tuple(images.shape)}")
        return Reading(classifier.reduce(images.detach().cpu().float(), self.LARGEST).flatten(1))


@final
class ClassifierExtractor(Extractor):
    """The 128 penultimate features of a classifier trained on the data set (see `ganvas.metrics.classifier`), scaled to length 1.

    The length is mostly the classifier's certainty. With it, a few outlying reals get balls so wide that blurred and blended images
    count as precise; directions alone tell them apart better, and the Frechet distance keeps its order.

    `shape` (C, H, W) is that of the images it takes, `facts` what its protocol says of its training.
    """

    def __init__(self, network: classifier.Network, shape: tuple[int, ...], classes: tuple[str, ...], facts: dict[str, Any]) -> None:
        self._network = network.eval().requires_grad_(False)
        self._shape, self._classes, self._facts = shape, classes, facts
        weights = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
        self._hash = hashlib.sha256(json.dumps([classifier.RECIPE, list(shape)]).encode() + weights).hexdigest()

    @property
    def name(self) -> str:
        return "classifier"

    @property
    def hash(self) -> str:
        return self._hash

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "hash": self.hash,
            "features": f"{classifier.FEATURES} of length 1",
            "recipe": classifier.RECIPE,
        } | self._facts

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    @property
    def layers(self) -> nn.Sequential:
        return self._network.body

    @property
    def accuracy(self) -> float:
        """Share of the held-out examples it labels rightly."""
        return float(self._facts["accuracy"])

    def read(self, images: Tensor) -> Reading:
        """Features (N, 128) of length 1, and probabilities (N, K) in the order of `classes`."""
        fits = images.dim() == 4 and tuple(images.shape[1:]) == tuple(self._shape)
        require(fits, f"the classifier was trained on images {size(self._shape)}, these are {size(tuple(images.shape[1:]))}")
        features, logits = classifier.look(self._network, images)
        return Reading(F.normalize(features, dim=1), logits.softmax(dim=1))

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, K), in the order of `classes`."""
        found = self.read(images).probabilities
        assert found is not None
        return found


@final
class ChannelsExtractor(Extractor):
    """A classifier of grey images that reads each of three channels apart (Stacked-MNIST; see `ganvas.data.stacked`).

    Features are those of the three channels side by side, scaled to length 1; the probability of a triple of classes is the product.
    """

    def __init__(self, single: ClassifierExtractor, classes: tuple[str, ...]) -> None:
        self.single, self._classes = single, classes

    @property
    def name(self) -> str:
        return "classifier"

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"ganvas channels 1, {self.single.hash}".encode()).hexdigest()

    @property
    def protocol(self) -> dict[str, Any]:
        return self.single.protocol | {
            "hash": self.hash,
            "features": f"{3 * classifier.FEATURES} of length 1",
            "channels": "each of the three is read apart by one classifier of grey images; its accuracy is of one channel",
        }

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    def read(self, images: Tensor) -> Reading:
        """Features (N, 384) of length 1, and probabilities (N, K^3) in the order of `classes`."""
        require(images.dim() == 4 and images.shape[1] == 3, f"images of three channels are wanted, not {tuple(images.shape)}")
        reading = self.single.read(images.flatten(0, 1)[:, None])
        assert reading.probabilities is not None
        a, b, c = reading.probabilities.view(len(images), 3, -1).unbind(dim=1)
        triples = torch.einsum("na,nb,nc->nabc", a, b, c).flatten(1)
        return Reading(reading.features.view(len(images), -1) / 3**0.5, triples)


def classifier_for(
    examples: Examples,
    held_out: Examples | None,
    *,
    cache: Path | None = None,
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
) -> ClassifierExtractor:
    """The classifier of a data set: read from the cache, or trained on `examples` (its training split) and stored there.

    Its accuracy is measured on `held_out`, or, where that is None, on a tenth of `examples` that is kept from training. A stored
    classifier that is damaged is trained again. `cache` is the user's cache directory unless given; one that cannot be written costs
    only time. `poll` is called between batches and may raise. The caller's random state is not moved. Raises `GanvasError` for data
    that are not labelled images, and for held-out data of another shape or other classes.
    """
    _check_data(examples, held_out)
    folder = (cache or cache_directory()) / "classifiers"
    parts = [(one.fingerprint, one.split) for one in (examples, held_out) if one is not None]
    name = store.key("classifier", classifier.RECIPE, *(part for pair in parts for part in pair))
    spec = examples.spec
    with torch.inference_mode(False):
        network = classifier.build(spec.shape, len(spec.classes))
        stored = store.read(folder, name)
        if stored is not None:
            network.load_state_dict(stored.tensors)
            return ClassifierExtractor(network, spec.shape, spec.classes, stored.card)
        again = " again: the stored one is damaged" if store.damaged(folder, name) else ""
        facts = _train(network, examples, held_out, poll, progress or Silent(), f"training the classifier{again}")
        store.write(folder, name, store.Entry(dict(network.state_dict()), facts))
        return ClassifierExtractor(network, spec.shape, spec.classes, facts)


def _train(
    network: classifier.Network,
    examples: Examples,
    held_out: Examples | None,
    poll: Callable[[], None],
    progress: Progress,
    what: str,
) -> dict[str, Any]:
    """Train, measure, and say how it was done."""
    rows = torch.arange(len(examples))
    if held_out is None:
        rows = torch.randperm(len(examples), generator=Generator().manual_seed(0))
        tenth = max(1, len(rows) // 10)
        measured, rows = rows[:tenth], rows[tenth:]
        measured_on = f"{tenth:,} images of split '{examples.split}' kept from training"
    else:
        measured = torch.arange(len(held_out))
        measured_on = f"split '{held_out.split}', {len(held_out):,} images"
    require(len(rows) >= 2, f"a classifier needs at least 2 training images; split '{examples.split}' leaves {len(rows)}")
    progress.start(classifier.budget(len(rows)), what)
    try:
        classifier.train(network, examples, rows, poll=poll, progress=progress)
        right = classifier.accuracy(network, held_out or examples, measured, poll=poll)
    finally:
        progress.close()
    height, width = examples.spec.shape[1:]
    seen = classifier.reduced_size(height, width, classifier.LARGEST)
    return {
        "input": f"{height} x {width} pixels"
        + ("" if seen == (height, width) else f", reduced to {seen[0]} x {seen[1]} by area averaging"),
        "trained_on": f"split '{examples.split}', {len(rows):,} images",
        "accuracy": right,
        "accuracy_on": measured_on,
    }


def _check_data(examples: Examples, held_out: Examples | None) -> None:
    spec = examples.spec
    require(spec.kind == "images", f"a classifier of images was asked for, but the data are {spec.kind}")
    require(len(spec.classes) >= 2, f"a classifier needs data with at least 2 classes; these have {len(spec.classes)}")
    if held_out is not None:
        same = held_out.spec.shape == spec.shape
        require(same, f"split '{held_out.split}' has images {size(held_out.spec.shape)}, split '{examples.split}' {size(spec.shape)}")
        same = held_out.spec.classes == spec.classes
        listed = f"{', '.join(held_out.spec.classes)} and {', '.join(spec.classes)}"
        require(same, f"the classes of split '{held_out.split}' are not those of split '{examples.split}': {listed}")


def size(shape: tuple[int, ...]) -> str:
    """`1 x 28 x 28`."""
    return " x ".join(map(str, shape))
