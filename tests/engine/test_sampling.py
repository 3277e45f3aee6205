"""Samples by number, labels in turn, and paths between codes."""

import pytest
import torch

from ganvas.engine.capabilities import Latent
from ganvas.engine.card import Card
from ganvas.engine.sampling import draw, interpolate
from ganvas.errors import GanvasError
from tests.engine.toys import Toy

CARD = Card(title="Toy", year=2026, paper="", family="", teaches="", data=("points",))
ASKED = Card(title="Toy", year=2026, paper="", family="", teaches="", data=("points",), conditions=("labels",))


class Echo(Toy, Latent):
    """Its samples are its codes, so that what is drawn can be seen; labels are added."""

    law = "normal"

    def draw(self, n, rng):
        return rng.normal(n, 16)

    def decode(self, z, *, condition=None):
        return z

    @property
    def prior(self):
        return self.law

    def sample(self, n, *, condition=None, rng):
        z = self.draw(n, rng)
        return z if condition is None else z * 0 + condition.labels[:, None]


MODEL = Echo().eval()


def test_batches_change_nothing():
    whole = draw(MODEL, CARD, 10, seed=4)
    for batch in (1, 3, 10, 64):
        assert torch.equal(draw(MODEL, CARD, 10, seed=4, batch=batch), whole)
    assert torch.equal(draw(MODEL, CARD, 4, seed=4), whole[:4])


def test_samples_by_number():
    whole = draw(MODEL, CARD, 10, seed=4)
    assert torch.equal(draw(MODEL, CARD, 3, seed=4, indices=[8, 0, 5], batch=2), whole[[8, 0, 5]])


def test_labels_are_taken_in_turn_by_sample_number():
    got = draw(MODEL, ASKED, 7, seed=0, labels=[3, 5], batch=3)[:, 0]
    assert got.tolist() == [3, 5, 3, 5, 3, 5, 3]
    assert draw(MODEL, ASKED, 3, seed=0, labels=[3, 5], indices=[1, 2, 3])[:, 0].tolist() == [5, 3, 5]


def test_wrong_requests():
    with pytest.raises(GanvasError, match="--count 0: ask for at least one"):
        draw(MODEL, CARD, 0, seed=0)
    with pytest.raises(GanvasError, match="--labels: Toy is not conditional"):
        draw(MODEL, CARD, 1, seed=0, labels=[1])
    with pytest.raises(GanvasError, match="evaluation mode"):
        draw(Echo(), CARD, 1, seed=0)
    with pytest.raises(GanvasError, match="no latent codes"):
        interpolate(Toy().eval(), rows=1, steps=2, seed=0)


def test_drawing_can_be_interrupted():
    calls = []
    draw(MODEL, CARD, 10, seed=0, batch=3, poll=lambda: calls.append(1))
    assert len(calls) == 4


def test_paths_between_normal_codes_keep_the_norm_and_run_at_even_speed():
    paths = interpolate(MODEL, rows=3, steps=9, seed=1).view(3, 9, 16)
    ends = draw(MODEL, CARD, 6, seed=1)
    torch.testing.assert_close(paths[:, 0], ends[:3])
    torch.testing.assert_close(paths[:, -1], ends[3:])
    norms = paths.norm(dim=2)
    torch.testing.assert_close(norms, torch.lerp(norms[:, :1], norms[:, -1:], torch.linspace(0, 1, 9)))
    angles = torch.nn.functional.cosine_similarity(paths[:, 1:], paths[:, :-1], dim=2).acos()
    torch.testing.assert_close(angles, angles[:, :1].expand_as(angles), rtol=1e-3, atol=1e-4)


def test_paths_between_uniform_codes_are_straight():
    model = Echo().eval()
    model.law = "uniform"
    paths = interpolate(model, rows=2, steps=5, seed=1).view(2, 5, 16)
    torch.testing.assert_close(paths[:, 2], (paths[:, 0] + paths[:, 4]) / 2)


def test_a_path_keeps_its_label_and_labels_are_taken_in_turn():
    class Asked(Echo):
        def decode(self, z, *, condition=None):
            return z if condition is None else z * 0 + condition.labels[:, None]

    paths = interpolate(Asked().eval(), rows=3, steps=4, seed=1, labels=[7, 2])[:, 0].view(3, 4)
    assert paths.tolist() == [[7.0] * 4, [2.0] * 4, [7.0] * 4]
    assert torch.equal(interpolate(Asked().eval(), rows=3, steps=4, seed=1), interpolate(MODEL, rows=3, steps=4, seed=1))


def test_the_path_of_equal_codes_stays_there():
    from ganvas.engine.sampling import slerp

    code = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slerp(code, code, torch.tensor([[0.0], [0.5], [1.0]])), code.expand(3, 16), rtol=1e-3, atol=1e-3)
