"""Curves of a run: every term by phase, diagnostics, gradient norms, evaluations and speed over training images.

Each value is drawn twice: every logged value as a light line, and its running median as a dark one. A median follows the trend without
being moved by single spikes. The range of an axis covers 98 % of the values, so that one spike does not flatten the rest.
"""

import html
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganvas.diagnostics.diversity import ENERGY
from ganvas.diagnostics.grids import escape_math
from ganvas.diagnostics.rows import GRADIENT_NORM, WATCH, RowDict, names_by_phase, of_kind
from ganvas.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

# Okabe and Ito's colours, told apart by readers with any colour vision (2008, "Color Universal Design").
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
POINTS = 400  # bins a curve is thinned to
TOGETHER = (("precision", "recall", "density", "coverage"), ("confidence", "high_quality"), ("modes_found", "modes_of"))
COLUMNS, PANEL = 3, (3.7, 2.55)
INK, GRID, BORDER = "#010203", "#eeeeef", "#bbbbbc"  # told apart from all other colours, to be replaced in HTML
IMAGES, TIME = "examples seen", "minutes of training"


@dataclass(frozen=True, eq=False)
class Series:
    """One curve: values `y` over images `x`."""

    name: str
    x: Array
    y: Array


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis. `sparse` values (evaluations) are drawn as they are, with markers; `wide` ones may take a log axis. `unit`
    says what is counted from left to right."""

    title: str
    series: tuple[Series, ...]
    sparse: bool = False
    wide: bool = False
    unit: str = IMAGES


def curves_figure(rows: Sequence[RowDict], *, title: str, watched: Collection[str] = ()) -> bytes:
    """A PNG of all curves. `watched` names diagnostics ("phase/name") that are not marked so in the rows."""
    figure = _figure(panels(rows, watched), _borders(rows), title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def curves_svgs(rows: Sequence[RowDict], *, watched: Collection[str] = ()) -> list[str]:
    """The same as `<svg>` elements for embedding in HTML, one for each panel: see `svgs`."""
    return svgs(panels(rows, watched), _borders(rows))


def svgs(drawn: Sequence[Panel], borders: Sequence[float] = ()) -> list[str]:
    """Panels as `<svg>` elements: real text in the colour of the page, no background, no reference to anything outside the element."""
    import matplotlib

    ends = {unit: max(_end(panel) for panel in drawn if panel.unit == unit) for unit in {panel.unit for panel in drawn}}
    found = []
    for panel in drawn:
        with matplotlib.rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": panel.title + panel.unit,
                "font.family": "sans-serif",
                "text.color": INK,
                "axes.labelcolor": INK,
                "axes.edgecolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
            }
        ):
            buffer = io.StringIO()
            metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
            _figure([panel], borders, None, ends[panel.unit]).savefig(buffer, format="svg", transparent=True, metadata=metadata)
        found.append(_element(buffer.getvalue(), panel.title))
    return found


def _element(svg: str, title: str) -> str:
    """What matplotlib wrote, without what HTML does not need, and with colours that follow the page."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' id="[a-zA-Z][\w.]*_\d+"', "", svg)  # numbered names, which several elements of a page would share
    svg = re.sub(r"\n\s*", "\n", svg).replace(INK, "currentColor").replace(GRID, "var(--line)").replace(BORDER, "var(--faint)")
    for number, colour in enumerate(COLOURS):
        svg = svg.replace(colour, f"var(--curve{number})")
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)  # HTML needs no names of namespaces
    return f'{head} role="img" aria-label="{html.escape(title)}">{rest}'


def panels(rows: Sequence[RowDict], watched: Collection[str] = ()) -> list[Panel]:
    """What there is to draw, in reading order: the game first, then evaluations, gradient norms and speed."""
    train, evaluations = of_kind(list(rows), "train"), of_kind(list(rows), "evaluate")
    found: list[Panel] = []
    norms: list[Series] = []
    for phase, names in names_by_phase(train).items():
        seen = [name for name in names if name.startswith(WATCH) or f"{phase}/{name}" in watched]
        terms = [_series(train, f"{phase}/{name}", name) for name in names if name != GRADIENT_NORM and name not in seen]
        found += _split(f"{phase}: losses", terms)
        found += _split(f"{phase}: diagnostics", [_series(train, f"{phase}/{name}", name.removeprefix(WATCH)) for name in seen])
        norms += [_series(train, f"{phase}/{GRADIENT_NORM}", phase)] if GRADIENT_NORM in names else []
    found += _distances(of_kind(list(rows), "diversity"))
    found += _evaluations(evaluations)
    found += _split("gradient norm of each phase", norms)
    found += _split("speed, images/s", [_series(train, "images_per_second", "images/s")], wide=False)
    return found


def _series(rows: Sequence[Mapping[str, Any]], key: str, name: str) -> Series:
    pairs = [(row["images"], row[key]) for row in rows if isinstance(row.get(key), int | float)]
    pairs.sort(key=lambda pair: pair[0])
    array = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return Series(name, array[:, 0], array[:, 1])


def _split(title: str, series: Sequence[Series], *, wide: bool = True) -> list[Panel]:
    """One panel, or several where there are more curves than colours; none where there is nothing to draw."""
    drawn = [s for s in series if len(s.x)]
    return [Panel(title, tuple(drawn[i : i + len(COLOURS)]), wide=wide) for i in range(0, len(drawn), len(COLOURS))]


def over_images_and_time(rows: Sequence[RowDict]) -> list[Panel]:
    """Diversity and evaluations, each twice: over examples seen, and over minutes of training (grids, evaluations and checkpoints among
    them). Without the times of training rows only the first."""
    kept = list(rows)
    train = [row for row in of_kind(kept, "train") if isinstance(row.get("seconds"), int | float)]
    found = [*_distances(of_kind(kept, "diversity")), *_evaluations(of_kind(kept, "evaluate"))]
    if len(train) < 2:
        return found
    images = np.array([0.0, *(float(row["images"]) for row in train)])
    minutes = np.array([0.0, *(float(row["seconds"]) / 60 for row in train)])
    both = []
    for panel in found:
        moved = tuple(Series(s.name, np.interp(s.x, images, minutes), s.y) for s in panel.series)
        both += [panel, replace(panel, series=moved, unit=TIME)]
    return both


def _distances(rows: Sequence[RowDict]) -> list[Panel]:
    """The diversity of grids as a share of the data's, and their distance from the data; each in its own panel, for they differ by orders
    of magnitude."""
    titles = {ENERGY: f"distance: {ENERGY} to the data, data = 0"}
    return [Panel(titles.get(s.name, f"diversity: {s.name}, data = 1"), (s,), sparse=True, wide=True) for s in _values(rows)]


def _evaluations(rows: Sequence[RowDict]) -> list[Panel]:
    """Values that are read together share a panel; every other has its own."""
    series = _values(rows)
    groups = [tuple(s for s in series if s.name in together) for together in TOGETHER]
    alone = [(s,) for s in series if not any(s.name in together for together in TOGETHER)]
    return [Panel(f"evaluation: {', '.join(s.name for s in group)}", group, sparse=True) for group in (*alone, *groups) if group]


def _values(rows: Sequence[RowDict]) -> list[Series]:
    """A curve for each of the `values` of rows."""
    flat = [{"images": row["images"]} | dict(row.get("values", {})) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row if name != "images"))
    return [s for s in (_series(flat, name, name) for name in names) if len(s.x)]


def _borders(rows: Sequence[RowDict]) -> list[float]:
    """Images at which a new stage begins."""
    train = of_kind(list(rows), "train")
    return [float(after["images"]) for before, after in pairwise(train) if before.get("stage") != after.get("stage")]


def running_median(y: Array, window: int) -> Array:
    """(N,) medians over `window` values centred at each place; near the ends over those that are there."""
    if window <= 1:
        return y
    half = window // 2
    padded = np.pad(y, half, constant_values=np.nan)
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)


def thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most `2 * POINTS` points of a curve: of every stretch its lowest and its highest, so that no spike is lost."""
    if len(x) <= 2 * POINTS:
        return x, y
    keep: list[int] = []
    for part in np.array_split(np.arange(len(x)), POINTS):
        keep += sorted({int(part[y[part].argmin()]), int(part[y[part].argmax()])})
    return x[keep], y[keep]


def _end(panel: Panel) -> float:
    return max(float(series.x.max()) for series in panel.series)


def _figure(drawn: Sequence[Panel], borders: Sequence[float], title: str | None, end: float | None = None) -> "Figure":
    from matplotlib.figure import Figure

    require(bool(drawn), "there is nothing to draw: the run has logged no values yet")
    columns = min(COLUMNS, len(drawn))
    down = -(-len(drawn) // columns)
    end = end if end is not None else max(_end(panel) for panel in drawn)
    width, height = PANEL[0] * columns, PANEL[1] * down + (0.3 if title else 0.0)
    figure = Figure(figsize=(width, height))
    for number, panel in enumerate(drawn):
        row, column = divmod(number, columns)
        # Inches around a panel: tick labels at the left and below, the title above. A computed layout would take most of the time.
        left, bottom = column * PANEL[0] + 0.6, (down - 1 - row) * PANEL[1] + 0.42
        box = (left / width, bottom / height, (PANEL[0] - 0.75) / width, (PANEL[1] - 0.75) / height)
        _draw(figure.add_axes(box), panel, borders, end)
    if title:
        figure.text(0.1 / width, 1 - 0.08 / height, escape_math(title), fontsize=10, va="top")
    return figure


def _draw(axes: "Axes", panel: Panel, borders: Sequence[float], end: float) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for colour, series in zip(COLOURS, panel.series, strict=False):
        label = escape_math(series.name)
        if panel.sparse or len(series.x) < 8:
            axes.plot(series.x, series.y, color=colour, linewidth=1.3, marker="o", markersize=3, label=label)
            continue
        median = running_median(series.y, max(3, len(series.y) // 25))
        axes.plot(*thinned(series.x, series.y), color=colour, linewidth=0.6, alpha=0.3)
        axes.plot(*thinned(series.x, median), color=colour, linewidth=1.5, label=label)
    _limits(axes, panel)
    for border in borders if panel.unit == IMAGES else ():
        axes.axvline(border, color=BORDER, linewidth=0.7, zorder=0)
    axes.set_title(escape_math(panel.title), fontsize=9, loc="left")
    axes.set_xlim(-0.02 * end, 1.02 * end)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if panel.unit == IMAGES:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(panel.unit, fontsize=8, labelpad=1)
    axes.tick_params(labelsize=8, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    if len(panel.series) > 1 or panel.series[0].name not in panel.title:
        axes.legend(fontsize=8, frameon=False, loc="best", handlelength=1.2, borderaxespad=0.1)


def _limits(axes: "Axes", panel: Panel) -> None:
    """The range of 98 % of the values; a logarithmic axis where positive `wide` values span more than a factor of 100."""
    values = np.concatenate([series.y for series in panel.series])
    low, high = (float(v) for v in (np.percentile(values, (1, 99)) if len(values) >= 100 else (values.min(), values.max())))
    if panel.wide and low > 0 and high / low > 100:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        return
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.05
    # A range that nearly touches zero is shown from zero: there it says "none".
    axes.set_ylim(0.0 if 0 <= low < 0.3 * high else low - margin, high + margin)
