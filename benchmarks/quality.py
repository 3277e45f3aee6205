"""Quality of the quick presets on real data: `python benchmarks/quality.py [MODEL ...]` trains what the plan (`quality_plan.py`) holds and
is not there yet, one run after the other, measures it, keeps the figures in results/quality.json and writes results/quality.md of them.

Budgets are in images. Coverage, fd and the rest are those of `ganvas evaluate` (10,000 samples against the 10,000 test images, features of
a classifier of the data); nats are as `ganvas evaluate --metrics nll` gives them. Points are 2,500 samples.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
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
from ganvas.engine.rundir import environment
from ganvas.explore.truncating import sweep
from ganvas.measure import evaluate_path
from ganvas.metrics.conditional import trained_accuracy
from ganvas.metrics.kinds import Metric
from quality_page import page
from quality_plan import ALONE, CARD, CITIES, COLOUR, DATA, FEW, KEPT, PAGE, RUNS, Figure, Plan, kept, plans, variant


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


def keep(figure: Figure) -> None:
    """Put a figure beside the others, in place of an older one of the same run, and write the page."""
    figures = kept() | {figure.key: figure}
    order = {plan.model: at for at, plan in reversed(list(enumerate(plans())))}
    ranked = sorted(
        figures.values(), key=lambda one: (order.get(one.model.split(", ")[0], 999), one.model, one.data, -one.images, one.seed)
    )
    KEPT.write_text(json.dumps([asdict(one) for one in ranked], indent=1) + "\n", encoding="utf-8")
    PAGE.write_text("\n".join(page(ranked)) + "\n", encoding="utf-8")


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
