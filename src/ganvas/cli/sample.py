"""Draw samples from one run, or each from a randomly chosen one of several (an ensemble against mode dropping)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ganvas.cli.parse import parse
from ganvas.errors import require


@dataclass(frozen=True, kw_only=True)
class Options:
    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    out: Path
    """PATH.png for one grid, PATH.npz for an array (`images`, uint8, N x H x W x C; or `points`, float32, N x D), or a folder for one PNG
    each."""
    count: int = 64
    """Number of samples."""
    labels: tuple[int, ...] | None = None
    """Class indices to ask a conditional model for, used in turn."""
    size: tuple[int, int] | None = None
    """HEIGHT WIDTH of the images, for models that draw any size; that of the data unless given."""
    truncation: float | None = None
    """Largest entry of a code, for models whose codes can be truncated: the smaller, the better and the more alike samples are; `inf` cuts
    nothing off. Statistics of batch norm are gathered anew for such codes."""
    seed: int = 0
    """Sample i is a function of (run, seed, i)."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "sample", __doc__)
    require(bool(options.runs), "name at least one run directory")
    require(options.count > 0, f"--count {options.count}: ask for at least one sample")
    from ganvas.explore.writing import check, write
    from ganvas.run import ensemble, load

    runs = [load(path, device=options.device, truncation=options.truncation) for path in options.runs]
    check(options.out, runs[0].spec)
    samples = ensemble(runs, options.count, seed=options.seed, labels=options.labels, size=options.size)
    names = " + ".join(run.entry.name for run in runs)
    cut = "" if options.truncation is None else f", codes truncated at {options.truncation:g}"
    title = f"{names}, {runs[0].images:,} images seen, seed {options.seed}{cut}"
    write(samples, options.out, runs[0].spec, title=title, labels=options.labels)
    print(f"{options.count} samples: {options.out}")
    return 0
