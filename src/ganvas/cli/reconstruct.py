"""Send data through a run's codes and back, and show what was given beside what came of it."""

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
    pictures: tyro.conf.Positional[str | None] = None
    """A picture, a folder, or whatever `ganvas train --data` takes; or train, val or test, a split of the data the run was trained on.
    Without it that data's test split."""
    out: Path
    """PATH.png for a sheet, or PATH.npz for arrays (`given`, `made`, `codes`)."""
    split: str | None = None
    """The split of a source that has several; without it the test split if there is one."""
    count: int = 32
    """The first so many."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "reconstruct", __doc__)
    from ganvas.diagnostics.gallery import save_picture
    from ganvas.explore.given import SPLITS, check_array, given, save_arrays
    from ganvas.explore.reconstructing import encoder, pairs, reconstruct
    from ganvas.run import load

    check_array(options.out, "PATH.png (a sheet) or PATH.npz (arrays)", also=(".png",))
    source, split = options.pictures, options.split
    if source in SPLITS and not Path(source).exists():
        require(split is None, f"{source}: is a split; leave out --split {split}, or name the data")
        source, split = None, source
    run = load(options.run, device=options.device)
    encoder(run)
    data = given(run, source, split=split, count=options.count)
    found = reconstruct(data)
    if options.out.suffix == ".npz":
        save_arrays(options.out, {"given": found.given, "made": found.made, "codes": found.codes})
    else:
        save_picture(pairs(found, f"{run.entry.card.title}, {run.images:,} images seen; {data.title}, and what came back"), options.out)
    near = "" if found.decibels is None else f", PSNR {found.decibels:.2f} dB"
    print("\n".join([*data.changes, f"{len(found.made):,} reconstructions ({data.title}{near}): {options.out}"]))
    return 0
