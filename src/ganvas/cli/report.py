"""Write a run's report anew: one self-contained HTML file."""

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
    options = parse(Options, arguments, "report", __doc__)
    from ganvas.diagnostics.report import write_report
    from ganvas.engine.rundir import read_config

    read_config(options.run)
    print(write_report(options.run))
    return 0
