"""A user's own `torch.utils.data.Dataset` as a source.

An item is an image or a pair (image, label). An image is

- a torch tensor (C, H, W) or (H, W): floating point in [-1, 1], or uint8 in 0 .. 255;
- a NumPy array (H, W, C) or (H, W) of uint8;
- a Pillow image of any mode but F;

with C 1 or 3, all of one size unless a resolution is asked for. A label is a whole number from 0; classes are "0" to the highest label.
The set is read once, in order, and kept with 8 bits a channel, as all images are; random transforms are therefore frozen. A set too
large for that is checked once and then asked for the items of each batch.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from ganvas.data.arrays import resize_line
from ganvas.data.batch import Batch, DataSpec
from ganvas.data.decode import Pixels, Unusable, channels, fit, quiet, upright
from ganvas.data.examples import About, Examples, MemoryImages, count_labels, to_floats
from ganvas.data.source import SMALLEST, UNDIVIDED, Request, Scan, Source, split_counts, top
from ganvas.data.words import class_line, counted, shape_of
from ganvas.errors import GanvasError, require

_MOST_CLASSES = 100_000
_MARGIN = 1e-3  # rounding that is forgiven beyond [-1, 1]


@final
class _Items:
    """Items of a data set as (uint8 pixels (H, W, C), label or None), checked one by one."""

    def __init__(self, dataset: Dataset[Any], resolution: int | None) -> None:
        self._dataset, self._resolution = dataset, resolution
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.least_float: float | None = None

    def __getitem__(self, index: int) -> tuple[Pixels, int | None]:
        item = self._dataset[index]
        image, label = item, None
        if isinstance(item, tuple | list):
            require(
                1 <= len(item) <= 2, f"item {index} of the data set has {len(item)} parts: an item is an image or a pair (image, label)"
            )
            image, label = item[0], _label(item[1], index) if len(item) == 2 else None
        try:
            pixels = self._pixels(image)
        except Unusable as error:
            raise GanvasError(f"item {index} of the data set {error}") from None
        height, width = pixels.shape[:2]
        least = f"{SMALLEST} x {SMALLEST} is the least"
        require(min(height, width) >= SMALLEST, f"item {index} of the data set has {width} x {height} pixels: {least}")
        self.sizes[width, height] += 1
        if self._resolution is not None:
            pixels = fit(pixels, self._resolution, self._resolution)
        return channels(pixels, 1 if pixels.ndim == 2 else 3), label

    def _pixels(self, image: Any) -> Pixels:
        """(H, W) or (H, W, 3) uint8."""
        if isinstance(image, Image.Image):
            return upright(image).pixels
        if isinstance(image, Tensor):
            array = self._bytes(image.detach().cpu()).numpy()
            array = array.transpose(1, 2, 0) if array.ndim == 3 else array
        elif isinstance(image, np.ndarray):
            array = image
            if array.dtype != np.uint8:
                raise Unusable(f"is a NumPy array of {array.dtype}: return uint8 in 0 .. 255, or a torch tensor of floats in [-1, 1]")
        else:
            raise Unusable(f"is a {type(image).__name__}: return a torch tensor, a NumPy array or a Pillow image, or a pair (image, label)")
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
            wanted = "tensors (C, H, W) or arrays (H, W, C) with 1 or 3 channels"
            raise Unusable(f"has shape {tuple(image.shape)}: images are {wanted}")
        return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else np.ascontiguousarray(array)

    def _bytes(self, image: Tensor) -> Tensor:
        if image.dtype == torch.uint8:
            return image
        if not image.is_floating_point():
            raise Unusable(f"is a tensor of {image.dtype}: return uint8 in 0 .. 255, or floats in [-1, 1]")
        low, high = (float(bound) for bound in torch.aminmax(image.float()))
        if not (low >= -1 - _MARGIN and high <= 1 + _MARGIN):  # also when a value is not a number
            raise Unusable(f"has floats from {low:g} to {high:g}: return floats in [-1, 1], or uint8 in 0 .. 255")
        self.least_float = low if self.least_float is None else min(low, self.least_float)
        return image.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def _label(label: Any, index: int) -> int:
    whole = isinstance(label, int | np.integer) or (isinstance(label, Tensor | np.ndarray) and label.ndim == 0)
    number = int(label) if whole else -1
    require(
        0 <= number < _MOST_CLASSES and number == label,
        f"item {index} of the data set has the label {str(label)[:40]}: labels are whole numbers from 0 to {_MOST_CLASSES - 1:,}",
    )
    return number


@final
class _Read:
    """One pass over a data set: its pixels where they fit in memory, its labels, and a hash of both."""

    def __init__(self, dataset: Dataset[Any], n: int, request: Request) -> None:
        self.items = _Items(dataset, request.resolution)
        self.first, label = self.items[0]
        self.frozen = not np.array_equal(self.first, self.items[0][0])
        self.items.sizes.clear()
        fits = n * self.first.nbytes <= request.memory
        self.pixels: NDArray[np.uint8] | None = np.empty((n, *self.first.shape), np.uint8) if fits else None
        self.labels: NDArray[np.int64] | None = np.empty(n, np.int64) if label is not None else None
        self._hash = hashlib.sha256()
        request.progress.start(n, "reading the data set")
        try:
            for index in range(n):
                self._add(index)
                request.progress.advance()
        finally:
            request.progress.close()
        require(
            self.items.least_float is None or self.items.least_float < 0,
            "the data set's floats are read as in [-1, 1], but none is below 0: if they lie in [0, 1], return `2 * image - 1`, or uint8",
        )

    def _add(self, index: int) -> None:
        pixels, label = self.items[index]
        if pixels.shape != self.first.shape:
            raise GanvasError(
                f"item {index} of the data set has shape {pixels.shape} (height, width, channels), item 0 {self.first.shape}: "
                "make them equal, or ask for a resolution"
            )
        require((label is not None) == (self.labels is not None), f"item {index} of the data set differs from item 0 in having a label")
        if self.pixels is not None:
            self.pixels[index] = pixels
        else:
            self._hash.update(pixels.tobytes())
        if self.labels is not None and label is not None:
            self.labels[index] = label

    def digest(self) -> str:
        return self._hash.hexdigest()


@final
class _StreamedItems(Examples):
    """A data set too large for memory, asked item by item; `digest` is the hash of all pixels as they were read once."""

    def __init__(self, about: About, items: _Items, n: int, labels: Tensor | None, digest: str, device: torch.device | None = None) -> None:
        super().__init__(about)
        self._items, self._n, self._labels, self._digest = items, n, labels, digest
        self._device = device or torch.device("cpu")

    def __len__(self) -> int:
        return self._n

    @property
    def fingerprint(self) -> str:
        labels = None if self._labels is None else self._labels.tolist()
        return hashlib.sha256(json.dumps([self.spec.to_json(), self._digest, labels], sort_keys=True).encode("ascii")).hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        with quiet():
            pixels = torch.from_numpy(np.stack([self._items[i][0] for i in indices.tolist()])).to(self._device)
        views = {"images": to_floats(pixels)}
        if self._labels is not None:
            views["labels"] = self._labels[indices].to(self._device)
        return Batch(views)

    def to(self, device: torch.device) -> "_StreamedItems":
        return _StreamedItems(self._about, self._items, self._n, self._labels, self._digest, device)

    def label_counts(self) -> tuple[int, ...]:
        return count_labels(self._labels, len(self.spec.classes))


@final
class UserSource(Source):
    """One undivided set of images; see the head of this file for what its items may be."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        super().__init__(type(dataset).__name__)
        self._dataset = dataset
        if isinstance(dataset, IterableDataset):
            raise GanvasError(f"'{self.name}' is an IterableDataset: a data set with a length and numbered items is needed")
        try:
            self._n = len(dataset)  # type: ignore[arg-type]
        except TypeError:
            raise GanvasError(f"'{self.name}' has no length: give it a `__len__`") from None
        require(self._n > 0, f"'{self.name}' is empty: at least one image is needed")

    def splits(self) -> tuple[str, ...]:
        return (UNDIVIDED,)

    def open(self, split: str, request: Request) -> Examples:
        with quiet():
            return self._opened(_Read(self._dataset, self._n, request), split)

    def _opened(self, read: _Read, split: str) -> Examples:
        classes = () if read.labels is None else tuple(str(label) for label in range(int(read.labels.max()) + 1))
        height, width, depth = read.first.shape
        spec = DataSpec(kind="images", shape=(depth, height, width), classes=classes)
        labels = None if read.labels is None else torch.from_numpy(read.labels)
        lines = [f"{self.name} (a data set handed over in Python): {counted(self._n, 'image')} of {shape_of(spec)}"]
        if labels is not None:
            lines.append(class_line(dict(zip(classes, count_labels(labels, len(classes)), strict=True))))
        lines += self._conversions(read, (width, height))
        if read.pixels is None:
            lines.append("its items are read again for each batch, for they do not fit into memory")
        about = About(spec=spec, split=split, notes=tuple(f"data: {line}" for line in lines))
        if read.pixels is None:
            return _StreamedItems(about, read.items, self._n, labels, read.digest())
        return MemoryImages(about, torch.from_numpy(read.pixels), labels)

    def _conversions(self, read: _Read, size: tuple[int, int]) -> Sequence[str]:
        moved = Counter({native: count for native, count in read.items.sizes.items() if native != size})
        lines = [resize_line(sum(moved.values()), moved, size)] if moved else []
        if read.items.least_float is not None:
            lines.append("floats in [-1, 1] are kept with 8 bits")
        if read.frozen:
            lines.append("item 0 differs from reading to reading (random transforms?): a resumed run may refuse it as other data")
        return lines

    def scan(self, request: Request) -> Scan:
        with quiet():
            read = _Read(self._dataset, self._n, request)
        opened = self._opened(read, UNDIVIDED)
        depth, height, width = opened.spec.shape
        return Scan(
            source=self.name,
            kind="images, a data set handed over in Python",
            spec=opened.spec,
            splits=split_counts({UNDIVIDED: opened}),
            sizes=top(read.items.sizes),
            modes={"L" if depth == 1 else "RGB": self._n},
            conversions=tuple(self._conversions(read, (width, height))),
        )
