"""Continue a run exactly where its last whole checkpoint left it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ganvas.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """A run directory."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "resume", __doc__)
    from ganvas.api import resume

    resume(options.run)
    return 0
