"""The numbers of translations whose truth is known: PSNR, SSIM, and perceptual and Frechet distances."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ganvas.data.examples import Examples
from ganvas.engine.capabilities import Translate
from ganvas.engine.draws import SampleDraws
from ganvas.errors import require
from ganvas.metrics import classifier
from ganvas.metrics.evaluate import FEWEST
from ganvas.metrics.extractor import Extractor
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.incoming import checked_images
from ganvas.metrics.measures import Found
from ganvas.metrics.similarity import psnr, ssim
from ganvas.parts.perceptual import Perceptual, convolutional, vgg

VARIABLE = "GANVAS_PERCEPTUAL"
"""Names a `.safetensors` file of VGG's weights (see `ganvas.parts.perceptual.vgg`), which then gives the perceptual distance."""
BATCH = 50
HIGHEST = 100.0
"""Decibels that equal images count as."""


@dataclass
class Scores:
    """Numbers of one kind of answers to the truth, image by image."""

    decibels: list[Tensor] = field(default_factory=list)
    likeness: list[Tensor] = field(default_factory=list)
    distance: list[Tensor] = field(default_factory=list)

    def add(self, images: Tensor, truth: Tensor, perceptual: Perceptual | None) -> None:
        self.decibels.append(psnr(images, truth).clamp(max=HIGHEST))
        self.likeness.append(ssim(images, truth))
        if perceptual is not None:
            self.distance.append(perceptual(*(seen(one, perceptual) for one in (images, truth))))

    def means(self, name: str) -> dict[str, float]:
        parts = {"psnr": self.decibels, "ssim": self.likeness, "perceptual": self.distance}
        return {f"{name}_{word}": float(torch.cat(values).double().mean()) for word, values in parts.items() if values}


def paired_numbers(
    model: Translate,
    pairs: Examples,
    extractor: Extractor | None,
    *,
    count: int,
    seed: int,
    device: torch.device,
    poll: Callable[[], None],
) -> Found:
    """Translations of the first `count` of aligned `pairs` to the second domain against their truths, and the inputs as they are, grey
    ones in colour if need be. Sample i draws what it draws for `ganvas sample`."""
    perceptual, said = perceptual_of(extractor)
    count, there, to = min(count, len(pairs)), pairs.to(device), pairs.spec.domains[-1]
    made, given = Scores(), Scores()
    features: tuple[list[Tensor], list[Tensor]] = ([], [])
    for rows in torch.arange(count).split(BATCH):
        poll()
        batch = there.batch(rows)
        answer = model.translate(batch.images, to=to, rng=SampleDraws(seed, device=device, indices=rows.tolist()))
        images, truth, inputs = checked_images(answer, int(rows[0])), batch["target"].cpu(), batch.images.cpu()
        made.add(images, truth, perceptual)
        if inputs.shape[1] in (1, truth.shape[1]):
            given.add(inputs.expand_as(truth), truth, perceptual)
        if extractor is not None and count >= FEWEST:
            for kept, seen_ones in zip(features, (images, truth), strict=True):
                kept.append(extractor.features(seen_ones))
    values = made.means("pair")
    if features[0]:
        values["pair_fd"] = frechet_distance(*moments(torch.cat(features[1])), *moments(torch.cat(features[0])))
    if given.decibels:
        values |= given.means("input")
    told = f"split {pairs.split}, the first {count:,} of {len(pairs):,} pairs, one translation each, to {to}; {said}"
    return Found(values, {"pairs": told + few(count, features)})


def few(count: int, features: tuple[list[Tensor], list[Tensor]]) -> str:
    """What has to be said of a Frechet distance of so many images."""
    if not features[0]:
        return "; no Frechet distance without features"
    dimension = features[0][0].shape[1]
    return f"; {count:,} images of {dimension} features: the Frechet distance is biased upwards" if count <= dimension else ""


def perceptual_of(extractor: Extractor | None) -> tuple[Perceptual | None, str]:
    """The perceptual distance that is at hand, and what the protocol says of it: VGG where the user has weights, else the network of the
    data, else none."""
    named = os.environ.get(VARIABLE)
    if named:
        require(Path(named).is_file(), f"{VARIABLE}: there is no file {named}")
        network = vgg(Path(named))
        weighted = any(network.get_buffer(f"weight_{index}").numel() > 1 for index in range(len(network.taps)))
        return network, f"perceptual distance: VGG of {Path(named).name}, {'LPIPS' if weighted else 'the baseline of LPIPS'}"
    layers = None if extractor is None else extractor.layers
    if layers is None:
        return None, f"no perceptual distance, which needs a network: --features classifier or rotations, or VGG's weights by {VARIABLE}"
    body, taps = convolutional(layers)
    assert extractor is not None
    kind = f"the {extractor.name} network of the data, {len(taps)} layers of equal weight, not LPIPS"
    return Perceptual(body, taps), f"perceptual distance: {kind}"


def seen(images: Tensor, perceptual: Perceptual) -> Tensor:
    """Images as the network takes them: VGG wants colour, that of the data what it was trained on, reduced as for its features."""
    if perceptual.shift.numel() == 3:
        return images.expand(-1, 3, -1, -1)
    return classifier.reduce(images, classifier.LARGEST)
