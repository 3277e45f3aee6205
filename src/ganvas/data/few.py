"""`few:N:SOURCE`: the images of a labelled source, of which only N keep their labels: data for semi-supervised learning.

The N are equally many of each class, drawn by a fixed seed from the training split (or the undivided set), whose images all stay. Its
batches hold `images` without labels, and as many images of the few in `labelled` with their classes in `labelled_classes`, one-hot. What
stands in one row of `images` and `labelled` has nothing to do with each other, and there are no `labels`: a model that pairs images with
labels is refused instead of being told nonsense. The other splits are the source's own, with all their labels, for measuring; so is what
samples are compared with.
"""

from dataclasses import replace
from typing import final

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from ganvas.data import training
from ganvas.data.batch import Batch
from ganvas.data.examples import About, Examples, combined, count_labels, digest_of
from ganvas.data.training import TrainingPart, labels_of
from ganvas.data.words import counted
from ganvas.errors import GanvasError, require

PREFIX = "few:"
_SEED = 20160610


def divided(name: str) -> tuple[int, str]:
    """The number of labels and the source of `few:N:SOURCE`."""
    return training.divided(name, PREFIX, "labels", 100)


@final
class Few(Examples):
    """`whole`, labelled images, without its labels but for those of the examples `kept` (M,), which stand beside all others.

    Example i holds image i, and of the few the one that a fixed draw gave to i; each of the few was given to equally many examples.
    """

    def __init__(self, about: About, whole: Examples, kept: Tensor, labels: Tensor) -> None:
        super().__init__(about)
        self._whole, self._kept, self._labels = whole, kept, labels
        self._partner = torch.randperm(len(whole), generator=Generator().manual_seed(_SEED + 1)) % len(kept)

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def compared(self) -> Examples:
        return self._whole

    @property
    def kept(self) -> Tensor:
        """The numbers (M,) of the examples of `compared` whose labels are known."""
        return self._kept

    @property
    def fingerprint(self) -> str:
        return combined(self.spec, self._whole.fingerprint, digest_of(self._kept))

    def _few(self, indices: Tensor) -> Tensor:
        """Which of the few stand beside the examples `indices`, by their numbers in the whole."""
        return self._kept[self._partner[indices.cpu()]]

    def batch(self, indices: Tensor) -> Batch:
        images = self._whole.batch(indices).images
        few = self._whole.batch(self._few(indices))  # with its own labels: of a file lost meanwhile those of the one in its place
        classes = one_hot(few.labels, len(self.spec.classes)).float()
        return Batch({"images": images, "labelled": few.images, "labelled_classes": classes})

    def expect(self, indices: Tensor) -> None:
        self._whole.expect(torch.cat([indices, self._few(indices)]))

    def standing(self, indices: Tensor) -> Tensor:
        return self._whole.standing(indices)

    def to(self, device: torch.device) -> "Few":
        return Few(self._about, self._whole.to(device), self._kept, self._labels)

    def label_counts(self) -> tuple[int, ...]:
        return count_labels(self._labels, len(self.spec.classes))


def chosen(labels: Tensor, classes: tuple[str, ...], count: int, name: str) -> Tensor:
    """The numbers (count,), ascending, of equally many examples of each class, drawn by a fixed seed from labels (N,)."""
    each, rest = divmod(count, len(classes))
    down, up = each * len(classes), (each + 1) * len(classes)
    near = f"keep {down:,} or {up:,}" if down else f"keep {up:,}"
    require(rest == 0, f"'{name}': {counted(count, 'label')} cannot be shared equally by {len(classes):,} classes: {near}")
    order = torch.randperm(len(labels), generator=Generator().manual_seed(_SEED))
    shuffled, numbers = labels[order], []
    for number, word in enumerate(classes):
        found = order[shuffled == number][:each]
        if len(found) < each:
            raise GanvasError(f"'{name}': {each:,} of each class are kept, and class '{word}' has {counted(len(found), 'image')}")
        numbers.append(found)
    return torch.cat(numbers).sort().values


@final
class FewSource(TrainingPart):
    """Another source whose training split keeps few of its labels."""

    @property
    def said(self) -> str:
        return f"{counted(self._count, 'label')} are known"

    def cut(self, whole: Examples) -> Examples:
        spec = whole.spec
        labelled = spec.kind == "images" and len(spec.classes) >= 2 and not spec.views
        require(labelled, f"'{self.name}': labels are kept of images with at least 2 classes, and '{self._whole.name}' has none such")
        labels = labels_of(whole, torch.arange(len(whole)))
        kept = chosen(labels, spec.classes, self._count, self.name)
        views = {"labelled": spec.shape, "labelled_classes": (len(spec.classes),)}
        line = f"data: {self.name}: the labels of {counted(len(kept), 'image')} are known, {len(kept) // len(spec.classes):,} of each class"
        about = About(spec=replace(spec, views=views), split=whole.split, notes=(*whole.notes(), line), rejected=whole.rejected)
        return Few(about, whole, kept, labels[kept])
