"""Discriminators and critics trained to near their best against samples that stand still: what slope they offer the generator."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from docs.figures.drawing import DATA, INK, MODEL, QUIET, Floats, label, legend, near, panels, save
from torch import Tensor

from ganvas.engine.draws import StepDraws
from ganvas.parts.backbones import Critic, Perceptron
from ganvas.parts.objectives import MINIMAX, NON_SATURATING, WASSERSTEIN, Objective
from ganvas.parts.penalties import gradient_penalty, input_gradient, slope

Sampler = Callable[[int, torch.Generator], Tensor]
Leash = Literal["none", "clipping", "two-sided", "one-sided"]


@dataclass(frozen=True, kw_only=True)
class Schooling:
    """How a critic is trained against two fixed laws: by which objective, and what holds its slope."""

    objective: Objective = WASSERSTEIN
    leash: Leash = "two-sided"
    clip: float = 0.01
    weight: float = 10.0
    steps: int = 1_500
    lr: float = 1e-3
    batch: int = 256
    widths: tuple[int, ...] = (64, 64, 64)


def schooled(real: Sampler, fake: Sampler, dimensions: int, how: Schooling) -> Critic:
    """A critic after its schooling, fixed. Clipping is with RMSProp, as in WGAN's paper; the others with Adam; rates fall to 0."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    critic = Critic(Perceptron(dimensions, how.widths))
    kind: Callable[..., torch.optim.Optimizer] = torch.optim.RMSprop if how.leash == "clipping" else torch.optim.Adam
    more = {} if how.leash == "clipping" else {"betas": (0.5, 0.9)}
    descent = kind(critic.parameters(), lr=how.lr, **more)
    for step in range(how.steps):
        descent.param_groups[0]["lr"] = how.lr * (1 - step / how.steps)
        x, x_hat = real(how.batch, generator), fake(how.batch, generator)
        loss = how.objective.d(critic(x), critic(x_hat)).mean()
        if how.leash in ("two-sided", "one-sided"):
            rng = StepDraws(step, 0, 1, x.device)
            loss = loss + how.weight * gradient_penalty(critic, x, x_hat, rng, one_sided=how.leash == "one-sided").mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        if how.leash == "clipping":
            with torch.no_grad():
                for parameter in critic.parameters():
                    parameter.clamp_(-how.clip, how.clip)
    return critic.eval().requires_grad_(False)


def gaussian(mean: float, sigma: float) -> Sampler:
    """Points (n, 1) of N(mean, sigma^2)."""
    return lambda n, generator: mean + sigma * torch.randn(n, 1, generator=generator)


def slopes(critic: Critic, x: Tensor) -> Tensor:
    """The norm (N,) of the critic's gradient at points x (N, D)."""
    return slope(input_gradient(critic, x)).detach()


def vanishing(path: Path) -> str:
    """Figure 8: a discriminator and a critic of the same two Gaussians, and what slope each offers at the samples."""
    real, fake = gaussian(-2.0, 0.5), gaussian(2.0, 0.5)
    discriminator = schooled(real, fake, 1, Schooling(objective=MINIMAX, leash="none"))
    critic = schooled(real, fake, 1, Schooling())
    x = torch.linspace(-4.5, 4.5, 361)[:, None]
    line = x.flatten()
    figure, (left, right) = panels(2)
    for mean, colour, name in ((-2.0, DATA, "data"), (2.0, MODEL, "samples")):
        hill = torch.exp(-0.5 * ((line - mean) / 0.5) ** 2)
        left.fill_between(line, hill, color=colour, alpha=0.35, linewidth=0, label=name)
    d = discriminator(x).sigmoid()
    f = critic(x)
    left.plot(line, d, color=INK, linestyle="--", label="D(x)")
    left.plot(line, f - f[180], color=INK, label="critic f(x), moved to f(0) = 0")
    left.set_ylim(-3.2, 4.6)
    label(left, "One turns off, one goes on", "x", "D(x), f(x)")
    legend(left, "upper right")
    minimax = slope(input_gradient(lambda points: MINIMAX.g(discriminator(points)), x)).detach()
    strong = slope(input_gradient(lambda points: NON_SATURATING.g(discriminator(points)), x)).detach()
    right.semilogy(line, minimax, color=INK, linestyle="--", label="log(1 - D)")
    right.semilogy(line, strong, color=QUIET, linestyle=":", label="-log D")
    right.semilogy(line, slopes(critic, x), color=INK, label="-f, the critic")
    right.axvspan(1.0, 3.0, color=MODEL, alpha=0.2, linewidth=0, label="where the samples are")
    right.set_ylim(1e-24, 1e13)
    label(right, "The slope that is left for the generator", "x", "|d cost / dx|")
    legend(right, "upper left", ncols=2)
    save(figure, path)
    here = (line > 1.0) & (line < 3.0)
    at = [float(found[here].median()) for found in (minimax, strong, slopes(critic, x))]
    draws = real(4_096, torch.Generator().manual_seed(1)), fake(4_096, torch.Generator().manual_seed(2))
    estimate = float(critic(draws[0]).mean() - critic(draws[1]).mean())
    return (
        f"median slope of the generator's cost within two sigmas of the samples' mean: {at[0]:.1e} by log(1 - D), {at[1]:.1f} by -log D, "
        f"{at[2]:.2f} by the critic, whose estimate of the distance is {estimate:.2f} (exact: 4; 1 + W / (2 lambda) = 1.2 times 4 is 4.8)."
    )


def ring(radius: float) -> Sampler:
    """Points (n, 2) of eight Gaussians on a circle."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        angle = torch.randint(8, (n,), generator=generator) * (torch.pi / 4)
        return radius * torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(n, 2, generator=generator)

    return draw


LEASHES: dict[str, Schooling] = {
    "clipping": Schooling(leash="clipping", clip=0.1, steps=1_000, batch=128),
    "two-sided": Schooling(leash="two-sided", steps=1_000, batch=128),
    "one-sided": Schooling(leash="one-sided", steps=1_000, batch=128),
}


def weights_of(critic: Critic) -> Floats:
    """All weights and biases of a critic."""
    return torch.cat([parameter.flatten() for parameter in critic.parameters()]).numpy()


def between(real: Sampler, fake: Sampler, n: int = 2_048) -> Tensor:
    """Points on the way from data to samples, at which slopes are looked at."""
    generator = torch.Generator().manual_seed(7)
    alpha = torch.rand(n, 1, generator=generator)
    return torch.lerp(real(n, generator), fake(n, generator), alpha)


def leashes(path: Path) -> str:
    """Figure 10: what clipping and both penalties make of the weights and of the slope."""
    apart, same = (ring(1.5), ring(0.5)), (ring(1.5), ring(1.5))
    critics = {name: schooled(*apart, 2, how) for name, how in LEASHES.items()}
    idle = {name: schooled(*same, 2, how) for name, how in LEASHES.items()}
    colours = {"clipping": (MODEL, "--"), "two-sided": (DATA, "-"), "one-sided": (INK, ":")}
    figure, (first, second, third) = panels(3, width=10.5)
    bound = LEASHES["clipping"].clip
    for name in ("clipping", "two-sided"):
        values = weights_of(critics[name])
        edges = np.linspace(-1, 1, 41) * (1 if name == "clipping" else 3)
        heights = np.histogram(values / bound, edges)[0] / len(values)
        first.stairs(heights, edges, color=colours[name][0], linestyle=colours[name][1], linewidth=1.5, label=name)
    first.set_yscale("log")
    label(first, "Weights", f"weight / {bound}", "share, by bin")
    legend(first, "upper right")
    medians = {}
    for axis, trained, laws in ((second, critics, apart), (third, idle, same)):
        places = between(*laws)
        for name, critic in trained.items():
            found = slopes(critic, places).clamp(1e-4, 20).numpy()
            edges = np.geomspace(1e-4, 20, 61)
            colour, line = colours[name]
            axis.stairs(np.histogram(found, edges)[0] / len(found), edges, color=colour, linestyle=line, linewidth=1.5, label=name)
            medians[name, axis is third] = float(np.median(found))
        axis.axvline(1.0, color=QUIET, linewidth=1)
        axis.set_xscale("log")
    label(second, "Slopes between data and samples", "slope of the critic", "share, by bin")
    label(third, "The same where samples equal the data", "slope of the critic")
    legend(second, "upper left")
    save(figure, path)
    ends = {name: float(np.mean(np.abs(weights_of(critics[name])) > 0.95 * bound)) for name in ("clipping", "two-sided")}
    order = ("clipping", "two-sided", "one-sided")
    return (
        f"{ends['clipping']:.0%} of the clipped critic's weights lie within 5 % of the two ends; median slopes under clipping, the "
        f"two-sided and the one-sided penalty: {near(medians[name, False] for name in order)} between data and samples, "
        f"{near((medians[name, True] for name in order), 2)} where the samples equal the data."
    )
