"""Seconds of metrics beside other libraries on the same features: `python benchmarks/metrics_speed.py` writes results/metrics_speed.md.

10,000 against 10,000 features; ours and theirs in turn, five times; medians. Needs the test extra (torchmetrics, prdc).
"""

import contextlib
import io
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from prdc import compute_prdc
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from ganvas.metrics.density_coverage import density_coverage
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.inception_score import inception_score
from ganvas.metrics.kid import kernel_inception_distance
from ganvas.metrics.precision_recall import precision_recall

RESULTS = Path(__file__).resolve().parent / "results" / "metrics_speed.md"
COUNT, TIMES, BATCH = 10_000, 5, 500


class Given(nn.Module):
    """Takes features for images."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def theirs(metric: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> object:
    for part in real.split(BATCH):
        metric.update(part, real=True)
    for part in fake.split(BATCH):
        metric.update(part, real=False)
    return metric.compute()


def score(logits: torch.Tensor) -> object:
    metric = InceptionScore(feature=Given(logits.shape[1]))
    for part in logits.split(BATCH):
        metric.update(part)
    return metric.compute()


def cases(size: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(COUNT, size, generator=generator)
    fake = 1.1 * torch.randn(COUNT, size, generator=generator) + 0.1
    found: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        f"Frechet distance, {size} features": (
            lambda: frechet_distance(*moments(real), *moments(fake)),
            lambda: theirs(FrechetInceptionDistance(feature=Given(size), input_img_size=(1, 1, size)), real, fake),
        ),
        f"KID, {size} features, 100 subsets of 1,000": (
            lambda: kernel_inception_distance(real, fake),
            lambda: theirs(KernelInceptionDistance(feature=Given(size), subsets=100, subset_size=1000), real, fake),
        ),
    }
    if size <= 256:
        found[f"Inception Score, {size} classes"] = (lambda: inception_score(real.softmax(dim=1)), lambda: score(real))
        found[f"precision, recall, density, coverage, {size} features (prdc)"] = (
            lambda: (precision_recall(real, fake), density_coverage(real, fake)),
            lambda: compute_prdc(real.numpy(), fake.numpy(), nearest_k=5),
        )
    return found


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.perf_counter() - start


def main() -> None:
    warnings.simplefilter("ignore")
    lines = [
        "# Speed of metrics",
        "",
        f"Command: `python benchmarks/metrics_speed.py`; {COUNT:,} against {COUNT:,} random features in memory, float32, ours and theirs",
        f"in turn {TIMES} times on {torch.get_num_threads()} threads; medians in seconds. Theirs is torchmetrics unless named.",
        "",
        "| metric | ours | theirs | theirs / ours |",
        "|---|---|---|---|",
    ]
    for size in (128, 2048):
        for name, (ours, other) in cases(size).items():
            pairs = [(timed(ours), timed(other)) for _ in range(TIMES)]
            mine, other_time = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            lines.append(f"| {name} | {mine:.3f} | {other_time:.3f} | {ratio:.2f} |")
            print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
