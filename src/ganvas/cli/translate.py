"""Bring pictures of one domain to another with a trained translator, or the held-out examples of its data, beside the truth."""

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
    input: tyro.conf.Positional[Path | None] = None
    """A picture, or a folder of pictures; of any size. Without it the examples of --data."""
    out: Path
    """The folder for one PNG each, of the same name and size, and `comparison.png` with originals, translations and, where it is known, the
    truth."""
    to: str | None = None
    """The domain to translate to; the last that the run knows unless given."""
    style: Path | None = None
    """A picture of the domain to translate to, whose style is taken; for models that know styles."""
    truth: Path | None = None
    """What should come out of a picture, or a folder of pictures of the same names, to stand beside it."""
    data: str | None = None
    """Without pictures: what to translate, as in `ganvas train --data`; the data that the run was trained on unless given."""
    split: str | None = None
    """The split of --data; the held-out one unless given."""
    count: int | None = None
    """Examples of --data to translate; 32 unless given."""
    seed: int = 0
    """Of translators that draw random numbers."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "translate", __doc__)
    from ganvas.errors import require
    from ganvas.explore.translating import inputs, translate, translate_pairs
    from ganvas.run import load

    run, chosen = load(options.run, device=options.device), (options.data, options.split, options.count)
    if options.input is None:
        require(options.truth is None, "--truth: belongs to pictures; the examples of --data bring their own")
        done = translate_pairs(
            run,
            options.data,
            options.out,
            to=options.to,
            split=options.split,
            count=options.count,
            seed=options.seed,
            style=options.style,
        )
    else:
        require(all(one is None for one in chosen), "--data, --split and --count: leave them out where pictures are named")
        files = inputs(options.input)
        done = translate(run, files, options.out, to=options.to, seed=options.seed, style=options.style, truth=options.truth)
    for name, reason in done.rejected:
        print(f"left out: '{name}' {reason}", file=sys.stderr)
    print(f"{len(done.written)} translated: {options.out}; side by side: {', '.join(map(str, done.sheets))}")
    return 1 if done.rejected else 0
