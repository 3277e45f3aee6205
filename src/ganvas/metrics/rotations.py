"""Features of a small network that tells how far an image was turned (Gidaris et al. 2018, arXiv:1803.07728); for data without labels.

To tell 0, 90, 180 and 270 degrees apart a network has to know what the images show and how it usually stands. So it learns features of the
data without a label. It is the network of `ganvas.metrics.classifier`, trained once per data set by a fixed recipe on the processor in
float32. Data that look alike however they are turned (textures, cells) teach it little: its accuracy is measured, and stands beside every
number.

A turned image has to keep its shape, or the shape would give the turn away, and so would a border added to it. So the network sees squares:
one, drawn at random, of each image in training; evenly spaced ones that together show the whole image when its features are read.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
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
from ganvas.metrics.extractor import Extractor, Reading, size
from ganvas.metrics.neighbours import nothing

RECIPE = 1
"""Raise it with any change that alters trained weights or features; stored networks of another recipe are not used."""

FEATURES = classifier.FEATURES
TURNS = 4
CHANCE = 1 / TURNS
USEFUL = 0.4
"""Accuracy below which the features are not taken unless asked for: a network that hardly beats chance has learnt nothing of the data."""

LARGEST = 64
"""Shorter side, in pixels, that the network sees; larger images are reduced to it by area averaging."""

_SEED = 20180321
_STEPS, _BATCH = 1_000, 32  # of which each image is seen in all four turns
_MEASURED = 2_500
_READ = 100


@final
class RotationExtractor(Extractor):
    """The 128 penultimate features of a network that predicts rotations, scaled to length 1.

    `shape` (C, H, W) is that of the images it takes, `facts` what its protocol says of its training.
    """

    def __init__(self, network: classifier.Network, shape: tuple[int, ...], facts: dict[str, Any]) -> None:
        self._network = network.eval().requires_grad_(False)
        self._shape, self._facts = shape, facts
        weights = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
        self._hash = hashlib.sha256(json.dumps(["rotations", RECIPE, classifier.RECIPE, list(shape)]).encode() + weights).hexdigest()

    @property
    def name(self) -> str:
        return "rotations"

    @property
    def hash(self) -> str:
        return self._hash

    @property
    def protocol(self) -> dict[str, Any]:
        useless = {} if self.useful else {"note": f"The network hardly beats chance ({CHANCE:g}): its features say little of these images."}
        return {"name": self.name, "hash": self.hash, "features": f"{FEATURES} of length 1", "recipe": RECIPE} | self._facts | useless

    @property
    def layers(self) -> nn.Sequential:
        return self._network.body

    @property
    def accuracy(self) -> float:
        """Share of the held-out images, each in all four turns, whose turn it tells; chance is 0.25."""
        return float(self._facts["accuracy"])

    @property
    def useful(self) -> bool:
        """Whether it learnt enough to be taken without being asked for."""
        return self.accuracy >= USEFUL

    def read(self, images: Tensor) -> Reading:
        """Features (N, 128) of length 1."""
        fits = images.dim() == 4 and tuple(images.shape[1:]) == tuple(self._shape)
        require(fits, f"the rotation network was trained on images {size(self._shape)}, these are {size(tuple(images.shape[1:]))}")
        parts = squares(reduced(images.detach().cpu().float()))
        features = torch.stack([classifier.look(self._network, part)[0] for part in parts]).mean(dim=0)
        return Reading(F.normalize(features, dim=1))


def rotations_for(
    examples: Examples,
    held_out: Examples | None,
    *,
    cache: Path | None = None,
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
) -> RotationExtractor:
    """The rotation network of a data set: read from the cache, or trained on `examples` (its training split) and stored there.

    Its accuracy is measured on `held_out`, or, where that is None, on a tenth of `examples` that is kept from training. What is stored,
    interrupted and left alone is as in `ganvas.metrics.extractor.classifier_for`. Raises `GanvasError` for data that are not images,
    for fewer than 3 of them, and for held-out data of another shape.
    """
    shape = examples.spec.shape
    require(examples.spec.kind == "images", f"features of images were asked for, but the data are {examples.spec.kind}")
    require(len(examples) >= 3, f"a rotation network needs at least 3 training images; split '{examples.split}' has {len(examples)}")
    if held_out is not None:
        same = held_out.spec.shape == shape
        require(same, f"split '{held_out.split}' has images {size(held_out.spec.shape)}, split '{examples.split}' {size(shape)}")
    folder = (cache or cache_directory()) / "rotations"
    parts = [(one.fingerprint, one.split) for one in (examples, held_out) if one is not None]
    name = store.key("rotations", RECIPE, classifier.RECIPE, *(part for pair in parts for part in pair))
    with torch.inference_mode(False):
        side = min(classifier.reduced_size(min(shape[1:]), min(shape[1:]), LARGEST))
        network = classifier.build((shape[0], side, side), TURNS)
        stored = store.read(folder, name)
        if stored is not None:
            network.load_state_dict(stored.tensors)
            return RotationExtractor(network, shape, stored.card)
        again = " again: the stored one is damaged" if store.damaged(folder, name) else ""
        facts = _train(network, examples, held_out, poll, progress or Silent(), f"training the rotation network{again}")
        store.write(folder, name, store.Entry(dict(network.state_dict()), facts))
        return RotationExtractor(network, shape, facts)


def reduced(images: Tensor) -> Tensor:
    """Images (N, C, H, W) averaged over areas until the shorter side is at most `LARGEST`; smaller ones as they are."""
    height, width = images.shape[2:]
    longer = max(height, width) * LARGEST / min(height, width)
    return classifier.reduce(images, max(LARGEST, round(longer)))


def squares(images: Tensor) -> list[Tensor]:
    """As few evenly spaced squares (N, C, S, S), S the shorter side, as together show whole images (N, C, H, W)."""
    height, width = images.shape[2:]
    side, long = min(height, width), max(height, width)
    count = -(-long // side)
    starts = [round(k * (long - side) / max(1, count - 1)) for k in range(count)]
    return [images.narrow(2 if height > width else 3, start, side) for start in starts]


def turned(images: Tensor) -> tuple[Tensor, Tensor]:
    """Square images (N, C, S, S) in all four turns, (4 N, C, S, S), and how many quarters each was turned, (4 N,)."""
    turns = torch.cat([images.rot90(quarters, dims=(2, 3)) for quarters in range(TURNS)])
    return turns.contiguous(memory_format=torch.channels_last), torch.arange(TURNS).repeat_interleave(len(images))


def _cut(images: Tensor, generator: Generator) -> Tensor:
    """One square (N, C, S, S) of each image, anywhere along its longer side."""
    count, channels, height, width = images.shape
    side = min(height, width)
    if height == width:
        return images
    starts = torch.randint(max(height, width) - side + 1, (count,), generator=generator)
    along = 2 if height > width else 3
    where = (starts[:, None] + torch.arange(side)).view(count, 1, *((side, 1) if along == 2 else (1, side)))
    return images.gather(along, where.expand(count, channels, side, side))


def _train(
    network: classifier.Network,
    examples: Examples,
    held_out: Examples | None,
    poll: Callable[[], None],
    progress: Progress,
    what: str,
) -> dict[str, Any]:
    """Train, measure, and say how it was done."""
    started = time.monotonic()
    rows = torch.randperm(len(examples), generator=Generator().manual_seed(0))
    if held_out is None:
        tenth = max(1, len(rows) // 10)
        measured, rows = rows[:tenth][:_MEASURED], rows[tenth:]
        measured_on = f"{len(measured):,} images of split '{examples.split}' kept from training, each in four turns"
    else:
        measured = torch.randperm(len(held_out), generator=Generator().manual_seed(0))[:_MEASURED]
        measured_on = f"{len(measured):,} images of split '{held_out.split}', each in four turns"
    batch = min(_BATCH, len(rows))
    generator = Generator().manual_seed(_SEED)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for part in classifier.order(rows, batch, generator):
            images = _cut(reduced(examples.batch(part).images.cpu().float()), generator)
            yield turned(classifier.shifted(images, generator))

    progress.start(_STEPS * batch * TURNS, what)
    try:
        classifier.descend(network, batches(), _STEPS, poll=poll, progress=progress)
        right = _accuracy(network, held_out or examples, measured, poll)
    finally:
        progress.close()
    return {
        "input": _input(examples.spec.shape),
        "trained_on": f"split '{examples.split}', {min(len(rows), _STEPS * batch):,} of {len(examples):,} images",
        "accuracy": right,
        "accuracy_on": measured_on,
        "chance": CHANCE,
        "training_seconds": round(time.monotonic() - started, 1),
    }


def _input(shape: tuple[int, ...]) -> str:
    """What the network sees of images of `shape`, in words."""
    blank = torch.empty(1, *shape, device="meta")
    seen = reduced(blank)
    parts = squares(seen)
    return (
        f"{shape[1]} x {shape[2]} pixels"
        + ("" if seen.shape == blank.shape else f", reduced to {size(tuple(seen.shape[2:]))} by area averaging")
        + ("" if len(parts) == 1 else f", mean over {len(parts)} squares of {parts[0].shape[2]} pixels that show all of it")
    )


def _accuracy(network: classifier.Network, examples: Examples, rows: Tensor, poll: Callable[[], None]) -> float:
    """Share of the turned images, over all squares, whose turn is told."""
    right = asked = 0
    for part in rows.split(_READ):
        poll()
        for square in squares(reduced(examples.batch(part).images.cpu().float())):
            images, turns = turned(square)
            right += int((classifier.look(network, images)[1].argmax(dim=1) == turns).sum())
            asked += len(turns)
    return right / asked
