"""How far apart samples are: by hand, against the data, and once a step."""

import pytest
import torch

from ganvas.data.open import open_data
from ganvas.diagnostics import diversity
from ganvas.diagnostics.diversity import NEAREST, PAIRWISE, VARIATION, Diversity, spread, variation
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
    assert two[NEAREST] == 0 and 0.2 < two[PAIRWISE] < 0.9 and one == {PAIRWISE: 0, NEAREST: 0}


def test_as_many_data_as_samples_are_taken(run, monkeypatch):
    t, path = run
    seen = []
    monkeypatch.setattr(diversity, "spread", lambda x: seen.append(len(x)) or (1.0, 1.0))
    Diversity(path)(t, torch.rand(20, 1, 8, 8))
    monkeypatch.setattr(diversity, "COUNT", 10)
    t.step = 1
    Diversity(path)(t, torch.rand(20, 1, 8, 8))
    assert seen == [20, 20, 10, 10]


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
