"""Generated points whose truth is known: rings and grids of Gaussians, a spiral, the temperatures of two cities.

The ring and the grid are those on which mode collapse is counted (Srivastava et al. 2017, "VEEGAN", section 5.1; Lin et al. 2018,
"PacGAN", section 4.1): 8 Gaussians on a circle of radius 1 with sigma 0.01, and 25 on {-4, -2, 0, 2, 4}^2 with sigma 0.05. The spiral is
the swiss roll of Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", section 2. Points are standardised by fixed constants,
mean and standard deviation of each law per axis (rounded for the spiral).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import torch
from torch import Generator, Tensor

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryPoints
from ganvas.data.source import Request, Scan, Source, split_counts
from ganvas.data.words import number, shape_of
from ganvas.errors import require

_SIZES = {"train": 100_000, "test": 10_000}
_SEEDS = {"train": 20140610, "test": 20140611}


@dataclass(frozen=True)
class Modes:
    """Equally likely isotropic Gaussians in the data's own units: `centres` (K, D) and their common standard deviation."""

    centres: Tensor
    sigma: float


@dataclass(frozen=True, kw_only=True)
class _Law:
    """A distribution of points: what it is, a draw of n points in its own units, and how points are standardised."""

    title: str
    draw: Callable[[int, Generator], Tensor]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    modes: Callable[[], Modes] | None = None


def _ring() -> Modes:
    angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    return Modes(torch.stack([angles.cos(), angles.sin()], dim=1).float(), 0.01)


def _grid() -> Modes:
    axis = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0])
    return Modes(torch.cartesian_prod(axis, axis), 0.05)


def _two_cities() -> Modes:
    return Modes(torch.tensor([[5.0], [25.0]]), 3.0)


def _mixture(modes: Callable[[], Modes]) -> Callable[[int, Generator], Tensor]:
    def draw(n: int, generator: Generator) -> Tensor:
        law = modes()
        component = torch.randint(len(law.centres), (n,), generator=generator)
        return law.centres[component] + law.sigma * torch.randn(n, law.centres.shape[1], generator=generator)

    return draw


def _spiral(n: int, generator: Generator) -> Tensor:
    angle = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))
    return angle[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1) + 0.25 * torch.randn(n, 2, generator=generator)


_LAWS: Mapping[str, _Law] = MappingProxyType(
    {
        # Per axis, a circle of radius 1 has variance 1/2, five points at spacing 2 have variance 8, two cities 10 from their mean 100 + 9.
        "ring": _Law(
            title="8 Gaussians on a circle of radius 1, sigma 0.01",
            draw=_mixture(_ring),
            offset=(0.0, 0.0),
            scale=(math.sqrt(0.5), math.sqrt(0.5)),
            modes=_ring,
        ),
        "grid": _Law(
            title="25 Gaussians on a 5 x 5 grid of spacing 2, sigma 0.05",
            draw=_mixture(_grid),
            offset=(0.0, 0.0),
            scale=(math.sqrt(8), math.sqrt(8)),
            modes=_grid,
        ),
        "spiral": _Law(
            title="a swiss roll of one and a half turns out to radius 14, noise 0.25",
            draw=_spiral,
            offset=(2.0, 0.2),
            scale=(6.8, 6.8),
        ),
        "two-cities": _Law(
            title="temperatures of two cities in degrees Celsius, means 5 and 25, sigma 3",
            draw=_mixture(_two_cities),
            offset=(15.0,),
            scale=(math.sqrt(109),),
            modes=_two_cities,
        ),
    }
)

NAMES = tuple(_LAWS)


def modes(source: str) -> Modes | None:
    """The Gaussians that a built-in set of points is a mixture of, in native units; None where it is not a mixture (or not built in)."""
    law = _LAWS.get(source)
    return law.modes() if law is not None and law.modes is not None else None


@final
class PointSource(Source):
    """One of `NAMES`: 100,000 points to train on and 10,000 to test on, each from its own fixed seed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._law = _LAWS[name]

    def splits(self) -> tuple[str, ...]:
        return ("train", "test")

    def open(self, split: str, request: Request) -> MemoryPoints:
        require(request.resolution is None, f"'{self.name}' is a set of points and has no pixels: leave out --resolution")
        drawn = self._law.draw(_SIZES[split], Generator().manual_seed(_SEEDS[split]))
        offset, scale = self._law.offset, self._law.scale
        spec = DataSpec(kind="points", shape=(len(offset),), offset=offset, scale=scale)
        note = f"data: {self.name} ({self._law.title}), split {split}: {number(len(drawn))} {shape_of(spec)}"
        points = (drawn - drawn.new_tensor(offset)) / drawn.new_tensor(scale)
        return MemoryPoints(About(spec=spec, split=split, notes=(note,)), points)

    def scan(self, request: Request) -> Scan:
        opened = {split: self.open(split, request) for split in self.splits()}
        return Scan(
            source=self.name,
            kind=f"points, generated: {self._law.title}",
            spec=opened["train"].spec,
            splits=split_counts(opened),
            conversions=("points are standardised by fixed constants (spec.offset, spec.scale)",),
        )
