"""Hide a part of images and let a run's model draw it: what was shown, several completions and the truth in each row."""

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
    """PATH.png for a sheet, or PATH.npz for arrays (`truth`, `made`, `mask`)."""
    data: str | None = None
    """A picture, a folder, or whatever `ganvas train --data` takes; without it the data the run was trained on."""
    split: str | None = None
    """The split of the data; without it the test split if there is one."""
    mask: str = "lower"
    """What the model draws: the lower, upper, left or right half, or what is white in a picture FILE.png."""
    count: int = 8
    """Images, the first of the split."""
    draws: int = 5
    """Completions of each."""
    seed: int = 0
    """Of the completions."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "complete", __doc__)
    from ganvas.diagnostics.gallery import save_picture
    from ganvas.explore.completing import complete, completer, rows
    from ganvas.explore.given import check_array, given, hidden, save_arrays
    from ganvas.run import load

    check_array(options.out, "PATH.png (a sheet) or PATH.npz (arrays)", also=(".png",))
    run = load(options.run, device=options.device)
    completer(run)
    mask = hidden(options.mask, run.spec.shape[1], run.spec.shape[2])
    data = given(run, options.data, split=options.split, count=options.count)
    found = complete(data, mask, draws=options.draws, seed=options.seed)
    if options.out.suffix == ".npz":
        save_arrays(options.out, {"truth": found.truth, "made": found.made, "mask": found.mask})
    else:
        save_picture(rows(found, f"{run.entry.card.title}, {run.images:,} images seen; {data.title}: the veiled part drawn"), options.out)
    print("\n".join([*data.changes, f"{options.draws} completions each of {len(found.truth)} images ({data.title}): {options.out}"]))
    return 0
