"""What a model is told about its data (`DataSpec`), and what it is handed at every step (`Batch`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor

from ganvas.errors import GanvasError, require

_OPTIONAL = ("domains", "aligned", "single", "attributes", "palette")


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The shape and meaning of one sample; everything a model may know about data before it sees any.

    `shape` is (C, H, W) for images in [-1, 1], (D,) for points, (T,) for tokens. Points are standardised: a point in the data's own
    units is `offset + scale * x`. `views` names further tensors of a batch with the shape of one sample of each: `target` is the
    second of two `domains`, whose i-th sample belongs to the i-th of the first where the data are `aligned`. `single` data are one image.
    The view `attributes` has one number, 0 or 1, for each of the named `attributes`. Where `images` are label maps, `palette` holds the
    colours of their classes as bytes (K of C numbers each).
    """

    kind: Literal["images", "points", "tokens"]
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    views: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    domains: tuple[str, ...] = ()
    aligned: bool = False
    single: bool = False
    attributes: tuple[str, ...] = ()
    palette: tuple[tuple[int, ...], ...] = ()

    def has(self, need: str) -> bool:
        """Whether the data provide what a card's `needs` asks for: labels, aligned pairs, a single image, label maps, or a view."""
        facts = {"labels": bool(self.classes), "aligned": self.aligned, "single": self.single, "palette": bool(self.palette)}
        return facts[need] if need in facts else need in self.views

    def native(self, samples: Tensor) -> Tensor:
        """Samples as users keep them: images (N, C, H, W) in [-1, 1] become uint8 (N, H, W, C); points return to their own units."""
        if self.kind == "images":
            bytes_ = samples.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
            return bytes_.permute(0, 2, 3, 1).contiguous()
        if self.kind == "points" and self.scale:
            points = samples.detach().float()
            return points * points.new_tensor(self.scale) + points.new_tensor(self.offset)
        return samples.detach()

    def to_json(self) -> dict[str, Any]:
        """Plain values; what only some data have is left out where it is unset."""
        return {name: value for name, value in asdict(self).items() if value or name not in _OPTIONAL}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "DataSpec":
        """The inverse of `to_json`; lists become tuples again. Raises `GanvasError` for anything else, by the name of the entry."""
        from pydantic import TypeAdapter, ValidationError

        unknown = sorted(stored.keys() - {one.name for one in fields(DataSpec)})
        require(not unknown, f"the description of the data has unknown entries: {', '.join(unknown)}")
        try:
            spec = TypeAdapter(DataSpec).validate_python(dict(stored))
        except ValidationError as error:
            first = error.errors()[0]
            raise GanvasError(f"the description of the data: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        sizes = [*spec.shape, *(size for shape in spec.views.values() for size in shape)]
        good = bool(spec.shape) and 0 < min(sizes) and max(sizes) < 2**31
        require(good, f"the description of the data: shape {spec.shape} must be of numbers above 0")
        return spec


@dataclass(frozen=True)
class Batch:
    """Named tensors of one step; the first axis of each is the batch.

    Standard names: `images` (B, C, H, W) in [-1, 1], `points` (B, D), `tokens` (B, T) int64, `labels` (B,) int64,
    `attributes` (B, A) float32 of 0 and 1. Others are declared by the data's `DataSpec.views`.
    """

    views: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.views:
            raise GanvasError(f"the batch has no '{name}' (it has: {', '.join(self.views)}): this model needs data that provides it")
        return self.views[name]

    def __contains__(self, name: str) -> bool:
        return name in self.views

    @property
    def size(self) -> int:
        return len(next(iter(self.views.values())))

    @property
    def images(self) -> Tensor:
        return self["images"]

    @property
    def points(self) -> Tensor:
        return self["points"]

    @property
    def labels(self) -> Tensor:
        return self["labels"]

    @property
    def tokens(self) -> Tensor:
        return self["tokens"]

    def part(self, index: int, parts: int) -> "Batch":
        """The `index`-th of `parts` equal slices (of ranks and micro-batches)."""
        require(self.size % parts == 0, f"a batch of {self.size} cannot be cut into {parts} equal parts: change --config.batch")
        rows = self.size // parts
        return Batch({name: view[index * rows : (index + 1) * rows] for name, view in self.views.items()})
