"""Latent codes: the two laws, and their slices."""

import math

import pytest
import torch

from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.parts.latent import draw

CPU = torch.device("cpu")


def test_normal_codes():
    z = draw("normal", 4000, 10, StepDraws(0, 0, 1, CPU))
    assert z.shape == (4000, 10)
    assert float(z.mean()) == pytest.approx(0, abs=0.02) and float(z.std()) == pytest.approx(1, abs=0.02)
    assert z.abs().max() > 3


def test_uniform_codes_span_minus_one_to_one():
    z = draw("uniform", 4000, 10, StepDraws(0, 0, 1, CPU))
    assert -1 <= z.min() < -0.99 and 0.99 < z.max() < 1
    assert float(z.mean()) == pytest.approx(0, abs=0.02) and float(z.std()) == pytest.approx(1 / math.sqrt(3), abs=0.02)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_codes_are_functions_of_their_key(prior):
    whole = draw(prior, 8, 3, StepDraws(5, 0, 1, CPU))
    assert torch.equal(torch.cat([draw(prior, 4, 3, StepDraws(5, part, 2, CPU)) for part in range(2)]), whole)
    samples = draw(prior, 8, 3, SampleDraws(1))
    assert torch.equal(draw(prior, 4, 3, SampleDraws(1)), samples[:4])
