"""Mode collapse in real runs: two cities between which a generator jumps, what cures it, and digits that lose their variety."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from docs.figures.drawing import DATA, INK, MODEL, QUIET, density, label, panels, save, tiles
from docs.figures.playing import Seen, play, samples
from torch import Tensor

from ganvas.data.open import open_data

_WEAK = {
    "batch": 64,
    "generator_widths": (32, 32),
    "discriminator_widths": (32, 32),
    "lr_generator": 5e-3,
    "lr_discriminator": 1e-3,
    "betas": (0.9, 0.999),
    "ema_half_life": None,
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A run that is shown: what is said of it, the model, the preset and what is changed in it."""

    title: str
    model: str
    preset: str
    config: dict[str, Any]


CITIES = (
    Setting(title="weak: G five times as fast as D", model="gan", preset="quick-points", config=_WEAK),
    Setting(
        title="rates swapped: D five times as fast",
        model="gan",
        preset="quick-points",
        config=_WEAK | {"lr_generator": 1e-3, "lr_discriminator": 5e-3},
    ),
    Setting(title="weak, but five steps of D", model="gan", preset="quick-points", config=_WEAK | {"critic_steps": 5}),
    Setting(title="wgan_gp", model="wgan_gp", preset="quick-points", config={"batch": 64, "width": 32, "ema_half_life": None}),
)


def cities(setting: Setting, steps: int, every: int) -> Seen:
    """A run on `two-cities` that looks at 1,000 standardised temperatures (1000, 1) every so many steps."""
    data = open_data("two-cities")
    return play(setting.model, setting.preset, data, steps=steps, at=range(0, steps + 1, every), look=samples(1_000), config=setting.config)


def warm(seen: Seen) -> list[float]:
    """The share of samples in the warm city at each look; its border is the middle between the cities, 0 when standardised."""
    return [float((look > 0).float().mean()) for look in seen.looks]


def jumps(shares: list[float]) -> int:
    """How often nearly all samples (over 90 %) went from one city to the other."""
    sides = [share > 0.5 for share in shares if abs(share - 0.5) > 0.4]
    return sum(before != after for before, after in pairwise(sides))


def flipflop(path: Path) -> str:
    """Figure 11: the share of samples in the warm city over training, in a weak setting and with three cures."""
    steps, every = 1_000, 10
    figure, axes = panels(4, rows=2, width=10.5, height=4.4, height_ratios=(1.3, 1))
    spec = open_data("two-cities").spec
    edges = np.linspace(-8, 38, 47)
    real = spec.native(open_data("two-cities", split="test").batch(torch.arange(5_000)).points).flatten().numpy()
    words = []
    for number, setting in enumerate(CITIES):
        seen = cities(setting, steps, every)
        shares = warm(seen)
        above, below = axes[number], axes[number + 4]
        above.axhline(0.5, color=QUIET, linewidth=1)
        above.plot(seen.steps, shares, color=MODEL if number == 0 else DATA, linewidth=1.2)
        above.set_ylim(-0.05, 1.05)
        label(above, setting.title, "generator updates", "samples in the warm city" if number == 0 else "")
        density(below, edges, real, QUIET, "data", fill=True)
        for look, colour, line in ((seen.looks[-5], DATA, "--"), (seen.looks[-1], MODEL, "-")):
            heights = np.histogram(spec.native(look).flatten().numpy(), edges)[0] / 1_000
            below.stairs(heights, edges, color=colour, linestyle=line, linewidth=1.3)
        below.set_ylim(0, 0.25)
        label(below, "", "degrees", "density" if number == 0 else "")
        late = shares[len(shares) // 2 :]
        words.append(f"{setting.title}: {jumps(shares)} jumps, share {min(late):.2f} to {max(late):.2f} in the second half")
    save(figure, path)
    return "; ".join(words) + "."


_SMALL = {"width": 16, "discriminator_width": 16, "batch": 32, "ema_half_life": None, "decay_from": None}
DIGITS = (
    Setting(title="healthy", model="dcgan", preset="quick", config=_SMALL),
    Setting(
        title="partial collapse",
        model="dcgan",
        preset="quick",
        config=_SMALL | {"discriminator_width": 2, "lr_generator": 3e-3},
    ),
    Setting(
        title="complete collapse",
        model="gan",
        preset="quick",
        config={
            "batch": 64,
            "generator_widths": (128, 128),
            "generator_norm": None,
            "discriminator_widths": (64,),
            "dropout": 0.0,
            "lr_generator": 2e-3,
            "lr_discriminator": 5e-4,
            "decay_from": None,
            "ema_half_life": None,
        },
    ),
)


def nearest_class() -> Callable[[Tensor], Tensor]:
    """A judge that gives images (N, 1, 8, 8) the class of the training image that is nearest in the plain sense."""
    known = open_data("digits")
    train = known.batch(torch.arange(len(known)))
    return lambda images: train.labels[torch.cdist(images.flatten(1), train.images.flatten(1)).argmin(1)]


def variety(images: Tensor) -> float:
    """The mean distance of pairs of images (N, C, H, W), each with the one halfway through the set from it."""
    flat = images.flatten(1)
    return float((flat - flat.roll(len(flat) // 2, 0)).norm(dim=1).mean())


def shares_of(classes: Tensor) -> Tensor:
    """The share (10,) of each class among (N,)."""
    return torch.bincount(classes, minlength=10) / len(classes)


def drawn_digits(setting: Setting, at: list[int]) -> list[Tensor]:
    """1,000 samples (1000, 1, 8, 8) of a run at each of the given steps, the last of which ends it."""
    seen = play(setting.model, setting.preset, open_data("digits"), steps=at[-1], at=at, look=samples(1_000), config=setting.config)
    looks: list[Tensor] = seen.looks
    return looks


def digits(path: Path) -> str:
    """Figure 12: samples and class shares of a healthy, a partly and a completely collapsed run."""
    known = open_data("digits", split="test")
    held_out = known.batch(torch.arange(len(known)))
    judge = nearest_class()
    own = variety(held_out.images)
    right = float((judge(held_out.images) == held_out.labels).float().mean())
    healthy, partial, complete = DIGITS
    shown = [("the data", held_out.images)]
    shown += [(one.title, drawn_digits(one, [720])[0]) for one in (healthy, partial)]
    earlier, later = drawn_digits(complete, [360, 720])
    shown += [(f"{complete.title}, step 360", earlier), ("the same run, step 720", later)]
    figure, axes = panels(len(shown), rows=2, width=10.5, height=3.6, height_ratios=(2, 1))
    words = []
    for number, (title, images) in enumerate(shown):
        above, below = axes[number], axes[number + len(shown)]
        tiles(above, images[:64, 0].numpy(), 8)
        label(above, title)
        shares = shares_of(judge(images))
        below.bar(range(10), shares, color=(QUIET, DATA, MODEL, MODEL, MODEL)[number])
        below.axhline(0.1, color=INK, linewidth=0.8, linestyle=":")
        below.set(ylim=(0, 1), xticks=range(10))
        label(below, "", "nearest digit", "share" if number == 0 else "")
        found = int((shares > 0.02).sum())
        most = float(shares.max())
        words.append(f"{title}: {found} of 10 classes above 2 %, largest share {most:.2f}, variety {variety(images) / own:.2f}")
    save(figure, path)
    return f"{'; '.join(words)}. The judge is right on {right:.1%} of the test images; variety is relative to the data's."
