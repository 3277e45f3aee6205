"""What each of the eight divergences does to points: modes of the grid, and a Gaussian that has to stand for two cities."""

import time
from pathlib import Path

import pytest

import ganvas
from ganvas.measure import evaluate_path
from ganvas.metrics.evaluation import Evaluation

pytestmark = pytest.mark.slow


def found(path: Path, data: str, seed: int = 0, **config) -> Evaluation:
    start = time.perf_counter()
    run = ganvas.train("fgan", data=data, preset="quick", seed=seed, config=config, run=path, quiet=True)
    values = evaluate_path(run.path, data, count=2_500)
    print(f"\n{config}, seed {seed}: {time.perf_counter() - start:.0f} s; " + ", ".join(f"{k} {v:.3f}" for k, v in values.values.items()))
    return values
