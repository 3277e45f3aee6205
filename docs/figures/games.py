"""Real runs whose numbers are followed: the game on a line, as the first paper draws it, and a critic's estimate while samples improve."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from docs.figures.drawing import DATA, INK, MODEL, QUIET, density, label, legend, near, panels, save
from docs.figures.playing import Seen, batch_of, play, points, samples
from matplotlib.axes import Axes
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ganvas.data.open import open_data
from ganvas.engine.capabilities import Latent, Score
from ganvas.engine.contract import GenerativeModel
from ganvas.metrics.wasserstein import sliced_wasserstein

FRAME = torch.linspace(-3.0, 3.0, 241)
CENTRE, SPREAD = 1.0, 0.5  # of the data on the line
ON_THE_LINE = {
    "batch": 128,
    "z": 1,
    "prior": "uniform",
    "generator_widths": (32, 32),
    "generator_slope": 0.2,
    "generator_init": 0.4,
    "discriminator_widths": (32, 32),
    "discriminator_slope": 0.2,
    "lr_generator": 1e-3,
    "lr_discriminator": 5e-3,
    "decay_from": 0.3,
    "ema_half_life": None,
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The game on the line at one step: samples (N,) of evenly spread codes (N,), and D (M,) on `FRAME`."""

    codes: Tensor
    samples: Tensor
    judged: Tensor


def moment(model: GenerativeModel) -> Moment:
    """What figure 4 shows of a model with one-dimensional codes and samples."""
    assert isinstance(model, Latent) and isinstance(model, Score)
    codes = torch.linspace(-1, 1, 2_001)
    return Moment(
        codes=codes,
        samples=model.decode(codes[:, None]).flatten().clone(),
        judged=model.score(batch_of(FRAME[:, None])).sigmoid().clone(),
    )


def on_the_line(steps: int, at: list[int]) -> Seen:
    """The first paper's game, data N(1, 0.5^2) and codes from U[-1, 1]."""
    data = CENTRE + SPREAD * torch.randn(50_000, 1, generator=torch.Generator().manual_seed(0))
    return play("gan", "quick-points", points(data), steps=steps, at=at, look=moment, config=ON_THE_LINE)


def truth() -> Tensor:
    """The data's density (M,) on `FRAME`."""
    return torch.exp(-0.5 * ((FRAME - CENTRE) / SPREAD) ** 2) / (SPREAD * (2 * torch.pi) ** 0.5)


def indecision(seen: Moment) -> float:
    """The mean of |D(x) - 1/2| over the data's law."""
    weights = truth() / truth().sum()
    return float((weights * (seen.judged - 0.5).abs()).sum())


def distance(seen: Moment) -> float:
    """The Wasserstein distance of the samples from the data's law, by quantiles."""
    levels = (torch.arange(2_001) + 0.5) / 2_001
    quantiles = CENTRE + SPREAD * torch.special.ndtri(levels)
    return float((seen.samples.sort().values - quantiles).abs().mean())


def _scene(axis: Axes, seen: Moment) -> None:
    """One panel: densities and D above, the map from codes to samples below."""
    axis.plot(FRAME, truth(), color=DATA, linestyle=":", linewidth=1.8, label="data")
    density(axis, np.linspace(-3, 3, 61), seen.samples.numpy(), MODEL, "samples")
    axis.plot(FRAME, seen.judged, color=INK, linestyle="--", linewidth=1.2, label="D(x)")
    for place in (-0.25, -0.85):
        axis.axhline(place, color=QUIET, linewidth=0.8)
    for k in range(0, 2_001, 125):
        start, end = 3 * float(seen.codes[k]), float(seen.samples[k])
        axis.annotate("", (end, -0.25), (start, -0.85), arrowprops={"arrowstyle": "->", "color": QUIET, "linewidth": 0.8})
    axis.text(-3.25, -0.25, "x", fontsize=8.5, color=INK, ha="right", va="center")
    axis.text(-3.25, -0.85, "z", fontsize=8.5, color=INK, ha="right", va="center")
    axis.set(xlim=(-3, 3), ylim=(-0.95, 1.9), yticks=[0, 0.5, 1, 1.5], xticks=[])
    axis.spines["bottom"].set_visible(False)


def line(path: Path) -> str:
    """Figure 4: four moments of the game on a line."""
    at = [0, 20, 200, 2_000]
    seen = on_the_line(at[-1], at)
    figure, axes = panels(4, width=10.5, height=3.2, sharey=True)
    for axis, step, look in zip(axes, at, seen.looks, strict=True):
        _scene(axis, look)
        label(axis, f"after {step:,} steps" if step else "at the start")
    legend(axes[0], "upper left")
    save(figure, path)
    return (
        f"mean of |D(x) - 1/2| over the data at the four moments: {near((indecision(look) for look in seen.looks), 2)}; Wasserstein "
        f"distance of the samples from the data: {near((distance(look) for look in seen.looks), 2)}. D's loss at the last three is "
        f"{near(row['discriminator/value'] for row in seen.rows[1:])} (2 log 2 = 1.386)."
    )


RING_RUN = {
    "batch": 128,
    "critic_steps": 5,
    "width": 64,
    "penalty": "one-sided",
    "penalty_weight": 10.0,
    "lr_generator": 4e-4,
    "lr_critic": 3e-3,
    "decay_from": 0.5,
    "ema_half_life": None,
}


def exact(a: Tensor, b: Tensor) -> float:
    """The Wasserstein distance of two equally large sets of points (N, D): the cheapest of all pairings."""
    cost = torch.cdist(a.double(), b.double()).numpy()
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def followed(steps: int, at: list[int], n: int = 512) -> tuple[Seen, list[float], list[float]]:
    """A run of wgan_gp on the ring: what was seen, with exact and sliced distances of n samples from n points of the data."""
    train, test = open_data("ring"), open_data("ring", split="test")
    seen = play("wgan_gp", "quick-points", train, steps=steps, at=at, look=samples(n), config=RING_RUN)
    held_out = test.batch(torch.arange(n)).points
    return seen, [exact(look, held_out) for look in seen.looks], [sliced_wasserstein(look, held_out) for look in seen.looks]


def estimate(path: Path) -> str:
    """Figure 9: the critic's estimate beside the distance itself, over a run."""
    steps = 800
    at = sorted({round(4 * 1.2**k) for k in range(30) if 4 * 1.2**k <= steps} | {steps})
    seen, distances, sliced = followed(steps, at)
    estimates = [row["critic/watch/wasserstein"] for row in seen.rows]
    test = open_data("ring", split="test").batch(torch.arange(1_024)).points
    floor = exact(test[:512], test[512:])
    figure, (left, *others) = panels(4, width=10.5, height=2.9, width_ratios=(1.6, 1, 1, 1))
    left.loglog(seen.steps, estimates, color=INK, label="the critic's estimate")
    left.loglog(seen.steps, distances, "o", color=MODEL, markersize=3.5, label="exact, 512 points")
    left.loglog(seen.steps, sliced, "x", color=DATA, markersize=3.5, label="sliced")
    left.axhline(floor, color=QUIET, linewidth=1, linestyle=":", label="exact, data to data")
    label(left, "wgan_gp on ring", "generator updates", "distance")
    left.set_ylim(0.015, 3)
    legend(left, "lower left")
    for axis, k in zip(others, (0, len(at) // 2, len(at) - 1), strict=True):
        axis.scatter(test[:, 0], test[:, 1], s=7, color=DATA, linewidths=0, zorder=3)
        axis.scatter(seen.looks[k][:, 0], seen.looks[k][:, 1], s=4, color=MODEL, linewidths=0)
        axis.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), xticks=[], yticks=[], aspect="equal")
        label(axis, f"update {at[k]:,}: exact {distances[k]:.2f}")
    save(figure, path)
    logs = np.log(np.maximum([estimates, distances], 1e-9))
    return (
        f"over {len(at)} moments the logarithms of estimate and exact distance have the correlation {np.corrcoef(logs)[0, 1]:.2f}; the "
        f"estimate falls from {max(estimates):.2f} to {estimates[-1]:.3f}, the exact distance from {max(distances):.2f} to "
        f"{distances[-1]:.3f} (two sets of 512 points of the data itself: {floor:.3f})."
    )
