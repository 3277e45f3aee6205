"""Modes, the sliced Wasserstein distance, and the evaluation of points."""

import math

import pytest
import torch
from scipy.stats import wasserstein_distance

from ganvas.data import points as laws
from ganvas.data.points import PointSource
from ganvas.data.source import Request
from ganvas.errors import GanvasError
from ganvas.metrics.evaluate import evaluate_points
from ganvas.metrics.modes import count_modes
from ganvas.metrics.wasserstein import sliced_wasserstein


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def native(name, split):
    examples = PointSource(name).open(split, Request())
    return examples.spec.native(examples.batch(torch.arange(2_500)).points)


def test_modes_by_hand():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = torch.tensor([[0.0, 3.0], [0.0, 3.001], [10.0, 0.0], [9.0, 1.0], [5.0, 5.0]])
    found = count_modes(points, centres, 1.0)
    assert (found.found, found.of, found.counts) == (2, 3, (1, 2, 0))
    assert found.high_quality == 3 / 5


def test_a_sample_counts_for_its_nearest_centre_only():
    found = count_modes(torch.tensor([[0.4]]), torch.tensor([[0.0], [1.0]]), 1.0)
    assert found.counts == (1, 0)


def test_high_quality_share_of_the_law_itself():
    # In the plane a Gaussian lies within 3 sigma with probability 1 - exp(-9 / 2) = 0.9889.
    law = laws.modes("grid")
    points = law.centres.repeat(4_000, 1).double() + law.sigma * normal(100_000, 2)
    found = count_modes(points, law.centres, law.sigma)
    assert (found.found, found.of) == (25, 25)
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.001)


def test_modes_refuse_bad_input():
    with pytest.raises(GanvasError, match="sigma must be positive"):
        count_modes(torch.zeros(3, 2), torch.zeros(1, 2), 0.0)
    with pytest.raises(GanvasError, match="2 of 3 rows"):
        count_modes(torch.tensor([[0.0], [math.nan], [math.inf]]), torch.zeros(1, 1), 1.0)


def test_wasserstein_on_a_line_is_exact():
    assert sliced_wasserstein(torch.tensor([[0.0], [1.0]]), torch.tensor([[5.0], [6.0]])) == pytest.approx(5.0)
    a, b = normal(301, 1), 2 * normal(47, 1, seed=1) + 1
    expected = wasserstein_distance(a.flatten().numpy(), b.flatten().numpy())
    assert sliced_wasserstein(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dimension", [2, 3])
def test_wasserstein_of_a_shift_is_the_mean_projection_of_the_shift(dimension):
    # |<u, s>| averages to 2 / pi in the plane and to 1 / 2 in space, for a shift s of length 1.
    a = normal(200, dimension)
    shift = torch.zeros(dimension, dtype=torch.float64)
    shift[0] = 1.0
    expected = {2: 2 / math.pi, 3: 0.5}[dimension]
    assert sliced_wasserstein(a, a + shift, directions=2_000) == pytest.approx(expected, rel=0.03)
    assert sliced_wasserstein(a, a) == 0.0


@pytest.mark.parametrize("name", laws.NAMES)
def test_the_law_itself_scores_near_the_floor(name):
    found = evaluate_points(native(name, "train"), native(name, "test"), laws.modes(name), split="test", seed=3)
    span = float(native(name, "test").std())
    assert found.values["wasserstein"] < 0.08 * span
    assert found.values["coverage"] == pytest.approx(0.969, abs=0.03)
    if laws.modes(name) is not None:
        assert found.values["modes_found"] == found.values["modes_of"] == len(laws.modes(name).centres)
        assert found.values["high_quality"] > 0.97


def test_dropped_modes_and_blur_are_seen():
    law, real = laws.modes("ring"), native("ring", "test")
    good = evaluate_points(native("ring", "train"), real, law).values
    near_half = native("ring", "train")
    near_half = near_half[near_half[:, 0] > 0.1]
    dropped = evaluate_points(near_half, real, law).values
    assert dropped["modes_found"] == 3 and dropped["high_quality"] > 0.97
    assert dropped["wasserstein"] > 5 * good["wasserstein"] and dropped["recall"] < 0.6
    blurred = evaluate_points(native("ring", "train") + 0.05 * normal(2_500, 2).float(), real, law).values
    assert blurred["modes_found"] == 8 and blurred["high_quality"] < 0.4
    assert blurred["precision"] < 0.7


def test_two_cities_merged_into_one_are_seen():
    real = native("two-cities", "test")
    merged = 15 + 10.4 * normal(2_500, 1).float()  # the same mean and variance: the Frechet distance alone is blind to it
    good = evaluate_points(native("two-cities", "train"), real).values
    bad = evaluate_points(merged, real).values
    assert bad["fd"] < 0.5 and bad["wasserstein"] > 5 * good["wasserstein"]


def test_protocol_counts_and_text():
    found = evaluate_points(
        native("ring", "train")[:900], native("ring", "test"), laws.modes("ring"), split="test", weights="averaged", seed=4
    )
    assert found.protocol["samples"] == {"count": 900, "seed": 4, "weights": "averaged"}
    assert found.protocol["reference"] == {"split": "test", "count": 900, "of": 2_500}
    text = found.to_text()
    assert "modes_found" in text and "64 directions" in text and "weights averaged" in text


def test_points_that_do_not_fit_are_refused():
    with pytest.raises(GanvasError, match="the samples have 1 coordinates, the reference points 2"):
        evaluate_points(normal(10, 1), normal(10, 2))
    with pytest.raises(GanvasError, match="at least 6 samples"):
        evaluate_points(normal(5, 2), normal(10, 2))
    with pytest.raises(GanvasError, match="NaN"):
        evaluate_points(torch.full((10, 2), math.nan), normal(10, 2))
