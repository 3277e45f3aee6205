"""Draws what a run has learned: the same samples again and again while it trains, and the final pictures at its end."""

import colorsys
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from ganvas.data.batch import DataSpec
from ganvas.data.examples import Examples
from ganvas.diagnostics.grids import Bytes, Floats, image_grid, paths_figure, points_figure
from ganvas.engine.capabilities import Latent, Translate
from ganvas.engine.card import Card
from ganvas.engine.contract import GenerativeModel
from ganvas.engine.draws import SampleDraws
from ganvas.engine.observers import Observer, Row, Verdict
from ganvas.engine.rundir import SAMPLES
from ganvas.engine.sampling import draw, interpolate
from ganvas.errors import GanvasError, require

if TYPE_CHECKING:
    from PIL.Image import Image

    from ganvas.engine.loop import Trainer

GRID, INTERPOLATION = "grid.png", "interpolation.png"
PER_CLASS, ROWS = 8, 16  # samples of a class in a row; rows of a grid at most
POINTS = 2000  # samples drawn over as many data points
PATHS, STEPS = 8, 9  # rows of the interpolation, and pictures in a row
POINT_PATHS, POINT_STEPS = 32, 48

Caption = Callable[[Bytes], Sequence[str]]
Onlooker = Callable[["Trainer", Tensor], None]


def frame_name(images: int) -> str:
    """The file of the grid drawn after `images` training images."""
    return f"images-{images:012d}.png"


def save_picture(picture: "Image", path: Path) -> None:
    """Write a PNG beside its place and rename it there."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(temporary, format="PNG")
        os.replace(temporary, path)
    except OSError as error:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise GanvasError(f"{path}: cannot be written ({error})") from error


class Easel(ABC):
    """How one kind of data is drawn."""

    @abstractmethod
    def look(self, examples: Examples) -> None:
        """See the training data once, before anything is drawn."""

    @property
    @abstractmethod
    def labels(self) -> tuple[int, ...] | None:
        """The labels to ask samples for; None asks for none."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Samples in a picture."""

    @property
    @abstractmethod
    def paths(self) -> tuple[int, int]:
        """Rows and steps of an interpolation."""

    def study(self, model: GenerativeModel, samples: Tensor, seed: int, device: torch.device) -> None:
        """Ask the model for what else the picture of these samples shows."""
        return None

    @abstractmethod
    def samples(self, samples: Tensor, title: str, *, final: bool) -> "Image":
        """A picture of samples as the model gave them; `final` pictures may say more."""

    @property
    def path_labels(self) -> tuple[int, ...] | None:
        """The label of each path; None asks for none."""
        return None

    @abstractmethod
    def interpolation(self, samples: Tensor, title: str) -> "Image":
        """A picture of `paths` (rows * steps, ...)."""


@final
class ImageEasel(Easel):
    """Grids; of a conditional model one row for each class."""

    def __init__(self, card: Card, spec: DataSpec, count: int, caption: Caption | None) -> None:
        self._spec, self._count, self._caption = spec, count, caption
        total = len(spec.classes) if "labels" in card.conditions else 0
        shown = min(total, ROWS)
        self._classes = tuple(i * total // shown for i in range(shown))  # all, or some spread evenly over all

    def look(self, examples: Examples) -> None:
        return None

    @property
    def labels(self) -> tuple[int, ...] | None:
        return tuple(c for c in self._classes for _ in range(PER_CLASS)) or None

    @property
    def count(self) -> int:
        return len(self._classes) * PER_CLASS or self._count

    @property
    def paths(self) -> tuple[int, int]:
        return len(self._classes) or PATHS, STEPS

    @property
    def path_labels(self) -> tuple[int, ...] | None:
        return self._classes or None

    def samples(self, samples: Tensor, title: str, *, final: bool) -> "Image":
        images: Bytes = self._spec.native(samples).numpy()
        captions = self._caption(images) if final and self._caption is not None else None
        title = title if captions is None else f"{title}; below: what a classifier sees"
        if self._classes:
            return image_grid(images, columns=PER_CLASS, row_labels=self._names, captions=captions, title=title)
        return image_grid(images, captions=captions, title=title)

    def interpolation(self, samples: Tensor, title: str) -> "Image":
        images: Bytes = self._spec.native(samples).numpy()
        return image_grid(images, columns=STEPS, row_labels=self._names or None, title=f"{title}; rows lead from code to code")

    @property
    def _names(self) -> list[str]:
        return [self._spec.classes[c] for c in self._classes]


@final
class TranslationEasel(Easel):
    """Images of the first domain and, under each, what it was translated to, that translated back where the model can, and what it
    should be where the data are aligned.
    """

    def __init__(self, spec: DataSpec) -> None:
        self._spec = spec
        self._given: Bytes | None = None
        self._back: Bytes | None = None
        self._wanted: Bytes | None = None

    def look(self, examples: Examples) -> None:
        batch = examples.batch(torch.arange(self.count) % len(examples))
        self._given = in_colours(self._bytes(batch.images), self._spec.palette)
        self._wanted = self._bytes(batch["target"]) if self._spec.aligned else None

    def study(self, model: GenerativeModel, samples: Tensor, seed: int, device: torch.device) -> None:
        first = self._spec.domains[:1]
        if isinstance(model, Translate) and first and first[0] in model.targets:
            with torch.no_grad():
                self._back = self._bytes(model.translate(samples.to(device), to=first[0], rng=SampleDraws(seed, device=device)))

    def _bytes(self, images: Tensor) -> Bytes:
        found: Bytes = self._spec.native(images).cpu().numpy()
        return found

    @property
    def labels(self) -> tuple[int, ...] | None:
        return None

    @property
    def count(self) -> int:
        return 4 * PER_CLASS

    @property
    def paths(self) -> tuple[int, int]:
        return PATHS, STEPS

    def samples(self, samples: Tensor, title: str, *, final: bool) -> "Image":
        assert self._given is not None
        domains = self._spec.domains
        first, second = domains if len(domains) == 2 else ("given", "made")
        parts = {first: self._given, f"to {second}": self._bytes(samples), f"back to {first}": self._back, f"true {second}": self._wanted}
        shown = {name: coloured(part) for name, part in parts.items() if part is not None}
        rows = [part[at : at + PER_CLASS] for at in range(0, self.count, PER_CLASS) for part in shown.values()]
        names = list(shown) * (self.count // PER_CLASS)
        return image_grid(np.concatenate(rows), columns=PER_CLASS, row_labels=names, title=f"{title}; each row is translated below")

    def interpolation(self, samples: Tensor, title: str) -> "Image":
        return image_grid(self._spec.native(samples).numpy(), columns=STEPS, title=title)


def in_colours(maps: Bytes, palette: Sequence[tuple[int, ...]]) -> Bytes:
    """Index maps (..., H, W, 1) with a colour for each class of their `palette`, for eyes; what is no index map as it is."""
    if maps.shape[-1] != 1 or not palette:
        return maps
    levels = np.sort(np.array(palette)[:, 0])
    hues = [colorsys.hsv_to_rgb(number * 0.618 % 1, 0.6, 0.9) for number in range(len(levels))]  # the golden ratio keeps hues apart
    return np.rint(255 * np.array(hues)).astype(np.uint8)[np.abs(maps.astype(np.int64) - levels).argmin(axis=-1)]


def coloured(images: Bytes) -> Bytes:
    """Grey images (N, H, W, 1) repeated to RGB; RGB as it is."""
    return images if images.shape[3] == 3 else images.repeat(3, axis=3)


@final
class PointEasel(Easel):
    """Points over a part of the training data, in the data's own units."""

    def __init__(self, spec: DataSpec, modes: Floats | None) -> None:
        self._spec, self._modes = spec, modes
        self._data: Floats | None = None

    def look(self, examples: Examples) -> None:
        chosen = torch.linspace(0, len(examples) - 1, min(len(examples), POINTS)).long()
        self._data = self._spec.native(examples.batch(chosen).points).cpu().numpy()

    @property
    def labels(self) -> tuple[int, ...] | None:
        return None

    @property
    def count(self) -> int:
        return POINTS

    @property
    def paths(self) -> tuple[int, int]:
        return POINT_PATHS, POINT_STEPS

    def samples(self, samples: Tensor, title: str, *, final: bool) -> "Image":
        return points_figure(self._spec.native(samples).numpy(), self._data, title, modes=self._modes)

    def interpolation(self, samples: Tensor, title: str) -> "Image":
        paths = self._spec.native(samples).view(POINT_PATHS, POINT_STEPS, -1).numpy()
        return paths_figure(paths, self._data, f"{title}; lines lead from code to code")


def easel(card: Card, spec: DataSpec, count: int, caption: Caption | None, modes: Floats | None) -> Easel:
    """The easel for a kind of data."""
    require(spec.kind != "tokens", f"{card.title} makes tokens, of which there is no grid of samples: train it without a gallery")
    if "images" in card.conditions:
        return TranslationEasel(spec)
    return ImageEasel(card, spec, count, caption) if spec.kind == "images" else PointEasel(spec, modes)


@final
class GalleryObserver(Observer):
    """Writes `samples/images-%012d.png` at the start, every `every` training images and at the end, always from the same latent codes (of
    `seed`) so that the series is a film; at the end also `grid.png`, and `interpolation.png` where the model has latent codes. Samples come
    from the averaged model and cannot disturb training.

    `count` images stand in a grid; of a conditional model a row of eight for each class. `caption` maps images (N, H, W, C) uint8 to a
    classifier's label and confidence, to stand under each in the final grid; `modes` (K, D) are marked among points. `onlookers` are
    handed the trainer and the samples whenever a grid is drawn, so that they need not draw their own.
    """

    def __init__(
        self,
        run: Path,
        card: Card,
        spec: DataSpec,
        data_name: str,
        every_images: int,
        seed: int,
        *,
        count: int = 64,
        caption: Caption | None = None,
        modes: Floats | None = None,
        onlookers: Sequence[Onlooker] = (),
    ) -> None:
        require(every_images > 0, f"--grid-every {every_images}: must be greater than 0")
        self._run, self._card, self._easel = run, card, easel(card, spec, count, caption, modes)
        self._data_name, self._every, self._seed, self._kind = data_name, every_images, seed, spec.kind
        self._onlookers = tuple(onlookers)
        self._drawn = -1  # number of the last interval that was drawn; one cut short by a signal is drawn after the resume

    def start(self, trainer: "Trainer") -> None:
        self._easel.look(trainer.examples)
        self._draw_if_due(trainer)

    def after_step(self, trainer: "Trainer", row: Row | None) -> Verdict:
        self._draw_if_due(trainer)
        return Verdict.GO_ON

    def finish(self, trainer: "Trainer", outcome: str) -> None:
        if outcome == "interrupted":
            return
        samples = self._samples(trainer)
        self._save(self._easel.samples(samples, self._title(trainer), final=False), frame_name(trainer.images))
        self._save(self._easel.samples(samples, self._title(trainer), final=True), GRID)
        trainer.signals.poll()
        self._interpolation(trainer)

    def state(self) -> dict[str, Any]:
        return {"drawn": self._drawn}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._drawn = int(state["drawn"])

    def _draw_if_due(self, trainer: "Trainer") -> None:
        interval = trainer.images // self._every
        if interval > self._drawn and not (trainer.done and trainer.images):  # the end has its own pictures
            self._save(self._easel.samples(self._samples(trainer), self._title(trainer), final=False), frame_name(trainer.images))
            self._drawn = interval

    def _samples(self, trainer: "Trainer") -> Tensor:
        at, signals = trainer.machine.device, trainer.signals
        model, count, labels = trainer.averaged.model, self._easel.count, self._easel.labels
        found = draw(model, self._card, count, seed=self._seed, labels=labels, sources=trainer.examples, device=at, poll=signals.poll)
        self._easel.study(model, found, self._seed, at)
        for onlooker in self._onlookers:
            onlooker(trainer, found)
        return found

    def _interpolation(self, trainer: "Trainer") -> None:
        model = trainer.averaged.model
        if not walks(model, self._card):
            return
        (rows, steps), at = self._easel.paths, trainer.machine.device
        samples = interpolate(model, rows=rows, steps=steps, seed=self._seed, labels=self._easel.path_labels, device=at)
        self._save(self._easel.interpolation(samples, self._title(trainer)), INTERPOLATION)

    def _title(self, trainer: "Trainer") -> str:
        return f"{self._card.title}, {self._data_name}: {trainer.images:,} {self._kind} seen, seed {self._seed}"

    def _save(self, picture: "Image", name: str) -> None:
        save_picture(picture, self._run / SAMPLES / name)


def walks(model: object, card: Card) -> bool:
    """Whether there are paths between codes to draw: of a model with codes that is asked for nothing, or for labels."""
    return isinstance(model, Latent) and set(card.conditions) <= {"labels"}


def save_bytes(content: bytes, path: Path) -> None:
    """Write a file beside its place and rename it there."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise GanvasError(f"{path}: cannot be written ({error})") from error
