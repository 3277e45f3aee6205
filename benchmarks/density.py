"""Implicit and explicit density side by side: `python benchmarks/density.py [MODEL ...]` trains the runs below that are not there yet,
measures them, keeps the figures in results/density.json and writes the tables and pictures of docs/density.md.

All models see MNIST. Likelihoods are of the test images binarised at random. Distances compare 10,000 samples with the 10,000 test images
on features of a classifier of the data; `fd_binarised` draws both at random to black and white first, so that models of grey and of binary
images stand on one scale. Samples are timed on one thread.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import torch
from torch import Tensor

import ganvas
from ganvas.data.examples import Examples
from ganvas.data.open import open_data
from ganvas.diagnostics.gallery import save_picture
from ganvas.diagnostics.grids import image_grid
from ganvas.diagnostics.rows import of_kind, read_rows
from ganvas.engine.capabilities import Encode, Latent, LogProbability
from ganvas.measure import evaluate_path
from ganvas.metrics.choosing import choose
from ganvas.metrics.extractor import Extractor
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.models.vae import VAE
from ganvas.run import Run

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GANVAS_DATA", ROOT / "../../shared/data")).resolve()
KEPT, PAGE, FIGURES = ROOT / "results" / "density.json", ROOT.parent / "docs" / "density.md", ROOT.parent / "docs" / "figures" / "density"
RUNS = Path("runs") / "quality"
TIMED = 1_000
"""Samples whose drawing is timed."""
DRAWS = 100
"""Draws of the code in the VAE's importance-weighted bound."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: its directory's name, the model and what it is trained with."""

    name: str
    model: str
    images: int
    data: str = "mnist"
    preset: str = "quick"
    config: dict[str, Any] = field(default_factory=dict)


PLANS = (
    Plan(name="gan-mnist-600000-0", model="gan", images=600_000),
    Plan(name="dragan-mnist-600000-0", model="dragan", images=600_000),
    Plan(name="bigan-mnist-600000-0", model="bigan", images=600_000),
    Plan(name="autoencoder-mnist-1200000-0", model="autoencoder", images=1_200_000),
    Plan(name="vae-draw-mnist-1200000-0", model="vae", images=1_200_000, config={"bound_binarise": "draw"}),
    Plan(name="rbm-mnist-3000000-0", model="rbm", images=3_000_000),
    Plan(name="pixelcnn-mnist-200000-0", model="pixelcnn", images=200_000),
    Plan(name="gated_pixelcnn-mnist-200000-0", model="gated_pixelcnn", images=200_000),
    Plan(name="pixelrnn-row-mnist-200000-0", model="pixelrnn", images=200_000, preset="quick-row"),
    Plan(name="pixelrnn-mnist-200000-0", model="pixelrnn", images=200_000),
)
COLOUR = Plan(name="pixelrnn-colour-cifar10.zip-50000-0", model="pixelrnn", images=50_000, data="cifar10.zip", preset="quick-colour")
HOLES = ("autoencoder-mnist-1200000-0", "vae-draw-mnist-1200000-0")
"""Runs whose code spaces are laid side by side."""
ANSWERS = {
    "latent": "paths between codes",
    "encode": "the code of an image",
    "complete": "the rest of an image",
    "score": "real or made",
    "log-probability": "how likely an image is",
}
"""What a capability lets one ask."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured of one run."""

    name: str
    model: str
    preset: str
    images: int
    minutes: float
    seconds_for_samples: float | None
    answers: list[str]
    likelihood: str
    values: dict[str, float]


def trained(plan: Plan) -> Path:
    path = RUNS / plan.name
    if not (path / "report.html").exists():
        print(f"training {plan.name}", flush=True)
        ganvas.train(
            plan.model, data=str(DATA / plan.data), preset=plan.preset, images=plan.images, config=plan.config, run=path, quiet=True
        )
    return path


@torch.no_grad()
def distance(first: Tensor, second: Tensor, extractor: Extractor) -> float:
    """Frechet distance of the features of two sets of images (N, C, H, W) in [-1, 1]."""
    features = [torch.cat([extractor.features(part) for part in images.split(250)]) for images in (first, second)]
    return frechet_distance(*moments(features[0]), *moments(features[1]))


def binarised(images: Tensor) -> Tensor:
    """Images drawn at random to -1 and 1, with the grey value as the probability of white; black and white ones stay as they are."""
    generator = torch.Generator().manual_seed(0)
    return 2.0 * (torch.rand(images.shape, generator=generator) < (images + 1) / 2).float() - 1


def test_images() -> Examples:
    return open_data(str(DATA / "mnist"), split="test")


def measured(plan: Plan) -> Figure:
    path = trained(plan)
    run, source = ganvas.load(path), str(DATA / plan.data)
    values, seconds, likelihood = dict[str, float](), None, ""
    if isinstance(run.model, VAE):
        values["bound_of_draws"] = _bound(run, source)
    if isinstance(run.model, LogProbability):
        found = evaluate_path(path, source, metrics=["nll"])
        values |= found.values
        likelihood = str(found.protocol["nll"])
    if plan is not COLOUR:
        extractor = choose(open_data(source, split="train"), test_images()).extractor
        assert extractor is not None
        start = time.perf_counter()
        first = run.tensors(TIMED, seed=0)
        seconds = time.perf_counter() - start
        rest = [run.tensors(TIMED, seed=0, indices=range(at, at + TIMED)) for at in range(TIMED, 10_000, TIMED)]
        samples, real = torch.cat([first, *rest]), test_images().batch(torch.arange(10_000)).images
        values["fd"] = distance(samples, real, extractor)
        values["fd_binarised"] = distance(binarised(samples), binarised(real), extractor)
        if isinstance(run.model, Encode):
            values |= evaluate_path(path, source, metrics=["codes"]).values
        if plan.name in HOLES:
            values["fd_of_middles"] = distance(binarised(_middles(run, 10_000)), binarised(real), extractor)
    return Figure(
        name=plan.name,
        model=run.entry.name,
        preset=plan.preset,
        images=run.images,
        minutes=of_kind(read_rows(path / "metrics.jsonl"), "train")[-1]["seconds"] / 60,
        seconds_for_samples=seconds,
        answers=[said for capability, said in ANSWERS.items() if capability in run.entry.card.capabilities],
        likelihood=likelihood,
        values=values,
    )


def _bound(run: Run, source: str) -> float:
    """Nats of the importance-weighted bound by `DRAWS` draws."""
    from ganvas.metrics.likelihood import likelihood

    model = run.model
    assert isinstance(model, VAE)
    one = model.config
    try:
        model.config = dataclasses.replace(one, bound_samples=DRAWS)
        return likelihood(model, open_data(source, split="test"), seed=0, device=torch.device("cpu")).nats
    finally:
        model.config = one


@torch.no_grad()
def _middles(run: Run, count: int) -> Tensor:
    """What is decoded half way between the codes of two test images, `count` times."""
    model = run.model
    assert isinstance(model, Encode) and isinstance(model, Latent)
    parts = []
    for rows in torch.arange(count).split(1_000):
        codes = model.encode(test_images().batch(rows))
        parts.append(model.decode((codes + codes.roll(1, 0)) / 2).clamp(-1, 1))
    return torch.cat(parts)


@torch.no_grad()
def holes() -> None:
    """Samples of the prior, straight paths between test images of two classes, and reconstructions, of the autoencoder beside the VAE."""
    for name in HOLES:
        run = ganvas.load(RUNS / name)
        model = run.model
        assert isinstance(model, Encode) and isinstance(model, Latent)
        drawn = run.tensors(40, seed=0)
        batch = test_images().batch(torch.arange(200))
        codes, labels = model.encode(batch), batch.labels
        ends = [int((labels == label).nonzero()[0]) for label in range(10)]
        steps = torch.linspace(0, 1, 10)[:, None]
        paths = [model.decode(codes[one] + steps * (codes[other] - codes[one])) for one, other in zip(ends[::2], ends[1::2], strict=True)]
        kept = [batch.images[10:20], model.decode(codes[10:20])]
        sheet = run.spec.native(torch.cat([drawn, *paths, *kept]).clamp(-1, 1).cpu()).numpy()
        title = (
            f"{run.entry.card.title}, {run.images:,} images: four rows of samples, five paths between test images, one row given, one made"
        )
        save_picture(image_grid(sheet, title=title, columns=10), FIGURES / f"holes-{run.entry.name}.png")


def table(figures: Sequence[Figure]) -> list[str]:
    lines = [
        "| model | images | minutes | log-probability, nats | fd | fd, binarised | seconds for 1,000 samples | can be asked for |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in figures:
        if one.seconds_for_samples is None:
            continue
        v = one.values
        kind = "" if one.preset == "quick" else f" ({one.preset})"
        nats = f"{-v['nll_nats']:.2f} ± {v['nll_error']:.2f}" if "nll_nats" in v else "none"
        if "bound_of_draws" in v:
            nats = f"≥ {-v['nll_nats']:.2f}; ≥ {-v['bound_of_draws']:.2f} by {DRAWS} draws"
        elif "log_z_error" in v:
            nats = f"{-v['nll_nats']:.2f} ± {v['nll_error']:.2f}, log Z ± {v['log_z_error']:.2f}"
        asked = ", ".join(one.answers) or "samples only"
        lines.append(
            f"| `{one.model}`{kind} | {one.images:,} | {one.minutes:.1f} | {nats} | {v['fd']:.4f} | {v['fd_binarised']:.4f} |"
            f" {one.seconds_for_samples:.2f} | {asked} |"
        )
    return lines


def codes_table(figures: Sequence[Figure]) -> list[str]:
    lines = [
        "| model | class kept by G(E(x)) | class of the nearest code | the same, untrained | fd of samples | fd of middles |",
        "|---|---|---|---|---|---|",
    ]
    for one in figures:
        v = one.values
        if "code_1nn" in v:
            kept, middles = (f"{v[name]:.{digits}f}" if name in v else "" for name, digits in (("class_kept", 3), ("fd_of_middles", 4)))
            lines.append(
                f"| `{one.model}` | {kept} | {v['code_1nn']:.3f} | {v['code_1nn_untrained']:.3f} | {v['fd_binarised']:.4f} | {middles} |"
            )
    return lines


def colour(figures: Sequence[Figure]) -> list[str]:
    return [
        f"`pixelrnn` (`{one.preset}`), CIFAR-10, {one.images:,} images, {one.minutes:.1f} minutes:"
        f" {one.values['bits_per_dim']:.3f} bits/dim ({one.likelihood})."
        for one in figures
        if one.seconds_for_samples is None
    ]


def write(figures: Sequence[Figure]) -> None:
    """Put the tables between their marks in the page."""
    page = PAGE.read_text(encoding="utf-8")
    for mark, lines in (("table", table(figures)), ("codes", codes_table(figures)), ("colour", colour(figures))):
        start, end = f"<!-- {mark} -->\n", f"\n<!-- end of {mark} -->"
        before, rest = page.split(start)
        page = before + start + "\n".join(lines) + end + rest.split(end)[1]
    PAGE.write_text(page, encoding="utf-8")


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: set GANVAS_DATA to the folder that holds mnist/")
    torch.set_num_threads(1)
    known = {one["name"]: Figure(**one) for one in json.loads(KEPT.read_text())} if KEPT.exists() else {}
    for plan in (*PLANS, COLOUR):
        if (len(sys.argv) == 1 and plan.name not in known) or plan.name in sys.argv or plan.model in sys.argv:
            known[plan.name] = measured(plan)
            print(known[plan.name], flush=True)
        ranked = [known[one.name] for one in (*PLANS, COLOUR) if one.name in known]
        KEPT.write_text(json.dumps([asdict(one) for one in ranked], indent=1) + "\n", encoding="utf-8")
        write(ranked)
    if all((RUNS / name).exists() for name in HOLES):
        holes()


if __name__ == "__main__":
    main()
