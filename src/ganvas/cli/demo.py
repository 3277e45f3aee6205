"""Train dcgan on real handwritten digits, judge what it draws, and say where to look; about two minutes on two cores."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganvas.cli.parse import parse

SAMPLES = 1000
IMAGES = 120_000
LEAST_ACCURACY, LEAST_SHARE, LEAST_CONFIDENCE = 0.97, 0.03, 0.8


@dataclass(frozen=True, kw_only=True)
class Options:
    run: Path | None = None
    """The run directory to make; without it the next free name in runs/."""
    seed: int = 0
    """Seed of the run."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "demo", __doc__)
    from ganvas.api import train

    start = time.perf_counter()
    run = train("dcgan", data="digits", preset="quick", images=IMAGES, run=options.run, seed=options.seed)
    good = judge(run.path)
    path = shlex.quote(str(run.path))
    print(f"\nDone in {time.perf_counter() - start:.0f} s. Look at:")
    print(f"  {run.path / 'report.html'}  the report: open it in a browser")
    print(f"  {run.path / 'samples' / 'grid.png'}  samples")
    print(f"  {run.path / 'samples' / 'interpolation.png'}  paths between random codes")
    print(f"  {run.path / 'curves.png'}  losses over images")
    print("Next:")
    print(f"  ganvas sample {path} --count 100 --out digits.png")
    print(f"  ganvas evaluate {path} --data digits")
    print("  ganvas train gan --data ring      # or your own: --data FOLDER")
    return 0 if good else 1


def judge(path: Path) -> bool:
    """Print what a classifier of the digits makes of 1,000 samples; whether all ten are drawn, recognisably."""
    import torch

    from ganvas.data.open import open_data
    from ganvas.metrics.extractor import classifier_for
    from ganvas.run import load

    run = load(path)
    classifier = classifier_for(open_data("digits", split="train"), open_data("digits", split="test"))
    probabilities = classifier.probabilities(run.tensors(SAMPLES))
    confidence, labels = probabilities.max(dim=1)
    shares = torch.bincount(labels, minlength=10).float() / SAMPLES
    print(f"\nA classifier ({classifier.accuracy:.1%} right on digits it has not seen) finds among {SAMPLES:,} samples:")
    print("  " + "  ".join(f"{name}: {share:.1%}" for name, share in zip(run.spec.classes, shares.tolist(), strict=True)))
    print(f"  mean confidence {confidence.mean():.3f}")
    good = classifier.accuracy >= LEAST_ACCURACY and float(shares.min()) >= LEAST_SHARE and float(confidence.mean()) >= LEAST_CONFIDENCE
    if not good:
        print(f"  BELOW THE BAR: accuracy >= {LEAST_ACCURACY}, each class >= {LEAST_SHARE}, confidence >= {LEAST_CONFIDENCE}")
    return good
