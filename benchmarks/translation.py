"""From picture to picture on real data: `python benchmarks/translation.py [NAME ...]` trains what the plans below hold and is not there
yet, one run after the other, measures it, keeps the figures in results/translation.json and writes results/translation.md and the sheets
from them. NAME is one of the plans' names; `--images N` makes every run that short, `--out` and `--runs` are other folders.

Figures are those of `ganvas evaluate --metrics kid pairs`. The data are found by GANVAS_DATA, the folder of facades/ and cifar10.zip.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

import ganvas
from ganvas.data.fillings import FILLINGS
from ganvas.data.open import open_data
from ganvas.data.tasks import divided
from ganvas.diagnostics.grids import image_grid
from ganvas.diagnostics.rows import of_kind, read_rows
from ganvas.engine.capabilities import Translate
from ganvas.engine.config import RunConfig
from ganvas.engine.draws import Draws, SampleDraws
from ganvas.measure import evaluate_path
from ganvas.metrics.choosing import choose
from ganvas.metrics.kid import polynomial_distance
from ganvas.metrics.neighbours import nothing
from ganvas.paired import paired_numbers
from ganvas.run import Run

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GANVAS_DATA", ROOT / "../../shared/data")).resolve()
CPU = torch.device("cpu")
SIDE, OUTLINE = 64, 6 / 16  # pixels of a map; the share of its area from which a pixel is of the outline
OUTSIDE, LINE, INSIDE = range(3)
COLOURS = np.array([[255, 255, 255], [0, 0, 0], [0, 114, 178]], np.uint8)
TRANSLATIONS, RESTORED = 8, 10_000  # translations of each test map; test images of a task
HALVES = 100  # random halves of the test maps on which two models are compared
SHOWN, SCALE = 8, 2

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: a model of the catalog, its preset with changes, and its length in training pairs."""

    name: str
    model: str
    preset: str
    images: int
    data: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured of one run, and of what learned nothing, beside it."""

    name: str
    model: str
    preset: str
    images: int
    minutes: float
    machine: str
    values: dict[str, float]
    plain: dict[str, float]


LABELS = (
    Plan(name="l1", model="pix2pix", preset="quick", images=20_000, data="maps", config={"adversarial": 0.0}),
    Plan(name="pix2pix", model="pix2pix", preset="quick", images=20_000, data="maps"),
    Plan(name="spade", model="spade", preset="quick", images=20_000, data="maps"),
)
BASE = LABELS[0].name
"""The run that the others are to beat."""
TASKS_SHOWN = ("super-resolve-2", "denoise-25", "inpaint-centre-50", "colourise")
RESTORATION = tuple(Plan(name=task, model="pix2pix", preset="quick-restore", images=80_000, data=f"task:{task}") for task in TASKS_SHOWN)
PLAIN = {"super-resolve-2": "bicubic", "denoise-25": "median of 3 x 3", "inpaint-centre-50": "mean of the rest", "colourise": "grey"}


class Filling(Translate):
    """The answer without learning to a task of `ganvas.data.tasks`, as a translator."""

    def __init__(self, task: str, target: str) -> None:
        self.title, self.strength, _ = divided(f"task:{task}:any")
        self.target = target

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def multiple(self) -> int:
        return 1

    def translate(self, images: Tensor, *, to: str, rng: Draws) -> Tensor:
        return FILLINGS[self.title](images, self.strength)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs, made data and results lie."""

    runs: Path
    out: Path

    @property
    def maps(self) -> Path:
        return self.runs / "maps"

    def source(self, plan: Plan) -> str:
        return f"maps:{self.maps}" if plan.data == "maps" else f"{plan.data}:{DATA / 'cifar10.zip'}"


def split_by_content() -> dict[str, list[Path]]:
    """Files of facades/train, and those of facades/val whose bytes are not among them; of equal files the first."""
    seen: set[str] = set()
    found: dict[str, list[Path]] = {}
    for split, folder in (("train", "train"), ("test", "val")):
        found[split] = []
        for path in sorted((DATA / "facades" / folder).iterdir(), key=lambda path: (len(path.name), path.name)):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in seen:
                found[split].append(path)
            seen.add(digest)
    return found


def halves(path: Path) -> tuple[Bytes, Bytes]:
    """The photo and the outline of a pair side by side, each in the middle of a white square."""
    with Image.open(path) as opened:
        whole = np.asarray(opened.convert("RGB"))
    side = whole.shape[1] // 2
    page = np.full((max(side, whole.shape[0]), 2 * side, 3), 255, np.uint8)
    top = (page.shape[0] - whole.shape[0]) // 2
    page[top : top + whole.shape[0]] = whole
    return page[:, :side], page[:, side:]


def label_map(outline: Bytes) -> Bytes:
    """Numbers (SIDE, SIDE): outline, outside (what is reached from the border without crossing it) and inside."""
    line = outline.mean(axis=2) < 128
    areas, _ = ndimage.label(~np.pad(line, 1))
    outside = (areas == areas[0, 0])[1:-1, 1:-1]
    step = len(line) // SIDE
    shares = [part[: step * SIDE, : step * SIDE].reshape(SIDE, step, SIDE, step).mean(axis=(1, 3)) for part in (line, outside)]
    inside = 1 - shares[0] - shares[1]
    return np.where(shares[0] >= OUTLINE, LINE, np.where(inside >= shares[1], INSIDE, OUTSIDE)).astype(np.uint8)


def make_maps(folder: Path) -> None:
    """Pairs of label maps and photos, SIDE pixels each: FOLDER/{train,test}/{A,B}/NUMBER.png."""
    unfinished = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    for split, paths in split_by_content().items():
        for side in "AB":
            (unfinished / split / side).mkdir(parents=True)
        for path in paths:
            photo, outline = halves(path)
            Image.fromarray(COLOURS[label_map(outline)]).save(unfinished / split / "A" / f"{path.stem}.png")
            Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(unfinished / split / "B" / f"{path.stem}.png")
    unfinished.rename(folder)


def measured(plan: Plan, place: Place) -> Figure:
    """The figures of a finished run."""
    path, source = place.runs / plan.name, place.source(plan)
    run = ganvas.load(path)
    if plan.data == "maps":
        count = TRANSLATIONS * len(open_data(source, split="test"))
        values = evaluate_path(path, source, features="rotations", metrics=["kid"], count=count).values
        values |= evaluate_path(path, source, features="rotations", metrics=["pairs"]).values
        if plan.name != BASE:
            values |= lead(run, ganvas.load(place.runs / BASE), source)
        plain = evaluate_path(place.maps / "train" / "B", source, features="rotations", metrics=["kid"]).values
    else:
        values = evaluate_path(path, source, features="classifier", metrics=["pairs"], count=RESTORED).values
        plain = without_learning(plan, source)
    described = json.loads((path / "environment.json").read_text())
    return Figure(
        name=plan.name,
        model=plan.model,
        preset=plan.preset,
        images=run.images,
        minutes=of_kind(read_rows(path / "metrics.jsonl"), "train")[-1]["seconds"] / 60,
        machine=f"{run.settings['resolved']['threads']} of {described['cores']} cores ({described['processor']})",
        values=dict(values),
        plain=dict(plain),
    )


@torch.no_grad()
def lead(run: Run, base: Run, source: str) -> dict[str, float]:
    """By how much the kernel distance of a run is less than that of `base`, on the same random halves of the test maps."""
    train, test = (open_data(source, split=split).compared for split in ("train", "test"))
    extractor = choose(train, test, features="rotations").extractor
    assert extractor is not None
    real, generator = extractor.features(test.batch(torch.arange(len(test))).images), torch.Generator().manual_seed(0)
    fakes = [extractor.features(one.tensors(TRANSLATIONS * len(test))).unflatten(0, (TRANSLATIONS, len(test))) for one in (base, run)]
    size = real.double().square().mean().sqrt()  # as `ganvas evaluate` scales them
    leads = []
    for _ in range(HALVES):
        half = torch.randperm(len(test), generator=generator)[: len(test) // 2]
        there, here = (
            float(polynomial_distance(real[half].double() / size, fake[:, half].flatten(0, 1).double() / size)) for fake in fakes
        )
        leads.append(there - here)
    found = torch.tensor(leads)
    return {"kid_lead": float(found.mean()), "kid_lead_deviation": float(found.std()), "kid_lead_share": float((found > 0).float().mean())}


def without_learning(plan: Plan, source: str) -> dict[str, float]:
    """The same numbers of the filling that the task is usually mended with."""
    train, test = (open_data(source, split=split) for split in ("train", "test"))
    extractor = choose(train.compared, test.compared, features="classifier").extractor
    filling = Filling(plan.name, test.spec.domains[-1])
    return dict(paired_numbers(filling, test, extractor, count=RESTORED, seed=0, device=CPU, poll=nothing).values)


@torch.no_grad()
def shown(plan: Plan, place: Place) -> dict[str, Bytes]:
    """Test inputs from all over the split, what the plan's run makes of them, what is made of them without learning, and the truth."""
    pairs = open_data(place.source(plan), split="test")
    chosen = torch.linspace(0, len(pairs) - 1, SHOWN).round().long()
    batch, (first, second) = pairs.batch(chosen), pairs.spec.domains
    model = ganvas.load(place.runs / plan.name).model
    assert isinstance(model, Translate)
    rows = {"label map" if plan in LABELS else f"given, {first}": seen(batch.images)}
    rows[plan.name] = seen(model.translate(batch.images, to=second, rng=SampleDraws(0, indices=chosen.tolist())))
    if plan in RESTORATION and PLAIN[plan.name] != first:
        rows[PLAIN[plan.name]] = seen(Filling(plan.name, second).translate(batch.images, to=second, rng=SampleDraws(0)))
    return rows | {"true": seen(batch["target"])}


def sheets(place: Place) -> None:
    """Small PNGs of all plans that have been trained: one for label maps, one for tasks."""
    there = [plan for plan in (*LABELS, *RESTORATION) if (place.runs / plan.name / "report.html").exists()]
    of_labels: dict[str, Bytes] = {}
    for plan in there:
        if plan in LABELS:
            found = shown(plan, place)
            of_labels = {**{name: rows for name, rows in of_labels.items() if name != "true"}, **found}
    of_tasks = [row for plan in there if plan in RESTORATION for row in shown(plan, place).items()]
    for name, rows in (("labels", list(of_labels.items())), ("tasks", of_tasks)):
        if rows:
            grid = image_grid(np.concatenate([one for _, one in rows]), columns=SHOWN, row_labels=[word for word, _ in rows], scale=SCALE)
            grid.save(place.out / f"translation-{name}.png", optimize=True)


def seen(images: Tensor) -> Bytes:
    """Images (N, C, H, W) in [-1, 1] as bytes (N, H, W, 3)."""
    pixels: Bytes = images.float().expand(-1, 3, -1, -1).add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return pixels


def kept(place: Place) -> dict[str, Figure]:
    path = place.out / "translation.json"
    return {one["name"]: Figure(**one) for one in json.loads(path.read_text())} if path.exists() else {}


def keep(figure: Figure, place: Place) -> None:
    """Put a figure beside the others, in place of an older one of the same name, and write the page."""
    figures = kept(place) | {figure.name: figure}
    ranked = [figures[plan.name] for plan in (*LABELS, *RESTORATION) if plan.name in figures]
    (place.out / "translation.json").write_text(json.dumps([asdict(one) for one in ranked], indent=1) + "\n", encoding="utf-8")
    (place.out / "translation.md").write_text("\n".join(page(ranked)) + "\n", encoding="utf-8")


def page(figures: list[Figure]) -> list[str]:
    by_name = {one.name: one for one in figures}
    machines = ", ".join(sorted({one.machine for one in figures}))
    return [
        "# From picture to picture",
        "",
        "Command: `python benchmarks/translation.py`. Minutes are wall time of training on one thread each, beside other work on the",
        f"machine ({machines}).",
        "",
        *on_labels([by_name[plan.name] for plan in LABELS if plan.name in by_name]),
        *on_tasks([by_name[plan.name] for plan in RESTORATION if plan.name in by_name]),
    ]


def on_labels(figures: list[Figure]) -> Iterator[str]:
    if not figures:
        return
    yield from (
        f"## Label maps to photos, {SIDE} x {SIDE}",
        "",
        "The files in `facades/` are not the CMP facades: each holds a photo of people cut out on white (left) and their black outline",
        "(right), and all 100 files of `train` are, byte for byte, among the 155 of `val`. Training is on those 100 files; the test",
        "is on the files of `val` whose SHA-256 is not among theirs, 55 of them. Outlines are no label maps, so maps of three colours are",
        "made of them: outside is what is reached from the border without crossing the line, the line, and inside (so are holes between",
        f"limbs). Both halves are padded with white to squares and reduced to {SIDE} pixels. One of the 155 outlines is a frame around the",
        "whole picture, and stays.",
        "",
        f"Kernel distance: {TRANSLATIONS} translations of each test map against the 55 test photos, on features of a network that tells",
        "rotations, trained on the 100 training photos; beside the mean of 100 subsets their deviation, which is that of small sets of",
        f"photos and common to all rows. So the lead over `l1` is taken on the same {HALVES} random halves of the maps for both: mean,",
        "deviation, and in how many of the halves it is a lead. PSNR, SSIM, perceptual distance (the same network, layers of equal",
        "weight) and Frechet distance are of one translation each, against the true photos. `l1` is pix2pix without discriminator. One",
        "seed of each.",
        "",
        "| model | preset | pairs seen | minutes | kernel distance | lead over `l1` | PSNR | SSIM | perceptual | fd |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    for one in figures:
        v = one.values
        ahead = f"{v['kid_lead']:.3f} ± {v['kid_lead_deviation']:.3f}, {v['kid_lead_share']:.0%}" if "kid_lead" in v else ""
        kernel = f"{v['kid']:.4f} ± {v['kid_deviation']:.4f} | {ahead}"
        shown = f"{v['pair_psnr']:.2f} | {v['pair_ssim']:.3f} | {v['pair_perceptual']:.3f} | {v['pair_fd']:.3f}"
        yield f"| `{one.name}` | {one.preset} | {one.images:,} | {one.minutes:.1f} | {kernel} | {shown} |"
    plain = figures[-1].plain
    yield f"| training photos themselves | | | | {plain['kid']:.4f} ± {plain['kid_deviation']:.4f} | | | | | |"
    yield from ("", "![Test maps, what each model makes of them, and the true photos](translation-labels.png)", "")


def on_tasks(figures: list[Figure]) -> Iterator[str]:
    if not figures:
        return
    yield from (
        "## Restoration, CIFAR-10",
        "",
        f"pix2pix (`quick-restore`) on `task:TASK:cifar10.zip`, 50,000 training images; {RESTORED:,} test images. Perceptual distance:",
        "layers of equal weight of a classifier of the data, not LPIPS. Beside the network what mends such pictures without learning. Less",
        "perceptual distance and more PSNR are better; a network that is asked for sharp pictures need not have the higher PSNR.",
        "",
        "| task | pairs seen | minutes | perceptual: input | without learning | network | PSNR: input | without learning | network |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    for one in figures:
        v, p = one.values, one.plain
        word = PLAIN[one.name]
        distances = f"{v['input_perceptual']:.3f} | {p['pair_perceptual']:.3f} ({word}) | {v['pair_perceptual']:.3f}"
        decibels = f"{v['input_psnr']:.2f} | {p['pair_psnr']:.2f} | {v['pair_psnr']:.2f}"
        yield f"| {one.name} | {one.images:,} | {one.minutes:.1f} | {distances} | {decibels} |"
    yield from ("", "![Test images, spoiled, mended by the network and without learning, and whole](translation-tasks.png)")


def main() -> None:
    plans = {plan.name: plan for plan in (*LABELS, *RESTORATION)}
    parser = argparse.ArgumentParser(description="Translation and restoration on real data.")
    parser.add_argument("names", nargs="*", choices=[[], *plans], help="plans to run; all unless named")
    parser.add_argument("--images", type=int, help="training pairs of every run")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="folder of the results")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "translation", help="folder of the runs")
    asked = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: set GANVAS_DATA to the folder that holds facades/ and cifar10.zip")
    place = Place(runs=asked.runs.resolve(), out=asked.out)
    place.runs.mkdir(parents=True, exist_ok=True)
    if not place.maps.exists():
        make_maps(place.maps)
    for name in asked.names or plans:
        plan, path = plans[name], place.runs / name
        if not (path / "report.html").exists():
            print(f"training {name}", flush=True)
            length, one = asked.images or plan.images, RunConfig(threads=1)
            source = place.source(plan)
            ganvas.train(plan.model, data=source, preset=plan.preset, images=length, config=plan.config, options=one, run=path, quiet=True)
        keep(figure := measured(plan, place), place)
        print(f"{name}: {figure.minutes:.1f} minutes; {figure.values}; without learning {figure.plain}", flush=True)
    sheets(place)


if __name__ == "__main__":
    main()
