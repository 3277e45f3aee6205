"""Quality of the quick presets on real data: `python benchmarks/quality.py [MODEL ...]` trains what the plan below holds and is not there
yet, one run after the other, measures it, keeps the figures in results/quality.json and writes results/quality.md from them.

Budgets are in images. Coverage, fd and the rest are those of `ganvas evaluate` (10,000 samples against the 10,000 test images, features of
a classifier of the data); nats are as `ganvas evaluate --metrics nll` gives them. Points are 2,500 samples.
"""

import itertools
import json
import math
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from safetensors.torch import save_file

import ganvas
from ganvas.data.few import Few
from ganvas.data.open import open_data
from ganvas.diagnostics.gallery import save_picture
from ganvas.diagnostics.rows import of_kind, read_rows
from ganvas.engine.capabilities import LogProbability
from ganvas.engine.config import RunConfig
from ganvas.engine.devices import cards
from ganvas.engine.rundir import environment
from ganvas.explore.truncating import sweep
from ganvas.measure import evaluate_path
from ganvas.metrics.conditional import trained_accuracy
from ganvas.metrics.kinds import Metric
from ganvas.models.pacgan import PRESETS as PACKED
from ganvas.parts.divergences import DIVERGENCES

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GANVAS_DATA", ROOT / "../../shared/data")).resolve()
KEPT, PAGE = ROOT / "results" / "quality.json", ROOT / "results" / "quality.md"
RUNS = Path("runs") / "quality"

LENGTHS = {
    "vae": 1_200_000,
    "progan": 200_000,
    "pixelcnn": 300_000,
    "infogan": 640_000,
    "biggan": 300_000,
    "projection": 200_000,
}
"""Images of a full run; 600,000 for the others."""
FAMILY = ("lsgan", "fgan", "wgan", "ebgan", "began", "dragan", "relativistic", "cgan", "acgan", "infogan", "improved_gan", "bsgan")
"""Also run with three seeds at a fifth of the full length."""
COLOUR, EARLY = "cifar10.zip", 40_000
"""What the stabilised models learn, and after how many images they are measured for the first time."""
MODERN, BESIDE = "r3gan", ("dcgan", "sngan")
"""Compared at equal images and, in the median of `MODERN`'s, at equal minutes."""
POINTS = ("ring", "grid", "two-cities")
FEW, ALONE = "few:100:mnist", "classifier"
ON_POINTS = ("gan", "wgan_gp", "lsgan", "fgan", "wgan", "ebgan", "dragan", "relativistic", "improved_gan", "modular", "bigan", "pacgan")
CITIES, LINEAR = POINTS[2], {"generator_widths": (), "z": 1, "critic_widths": (64, 64), "penalty_weight": 0.0}
"""Points of one number, and an f-GAN whose samples are one Gaussian, which has to stand for both."""
PACKS = PACKED["quick-points"]
CARD = "on a card"
BATCHES = {"batch": 128, "width": 128, "discriminator_width": 128, "discriminator_steps": 2, "decay_from": 0.6}
RATES = {"lr_generator": 5e-4, "lr_discriminator": 5e-4}
ON_CARDS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "sngan": ("paper", 2.7, {**BATCHES, **RATES, "codes": 1, "ema_half_life": 20_000.0}),
    "biggan": ("paper-32", 2.7, {**BATCHES, **RATES, "ema_decay": 0.998, "ema_start": 50_000}),
    "r3gan": (
        "paper",
        2.1,
        {"images": 10_000_000, "batch": 128, "width": 96, "most": 192, "burn_in": 1.0, "lr": [8e-4, 5e-5], "gamma": [0.2, 0.02]}
        | {"ema_half_life": 50_000.0},
    ),
}
"""Where this machine has a CUDA device: preset, minutes, and the fields that differ, as the presets are for hours."""
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "pacgan": {"m = 1": {"packing": 1, "batch": PACKS.batch // PACKS.packing, "images": PACKS.images // PACKS.packing}},
    "fgan": {name: {"divergence": name} for name in DIVERGENCES if name != "kl"},
    "acgan": {"guarded": {"class_weight_generator": 0.1, "classify_fakes": False}},
    **{model: {CARD: fields} for model, (_, _, fields) in ON_CARDS.items()},
}
"""What else is measured of a model than its preset: the name of it in tables, and the fields that differ."""
GUARDED = "Guarded is `acgan` with a weight of 0.1 on the generator's class term (`quick` has 0.5); neither trains the classifier on fakes."
FEW_PUBLISHED = """| Improved GAN, published | | | 99.07 ± 0.07 |
| Triple-GAN, published | | | 99.09 ± 0.58 |"""
PUBLISHED = """| GAN, published | 6.3 ± 0.5 | 98.2 | 0.45 | 17.3 ± 0.8 | 94.8 | 0.70 |
| ALI, published | 6.6 ± 0.3 | 97.6 | 0.36 | 24.1 ± 0.4 | 95.7 | 0.14 |
| PacGAN2, published | 7.9 ± 0.1 | 95.6 | 0.07 | 23.8 ± 0.7 | 91.3 | 0.13 |
| PacGAN4, published | 7.8 ± 0.1 | 95.9 | 0.07 | 24.8 ± 0.2 | 93.6 | 0.04 |"""
SHOWN = {
    "coverage": "coverage {:.3f}",
    "density": "density {:.3f}",
    "fd": "fd {:.4f}",
    "fd_early": f"fd after {EARLY:,} images {{:.4f}}",
    "classes": "{:.0f} classes",
    "gan_test": "label agreement {:.3f}",
    "gan_test_worst": "worst label {:.3f}",
    "accuracy": "its classifier {:.4f} right",
    "factor_agreement": "code to digit {:.3f}",
    "factor_agreement_of_data": "digit to code {:.3f}",
    "nats": "test images {:.2f} nats",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: of images and minutes None, the preset's length. `early`: it is also measured as it was after so many images."""

    model: str
    data: str
    images: int | None = None
    minutes: float | None = None
    seed: int = 0
    preset: str = "quick"
    early: int | None = None
    variant: str = ""
    """One of `VARIANTS`, or none."""

    @property
    def name(self) -> str:
        length = "minutes" if self.minutes is not None else self.images or "preset"
        return "-".join([self.model, *words(self.variant), *words(self.data), str(length), str(self.seed)])

    @property
    def config(self) -> dict[str, Any]:
        return (VARIANTS[self.model][self.variant] if self.variant else {}) | (LINEAR if self.data == CITIES else {})

    @property
    def options(self) -> RunConfig:
        kept = {} if self.early is None else {"save_every": self.early, "keep": 1_000}
        return RunConfig(images=self.images, minutes=self.minutes, seed=self.seed, **kept)

    @property
    def source(self) -> str:
        *few, name = self.data.rsplit(":", 1)
        return name if name in POINTS else ":".join([*few, str(DATA / name)])


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured of one run."""

    model: str
    data: str
    preset: str
    images: int
    seed: int
    minutes: float
    machine: str
    values: dict[str, float]
    asked: str = "images"
    """What the length was given in: images or minutes."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.model, self.data, self.images if self.asked == "images" else -1, self.seed


def plans() -> Iterator[Plan]:
    for model in ("vae", "gan", "wgan_gp", "dcgan", "progan", "pixelcnn", *FAMILY):
        yield Plan(model=model, data="mnist", images=LENGTHS.get(model, 600_000))
    yield from (Plan(model="infogan", data="mnist", images=LENGTHS["infogan"], seed=seed) for seed in (1, 2))
    yield Plan(model="acgan", data="mnist", images=600_000, variant="guarded")
    yield Plan(model="dcgan", data="fashion-mnist", images=600_000)
    yield Plan(model="projection", data="mnist", images=LENGTHS["projection"])
    yield from (Plan(model=model, data=COLOUR, images=600_000, early=EARLY) for model in ("sngan", "sagan"))
    yield Plan(model="biggan", data=COLOUR, images=LENGTHS["biggan"])
    if cards():
        for model, (preset, minutes, _) in ON_CARDS.items():
            yield Plan(model=model, data=COLOUR, minutes=minutes, preset=preset, variant=CARD)
    for seed in range(3):
        yield from (Plan(model=model, data="mnist", images=120_000, seed=seed) for model in (MODERN, *BESIDE))
    if spent := [one.minutes for one in kept().values() if (one.model, one.data, one.images) == (MODERN, "mnist", 120_000)]:
        for seed in range(3):
            yield from (Plan(model=model, data="mnist", minutes=statistics.median(spent), seed=seed) for model in BESIDE)
    yield Plan(model="improved_gan", data=FEW, images=600_000, preset="quick-few")
    yield Plan(model="triplegan", data=FEW, images=600_000)
    for model in FAMILY:
        yield from (Plan(model=model, data="mnist", images=LENGTHS.get(model, 600_000) // 5, seed=seed) for seed in range(3))
    yield from (Plan(model="acgan", data="mnist", images=120_000, seed=seed, variant="guarded") for seed in range(3))
    for data, seed in itertools.product(("ring", "grid"), range(3)):
        yield from (Plan(model=model, data=data, seed=seed) for model in ON_POINTS)
        yield Plan(model="pacgan", data=data, seed=seed, variant="m = 1")
    yield from (Plan(model="fgan", data="grid", variant=divergence) for divergence in VARIANTS["fgan"])
    for seed in range(5):
        yield from (Plan(model="fgan", data=CITIES, images=300_000, seed=seed, variant=divergence) for divergence in ("", "reverse-kl"))


def words(text: str) -> list[str]:
    """What a name of a folder can have of it."""
    return re.findall(r"[\w.-]+", text)


def variant(model: str, config: dict[str, Any]) -> str:
    """Which of the model's variants it is, whatever its length, or none."""
    for name, fields in VARIANTS.get(model, {}).items():
        if all(config[field] == value for field, value in fields.items() if field != "images"):
            return name
    return ""


def measured(path: Path, early: int | None = None) -> Figure:
    """The figures of a finished run; also its fd as it was after `early` images, where that is given."""
    run = ganvas.load(path)
    settings = run.settings
    source, card = settings["data"]["source"], run.entry.card
    points = settings["data"]["spec"]["kind"] == "points"
    extra: list[Metric] = []
    if "labels" in run.model.conditions(card.conditions) and not points:
        extra.append("gan-test")
    if "factors" in card.capabilities:
        extra.append("factors")
    if "classify" in card.capabilities and source.startswith("few:"):
        extra.append("accuracy")
    wanted: list[Metric] = ["prdc", "modes", "wasserstein"] if points else ["fd", "prdc", "classes", *extra]
    values = dict(evaluate_path(run.path, source, metrics=wanted, count=2_500 if points else None).values)
    if isinstance(run.model, LogProbability) and not points:
        values["nats"] = -evaluate_path(run.path, source, metrics=["nll"]).values["nll_nats"]
    last = of_kind(read_rows(path / "metrics.jsonl"), "train")[-1]
    described = json.loads((path / "environment.json").read_text())
    if settings["resolved"]["device"].startswith("cuda"):
        values["images_per_second"] = run.images / last["seconds"]
    if early is not None:
        with tempfile.TemporaryDirectory() as folder:
            values["fd_early"] = evaluate_path(as_it_was(path, early, Path(folder)), source, metrics=["fd"]).values["fd"]
    if source == CITIES:
        degrees = run.sample(2_500)
        values |= {"cold": float((degrees < 10).mean()), "warm": float((degrees > 20).mean())}
    return Figure(
        model=", ".join(part for part in (run.entry.name, variant(run.entry.name, settings["config"])) if part),
        data=source.replace(f"{DATA}/", ""),
        preset=settings["preset"],
        images=run.images,
        seed=settings["run"]["seed"],
        minutes=last["seconds"] / 60,
        machine=described["cards"][0] if "images_per_second" in values else machine(described),
        values=values,
        asked="images" if settings["run"]["minutes"] is None else "minutes",
    )


def truncated(path: Path) -> None:
    """Keep the sheet of a run's codes cut off nearer and nearer to 0, precision against recall, and their table, beside the page."""
    found = sweep(path)
    title = f"BigGAN on {COLOUR.removesuffix('.zip')}: codes truncated at the number"
    save_picture(found.sheet(f"{title} on the left"), PAGE.with_name("truncation.png"))
    save_picture(found.curve(f"{title} beside the point"), PAGE.with_name("truncation-curve.png"))
    PAGE.with_name("truncation.txt").write_text(found.table() + "\n", encoding="utf-8")


def kept_generator(path: Path) -> Path:
    """Write the averaged generator of a run beside the page, in half precision, with what it takes to build it."""
    run = ganvas.load(path)
    target = PAGE.with_name("generators") / f"{run.entry.name}-{Path(run.settings['data']['source']).stem}.safetensors"
    target.parent.mkdir(exist_ok=True)
    halved = {name: value.half() if value.is_floating_point() else value for name, value in run.model.generator.state_dict().items()}
    facts = {"model": run.entry.name, "config": run.settings["config"], "data": run.settings["data"]["spec"], "images": run.images}
    save_file({name: value.contiguous() for name, value in halved.items()}, target, {"ganvas": json.dumps(facts)})
    return target


def as_it_was(path: Path, images: int, folder: Path) -> Path:
    """The run in an empty folder, up to the checkpoint made at `images`."""
    states = {json.loads(state.read_text())["images"]: state.parent for state in path.glob("checkpoints/step-*/state.json")}
    before = max((at for at in states if at <= images + 1_000), default=None)
    if before is None:
        sys.exit(f"{path}: no checkpoint is left of its first {images:,} images; train it again with --save-every {images} --keep 1000")
    shutil.copytree(states[before], folder / "checkpoints" / states[before].name)
    for file in path.glob("*.json"):
        shutil.copy(file, folder)
    return folder


def alone() -> Figure:
    """What the classifier of the data makes of the few labels without the other images."""
    start, source = time.perf_counter(), Plan(model=ALONE, data=FEW).source
    few = open_data(source)
    assert isinstance(few, Few)
    right = trained_accuracy(few.compared, open_data(source, split="test"), few.kept)
    minutes = (time.perf_counter() - start) / 60
    return Figure(
        model=ALONE, data=FEW, preset="", images=0, seed=0, minutes=minutes, machine=machine(environment()), values={"accuracy": right}
    )


def machine(described: dict[str, Any]) -> str:
    return f"{described['cores']} cores ({described['processor']})"


def kept() -> dict[tuple[str, str, int, int], Figure]:
    """The figures of earlier runs, by model, data, images and seed."""
    stored = json.loads(KEPT.read_text()) if KEPT.exists() else []
    figures = [Figure(**one) for one in stored]
    return {one.key: one for one in figures}


def keep(figure: Figure) -> None:
    """Put a figure beside the others, in place of an older one of the same run, and write the page."""
    figures = kept() | {figure.key: figure}
    order = {plan.model: at for at, plan in reversed(list(enumerate(plans())))}
    ranked = sorted(
        figures.values(), key=lambda one: (order.get(one.model.split(", ")[0], 999), one.model, one.data, -one.images, one.seed)
    )
    KEPT.write_text(json.dumps([asdict(one) for one in ranked], indent=1) + "\n", encoding="utf-8")
    PAGE.write_text("\n".join(page(ranked)) + "\n", encoding="utf-8")


def page(figures: list[Figure]) -> list[str]:
    images = [one for one in figures if one.data not in (*POINTS, FEW) and one.asked == "images"]
    full = [one for one in images if one.images >= LENGTHS.get(one.model, 600_000)]
    machines = ", ".join(sorted({one.machine for one in figures if not one.model.endswith(CARD)}))
    lines = [
        "# Quality",
        "",
        "Command: `python benchmarks/quality.py` (the `quick` presets; on points that is `quick-points`). 10,000 samples against the",
        "10,000 test images, features of a classifier trained on the data set (99 % on MNIST), averaged weights, k = 5. Label agreement is",
        "the share of samples in which that classifier sees the label asked for; code to digit the same for InfoGAN's categories, matched",
        f"to the digits one to one. Minutes are wall time of training on {machines}, beside other work on the machine.",
        "",
        "## At full length",
        "",
        "Samples of `pixelcnn` and `bsgan` are black and white and the test images grey, so their coverage and fd say little. Nats do not",
        "compare: those of `vae` are a bound, of images binarised at one half; `pixelcnn` is exact, on images binarised at random.",
        *([GUARDED] if any(one.model.endswith("guarded") for one in full) else []),
        "",
        "| model | data | images | seed | minutes | measured |",
        "|---|---|---|---|---|---|",
        *(f"| {named(one.model)} | {one.data} | {one.images:,} | {one.seed} | {one.minutes:.1f} | {said(one.values)} |" for one in full),
        "",
        *middle([one.values["factor_agreement"] for one in full if "factor_agreement" in one.values]),
        "## A fifth of the length, three seeds",
        "",
        "Median, and the least and the largest of the seeds 0, 1 and 2.",
        "",
        "| model | data | images | minutes | coverage | fd | classes | agreement |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in dict.fromkeys(one.model for one in images):
        fifth = [one for one in images if one.model == model and one.images <= LENGTHS.get(model.split(", ")[0], 600_000) // 5 + 5_000]
        if len(fifth) == 3:
            lines.append(seeds(fifth))
    lines += ["", *modern([one for one in figures if one.data == "mnist" and one.model in (MODERN, *BESIDE)])]
    if PAGE.with_name("truncation.txt").exists():
        lines += ["", *truncation()]
    lines += ["", *on_cards([one for one in figures if one.model.endswith(CARD)])]
    lines += ["", *with_few_labels([one for one in figures if one.data == FEW])]
    lines += ["", *on_points([one for one in figures if one.data in ("ring", "grid")])]
    return [*lines, "", *cities([one for one in figures if one.data == CITIES])]


def named(model: str) -> str:
    """The name of a model, and of a variant after a comma."""
    name, *rest = model.split(", ")
    return ", ".join([f"`{name}`", *rest])


def middle(agreements: list[float]) -> list[str]:
    if not agreements:
        return []
    return [f"The median of code to digit over {len(agreements)} seeds is {statistics.median(agreements):.3f}.", ""]


def said(values: dict[str, float]) -> str:
    return ", ".join(text.format(values[name]) for name, text in SHOWN.items() if name in values)


def seeds(runs: list[Figure]) -> str:
    def spread(name: str, form: str) -> str:
        found = [one.values[name] for one in runs if name in one.values]
        low, middle, high = (format(f(found), form) for f in (min, statistics.median, max)) if found else ("", "", "")
        return f"{middle} ({low} to {high})" if found else ""

    agreement = spread("gan_test", ".3f") or spread("factor_agreement", ".3f")
    first, minutes = runs[0], statistics.median(one.minutes for one in runs)
    numbers = f"{spread('coverage', '.3f')} | {spread('fd', '.4f')} | {spread('classes', '.0f')} | {agreement}"
    return f"| {named(first.model)} | {first.data} | {first.images:,} | {minutes:.1f} | {numbers} |"


def modern(figures: list[Figure]) -> list[str]:
    lines = [
        "## A modern baseline",
        "",
        f"`{MODERN}` beside {' and '.join(f'`{model}`' for model in BESIDE)}, first at equal images, then at equal minutes (those of the",
        f"median run of `{MODERN}`), on one thread. Median, and the least and the largest of the seeds 0, 1 and 2.",
        "",
        "| equal | model | data | images | minutes | coverage | fd | classes | agreement |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for asked in ("images", "minutes"):
        for model in (MODERN, *BESIDE):
            same = "images" if model == MODERN else asked  # its runs of so many images say how many minutes
            some = [one for one in figures if one.model == model and one.asked == same and (same == "minutes" or one.images < 125_000)]
            if len(some) == 3:
                lines.append(f"| {asked} {seeds(some)}")
    return lines


def truncation() -> list[str]:
    return [
        "## Truncation",
        "",
        "`ganvas truncate` of the `biggan` above: 2,000 samples of each threshold against 2,000 test images, so compare within this table",
        "alone. The smaller the largest entry of a code, the more precise the samples, and the fewer kinds of them.",
        "",
        "```",
        *PAGE.with_name("truncation.txt").read_text(encoding="utf-8").splitlines(),
        "```",
        "",
        "![The same codes and labels at each threshold](truncation.png)",
        "![Precision against recall](truncation-curve.png)",
    ]


def on_cards(figures: list[Figure]) -> list[str]:
    lines = ["## On a GPU", ""]
    if not figures:
        return [*lines, "Not measured: no run of these had one."]
    lines += [
        "CIFAR-10, a few minutes for each on one card, two threads of the processor; bfloat16 autocast, kernels that repeat bit for bit.",
        "Images are those that the discriminator saw. Presets are for hours, so some fields differ (`ON_CARDS` in benchmarks/quality.py).",
        "Figures are of weights in single precision; `generators/` has the generators in half: pixels differ by under 1/255.",
        "",
        "| model | card | images | minutes | images/s | measured |",
        "|---|---|---|---|---|---|",
    ]
    for one in figures:
        name, rate = one.model.split(", ")[0], one.values["images_per_second"]
        lines.append(f"| `{name}` | {one.machine} | {one.images:,} | {one.minutes:.1f} | {rate:,.0f} | {said(one.values)} |")
    return lines


def with_few_labels(figures: list[Figure]) -> list[str]:
    return [
        "## 100 labels",
        "",
        "The training set of MNIST with ten labels of each digit (`few:100:mnist`); per cent of the test images that the model's own",
        "classifier tells. `classifier` is the network that judges the other tables, trained on the 100 images alone. Published rows:",
        "Salimans et al. 2016 (arXiv:1606.03498, table 1) and Li et al. 2017 (arXiv:1703.02291, table 1), other networks and budgets.",
        "",
        "| model | images | minutes | accuracy |",
        "|---|---|---|---|",
        *(f"| `{one.model}` | {one.images:,} | {one.minutes:.1f} | {100 * one.values['accuracy']:.2f} |" for one in figures),
        *FEW_PUBLISHED.splitlines(),
    ]


def on_points(figures: list[Figure]) -> list[str]:
    lines = [
        "## Modes of points",
        "",
        "Three seeds each unless said (mean, standard error), 2,500 samples: modes found with a sample within three standard deviations,",
        "the share of samples so near to a mode (HQ, in per cent), and the divergence of the modes' shares from the data's in nats.",
        "Published rows: Lin et al. 2018 (arXiv:1712.04086, table 1), ten runs, networks and budgets of their own, reverse divergence.",
        "`pacgan`, m = 1, is its game of single samples: the same networks and numbers, as many packs and updates. `modular` has the parts",
        "of `gan` here, and plays its game bit for bit. Models whose networks are convolutions take images alone.",
        "",
        "| model | ring, of 8 | HQ | KL | grid, of 25 | HQ | KL |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in dict.fromkeys(one.model for one in figures):
        cells = []
        for data in ("ring", "grid"):
            runs = [one.values for one in figures if one.model == model and one.data == data]
            found = [values["modes_found"] for values in runs]
            error = f"± {statistics.stdev(found) / math.sqrt(len(found)):.1f}" if len(found) > 1 else "(one seed)"
            quality = [100 * values["high_quality"] for values in runs]
            skew = [values["modes_kl"] for values in runs if "modes_kl" in values]
            cells += [f"{statistics.mean(found):.1f} {error}" if found else ""]
            cells += [f"{statistics.mean(some):{form}}" if some else "" for some, form in ((quality, ".1f"), (skew, ".2f"))]
        lines.append(f"| {named(model)} | " + " | ".join(cells) + " |")
    return [*lines, *PUBLISHED.splitlines()]


def cities(figures: list[Figure]) -> list[str]:
    lines = [
        "## Two cities",
        "",
        "`fgan` on `two-cities` with a linear generator, whose samples are one Gaussian: the shares of 2,500 samples in the cold city",
        "(below 10 degrees) and in the warm one (above 20), for each seed. Forward divergence covers both; reverse may keep to one.",
        "",
        "| divergence | " + " | ".join(f"seed {seed}" for seed in range(5)) + " |",
        "|" + "---|" * 6,
    ]
    for model in dict.fromkeys(one.model for one in figures):
        shares = [f"{one.values['cold']:.2f}, {one.values['warm']:.2f}" for one in figures if one.model == model]
        lines.append(f"| {model.partition(', ')[2] or 'kl'} | " + " | ".join(shares) + " |")
    return lines


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: set GANVAS_DATA to the folder that holds mnist/")
    chosen = sys.argv[1:]
    if not chosen or ALONE in chosen:
        keep(alone())
    for plan in plans():
        if chosen and plan.model not in chosen:
            continue
        path = RUNS / plan.name
        if not (path / "report.html").exists():
            print(f"training {plan.name}", flush=True)
            ganvas.train(plan.model, data=plan.source, preset=plan.preset, config=plan.config, options=plan.options, run=path, quiet=True)
        keep(figure := measured(path, plan.early))
        if plan.variant == CARD:
            kept_generator(path)
        elif plan.model == "biggan":
            truncated(path)
        print(f"{plan.name}: {figure.minutes:.1f} minutes; {figure.values}", flush=True)


if __name__ == "__main__":
    main()
