"""Truncate a run's codes nearer and nearer to 0: a row of samples for each threshold, and precision against recall.

The sheet has the same codes and labels in every row. Beside it, as NAME-curve.png, precision is drawn against recall, of more
samples, whose labels are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ganvas.cli.parse import parse
from ganvas.errors import require
from ganvas.metrics.kinds import Kind


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """A run directory."""
    out: Path
    """NAME.png of the sheet."""
    values: tuple[float, ...] = ()
    """Thresholds, one a row: the largest entry of a code; `inf` cuts nothing off. Without it inf 2 1 0.5 0.25 0.04."""
    columns: int = 10
    """Codes, one a column."""
    labels: tuple[int, ...] | None = None
    """Class indices of the columns, used in turn; all classes unless given."""
    data: str | None = None
    """What to compare with, as in `ganvas train --data`; without it the data the run was trained on."""
    split: str | None = None
    """The split to compare with; without it the test split if there is one."""
    features: Kind = "auto"
    """What images are compared on; `auto` takes what the data allow."""
    count: int | None = None
    """Samples of each threshold that are measured; without it 2,000 or the size of the split."""
    seed: int = 0
    """Seed of the codes."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "truncate", __doc__)
    require(options.out.suffix == ".png", f"--out {options.out}: a sheet is written to NAME.png")
    from ganvas.diagnostics.gallery import save_picture
    from ganvas.diagnostics.progress import ScanProgress
    from ganvas.explore.truncating import THRESHOLDS, sweep
    from ganvas.explore.writing import check
    from ganvas.run import load

    run = load(options.run, device=options.device)
    check(options.out, run.spec)
    found = sweep(
        options.run,
        options.values or THRESHOLDS,
        columns=options.columns,
        labels=options.labels,
        data=options.data,
        split=options.split,
        features=options.features,
        count=options.count,
        seed=options.seed,
        device=options.device,
        progress=ScanProgress(),
    )
    beside = options.out.with_name(f"{options.out.stem}-curve.png")
    title = run.entry.card.title
    save_picture(found.sheet(f"{title}: codes truncated at the number on the left, each column one code"), options.out)
    save_picture(found.curve(f"{title}: codes truncated at the number beside the point"), beside)
    print(found.table())
    facts = found.protocol
    said = f"{facts['samples']['count']:,} samples each against {facts['reference']['count']:,} images"
    print(f"{said} of split {facts['reference']['split']}, on {facts['chosen']}: compare within this table alone")
    if found.classes:
        print(f"columns: {', '.join(found.classes)}")
    print(f"{options.out}, {beside}")
    return 0
