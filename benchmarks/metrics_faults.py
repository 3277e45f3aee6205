"""Which metric notices which fault: `python benchmarks/metrics_faults.py` measures MNIST, with faults planted, and `dcgan` at four stages
of training, and writes the table into docs/metrics.md. About 25 minutes on two cores, most of it training; runs that are there are kept.

Samples are 5,000 at a time, compared with 5,000 test images on the features of a classifier of the data. Six disjoint sets of real images,
from the half of the training split that is not searched for copies, say what is chance: a fault is noticed by a number where it lies more
than five of their standard deviations from their mean. Each fault is planted in the first of these sets, except the memories.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import torch
import torch.nn.functional as F
from torch import Tensor

import ganvas
from ganvas.data.examples import About, MemoryImages
from ganvas.data.open import open_data
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.extractor import classifier_for
from ganvas.metrics.measures import OF_FEATURES, STREAMED

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GANVAS_DATA", ROOT / "../../shared/data")).resolve() / "mnist"
PAGE = ROOT.parent / "docs" / "metrics.md"
BEGIN, END = "<!-- measured: written by benchmarks/metrics_faults.py -->", "<!-- end of measured -->"
COUNT, SETS, CHANCE = 5_000, 6, 5.0
STAGES = (3_000, 15_000, 100_000, 600_000)
METRICS = tuple(name for name in (*OF_FEATURES, *STREAMED))
ROWS = ("fd", "kid", "is", "precision", "recall", "density", "coverage", "classes", "modes_kl", "swd", "spectrum", "ms_ssim", "parzen")
ROWS += ("support", "copying", "copies")


def faults(real: Tensor, labels: Tensor, training: Tensor) -> dict[str, Tensor]:
    """Sets of images (N, C, H, W) by the name of what is wrong with them."""
    generator = torch.Generator().manual_seed(0)
    larger = F.interpolate(real, size=(32, 32), mode="bilinear")
    blurred = F.conv2d(
        F.pad(real, (1, 1, 1, 1), value=-1.0), torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0]))[None, None] / 16
    )
    return {
        "blur": blurred,
        "noise": (real + 0.1 * torch.randn(real.shape, generator=generator)).clamp(-1, 1),
        "no 9": real[labels != 9],
        "memory": training[:COUNT],
        "200 images": training[:200].repeat(COUNT // 200, 1, 1, 1),
        "resize": F.interpolate(larger, size=(28, 28), mode="bilinear"),
    }


def table(columns: Mapping[str, Mapping[str, float]], chance: Mapping[str, tuple[float, float]]) -> list[str]:
    """Markdown: a row for each number, real data first, what is noticed in bold."""
    lines = ["| number | real data | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for row in ROWS:
        mean, deviation = chance[row]
        cells = [f"{mean:.3g} ± {deviation:.1g}"]
        for values in columns.values():
            value = values[row]
            noticed = abs(value - mean) > CHANCE * deviation
            cells.append(f"**{value:.3g}**" if noticed else f"{value:.3g}")
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: set GANVAS_DATA to the folder that holds mnist/")
    train, test = open_data(str(DATA)), open_data(str(DATA), split="test")
    judge = classifier_for(train, test)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    searched = train.batch(order[:30_000])
    pixels = train.spec.native(searched.images).contiguous()
    half = MemoryImages(About(spec=train.spec, split="train"), pixels, searched.labels)

    def measure(samples: Tensor, training: MemoryImages | None = half) -> Mapping[str, float]:
        return evaluate(samples, test, judge, metrics=METRICS, training=training or train, count=COUNT).values

    sets = [train.batch(rows) for rows in order[30_000:].split(COUNT)[:SETS]]
    real = [measure(one.images) for one in sets]
    chance = {}
    for row in ROWS:
        values = torch.tensor([one[row] for one in real], dtype=torch.float64)
        chance[row] = float(values.mean()), float(values.std())
    columns: dict[str, Mapping[str, float]] = {}
    for name, images in faults(sets[0].images, sets[0].labels, searched.images).items():
        print(name, flush=True)
        columns[name] = measure(images)
    for images_seen in STAGES:
        path = Path("runs") / "metrics" / f"dcgan-{images_seen}"
        print(path, flush=True)
        if not (path / "report.html").exists():
            ganvas.train("dcgan", data=str(DATA), preset="quick", images=images_seen, run=path, quiet=True)
        columns[f"dcgan {images_seen // 1000}k"] = measure(ganvas.load(path).tensors(COUNT), None)
    text = PAGE.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(before + "\n".join([BEGIN, "", *table(columns, chance), "", END]) + after)


if __name__ == "__main__":
    main()
