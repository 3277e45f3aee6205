"""Few training images: `python benchmarks/few_images.py` trains `modular` on 500 images without augmentation, with DiffAugment and with
adaptive augmentation, three seeds each, keeps the figures in results/few_images.json and writes results/few_images.md from them.

All runs have the same networks, objective, rates and length in images; the augmentation alone differs. fd, precision and recall are those
of `ganvas evaluate`: 10,000 samples against the test images of the whole source, features of a classifier of its training images. Runs that
are there are not made again. `--images`, `--seeds`, `--data` and names of augmentations make other or fewer runs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import ganvas
from ganvas.diagnostics.rows import of_kind, read_rows
from ganvas.engine.config import RunConfig
from ganvas.measure import evaluate_path
from quality import as_it_was

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GANVAS_DATA", ROOT / "../../shared/data")).resolve()
KEPT, PAGE = ROOT / "results" / "few_images.json", ROOT / "results" / "few_images.md"
RUNS = Path("runs") / "few_images"

COUNT = 500
PRESET = "diffaugment"
WITHOUT = "none"
NAMES = {WITHOUT: "none", "diffaugment": "DiffAugment", "adaptive": "adaptive"}
CONFIG = {"discriminator_width": 48, "policy": ("translation",), "operations": ("geometry",), "adaptive_speed": 20_000.0}
"""A discriminator that can learn the images by heart, and changes that leave a digit a digit."""
LENGTH = 400_000
"""About twelve minutes on one core: 800 times every image."""
BAR = 0.8
SHOWN = ("fd", "precision", "recall", "coverage")
BEST = "best fd"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured of one run."""

    augmentation: str
    data: str
    images: int
    seed: int
    minutes: float
    machine: str
    values: dict[str, float]

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.data, self.augmentation, self.images, self.seed


def trained(augmentation: str, data: str, images: int, seed: int) -> Path:
    """The run, made if it is not there."""
    path = RUNS / f"{Path(data).stem}-{augmentation}-{images}-{seed}"
    if not (path / "report.html").exists():
        print(f"training {path.name}", flush=True)
        options = RunConfig(images=images, seed=seed, threads=1, keep=100)
        config = {"augmentation": augmentation, **CONFIG}
        source = f"first:{COUNT}:{DATA / data}"
        ganvas.train("modular", data=source, preset=PRESET, config=config, options=options, run=path, quiet=True)
    return path


def measured(path: Path, augmentation: str, data: str) -> Figure:
    """The figures of a finished run, against the whole source."""
    run = ganvas.load(path)
    described = json.loads((path / "environment.json").read_text())
    values = dict(evaluate_path(path, str(DATA / data), metrics=["fd", "prdc"]).values)
    last = of_kind(read_rows(path / "metrics.jsonl"), "train")[-1]
    if augmentation == WITHOUT:
        values |= {BEST: best(path, str(DATA / data))}
    strength = {name: float(last[name]) for name in ("discriminator/watch/p", "discriminator/watch/sign") if name in last}
    return Figure(
        augmentation=augmentation,
        data=data,
        images=run.settings["run"]["images"],
        seed=run.settings["run"]["seed"],
        minutes=last["seconds"] / 60,
        machine=f"{described['cores']} cores ({described['processor']})",
        values=dict(values) | strength,
    )


def best(path: Path, source: str) -> float:
    """The least fd of all checkpoints of a run, which is what a user who stopped at the right time would have."""
    found = []
    for state in sorted(path.glob("checkpoints/step-*/state.json")):
        with tempfile.TemporaryDirectory() as folder:
            there = as_it_was(path, json.loads(state.read_text())["images"], Path(folder))
            found.append(evaluate_path(there, source, metrics=["fd"]).values["fd"])
    return min(found)


def kept() -> dict[tuple[str, str, int, int], Figure]:
    stored = json.loads(KEPT.read_text()) if KEPT.exists() else []
    return {figure.key: figure for figure in (Figure(**one) for one in stored)}


def keep(figure: Figure) -> None:
    """Put a figure beside the others, in place of an older one of the same run, and write the page."""
    figures = kept() | {figure.key: figure}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps([asdict(figures[key]) for key in sorted(figures)], indent=1) + "\n", encoding="utf-8")
    PAGE.write_text("\n".join(page(list(figures.values()))) + "\n", encoding="utf-8")


def medians(figures: list[Figure]) -> dict[str, float]:
    """The median fd of each augmentation of which there are runs."""
    found = {name: [one.values["fd"] for one in figures if one.augmentation == name] for name in NAMES}
    return {name: statistics.median(values) for name, values in found.items() if values}


def page(figures: list[Figure]) -> list[str]:
    machines = ", ".join(sorted({one.machine for one in figures}))
    lines = [
        "# Few images",
        "",
        f"Command: `python benchmarks/few_images.py`. `modular` (preset `{PRESET}`, with the fields in the script's `CONFIG` and",
        f"`--config.augmentation` as shown) on {COUNT} images of a training set (`first:{COUNT}:`), on one thread of {machines},",
        "beside other work on the machine. fd and the rest against the test images, features of a classifier of all training images.",
        "Median, and the least and the largest of the seeds.",
    ]
    for data, images in sorted({(one.data, one.images) for one in figures}):
        lines += table([one for one in figures if (one.data, one.images) == (data, images)])
    return [*lines, "", f"Wanted: an fd of at most {BAR} of that without augmentation."]


def table(figures: list[Figure]) -> list[str]:
    """The section of runs of the same data and length."""
    first, middle = figures[0], medians(figures)
    lines = [
        "",
        f"## {Path(first.data).stem}, {first.images:,} images seen",
        "",
        "| augmentation | seeds | minutes | " + " | ".join(SHOWN) + " | fd beside none |",
        "|---|---|---|" + "---|" * (len(SHOWN) + 1),
    ]
    for name, said in NAMES.items():
        runs = [one for one in figures if one.augmentation == name]
        if runs:
            cells = " | ".join(spread([one.values[metric] for one in runs]) for metric in SHOWN)
            ratio = f"{middle[name] / middle[WITHOUT]:.2f}" if WITHOUT in middle else ""
            lines.append(f"| {said} | {len(runs)} | {statistics.median(one.minutes for one in runs):.1f} | {cells} | {ratio} |")
    strengths = [one.values["discriminator/watch/p"] for one in figures if "discriminator/watch/p" in one.values]
    if strengths:
        lines += ["", f"Strength p of adaptive augmentation at the end: {spread(strengths)}."]
    stopped = [one.values[BEST] for one in figures if BEST in one.values]
    if stopped:
        lines += ["", f"Without augmentation the least fd of a run's ten checkpoints: {spread(stopped)}."]
    return lines


def spread(found: list[float]) -> str:
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def arguments() -> Any:
    said = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said.add_argument("augmentations", nargs="*", help=f"those to run, of {', '.join(NAMES)}; without them all")
    said.add_argument("--data", default="mnist", help="a folder or zip in the folder of data (GANVAS_DATA)")
    said.add_argument("--images", type=int, default=LENGTH, help="images that a run sees")
    said.add_argument("--seeds", type=int, default=3, help="runs of each augmentation")
    chosen = said.parse_args()
    unknown = set(chosen.augmentations) - NAMES.keys()
    if unknown:
        said.error(f"there is no augmentation {', '.join(sorted(unknown))}: choose of {', '.join(NAMES)}")
    return chosen


def main() -> None:
    chosen = arguments()
    if not (DATA / chosen.data).exists():
        sys.exit(f"{DATA / chosen.data} is not there: set GANVAS_DATA to the folder that holds it, or name another with --data")
    for seed in range(chosen.seeds):
        for augmentation in chosen.augmentations or NAMES:
            path = trained(augmentation, chosen.data, chosen.images, seed)
            keep(figure := measured(path, augmentation, chosen.data))
            print(f"{path.name}: {figure.minutes:.1f} minutes; {figure.values}", flush=True)
    middle = medians([one for one in kept().values() if (one.data, one.images) == (chosen.data, chosen.images)])
    for name, value in middle.items():
        if name != WITHOUT and WITHOUT in middle:
            ratio = value / middle[WITHOUT]
            verdict = f"{'meets' if ratio <= BAR else 'misses'} {BAR}"
            print(f"{NAMES[name]}: median fd {value:.3f}, {ratio:.2f} of {middle[WITHOUT]:.3f} without ({verdict})")


if __name__ == "__main__":
    main()
