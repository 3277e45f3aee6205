"""Write the codes that a run's encoder gives to data, with their labels."""

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
    """PATH.npz: `codes` (float32, N x Z), and of labelled data `labels` (int64) and `classes` (names)."""
    data: str | None = None
    """What `ganvas train --data` takes; without it the data the run was trained on."""
    split: str | None = None
    """The split to encode; without it the test split if there is one."""
    count: int | None = None
    """The first so many; all unless given."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "encode", __doc__)
    from ganvas.explore.given import check_array, given, save_arrays
    from ganvas.explore.reconstructing import encode, encoder
    from ganvas.run import load

    check_array(options.out, "PATH.npz")
    run = load(options.run, device=options.device)
    encoder(run)
    data = given(run, options.data, split=options.split, count=options.count)
    found = encode(data)
    save_arrays(options.out, found.arrays())
    print("\n".join([*data.changes, f"{len(found.codes):,} codes of {found.codes.shape[1]} entries ({data.title}): {options.out}"]))
    return 0
