"""Named parts of codes, turned: what changes and what stays, in which order, and what is refused."""

import numpy as np
import pytest
import torch

import ganvas
from ganvas.engine.capabilities import Factors, Latent
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError
from ganvas.explore.traversing import traverse, turned, values_of


class Shown(Latent, Factors):
    """A code of noise, a kind of three and a number, shown as it is: an image of one row."""

    @property
    def prior(self):
        return "uniform"

    def draw(self, n, rng):
        return torch.cat([rng.uniform(n, 2), rng.integers(n, 3, 1).float(), rng.uniform(n, 1)], 1)

    def decode(self, z, *, condition=None):
        return z.view(len(z), 1, 1, -1)

    @property
    def factors(self):
        return {"kind": 3, "slant": 0}

    def turn(self, z, factor, value):
        place = 2 + list(self.factors).index(factor)
        return torch.cat([z[:, :place], value.float()[:, None], z[:, place + 1 :]], 1)

    def read(self, z, factor):
        return z[:, 2 + list(self.factors).index(factor)]


@pytest.mark.parametrize(("factor", "place", "values"), [("kind", 2, [0.0, 1.0, 2.0]), ("slant", 3, [-1.0, 0.0, 1.0])])
def test_in_a_row_one_part_changes_and_the_rest_stays(factor, place, values):
    model = Shown()
    found = turned(model, factor, values_of(model.factors[factor], 3), 4, seed=5).view(4, 3, 4)
    assert found[:, :, place].tolist() == [values] * 4
    others = [column for column in range(4) if column != place]
    assert torch.equal(found[:, :, others], model.draw(4, SampleDraws(5))[:, None, others].expand(4, 3, 3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganvas.train("infogan", data="digits", preset="tiny", images=64, run=tmp_path_factory.mktemp("runs") / "r", quiet=True)


def test_all_categories_or_steps_of_a_run(run):
    found = traverse(run, rows=3)
    assert (found.factor, found.values) == ("c1", tuple(map(str, range(10))))
    assert found.samples.shape == (30, 8, 8, 1) and found.samples.dtype == np.uint8
    found = traverse(run, "c3", rows=2, steps=5)
    assert found.values == ("-1.00", "-0.50", "+0.00", "+0.50", "+1.00") and found.samples.shape == (10, 8, 8, 1)
    again = traverse(run, "c3", rows=1, steps=5)
    assert np.abs(again.samples.astype(int) - found.samples[:5]).max() <= 1  # a code does not depend on those drawn with it


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"factor": "c9"}, "--factor c9: this code has the parts c1, c2, c3. Did you mean 'c"),
        ({"rows": 0}, "--rows 0: must be greater than 0"),
        ({"factor": "c2", "steps": 1}, "--steps 1: a path needs at least its two ends"),
    ],
)
def test_what_cannot_be_turned_is_refused(run, chosen, message):
    with pytest.raises(GanvasError, match=message):
        traverse(run, **chosen)


def test_a_model_without_named_parts_says_so(tmp_path):
    plain = ganvas.train("gan", data="ring", preset="tiny", images=32, run=tmp_path / "r", quiet=True)
    with pytest.raises(GanvasError, match="the code of GAN has no named parts"):
        traverse(plain)
