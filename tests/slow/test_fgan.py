"""What each of the eight divergences does to points: modes of the grid, and a Gaussian that has to stand for two cities."""

import time
from pathlib import Path

import pytest

import ganvas
from ganvas.measure import evaluate_path
from ganvas.metrics.evaluation import Evaluation
from ganvas.parts.divergences import DIVERGENCES

pytestmark = pytest.mark.slow


def found(path: Path, data: str, seed: int = 0, **config) -> Evaluation:
    start = time.perf_counter()
    run = ganvas.train("fgan", data=data, preset="quick", seed=seed, config=config, run=path, quiet=True)
    values = evaluate_path(run.path, data, count=2_500)
    print(f"\n{config}, seed {seed}: {time.perf_counter() - start:.0f} s; " + ", ".join(f"{k} {v:.3f}" for k, v in values.values.items()))
    return values


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_all_modes_of_the_grid_are_found_by_each(tmp_path, divergence):
    values = found(tmp_path / "run", "grid", divergence=divergence)
    assert values.values["modes_found"] >= 24 and values.values["high_quality"] >= 0.7


def test_one_gaussian_covers_both_cities_by_forward_kl_and_may_keep_to_one_by_reverse_kl(tmp_path):
    """The generator is linear: its samples are one Gaussian, in degrees. The cities lie near 5 and 25."""
    shares = {}
    for divergence in ("kl", "reverse-kl"):
        shares[divergence] = []
        for seed in range(5):
            run = ganvas.train(
                "fgan",
                data="two-cities",
                preset="quick",
                images=300_000,
                seed=seed,
                config={"divergence": divergence, "generator_widths": (), "z": 1, "critic_widths": (64, 64), "penalty_weight": 0.0},
                run=tmp_path / f"{divergence}-{seed}",
                quiet=True,
            )
            degrees = run.sample(2_500)
            shares[divergence].append((float((degrees < 10).mean()), float((degrees > 20).mean())))
        print(f"\n{divergence}: shares below 10 and above 20 degrees: {[tuple(round(x, 2) for x in pair) for pair in shares[divergence]]}")
    assert all(min(pair) >= 0.2 for pair in shares["kl"])
    assert any(min(pair) <= 0.05 for pair in shares["reverse-kl"])
