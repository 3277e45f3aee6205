"""Packs keep the modes of the grid that single samples lose: equal networks, equally many updates, equally many packs in each."""

import time
from pathlib import Path

import pytest

import ganvas
from ganvas.measure import evaluate_path

pytestmark = pytest.mark.slow

UPDATES, PACKS = 10_000, 128


def modes(path: Path, model: str, seed: int, samples: int = 1, **config) -> int:
    start = time.perf_counter()
    settings = {"batch": samples * PACKS, "decay_from": 0.5} | config
    images = UPDATES * samples * PACKS
    run = ganvas.train(model, data="grid", preset="quick", images=images, seed=seed, config=settings, run=path, quiet=True)
    values = evaluate_path(run.path, "grid", count=2_500).values
    said = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
    print(f"\n{model}, packs of {samples}, seed {seed}: {(time.perf_counter() - start) / 60:.1f} minutes; {said}")
    return int(values["modes_found"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_packs_of_four_find_what_single_samples_do_not(tmp_path, seed):
    of_four = modes(tmp_path / "4", "pacgan", seed, 4, packing=4)
    alone = modes(tmp_path / "1", "pacgan", seed, 1, packing=1)
    plain = modes(tmp_path / "gan", "gan", seed)
    assert of_four >= 24 and alone < of_four and plain < of_four
