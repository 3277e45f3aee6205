"""Quality of the quick presets on real data: `python benchmarks/quality.py` trains them all, one after the other, and writes
results/quality.md; `python benchmarks/quality.py RUN ...` measures runs that are there already.

Budgets are in images. Coverage, fd and the rest are those of `ganvas evaluate` (10,000 samples against the 10,000 test images, features of
a classifier of the data); nats are those of test images binarised at random, of the VAE a bound with one draw of the code for each.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import torch

import ganvas
from ganvas.data.open import open_data
from ganvas.diagnostics.rows import of_kind, read_rows
from ganvas.engine.capabilities import LogProbability
from ganvas.engine.draws import StepDraws
from ganvas.measure import evaluate_path

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GANVAS_DATA", ROOT / "../../shared/data")).resolve()
RESULTS = ROOT / "results" / "quality.md"
PLANNED = [("vae", "mnist"), ("gan", "mnist"), ("wgan_gp", "mnist"), ("dcgan", "mnist"), ("pixelcnn", "mnist"), ("progan", "mnist")]
PLANNED += [("dcgan", "fashion-mnist")]
PLANNED += [(model, "ring") for model in ("gan", "wgan_gp") for _ in range(3)]


def bound(run: ganvas.run.Run, data: str) -> float:
    """Mean log-likelihood of the test split, or of `vae` a lower bound of it, in nats."""
    test, total = open_data(data, split="test"), 0.0
    for at, rows in enumerate(torch.arange(len(test)).split(500)):
        with torch.no_grad():
            total += run.model.log_probability(test.batch(rows), StepDraws(at, 0, 1, torch.device("cpu"))).sum().item()
    return total / len(test)


def row(run: ganvas.run.Run) -> str:
    """One line of the table."""
    settings = run.settings
    source = settings["data"]["source"]
    seconds = of_kind(read_rows(run.path / "metrics.jsonl"), "train")[-1]["seconds"]
    points = settings["data"]["spec"]["kind"] == "points"
    found = evaluate_path(run.path, source, count=2_500 if points else None).values
    if points:
        said = f"{found['modes_found']:.0f} of {found['modes_of']:.0f} modes, {found['high_quality']:.0%} within 3 sigma"
    else:
        said = f"coverage {found['coverage']:.3f}, density {found['density']:.3f}, fd {found['fd']:.4f}, {found['classes']:.0f} classes"
    if isinstance(run.model, LogProbability) and not points:
        said += f", test images {bound(run, source):.2f} nats"
    seed, minutes = settings["run"]["seed"], seconds / 60
    return f"| `{run.entry.name}` | {Path(source).name} | {settings['preset']} | {run.images:,} | {seed} | {minutes:.1f} | {said} |"


def train_all(folder: Path) -> list[Path]:
    """Train what is planned; runs that are there are kept, so that a stopped benchmark goes on."""
    paths = []
    for number, (model, data) in enumerate(PLANNED):
        path = folder / f"{number:02d}-{model}-{data}"
        seed = sum(entry == (model, data) for entry in PLANNED[:number])
        source = data if data == "ring" else str(DATA / data)
        if not (path / "report.html").exists():
            print(f"training {path.name}", flush=True)
            ganvas.train(model, data=source, preset="quick", seed=seed, run=path, quiet=True)
        paths.append(path)
    return paths


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: set GANVAS_DATA to the folder that holds mnist/")
    paths = [Path(path) for path in sys.argv[1:]] or train_all(Path("runs") / "quality")
    rows = [row(ganvas.load(path)) for path in paths]
    machine = json.loads((paths[0] / "environment.json").read_text())
    lines = [
        "# Quality",
        "",
        "Command: `python benchmarks/quality.py` (the `quick` presets; on points that is `quick-points`). 10,000 samples against the",
        "10,000 test images, features of a classifier trained on the data set (99 % on MNIST), averaged weights,",
        "k = 5; on `ring` 2,500 samples.",
        f"Minutes are wall time of training on {machine['cores']} cores ({machine['processor']}), beside other work on the machine.",
        "",
        "| model | data | preset | images | seed | minutes | measured |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
