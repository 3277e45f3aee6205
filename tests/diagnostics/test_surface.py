"""A critic's surface: known scores and slopes, in the data's units, and training left as it was."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ganvas.cli.main import main
from ganvas.data.batch import DataSpec
from ganvas.diagnostics.report import write_report
from ganvas.diagnostics.surface import ARROWS, SIDE, Surface, gradient, measure, surface_figure
from ganvas.engine.capabilities import Score


class Bowl(Score):
    """Score a - x^2 - 3 y^2 of standardised points."""

    def score(self, batch):
        x, y = batch.points.unbind(1)
        return 5 - x.square() - 3 * y.square()


SPEC = DataSpec(kind="points", shape=(2,), offset=(10.0, -4.0), scale=(2.0, 0.5))


def test_slopes_of_a_known_score():
    points = torch.tensor([[1.0, 2.0], [-0.5, 0.0]])
    torch.testing.assert_close(gradient(Bowl(), points), torch.tensor([[-2.0, -12.0], [1.0, 0.0]]))
    assert not points.requires_grad


def test_the_surface_is_in_the_units_of_the_data():
    """Of a point u = (x - m) / s, the score's slope by x is its slope by u divided by s."""
    samples = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = measure(Bowl(), SPEC, torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 2.0]), samples)
    assert found.low.tolist() == pytest.approx([8.0, -5.0]) and found.high.tolist() == pytest.approx([12.0, -3.0])
    assert found.score.shape == (SIDE, SIDE) and found.places.shape == found.field.shape == (ARROWS**2, 2)
    assert found.score[SIDE // 2, SIDE // 2] == pytest.approx(5.0)
    assert found.score[0, SIDE // 2] == pytest.approx(5 - 12) and found.score[SIDE // 2, 0] == pytest.approx(5 - 1), "rows go along axis 2"
    u = (found.places - [10.0, -4.0]) / [2.0, 0.5]
    np.testing.assert_allclose(found.field, np.stack([-2 * u[:, 0] / 2.0, -6 * u[:, 1] / 0.5], axis=1), atol=1e-5)
    assert found.pull == pytest.approx(1.0)  # 2 / 2 at two of three samples


@pytest.mark.parametrize(
    "score", [np.zeros((SIDE, SIDE)), np.full((SIDE, SIDE), np.nan), np.random.default_rng(0).normal(size=(SIDE, SIDE))]
)
def test_every_surface_can_be_drawn(score):
    places = np.stack(np.meshgrid(np.linspace(0, 1, ARROWS), np.linspace(0, 1, ARROWS)), axis=-1).reshape(-1, 2)
    field = np.zeros_like(places) if not score.any() else np.full_like(places, score[0, 0])
    surface = Surface(low=np.zeros(2), high=np.ones(2), score=score, places=places, field=field, pull=0.0)
    picture = surface_figure(surface, np.random.default_rng(1).random((20, 2)), np.array([[0.5, 0.5], [np.nan, 0.0]]), "a_b^c $x")
    assert picture.mode == "RGB" and min(picture.size) > 400 and np.asarray(picture).std() > 5


def test_looking_at_the_critic_does_not_disturb_training(tmp_path, monkeypatch):
    """With and without pictures, weights and values are the same bits; and the report holds the surfaces as a film."""
    monkeypatch.chdir(tmp_path)
    train = ["train", "gan", "--data", "ring", "--preset", "tiny", "--images", "96", "--threads", "1"]
    assert main([*train, "--run", "often", "--grid-every", "16"]) == 0 and main([*train, "--run", "seldom", "--grid-every", "1000"]) == 0
    often, seldom = (load_file(next((tmp_path / run / "checkpoints").iterdir()) / "model.safetensors") for run in ("often", "seldom"))
    assert often.keys() == seldom.keys() and all(torch.equal(often[name], seldom[name]) for name in often)
    names = sorted(path.name for path in (tmp_path / "often" / "samples").glob("surface-*.png"))
    assert names == [f"surface-{images:012d}.png" for images in range(0, 97, 16)]
    page = (tmp_path / "often" / "report.html").read_text()
    assert "What the critic sees" in page and page.count('type="range"') == 2
    rows = [json.loads(line) for line in (tmp_path / "often" / "metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows if row["kind"] == "diversity"] == list(range(0, 97, 16))


def test_a_model_without_a_critic_has_no_surface(tmp_path):
    assert (
        main(["train", "vae", "--data", "ring", "--preset", "tiny", "--images", "64", "--run", str(tmp_path / "r"), "--threads", "1"]) == 0
    )
    assert (
        not list((tmp_path / "r" / "samples").glob("surface-*")) and "What the critic sees" not in write_report(tmp_path / "r").read_text()
    )
