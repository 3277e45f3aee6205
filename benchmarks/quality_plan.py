"""What `benchmarks/quality.py` measures: which models on which data, for how long, with how many seeds; and the figures that are kept."""

import itertools
import json
import os
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.engine.config import RunConfig
from ganvas.engine.devices import cards
from ganvas.models.pacgan import PRESETS as PACKED
from ganvas.parts.divergences import DIVERGENCES

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GANVAS_DATA", ROOT / "../../shared/data")).resolve()
KEPT, PAGE = ROOT / "results" / "quality.json", ROOT / "results" / "quality.md"
RUNS = Path("runs") / "quality"

LENGTHS = {
    "vae": 1_200_000,
    "progan": 200_000,
    "pixelcnn": 300_000,
    "infogan": 640_000,
    "biggan": 300_000,
    "projection": 200_000,
}
"""Images of a full run; 600,000 for the others."""
FAMILY = ("lsgan", "fgan", "wgan", "ebgan", "began", "dragan", "relativistic", "cgan", "acgan", "infogan", "improved_gan", "bsgan")
"""Also run with three seeds at a fifth of the full length."""
COLOUR, EARLY = "cifar10.zip", 40_000
"""What the stabilised models learn, and after how many images they are measured for the first time."""
MODERN, BESIDE = "r3gan", ("dcgan", "sngan")
"""Compared at equal images and, in the median of `MODERN`'s, at equal minutes."""
POINTS = ("ring", "grid", "two-cities")
FEW, ALONE = "few:100:mnist", "classifier"
ON_POINTS = ("gan", "wgan_gp", "lsgan", "fgan", "wgan", "ebgan", "dragan", "relativistic", "improved_gan", "modular", "bigan", "pacgan")
CITIES, LINEAR = POINTS[2], {"generator_widths": (), "z": 1, "critic_widths": (64, 64), "penalty_weight": 0.0}
"""Points of one number, and an f-GAN whose samples are one Gaussian, which has to stand for both."""
PACKS = PACKED["quick-points"]
CARD = "on a card"
_WIDE = {"batch": 128, "width": 128, "discriminator_width": 128, "discriminator_steps": 2, "decay_from": 0.6}
_RATES = {"lr_generator": 5e-4, "lr_discriminator": 5e-4}
_LONG = {"images": 10_000_000, "burn_in": 1.0, "lr": [8e-4, 5e-5], "gamma": [0.2, 0.02], "ema_half_life": 50_000.0}
ON_CARDS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "sngan": ("paper", 2.7, {**_WIDE, **_RATES, "codes": 1, "ema_half_life": 20_000.0}),
    "biggan": ("paper-32", 2.7, {**_WIDE, **_RATES, "ema_decay": 0.998, "ema_start": 50_000}),
    "r3gan": ("paper", 2.1, {**_LONG, "batch": 128, "width": 96, "most": 192}),
}
"""Where this machine has a CUDA device: preset, minutes, and the fields that differ, as the presets are for hours."""
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "pacgan": {"m = 1": {"packing": 1, "batch": PACKS.batch // PACKS.packing, "images": PACKS.images // PACKS.packing}},
    "fgan": {name: {"divergence": name} for name in DIVERGENCES if name != "kl"},
    "acgan": {"guarded": {"class_weight_generator": 0.1, "classify_fakes": False}},
    **{model: {CARD: fields} for model, (_, _, fields) in ON_CARDS.items()},
}
"""What else is measured of a model than its preset: the name of it in tables, and the fields that differ."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: of images and minutes None, the preset's length. `early`: it is also measured as it was after so many images."""

    model: str
    data: str
    images: int | None = None
    minutes: float | None = None
    seed: int = 0
    preset: str = "quick"
    early: int | None = None
    variant: str = ""
    """One of `VARIANTS`, or none."""

    @property
    def name(self) -> str:
        length = "minutes" if self.minutes is not None else self.images or "preset"
        return "-".join([self.model, *words(self.variant), *words(self.data), str(length), str(self.seed)])

    @property
    def config(self) -> dict[str, Any]:
        return (VARIANTS[self.model][self.variant] if self.variant else {}) | (LINEAR if self.data == CITIES else {})

    @property
    def options(self) -> RunConfig:
        kept: dict[str, Any] = {} if self.early is None else {"save_every": self.early, "keep": 1_000}
        if self.variant == CARD:
            kept |= {"device": "cuda", "threads": 2}
        return RunConfig(images=self.images, minutes=self.minutes, seed=self.seed, **kept)

    @property
    def source(self) -> str:
        *few, name = self.data.rsplit(":", 1)
        return name if name in POINTS else ":".join([*few, str(DATA / name)])


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured of one run."""

    model: str
    data: str
    preset: str
    images: int
    seed: int
    minutes: float
    machine: str
    values: dict[str, float]
    asked: str = "images"
    """What the length was given in: images or minutes."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.model, self.data, self.images if self.asked == "images" else -1, self.seed


def kept() -> dict[tuple[str, str, int, int], Figure]:
    """The figures of earlier runs, by model, data, images and seed."""
    stored = json.loads(KEPT.read_text()) if KEPT.exists() else []
    figures = [Figure(**one) for one in stored]
    return {one.key: one for one in figures}


def plans() -> Iterator[Plan]:
    for model in ("vae", "gan", "wgan_gp", "dcgan", "progan", "pixelcnn", *FAMILY):
        yield Plan(model=model, data="mnist", images=LENGTHS.get(model, 600_000))
    yield from (Plan(model="infogan", data="mnist", images=LENGTHS["infogan"], seed=seed) for seed in (1, 2))
    yield Plan(model="acgan", data="mnist", images=600_000, variant="guarded")
    yield Plan(model="dcgan", data="fashion-mnist", images=600_000)
    yield Plan(model="projection", data="mnist", images=LENGTHS["projection"])
    yield from (Plan(model=model, data=COLOUR, images=600_000, early=EARLY) for model in ("sngan", "sagan"))
    yield Plan(model="biggan", data=COLOUR, images=LENGTHS["biggan"])
    if cards():
        for model, (preset, minutes, _) in ON_CARDS.items():
            yield Plan(model=model, data=COLOUR, minutes=minutes, preset=preset, variant=CARD)
    for seed in range(3):
        yield from (Plan(model=model, data="mnist", images=120_000, seed=seed) for model in (MODERN, *BESIDE))
    if spent := [one.minutes for one in kept().values() if (one.model, one.data, one.images) == (MODERN, "mnist", 120_000)]:
        for seed in range(3):
            yield from (Plan(model=model, data="mnist", minutes=statistics.median(spent), seed=seed) for model in BESIDE)
    yield Plan(model="improved_gan", data=FEW, images=600_000, preset="quick-few")
    yield Plan(model="triplegan", data=FEW, images=600_000)
    for model in FAMILY:
        yield from (Plan(model=model, data="mnist", images=LENGTHS.get(model, 600_000) // 5, seed=seed) for seed in range(3))
    yield from (Plan(model="acgan", data="mnist", images=120_000, seed=seed, variant="guarded") for seed in range(3))
    for data, seed in itertools.product(("ring", "grid"), range(3)):
        yield from (Plan(model=model, data=data, seed=seed) for model in ON_POINTS)
        yield Plan(model="pacgan", data=data, seed=seed, variant="m = 1")
    yield from (Plan(model="fgan", data="grid", variant=divergence) for divergence in VARIANTS["fgan"])
    for seed in range(5):
        yield from (Plan(model="fgan", data=CITIES, images=300_000, seed=seed, variant=divergence) for divergence in ("", "reverse-kl"))


def words(text: str) -> list[str]:
    """What a name of a folder can have of it."""
    return re.findall(r"[\w.-]+", text)


def variant(model: str, config: dict[str, Any]) -> str:
    """Which of the model's variants it is, whatever its length, or none."""
    for name, fields in VARIANTS.get(model, {}).items():
        if all(config[field] == value for field, value in fields.items() if field != "images"):
            return name
    return ""
