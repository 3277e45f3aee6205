"""The likelihood in nats and bits, of a model that is known."""

import math

import pytest
import torch

from ganvas.engine.capabilities import LogProbability
from ganvas.errors import GanvasError
from ganvas.metrics.likelihood import likelihood


class Uniform(LogProbability):
    """Every pixel of an image uniform on 17 levels, plus noise that is drawn; an image without ink has none."""

    def __init__(self, least=None):
        self.least = least

    def log_probability(self, batch, rng):
        nats = -math.prod(batch.images.shape[1:]) * math.log(17) + 0.1 * rng.normal(len(batch.images))
        return nats if self.least is None else torch.where(batch.images.mean(dim=(1, 2, 3)) < self.least, -torch.inf, nats)

    @property
    def measured(self):
        return "exact"


def test_nats_bits_and_error(held_out):
    found = likelihood(Uniform(), held_out)
    assert found.nats == pytest.approx(64 * math.log(17), abs=0.03)
    assert found.bits_per_dim == pytest.approx(math.log2(17), abs=1e-3)
    assert found.error == pytest.approx(0.1 / math.sqrt(len(held_out)), rel=0.15)
    assert found.count == len(held_out)


def test_what_is_drawn_belongs_to_the_example(held_out, monkeypatch):
    whole = likelihood(Uniform(), held_out)
    monkeypatch.setattr("ganvas.metrics.likelihood._BATCH", 7)
    assert likelihood(Uniform(), held_out).nats == pytest.approx(whole.nats, abs=1e-9)
    assert likelihood(Uniform(), held_out, seed=1).nats != whole.nats


def test_impossible_examples_and_too_few_are_refused(held_out):
    with pytest.raises(GanvasError, match=r"\d+ of 355 examples have no finite"):
        likelihood(Uniform(least=-0.4), held_out)
    with pytest.raises(GanvasError, match="at least 2 examples"):
        likelihood(Uniform(), held_out, count=1)
