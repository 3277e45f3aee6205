"""Image sets too large to live decoded in memory: each batch is read and decoded by a few threads, the next one while a model computes.

A batch is a function of its indices, whoever decoded it and when. A file that was lost since the survey is replaced by the next example, in
the order of the set, that can still be read; each is named once, and too many end the run.
"""

import hashlib
import json
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from ganvas.data.batch import Batch
from ganvas.data.decode import Decoder, Pixels, Unusable, channels, fit
from ganvas.data.examples import About, Examples, count_labels, to_floats
from ganvas.data.stores import Gone, Store
from ganvas.data.survey import Record, digest_of
from ganvas.data.threads import count
from ganvas.data.words import counted, shown
from ganvas.errors import GanvasError, TrainingStopped

MOST_LOST = 0.01
"""Share of a set's files that may get lost while it is in use; one file always may."""


@dataclass(frozen=True)
class Plan:
    """The size that all images of a source are brought to; with `halves`, either half to half of the width."""

    height: int
    width: int
    channels: int
    halves: bool = False


class Lost(Exception):
    """A file that was usable when it was surveyed is not any more. The message is the reason."""


@final
class Loader:
    """Reads one surveyed file as uint8 (H, W, C) of the plan's size."""

    def __init__(self, source: str, store: Store, decoder: Decoder, plan: Plan) -> None:
        self.source, self._store, self._decoder, self.plan = source, store, decoder, plan

    def load(self, record: Record) -> Pixels:
        """`GanvasError` names the file if it vanished or changed after the survey."""
        try:
            return self.fetch(record)
        except Lost as error:
            raise GanvasError(
                f"'{shown(record.name)}' of '{self.source}' was usable when the data were scanned, but now it {error}: "
                "put it back, or start again"
            ) from None

    def fetch(self, record: Record) -> Pixels:
        """As `load`, with `Lost` as the error."""
        try:
            data = self._store.read(record.name)
            if digest_of(data) != record.digest:
                raise Unusable("has other content")
            return self.shape(self._decoder.decode(data).pixels)
        except (Unusable, Gone) as error:
            raise Lost(str(error)) from None

    def shape(self, pixels: Pixels) -> Pixels:
        """Pixels (H, W) or (H, W, 3) of any size, as the plan has them."""
        plan = self.plan
        if not plan.halves:
            return channels(fit(pixels, plan.height, plan.width), plan.channels)
        middle = pixels.shape[1] // 2  # of an odd width, the column in the middle belongs to neither half
        sides = (np.ascontiguousarray(pixels[:, :middle]), np.ascontiguousarray(pixels[:, -middle:]))
        return channels(np.concatenate([fit(side, plan.height, plan.width // 2) for side in sides], axis=1), plan.channels)


@final
class StreamedImages(Examples):
    """Images decoded when a batch asks for them, or when it is expected; only those are in memory.

    `records`, `labels` (N,) and `attributes` (N, A) stand in the same order.
    """

    def __init__(
        self,
        about: About,
        loader: Loader,
        records: Sequence[Record],
        labels: Tensor | None,
        device: torch.device | None = None,
        attributes: Tensor | None = None,
    ) -> None:
        super().__init__(about)
        self._loader, self._records, self._labels, self._attributes = loader, records, labels, attributes
        self._device = device or torch.device("cpu")
        # Threads that decode while others compute have no warning filters of their own: Pillow's harmless oddities are silenced for all.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        self._pool = ThreadPoolExecutor(count(), thread_name_prefix="ganvas-data")
        self._coming: dict[int, Future[Pixels]] = {}
        self._lost: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._records)

    @property
    def fingerprint(self) -> str:
        labels = None if self._labels is None else self._labels.tolist()
        content = [self.spec.to_json(), [record.digest for record in self._records], labels]
        if self._attributes is not None:
            content.append(self._attributes.tolist())
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def expect(self, indices: Tensor) -> None:
        wanted = dict.fromkeys(indices.tolist())
        for left in [index for index in self._coming if index not in wanted]:
            self._coming.pop(left).cancel()
        for index in wanted:
            self._begin(index)

    def _begin(self, index: int) -> Future[Pixels]:
        if index not in self._coming:
            self._coming[index] = self._pool.submit(self._loader.fetch, self._records[index])
        return self._coming[index]

    def _stand_in(self, index: int) -> int:
        """`index`, or the first after it whose file can be read."""
        while True:
            if index not in self._lost:
                try:
                    self._begin(index).result()
                    return index
                except Lost as error:
                    self._lose(index, str(error))
            index = (index + 1) % len(self)

    def _lose(self, index: int, reason: str) -> None:
        del self._coming[index]
        self._lost[index] = reason
        name = f"'{shown(self._records[index].name)}' of '{self._loader.source}'"
        if len(self._lost) > max(1, MOST_LOST * len(self)):
            raise TrainingStopped(
                f"{counted(len(self._lost), 'file')} of {len(self):,} got lost while in use, more than {MOST_LOST:.0%}; the last, {name}, "
                f"{reason}: put the files back and resume, or start again without them"
            )
        print(f"WARNING: {name} was usable but now {reason}: the next example stands in for it", file=sys.stderr, flush=True)

    def standing(self, indices: Tensor) -> Tensor:
        for index in indices.tolist():  # all are begun before the first is waited for
            if index not in self._lost:
                self._begin(index)
        return torch.tensor([self._stand_in(index) for index in indices.tolist()], dtype=torch.int64)

    def batch(self, indices: Tensor) -> Batch:
        rows = self.standing(indices)
        pixels = torch.from_numpy(np.stack([self._coming[row].result() for row in rows.tolist()])).to(self._device, non_blocking=True)
        for row in rows.tolist():
            self._coming.pop(row, None)
        views = {"images": to_floats(pixels)}
        if self._labels is not None:
            views["labels"] = self._labels[rows].to(self._device)
        if self._attributes is not None:
            views["attributes"] = self._attributes[rows].to(self._device).float()
        return Batch(views)

    def to(self, device: torch.device) -> "StreamedImages":
        return StreamedImages(self._about, self._loader, self._records, self._labels, device, self._attributes)

    def label_counts(self) -> tuple[int, ...]:
        return count_labels(self._labels, len(self.spec.classes))
