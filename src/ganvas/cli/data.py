"""Look at data: `ganvas data scan SOURCE` prints what a training run would see."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tyro

from ganvas.cli.parse import parse
from ganvas.data.arrangement import Arrangement


@dataclass(frozen=True, kw_only=True)
class Options:
    action: tyro.conf.Positional[Literal["scan"]]
    """scan: read every file and say what is used, how it is converted and what is rejected."""
    source: tyro.conf.Positional[str]
    """What `ganvas train --data` takes."""
    resolution: int | None = None
    """Side of the square that images are resized and cropped to; without it the native size is kept."""
    layout: Arrangement = "auto"
    """What the pictures of a folder or zip are to each other, as in `ganvas train`."""
    verify: bool = False
    """Hash every file's bytes instead of trusting size and modification time."""
    json: bool = False
    """Print JSON, with the full list of rejected files."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "data", __doc__)
    from ganvas.data.describe import scan, text
    from ganvas.diagnostics.progress import ScanProgress

    found = scan(options.source, resolution=options.resolution, layout=options.layout, verify=options.verify, progress=ScanProgress())
    print(json.dumps(found.to_json(), indent=1) if options.json else text(found))
    return 0
