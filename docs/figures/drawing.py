"""How the figures look: two colours that every eye tells apart, grey, and small files that are the same bytes every time."""

import ast
import hashlib
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Floats = NDArray[np.floating[Any]]

DATA, MODEL, QUIET, INK = "#0072b2", "#d55e00", "#9aa0a6", "#202124"  # blue, vermilion (Okabe & Ito), grey, near black
DPI = 100
COLOURS = 128  # of the palette that a picture is saved with
MADE_BY = "made-by"  # entry of a picture that says which code drew it


def panels(columns: int, *, rows: int = 1, width: float = 9.0, height: float = 3.1, **ratios: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `rows` x `columns` axes, in reading order, without upper and right frame."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = list(np.asarray(figure.subplots(rows, columns, squeeze=False, **ratios)).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, colors=INK)
    return figure, axes


def label(axis: Axes, title: str, x: str = "", y: str = "") -> None:
    """Title at the left, and what the axes show."""
    axis.set_title(title, fontsize=9.5, loc="left", color=INK)
    axis.set_xlabel(x, fontsize=8.5, color=INK)
    axis.set_ylabel(y, fontsize=8.5, color=INK)


Corner = Literal["best", "upper left", "upper center", "upper right", "center right", "lower left"]


def legend(axis: Axes, place: Corner = "best", *, ncols: int = 1) -> None:
    """The names of the curves, small and without a box."""
    axis.legend(loc=place, fontsize=8, frameon=False, handlelength=1.6, ncols=ncols)


def density(axis: Axes, edges: Floats, samples: Floats, colour: str, name: str | None = None, *, fill: bool = False) -> None:
    """A histogram of all `samples` (N,), as a density; those beyond the edges are missing from its area."""
    heights = np.histogram(samples, edges)[0] / (len(samples) * np.diff(edges))
    if fill:
        axis.stairs(heights, edges, fill=True, color=colour, alpha=0.45, label=name)
    else:
        axis.stairs(heights, edges, color=colour, linewidth=1.5, label=name)


def tiles(axis: Axes, images: Floats, columns: int, shades: Sequence[float] = (-1.0, 1.0)) -> None:
    """Grey images (N, H, W) side by side in rows of `columns`, dark ink on white, a thin line between them."""
    height, width = images.shape[1:]
    rows = len(images) // columns
    page = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), shades[0])
    for index, image in enumerate(images[: rows * columns]):
        row, column = divmod(index, columns)
        page[row * (height + 1) : row * (height + 1) + height, column * (width + 1) : column * (width + 1) + width] = image
    axis.imshow(page, cmap="Greys", vmin=shades[0], vmax=shades[1], interpolation="nearest")
    axis.set(xticks=[], yticks=[])


def digest(drawer: str) -> str:
    """SHA-256 (hexadecimal) of the code of a figure: of the module that draws it and of what all of them share, comments left out."""
    here = Path(__file__).resolve().parent
    texts = (path.read_text(encoding="utf-8") for path in (here / "drawing.py", here / "playing.py", Path(drawer)))
    return hashlib.sha256("\n".join(ast.dump(ast.parse(text)) for text in texts).encode()).hexdigest()


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of few colours and without a date, which names the code of the module that calls, so that an old picture is noticed."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    told = PngInfo()
    told.add_text(MADE_BY, digest(inspect.stack()[1].filename))
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True, pnginfo=told)


def near(values: Iterable[float], digits: int = 3) -> str:
    """Numbers as the page prints them: "0.25, 0.5 and 1"."""
    words = [f"{value:.{digits}g}" for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
