"""Every model's quick preset, on real data, must beat a bar. Budgets are in images; minutes are printed."""

import time
from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.data.open import open_data
from ganvas.engine.draws import StepDraws
from ganvas.measure import evaluate_path
from tests.slow.real_data import folder

pytestmark = pytest.mark.slow


def trained(tmp_path: Path, model: str, data: str, **more) -> tuple[ganvas.run.Run, str]:
    start = time.perf_counter()
    run = ganvas.train(model, data=data, run=tmp_path / "run", quiet=True, **more)
    return run, f"{run.images:,} images in {(time.perf_counter() - start) / 60:.1f} minutes"


@pytest.mark.parametrize(
    ("model", "images", "coverage"),
    [("dcgan", 600_000, 0.78), ("gan", 600_000, 0.10), ("wgan_gp", 600_000, 0.30)],
)
def test_digits_are_learnt(tmp_path, model, images, coverage):
    data = folder("mnist")
    run, cost = trained(tmp_path, model, data, preset="quick", images=images)
    found = evaluate_path(run.path, data)
    print(f"\n{model}: {cost}; " + ", ".join(f"{name} {value:.3f}" for name, value in found.values.items()))
    assert found.values["classes"] == 10
    assert found.values["coverage"] >= coverage
    if model == "wgan_gp":
        assert run.settings["config"]["critic_steps"] >= 2


def test_the_variational_bound_of_binarised_digits(tmp_path):
    data = folder("mnist")
    run, cost = trained(tmp_path, "vae", data, preset="quick")
    test = open_data(data, split="test")
    bounds = []
    for at, rows in enumerate(torch.arange(len(test)).split(500)):
        with torch.no_grad():
            bounds.append(run.model.log_probability(test.batch(rows), StepDraws(at, 0, 1, torch.device("cpu"))))
    bound = torch.cat(bounds).mean().item()
    print(f"\nvae: {cost}; test bound {bound:.2f} nats")
    assert bound > -100.0


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("model", ["gan", "wgan_gp"])
def test_all_modes_of_the_ring_are_found(tmp_path, model, seed):
    run, cost = trained(tmp_path, model, "ring", preset="quick", seed=seed)
    found = evaluate_path(run.path, "ring", count=2_500)
    print(f"\n{model}, seed {seed}: {cost}; " + ", ".join(f"{name} {value:.3f}" for name, value in found.values.items()))
    assert found.values["modes_found"] == 8


def test_the_demo_draws_all_ten_digits(tmp_path):
    from ganvas.cli.demo import IMAGES, judge

    for seed in (0, 1, 2):
        run = ganvas.train("dcgan", data="digits", preset="quick", images=IMAGES, seed=seed, run=tmp_path / str(seed), quiet=True)
        assert judge(run.path), seed
