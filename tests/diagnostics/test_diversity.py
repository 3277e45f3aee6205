"""How far apart samples are and how far from the data: by hand, against the data, and once a step."""

import pytest
import torch

from ganvas.data.open import open_data
from ganvas.diagnostics import diversity
from ganvas.diagnostics.diversity import ENERGY, NEAREST, PAIRWISE, VARIATION, Diversity, energy_distance, spread, variation
from ganvas.diagnostics.rows import read_rows
from tests.diagnostics.runs import begin, trainer


@pytest.fixture
def run(tmp_path):
    _, model, examples = begin(tmp_path / "run")
    return trainer(model, examples), tmp_path / "run"


def values(path):
    return [row["values"] for row in read_rows(path / "metrics.jsonl") if row["kind"] == "diversity"]


def test_three_points_by_hand():
    """Sides 3, 4 and 5: their mean is 4, the nearest others lie at 3, 3 and 4."""
    mean, near = spread(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))
    assert mean == pytest.approx(4.0) and near == pytest.approx(10 / 3)


def test_copies_of_a_few_have_no_distance_to_the_nearest():
    mean, near = spread(torch.tensor([[0.0], [1.0], [0.0], [1.0]]))
    assert near == 0 and mean == pytest.approx(2 / 3)


def test_variation_by_hand():
    """A pixel that is 0 and 2 deviates by 1, one that is always 5 by 0; the image's own pixels, 0 and 4, deviate by 2."""
    samples = torch.tensor([[0.0, 5.0], [2.0, 5.0]]).view(2, 1, 1, 2)
    assert variation(samples, torch.tensor([0.0, 4.0]).view(1, 1, 2)) == pytest.approx(0.25)
    assert variation(samples, torch.ones(1, 1, 2)) == 0.0


def test_the_energy_distance_by_hand():
    """Samples 0 and 2, data 1 and 5: across they lie 1, 5, 1 and 3 apart, among themselves 2 and 4; (2 * 2.5 - 2 - 4) / 4."""
    found = energy_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]]))
    assert found == pytest.approx(-0.25)
    assert energy_distance(torch.zeros(3, 2), torch.ones(3, 2)) == 0.0  # data without any variety give no scale


def test_the_energy_distance_is_zero_for_equal_laws_and_sees_a_shift_and_a_collapse():
    torch.manual_seed(0)
    data, same, mean = torch.randn(400, 50), torch.randn(400, 50), torch.zeros(400, 50)
    assert abs(energy_distance(same, data)) < 0.01
    assert energy_distance(same + 1, data) > 0.2
    assert energy_distance(mean, data) == pytest.approx(2 / 2**0.5 - 1, abs=0.02)


def test_data_are_as_far_apart_as_data_and_copies_are_not(run):
    t, path = run
    watch, real = Diversity(path), t.examples.batch(torch.arange(1, 1200, 19)).images
    watch(t, real)
    t.step = 1
    watch(t, real[:2].repeat(32, 1, 1, 1))
    t.step = 2
    watch(t, real[:1].expand(64, -1, -1, -1))
    first, two, one = values(path)
    assert first[PAIRWISE] == pytest.approx(1.0, abs=0.08) and first[NEAREST] == pytest.approx(1.0, abs=0.15)
    assert two[NEAREST] == 0 and 0.2 < two[PAIRWISE] < 0.9 and one[NEAREST] == one[PAIRWISE] == 0
    assert abs(first[ENERGY]) < 0.03 and first[ENERGY] < two[ENERGY] < one[ENERGY] and one.keys() == {PAIRWISE, NEAREST, ENERGY}


def test_as_many_data_as_samples_are_taken(run, monkeypatch):
    t, path = run
    seen = []
    monkeypatch.setattr(diversity, "spread", lambda x: seen.append(len(x)) or (1.0, 1.0))
    Diversity(path)(t, torch.rand(20, 1, 8, 8))
    monkeypatch.setattr(diversity, "COUNT", 10)
    t.step = 1
    Diversity(path)(t, torch.rand(20, 1, 8, 8))
    assert seen[:2] == [20, 20] and set(seen[2:]) == {20, 10} and seen[-2:] == [10, 10]


def test_a_step_has_one_row(run):
    t, path = run
    for _ in range(2):
        Diversity(path)(t, torch.rand(4, 1, 8, 8))
    assert len(values(path)) == 1
    Diversity(path)(t, torch.rand(1, 1, 8, 8))  # one sample has no distance
    assert len(values(path)) == 1


def test_one_image_is_measured_by_its_pixels(tmp_path):
    _, model, _ = begin(tmp_path / "run")
    photo = open_data("flower", resolution=24)
    t = trainer(model, open_data("digits"))
    t.examples = photo
    image = photo.batch(torch.tensor([0])).images
    Diversity(tmp_path / "run")(t, torch.cat([image, image, image.flip(2)]))
    ((name, value),) = values(tmp_path / "run")[0].items()
    assert name == VARIATION and 0.1 < value < 1.5
