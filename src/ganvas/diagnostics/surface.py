"""What a critic of the plane sees: its score as a surface, and the gradient along which a generator's samples are sent."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from ganvas.data.batch import Batch, DataSpec
from ganvas.data.examples import Examples
from ganvas.diagnostics.gallery import save_picture
from ganvas.diagnostics.grids import Floats, escape_math
from ganvas.engine.capabilities import Score
from ganvas.engine.rundir import SAMPLES

if TYPE_CHECKING:
    from PIL.Image import Image

    from ganvas.engine.loop import Trainer

SIDE, ARROWS = 97, 17  # places along an axis at which the score is asked, and at which an arrow stands
SHOWN = 400  # data points, and samples, drawn over the surface
MARGIN = 0.15  # of the data's extent, on each side
SAMPLE, DATA = "#d55e00", "#f0e442"


def surface_name(images: int) -> str:
    """The file of the surface after `images` training points."""
    return f"surface-{images:012d}.png"


@dataclass(frozen=True, eq=False)
class Surface:
    """A critic on a part of the plane, in the data's own units.

    `low` and `high` (2,) are its corners, `score` (SIDE, SIDE) the score with rows along axis 2, `places` (A, 2) and `field` (A, 2) where
    arrows stand and the gradient there, `pull` the median norm of the gradient at the samples.
    """

    low: Floats
    high: Floats
    score: Floats
    places: Floats
    field: Floats
    pull: float


def measure(critic: Score, spec: DataSpec, low: Tensor, high: Tensor, samples: Tensor) -> Surface:
    """The surface of `critic` between the corners `low` and `high` (2,), which are standardised as the samples (N, 2) are.

    Nothing of the critic changes: gradients are taken of places, no parameter gets one. The critic is in evaluation mode.
    """
    grid = _places(low, high, SIDE)
    with torch.no_grad():
        score = critic.score(Batch({"points": grid})).float().cpu().view(SIDE, SIDE)
    places = _places(low, high, ARROWS)
    scale = low.new_tensor(spec.scale or (1.0, 1.0))
    # Of a score as a function of native units: those are `scale` times the standardised ones.
    field, pulls = (gradient(critic, at) / scale for at in (places, samples))
    corners = spec.native(torch.stack([low, high])).cpu().numpy()
    return Surface(
        low=corners[0],
        high=corners[1],
        score=score.numpy(),
        places=spec.native(places).cpu().numpy(),
        field=field.cpu().numpy(),
        pull=float(pulls.norm(dim=1).median()),
    )


def gradient(critic: Score, points: Tensor) -> Tensor:
    """The gradient (N, 2) of the score at each of `points` (N, 2)."""
    with torch.enable_grad():
        at = points.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(critic.score(Batch({"points": at})).float().sum(), at)
    return found.detach()


def _places(low: Tensor, high: Tensor, side: int) -> Tensor:
    """(side * side, 2) places on a grid between two corners, axis 1 fastest."""
    across, up = (torch.linspace(float(low[i]), float(high[i]), side, device=low.device) for i in (0, 1))
    second, first = torch.meshgrid(up, across, indexing="ij")
    return torch.stack([first.flatten(), second.flatten()], dim=1)


def surface_figure(surface: Surface, data: Floats, samples: Floats, title: str) -> "Image":
    """The score as colours and level lines; arrows point where it rises, the longest 5 % of them cut to one length."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from PIL import Image

    figure = Figure(figsize=(5.6, 5.1), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    across, up = (np.linspace(surface.low[i], surface.high[i], SIDE) for i in (0, 1))
    finite = surface.score[np.isfinite(surface.score)]
    low, high = (float(v) for v in np.percentile(finite, (1, 99))) if len(finite) else (0.0, 1.0)
    if high - low < 1e-9 * max(1.0, abs(low)):
        low, high = low - 0.5, high + 0.5  # a flat critic has one colour
    levels = MaxNLocator(20).tick_values(low, high)
    colours = axes.contourf(across, up, surface.score, levels=levels, cmap="Blues_r", extend="both")
    axes.contour(across, up, surface.score, levels=levels[::2], colors="#ffffff", linewidths=0.4)
    bar = figure.colorbar(colours, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("score (higher: more real)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    shown = samples[np.isfinite(samples).all(axis=1)]
    axes.scatter(shown[:, 0], shown[:, 1], s=9, color=SAMPLE, edgecolors="#ffffff", linewidths=0.3, label="samples")
    axes.scatter(data[:, 0], data[:, 1], s=6, color=DATA, edgecolors="#1b1f24", linewidths=0.3, label="data")
    longest = _arrows(axes, surface)
    axes.set(xlim=(surface.low[0], surface.high[0]), ylim=(surface.low[1], surface.high[1]))
    axes.set_aspect("equal")
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="upper right", framealpha=0.85, markerscale=1.5, handletextpad=0.2)
    said = f"gradient: {longest:.3g} at the longest arrows, {surface.pull:.3g} at the median sample"
    axes.set_title(escape_math(f"{title}\n{said}"), fontsize=9, loc="left")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _arrows(axes: Any, surface: Surface) -> float:
    """Draw the field; return the norm that the longest arrows stand for."""
    norms = np.linalg.norm(surface.field, axis=1)
    usable = np.isfinite(norms)
    longest = float(np.percentile(norms[usable], 95)) if usable.any() else 0.0
    if longest <= 0:
        return 0.0
    cut = surface.field[usable] * np.minimum(1.0, longest / np.maximum(norms[usable], 1e-300))[:, None] / longest
    step = float((surface.high - surface.low).min()) / ARROWS
    arrows = cut * step * 0.95
    places = surface.places[usable]
    drawn = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "width": 0.0028, "color": "#1b1f24", "pivot": "tail"}
    axes.quiver(places[:, 0], places[:, 1], arrows[:, 0], arrows[:, 1], headwidth=4, headlength=4.5, headaxislength=4, **drawn)
    return longest


@final
class Surfaces:
    """Given the samples of every grid, draws `samples/surface-%012d.png`: the critic's surface under data and samples.

    The model that is asked is the one samples come from: it is in evaluation mode and shares every tensor that has no average with the
    training model, so neither modes nor gradients nor random numbers of training are touched.
    """

    def __init__(self, run: Path, name: str) -> None:
        self._run, self._name = run, name
        self._data: Tensor | None = None

    def __call__(self, trainer: "Trainer", samples: Tensor) -> None:
        """`samples` (N, 2), standardised, on the processor."""
        critic, spec = trainer.averaged.model, trainer.examples.spec
        assert isinstance(critic, Score), "attached to models that can score"
        if self._data is None:
            self._data = _spaced(trainer.examples)
        low, high = self._data.min(dim=0).values, self._data.max(dim=0).values
        margin = (MARGIN * (high - low)).clamp(min=1e-3)
        some = samples[:SHOWN].to(self._data.device)
        surface = measure(critic, spec, low - margin, high + margin, some)
        data = spec.native(self._data[:: max(1, len(self._data) // SHOWN)]).cpu().numpy()
        title = f"{self._name}: {trainer.images:,} points seen"
        picture = surface_figure(surface, data, spec.native(some).cpu().numpy(), title)
        save_picture(picture, self._run / SAMPLES / surface_name(trainer.images))


def _spaced(examples: Examples) -> Tensor:
    """At most 2,000 points spread evenly over all."""
    return examples.batch(torch.linspace(0, len(examples) - 1, min(len(examples), 2000)).long()).points.float()
