"""Measure samples against data, with the protocol beside the numbers.

Without --metrics: Frechet distance, precision, recall, density and coverage on features of a classifier (data with labels) or of a network
that predicts rotations (at least 1,000 images without labels); a kernel distance of patches for one image or few. Under torchrun the
processes share the work, and the numbers are those of one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ganvas.cli.parse import parse
from ganvas.data.arrangement import Arrangement
from ganvas.metrics.kinds import Kind, Metric


@dataclass(frozen=True, kw_only=True)
class Options:
    samples: tyro.conf.Positional[Path]
    """A run directory, a folder or zip of images, or a .npz file (array `images` or `points`)."""
    data: str | None = None
    """What to compare with, as in `ganvas train --data`; without it the data the run was trained on."""
    split: str | None = None
    """The split to compare with; without it the test split if there is one."""
    layout: Arrangement | None = None
    """What the pictures of a folder or zip are to each other; without it as in the run."""
    features: Kind = "auto"
    """What images are compared on; `auto` takes what the data allow: classifier, rotations or patches."""
    metrics: tuple[Metric, ...] = ()
    """The numbers wanted, by name: --metrics fd kid is prdc parzen. docs/metrics.md says what each can see."""
    count: int | None = None
    """Samples to draw or read; without it 10,000 or the size of the split, 50 for a single image."""
    seed: int = 0
    """Seed of the samples."""
    truncation: float | None = None
    """Largest entry of a code, for runs of models whose codes can be truncated; `inf` cuts nothing off."""
    convert: bool = False
    """Resize samples and turn grey into RGB or back where they differ from the data; otherwise a difference is an error."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""
    json: bool = False
    """Print JSON."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "evaluate", __doc__)
    from ganvas.diagnostics.progress import ScanProgress
    from ganvas.engine import ranks as peers
    from ganvas.engine.devices import find
    from ganvas.engine.rundir import CONFIG, read_config
    from ganvas.errors import GanvasError
    from ganvas.measure import evaluate_path

    data = options.data
    if data is None and (options.samples / CONFIG).is_file():
        data = read_config(options.samples)["data"]["source"]
    if data is None:
        raise GanvasError("--data: name the data to compare with")
    with peers.joined(find(options.device, peers.local_rank())) as ranks:
        found = evaluate_path(
            options.samples,
            data,
            split=options.split,
            layout=options.layout,
            features=options.features,
            metrics=options.metrics or None,
            count=options.count,
            seed=options.seed,
            device=str(find(options.device, peers.local_rank())),
            convert=options.convert,
            progress=ScanProgress() if ranks.first else None,
            ranks=ranks,
            truncation=options.truncation,
        )
        if ranks.first:
            print(json.dumps(found.to_json(), indent=1) if options.json else found.to_text())
    return 0
