"""Image sets too large to live decoded in memory: each batch is read and decoded by a few threads."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from ganvas.data.batch import Batch
from ganvas.data.decode import Decoder, Pixels, Unusable, channels, fit, quiet
from ganvas.data.examples import About, Examples, count_labels, to_floats
from ganvas.data.stores import Gone, Store
from ganvas.data.survey import Record, digest_of
from ganvas.data.threads import count
from ganvas.data.words import shown
from ganvas.errors import GanvasError


@dataclass(frozen=True)
class Plan:
    """The size that all images of a source are brought to."""

    height: int
    width: int
    channels: int


@final
class Loader:
    """Reads one surveyed file as uint8 (H, W, C) of the plan's size."""

    def __init__(self, source: str, store: Store, decoder: Decoder, plan: Plan) -> None:
        self._source, self._store, self._decoder, self.plan = source, store, decoder, plan

    def load(self, record: Record) -> Pixels:
        """`GanvasError` names the file if it vanished or changed after the survey."""
        try:
            data = self._store.read(record.name)
            if digest_of(data) != record.digest:
                raise Unusable("has other content")
            return self.shape(self._decoder.decode(data).pixels)
        except (Unusable, Gone) as error:
            raise GanvasError(
                f"'{shown(record.name)}' of '{self._source}' was usable when the data were scanned, but now it {error}: "
                "put it back, or start again"
            ) from None

    def shape(self, pixels: Pixels) -> Pixels:
        """Pixels (H, W) or (H, W, 3) of any size, as the plan has them."""
        return channels(fit(pixels, self.plan.height, self.plan.width), self.plan.channels)


@final
class StreamedImages(Examples):
    """Images decoded when a batch asks for them; only that batch is in memory. `records` and `labels` (N,) stand in the same order."""

    def __init__(
        self,
        about: About,
        loader: Loader,
        records: Sequence[Record],
        labels: Tensor | None,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(about)
        self._loader, self._records, self._labels = loader, records, labels
        self._device = device or torch.device("cpu")
        self._pool = ThreadPoolExecutor(count(), thread_name_prefix="ganvas-data")

    def __len__(self) -> int:
        return len(self._records)

    @property
    def fingerprint(self) -> str:
        labels = None if self._labels is None else self._labels.tolist()
        content = [self.spec.to_json(), [record.digest for record in self._records], labels]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        with quiet():
            decoded = list(self._pool.map(self._loader.load, [self._records[i] for i in indices.tolist()]))
        pixels = torch.from_numpy(np.stack(decoded)).to(self._device, non_blocking=True)
        views = {"images": to_floats(pixels)}
        if self._labels is not None:
            views["labels"] = self._labels[indices].to(self._device)
        return Batch(views)

    def to(self, device: torch.device) -> "StreamedImages":
        return StreamedImages(self._about, self._loader, self._records, self._labels, device)

    def label_counts(self) -> tuple[int, ...]:
        return count_labels(self._labels, len(self.spec.classes))
