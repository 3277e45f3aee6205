"""Draw paths between random codes of a run: one row from one sample to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ganvas.cli.parse import parse
from ganvas.errors import require


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """A run directory."""
    out: Path
    """PATH.png for one grid, PATH.npz for an array, or a folder for one PNG each."""
    rows: int = 6
    """Paths."""
    steps: int = 10
    """Samples on each path, both ends included."""
    labels: tuple[int, ...] | None = None
    """Class indices to ask a conditional model for, one a path, used in turn; all classes unless given."""
    seed: int = 0
    """Seed of the codes."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "interpolate", __doc__)
    require(options.rows > 0, f"--rows {options.rows}: must be greater than 0")
    require(options.steps > 1, f"--steps {options.steps}: a path needs at least its two ends")
    from ganvas.explore.writing import check, write
    from ganvas.run import load

    run = load(options.run, device=options.device)
    check(options.out, run.spec)
    paths = run.interpolate(rows=options.rows, steps=options.steps, seed=options.seed, labels=options.labels)
    title = f"{run.entry.name}: {options.rows} paths of {options.steps}"
    labels = run.path_labels(options.labels)
    names = [run.spec.classes[labels[row % len(labels)]] for row in range(options.rows)] if labels else None
    write(paths, options.out, run.spec, title=title, columns=options.steps, row_labels=names)
    print(f"{options.rows} paths: {options.out}")
    return 0
