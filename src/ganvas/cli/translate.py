"""Bring pictures of one domain to another with a trained translator."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ganvas.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """A run directory."""
    input: tyro.conf.Positional[Path]
    """A picture, or a folder of pictures; of any size."""
    out: Path
    """The folder for one PNG each, of the same name and size, and `comparison.png` with originals and translations."""
    to: str | None = None
    """The domain to translate to; the last that the run knows unless given."""
    seed: int = 0
    """Of translators that draw random numbers."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "translate", __doc__)
    from ganvas.explore.translating import inputs, translate
    from ganvas.run import load

    done = translate(load(options.run, device=options.device), inputs(options.input), options.out, to=options.to, seed=options.seed)
    for name, reason in done.rejected:
        print(f"left out: '{name}' {reason}", file=sys.stderr)
    print(f"{len(done.written)} translated: {options.out}; side by side: {', '.join(map(str, done.sheets))}")
    return 1 if done.rejected else 0
