"""Pictures of samples: labelled grids of images, and points drawn over data."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganvas.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]

CELL = 56  # pixels that the side of a small image is enlarged to, about
MARGIN, GUTTER = 10, 2
PAGE, LINE, INK, FAINT = (255, 255, 255), (222, 222, 222), (24, 24, 24), (110, 110, 110)
TITLE_SIZE, LABEL_SIZE, CAPTION_SIZE = 13, 12, 10
LABEL_WIDTH, LEAST_WIDTH = 150, 300
DATA_COLOUR, SAMPLE_COLOUR, MODE_COLOUR = "#9aa0a6", "#0072b2", "#d55e00"


def image_grid(
    images: Bytes,
    *,
    columns: int | None = None,
    row_labels: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    title: str | None = None,
    scale: int | None = None,
) -> "Image":
    """An RGB picture of images (N, H, W, C) uint8, C = 1 or 3, in rows of `columns` (about square without it).

    Small images are enlarged by an integer factor without smoothing (`scale`, else about 56 pixels a side), so that every pixel is seen.
    `row_labels` stand left of the rows, one `captions` entry under each image; words that do not fit end in an ellipsis.
    """
    from PIL import Image, ImageDraw

    fits = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3) and len(images) > 0
    require(fits, f"a grid takes uint8 images (N, H, W, 1 or 3), not {images.dtype} {tuple(images.shape)}")
    n, height, width, _ = images.shape
    across = min(columns or math.ceil(math.sqrt(n)), n)
    down = math.ceil(n / across)
    require(captions is None or len(captions) == n, f"a grid of {n} images takes {n} captions, not {len(captions or ())}")
    require(row_labels is None or len(row_labels) == down, f"a grid of {down} rows takes {down} row labels, not {len(row_labels or ())}")
    factor = scale or max(1, round(CELL / max(height, width)))
    cell_width, cell_height = width * factor, height * factor + (CAPTION_SIZE + 5 if captions else 0)

    label_font, caption_font, title_font = font(LABEL_SIZE), font(CAPTION_SIZE), font(TITLE_SIZE)
    labels = [shortened(text, label_font, LABEL_WIDTH) for text in row_labels or ()]
    left = MARGIN + (math.ceil(max(label_font.getlength(text) for text in labels)) + 8 if labels else 0)
    inner = across * (cell_width + GUTTER) + GUTTER
    whole = max(left + inner + MARGIN, LEAST_WIDTH if title else 0)
    lines = wrapped(title, title_font, whole - 2 * MARGIN) if title else []
    top = MARGIN + len(lines) * (TITLE_SIZE + 5) + (4 if lines else 0)
    page = Image.new("RGB", (whole, top + down * (cell_height + GUTTER) + GUTTER + MARGIN), PAGE)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + number * (TITLE_SIZE + 5)), line, font=title_font, fill=INK)
    pen.rectangle((left, top, left + inner - 1, top + down * (cell_height + GUTTER) + GUTTER - 1), fill=PAGE if captions else LINE)
    for index in range(n):
        row, column = divmod(index, across)
        corner = (left + GUTTER + column * (cell_width + GUTTER), top + GUTTER + row * (cell_height + GUTTER))
        page.paste(_enlarged(images[index], factor), corner)
        if captions:
            _centred(pen, (corner[0], corner[1] + height * factor + 1), cell_width, captions[index], caption_font)
    for row, text in enumerate(labels):
        middle = top + GUTTER + row * (cell_height + GUTTER) + height * factor // 2
        pen.text((left - 8, middle), text, font=label_font, fill=INK, anchor="rm")
    return page


def _enlarged(image: Bytes, factor: int) -> "Image":
    from PIL import Image

    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return Image.fromarray(np.ascontiguousarray(image.repeat(factor, axis=0).repeat(factor, axis=1)), "RGB")


def _centred(pen: "ImageDraw", corner: tuple[int, int], width: int, text: str, face: "FreeTypeFont") -> None:
    pen.text((corner[0] + width / 2, corner[1]), shortened(text, face, width), font=face, fill=FAINT, anchor="ma")


def font(size: int) -> "FreeTypeFont":
    """DejaVu Sans, which ships inside matplotlib and knows most of the world's letters."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def shortened(text: str, face: "FreeTypeFont", width: float) -> str:
    """One line of `text`, ended by an ellipsis where it is wider than `width` pixels; characters that cannot be printed become '?'."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, face: "FreeTypeFont", width: float) -> list[str]:
    """Lines of `text` no wider than `width` pixels, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [shortened(line, face, width) for line in lines]


def points_figure(samples: Floats, data: Floats | None, title: str, modes: Floats | None = None) -> "Image":
    """Samples (N, D) over data (M, D), in the data's own units: two histograms for D = 1, else a scatter of the first two axes.

    `modes` (K, D) are marked. The frame is the data's, so that pictures of one run can be compared; samples outside it are counted in
    the title.
    """
    _check_points(samples, data, modes)
    finite = samples[np.isfinite(samples).all(axis=1)]
    figure, axes = _figure()
    reference = data if data is not None and len(data) else finite
    low, high = _frame(reference[:, : min(2, samples.shape[1])])
    inside = ((finite[:, : len(low)] >= low) & (finite[:, : len(low)] <= high)).all(axis=1)
    if samples.shape[1] == 1:
        _histograms(axes, finite[inside], data, (float(low[0]), float(high[0])), len(finite))
        for mode in modes if modes is not None else ():
            axes.axvline(float(mode[0]), color=MODE_COLOUR, linewidth=1, linestyle="--")
    else:
        _scatter(axes, finite, data, modes)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="axis 1", ylabel="axis 2")
        axes.set_aspect("equal")
    outside = len(samples) - int(inside.sum())
    return _finished(figure, axes, title + (f"\n{outside:,} of {len(samples):,} samples lie outside the frame" if outside else ""))


def paths_figure(paths: Floats, data: Floats | None, title: str) -> "Image":
    """Interpolations (R, S, D) of R pairs of codes in S steps: curves over the data in the plane of the first two axes, or for D = 1 the
    value against the place on the path."""
    require(paths.ndim == 3, f"paths have the shape (R, S, D), not {tuple(paths.shape)}")
    figure, axes = _figure()
    if paths.shape[2] == 1:
        place = np.linspace(0, 1, paths.shape[1])
        for path in paths:
            axes.plot(place, path[:, 0], color=SAMPLE_COLOUR, alpha=0.7, linewidth=1.2)
        axes.set(xlabel="place on the path", ylabel="sample")
    else:
        _scatter(axes, np.empty((0, 2)), data, None)
        for path in paths:
            axes.plot(path[:, 0], path[:, 1], color=SAMPLE_COLOUR, alpha=0.7, linewidth=1.0)
            axes.plot(path[[0, -1], 0], path[[0, -1], 1], "o", color=SAMPLE_COLOUR, markersize=3)
        axes.set(xlabel="axis 1", ylabel="axis 2")
        axes.set_aspect("equal", adjustable="datalim")
    return _finished(figure, axes, title)


def trade_figure(values: Sequence[tuple[str, float, float]], title: str) -> "Image":
    """Recall and precision of samples of one model, at settings with names (name, recall, precision): a path from one to the next."""
    require(bool(values), "there is nothing to draw: no setting was measured")
    figure, axes = _figure()
    names, recall, precision = zip(*values, strict=True)
    axes.plot(recall, precision, color=SAMPLE_COLOUR, linewidth=1.2, marker="o", markersize=4)
    for name, x, y in zip(names, recall, precision, strict=True):
        axes.annotate(escape_math(name), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="recall", ylabel="precision")
    axes.set_aspect("equal")
    return _finished(figure, axes, title)


def _check_points(samples: Floats, data: Floats | None, modes: Floats | None) -> None:
    require(samples.ndim == 2 and len(samples) > 0, f"points have the shape (N, D), not {tuple(samples.shape)}")
    for name, others in (("data", data), ("modes", modes)):
        fits = others is None or (others.ndim == 2 and others.shape[1] == samples.shape[1])
        require(
            fits, f"{name} must have the shape (M, {samples.shape[1]}) of the samples, not {others.shape if others is not None else ()}"
        )


def _figure() -> tuple[Any, "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.7, 4.9), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _finished(figure: Any, axes: "Axes", title: str) -> "Image":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    lines = [line for part in title.split("\n") for line in textwrap.wrap(part, 62)]
    axes.set_title(escape_math("\n".join(lines)), fontsize=9, loc="left")
    axes.set_xlabel(axes.get_xlabel(), loc="left")  # the legend stands right of it
    if axes.get_legend_handles_labels()[0]:
        below = axes.legend(
            fontsize=8, loc="upper right", bbox_to_anchor=(1.0, -0.06), ncols=3, frameon=False, markerscale=2, handletextpad=0.3
        )
        for handle in below.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)  # faint points would be invisible in it
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def escape_math(text: str) -> str:
    """`text` for matplotlib, where a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def _frame(points: Floats) -> tuple[Floats, Floats]:
    """Corners of the box of all points, with a margin of 15 % on each side."""
    if not len(points):
        return np.full(points.shape[1], -1.0), np.full(points.shape[1], 1.0)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.maximum(0.15 * (high - low), 1e-3)
    return low - margin, high + margin


def _scatter(axes: "Axes", samples: Floats, data: Floats | None, modes: Floats | None) -> None:
    if data is not None:
        axes.scatter(data[:, 0], data[:, 1], s=4, color=DATA_COLOUR, alpha=0.35, linewidths=0, label="data", rasterized=True)
    if len(samples):
        axes.scatter(samples[:, 0], samples[:, 1], s=6, color=SAMPLE_COLOUR, alpha=0.6, linewidths=0, label="samples", rasterized=True)
    if modes is not None:
        axes.scatter(modes[:, 0], modes[:, 1], s=60, marker="+", color=MODE_COLOUR, linewidths=1, label="modes")


def _histograms(axes: "Axes", samples: Floats, data: Floats | None, span: tuple[float, float], total: int) -> None:
    """Densities; the samples' is of all `total` samples, so that those outside the frame are missing from its area."""
    edges = np.linspace(*span, 81)
    width = edges[1] - edges[0]
    if data is not None:
        heights = np.histogram(data[:, 0], edges)[0] / (len(data) * width)
        axes.stairs(heights, edges, fill=True, color=DATA_COLOUR, alpha=0.5, label="data")
    heights = np.histogram(samples[:, 0], edges)[0] / (max(1, total) * width)
    axes.stairs(heights, edges, color=SAMPLE_COLOUR, linewidth=1.4, label="samples")
    axes.set(xlim=span, xlabel="value", ylabel="density")
