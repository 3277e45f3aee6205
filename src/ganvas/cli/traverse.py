"""Turn one named part of a run's code while the rest stays: one row for each code, to see what the part means."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ganvas.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """A run directory."""
    out: Path
    """PATH.png for one grid, PATH.npz for an array, or a folder for one PNG each."""
    factor: str | None = None
    """The part of the code to turn, by name; the first unless given, and a wrong name is answered by those there are."""
    rows: int = 6
    """Codes; within a row everything else of the code stays."""
    steps: int = 10
    """Values of a part that is a number, from -1 to 1; of categories all are shown."""
    seed: int = 0
    """Seed of the codes."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "traverse", __doc__)
    from ganvas.diagnostics.gallery import save_picture
    from ganvas.diagnostics.grids import image_grid
    from ganvas.explore.traversing import traverse
    from ganvas.explore.writing import check, write
    from ganvas.run import load

    run = load(options.run, device=options.device)
    check(options.out, run.spec)
    found = traverse(run, options.factor, rows=options.rows, steps=options.steps, seed=options.seed)
    title, columns = f"{run.entry.card.title}: within a row only {found.factor} changes", len(found.values)
    if options.out.suffix == ".png" and run.spec.kind == "images":
        grid = image_grid(found.samples, columns=columns, captions=found.values * options.rows, title=title)
        save_picture(grid, options.out)
    else:
        write(found.samples, options.out, run.spec, title=title, columns=columns)
    print(f"{found.factor} through {', '.join(found.values)}: {options.out}")
    return 0
