"""Packs keep the modes of the grid that single samples lose: equal networks, equally many updates, equally many packs in each."""

import time
from pathlib import Path

import pytest

import ganvas
from ganvas.measure import evaluate_path
from ganvas.models.pacgan import PRESETS

pytestmark = pytest.mark.slow

OF_FOUR = PRESETS["quick-points"]


def modes(path: Path, model: str, seed: int, **config) -> int:
    start = time.perf_counter()
    run = ganvas.train(model, data="grid", preset="quick", seed=seed, config=config, run=path, quiet=True)
    values = evaluate_path(run.path, "grid", count=2_500).values
    said = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
    print(f"\n{model}, {config}, seed {seed}: {(time.perf_counter() - start) / 60:.1f} minutes; {said}")
    return int(values["modes_found"])


def test_packs_of_four_find_what_single_samples_do_not(tmp_path):
    """Plain `gan`, whose networks are its own, finds fewer in all; with some seeds it finds every mode."""
    single = {"packing": 1, "batch": OF_FOUR.batch // OF_FOUR.packing, "images": OF_FOUR.images // OF_FOUR.packing}
    of_four = [modes(tmp_path / f"4-{seed}", "pacgan", seed) for seed in range(3)]
    alone = [modes(tmp_path / f"1-{seed}", "pacgan", seed, **single) for seed in range(3)]
    plain = [modes(tmp_path / f"gan-{seed}", "gan", seed) for seed in range(3)]
    assert OF_FOUR.packing == 4 and min(of_four) >= 24
    assert all(fewer < found for fewer, found in zip(alone, of_four, strict=True))
    assert sum(plain) < sum(of_four)
