"""Latent codes: the two laws, and their slices."""

import math

import pytest
import torch

from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.parts.latent import draw, truncated

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


@pytest.mark.parametrize("threshold", [0.04, 0.5, 1.0, 2.0, 4.0])
def test_truncated_codes_have_the_law_of_entries_drawn_anew(threshold):
    z = truncated(draw("normal", 2000, 50, StepDraws(0, 0, 1, CPU)), threshold)
    assert z.dtype == torch.float32 and z.abs().max() <= threshold
    for part in (0.25, 0.5, 0.9):
        wanted = math.erf(part * threshold / math.sqrt(2)) / math.erf(threshold / math.sqrt(2))
        assert float((z.abs() < part * threshold).double().mean()) == pytest.approx(wanted, abs=0.01)


def test_truncation_moves_codes_inwards_and_keeps_signs_and_order():
    z = torch.linspace(-6, 6, 101)[None]
    last = z
    for threshold in (8.0, 2.0, 1.0, 0.1):
        found = truncated(z, threshold)
        assert (found.abs() <= last.abs() + 1e-6).all() and torch.equal(found.sign(), z.sign()) and (found.diff() >= 0).all()
        last = found
    torch.testing.assert_close(truncated(z, 8.0), z, rtol=1e-3, atol=1e-5)
    assert torch.equal(truncated(z, math.inf), z)
