"""Codes cut off nearer and nearer to the middle of their law: what is gained in quality, and what is lost in variety?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.data.open import evaluation_split, open_data
from ganvas.data.progress import Progress
from ganvas.diagnostics.grids import image_grid, trade_figure
from ganvas.errors import GanvasError, require
from ganvas.measure import drawn, training_examples, weights_of
from ganvas.metrics.choosing import choose
from ganvas.metrics.kinds import Kind
from ganvas.run import Run, load

THRESHOLDS = (math.inf, 2.0, 1.0, 0.5, 0.25, 0.04)
"""All codes, the four thresholds of Brock et al. 2018, figure 2, and one more."""
COUNT = 2_000
"""Samples of a threshold that are measured unless asked otherwise."""


@dataclass(frozen=True)
class Cut:
    """A threshold, a row of samples as users keep them (columns, H, W, C), and what was measured: precision, recall, density, coverage."""

    threshold: float
    samples: np.ndarray
    values: Mapping[str, float]

    @property
    def name(self) -> str:
        return "all codes" if math.isinf(self.threshold) else f"{self.threshold:g}"


@dataclass(frozen=True)
class Sweep:
    """Cuts in the order asked for, the same codes and labels in all; the class of each column (none where there are no labels), and the
    protocol of the numbers."""

    cuts: tuple[Cut, ...]
    classes: tuple[str, ...]
    protocol: Mapping[str, Any]

    def sheet(self, title: str) -> Any:
        """A row for each threshold, a column for each code."""
        columns = len(self.cuts[0].samples)
        rows = [cut.name for cut in self.cuts]
        return image_grid(np.concatenate([cut.samples for cut in self.cuts]), columns=columns, row_labels=rows, title=title)

    def curve(self, title: str) -> Any:
        """Precision against recall."""
        return trade_figure([(cut.name, cut.values["recall"], cut.values["precision"]) for cut in self.cuts], title)

    def table(self) -> str:
        """The numbers, a line for each threshold."""
        names = tuple(self.cuts[0].values)
        head = f"{'truncation':>10}" + "".join(f"{name:>11}" for name in names)
        return "\n".join([head, *(f"{cut.name:>10}" + "".join(f"{cut.values[name]:>11.4f}" for name in names) for cut in self.cuts)])


def sweep(
    path: str | Path,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    columns: int = 10,
    labels: Sequence[int] | None = None,
    data: Any = None,
    split: str | None = None,
    features: Kind = "auto",
    count: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Sweep:
    """Rows of `columns` samples of a run at each threshold, and precision and recall of `count` samples, of drawn labels, with respect to a
    split of `data`.

    `labels` are those of the columns, in turn; all classes unless given. `data` are the run's own, and `split` the test split where there
    is one, unless given; `features` are those of `ganvas.measure.evaluate_path`. Raises `GanvasError` for a model whose codes are not
    truncated, and for thresholds of 0 or less.
    """
    require(bool(thresholds), "--values: name at least one threshold")
    low = next((threshold for threshold in thresholds if not threshold > 0), None)
    require(low is None, f"--values {low or 0.0:g}: must be greater than 0 (inf: all codes)")
    require(columns > 0, f"--columns {columns}: must be greater than 0")
    require(count is None or count > 0, f"--count {count}: must be greater than 0")
    runs = [load(path, device=device, truncation=threshold) for threshold in thresholds]
    first, settings = runs[0], runs[0].settings["run"]
    require(first.spec.kind == "images", f"{path}: a sheet is of images, and this run makes {first.spec.kind}")
    source = data if data is not None else first.settings["data"]["source"]
    if source is None:
        raise GanvasError("--data: name the data to compare with")
    resolution, layout = settings.get("resolution"), settings.get("layout", "auto")
    part = split or evaluation_split(source)
    reference = open_data(source, split=part, resolution=resolution, layout=layout, progress=progress).compared
    train = training_examples(source, reference, resolution, layout)
    comparison = choose(train, reference if reference is not train else None, features=features, progress=progress)
    wanted = count or comparison.count(reference, COUNT)
    chosen = first.path_labels(labels)  # all classes where none are named
    rows = [run.sample(columns, seed=seed, labels=chosen) for run in runs]

    def measured(run: Run) -> Any:
        said, samples = weights_of(run), drawn(run, seed)(wanted)
        return comparison.evaluate(samples, reference, count=wanted, seed=seed, weights=said, metrics=("prdc",), progress=progress)

    found = [measured(run) for run in runs]
    cuts = tuple(Cut(t, row, one.values) for t, row, one in zip(thresholds, rows, found, strict=True))
    classes = tuple(first.spec.classes[chosen[column % len(chosen)]] for column in range(columns)) if chosen else ()
    return Sweep(cuts, classes, found[0].protocol)
