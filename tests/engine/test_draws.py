"""Draws are functions of their key: parts are slices of one draw, samples do not know their batch, the global generator stands still."""

import math

import pytest
import torch

from ganvas.engine.draws import Draws, SampleDraws, StepDraws, key

CPU = torch.device("cpu")
KINDS = {
    "normal": lambda rng, n: rng.normal(n, 3, 2),
    "uniform": lambda rng, n: rng.uniform(n, 5),
    "integers": lambda rng, n: rng.integers(n, 7, 4),
    "scalars": lambda rng, n: rng.normal(n),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [2, 3, 4])
def test_slices_of_parts_are_the_whole(kind, parts):
    whole = StepDraws(11, 0, 1, CPU)
    pieces = [StepDraws(11, part, parts, CPU) for part in range(parts)]
    for _ in range(3):  # later draws of the same loss, too
        expected = KINDS[kind](whole, 6 * parts)
        assert torch.equal(torch.cat([KINDS[kind](piece, 6) for piece in pieces]), expected)


@pytest.mark.parametrize("make", [lambda seed: StepDraws(seed, 0, 1, CPU), SampleDraws])
def test_equal_keys_give_equal_draws_and_other_keys_others(make):
    assert torch.equal(make(4).normal(8, 2), make(4).normal(8, 2))
    assert not torch.equal(make(4).normal(8, 2), make(5).normal(8, 2))
    rng = make(4)
    assert not torch.equal(rng.normal(8, 2), rng.normal(8, 2))


def test_keys_of_different_tuples_differ_and_fit_a_seed():
    tuples = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 2), (12,), ("order", 1), ("step", 1), ("sample", 1, 23), ("sample", 12, 3)]
    tuples += [("step", seed, step) for seed in range(40) for step in range(40)]
    keys = [key(*parts) for parts in tuples]
    assert len(set(keys)) == len(tuples)
    assert all(0 <= value < 2**63 for value in keys)


def test_keys_never_change():
    """Old runs can only be resumed exactly while a key means the same number: this value may not change."""
    assert key("step", 0, 0, 1, 2, 3) == 5949718843752140113


def test_a_sample_does_not_depend_on_its_batch():
    eight, four = SampleDraws(3), SampleDraws(3)
    for _ in range(2):
        assert torch.equal(eight.normal(8, 5)[:4], four.normal(4, 5))
    assert torch.equal(SampleDraws(3).uniform(8, 2)[5:], SampleDraws(3, start=5).uniform(3, 2))


def test_samples_can_be_asked_for_by_number():
    whole = SampleDraws(9).normal(20, 4)
    numbers = [7, 0, 19, 7]
    assert torch.equal(SampleDraws(9, indices=numbers).normal(4, 4), whole[numbers])


def test_more_rows_than_numbered_samples_is_an_error():
    with pytest.raises(AssertionError, match="more rows"):
        SampleDraws(9, indices=[1, 2]).normal(3, 4)


def test_no_rows_keep_their_shape():
    assert SampleDraws(0).normal(0, 3, 2).shape == (0, 3, 2)
    assert StepDraws(0, 0, 1, CPU).integers(0, 5, 2).shape == (0, 2)


@pytest.mark.parametrize("rng", [StepDraws(1, 0, 1, CPU), SampleDraws(1)], ids=["step", "sample"])
def test_draws_have_the_laws_they_name(rng: Draws):
    n = 2000
    normal = rng.normal(n, 4).flatten()
    assert abs(normal.mean()) < 5 / math.sqrt(4 * n) and abs(normal.square().mean() - 1) < 5 * math.sqrt(2 / (4 * n))
    uniform = rng.uniform(n, 4).flatten()
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 5 * math.sqrt(1 / 12 / (4 * n)) and abs(uniform.var() - 1 / 12) < 0.005
    integers = rng.integers(n, 5, 4).flatten()
    assert integers.dtype == torch.int64
    counts = torch.bincount(integers, minlength=5).double()
    assert len(counts) == 5
    assert float(((counts - 4 * n / 5).square() / (4 * n / 5)).sum()) < 25  # chi-square with 4 degrees of freedom, p < 1e-4


def test_neighbouring_samples_are_independent():
    rows = SampleDraws(0).normal(3000, 2)
    correlation = torch.corrcoef(torch.stack([rows[:-1].flatten(), rows[1:].flatten()]))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(6000)
    first, second = SampleDraws(0).normal(3000, 1), SampleDraws(1).normal(3000, 1)
    assert abs(torch.corrcoef(torch.stack([first[:, 0], second[:, 0]]))[0, 1]) < 5 / math.sqrt(3000)


def test_the_global_generator_stands_still():
    before = torch.get_rng_state()
    StepDraws(1, 0, 1, CPU).normal(3, 2)
    SampleDraws(1).uniform(3, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_places_number_the_rows_of_the_whole_draw():
    parts = [StepDraws(0, part, 3, CPU).places(2).tolist() for part in range(3)]
    assert parts == [[0, 1], [2, 3], [4, 5]]
    assert SampleDraws(0, 5).places(3).tolist() == [5, 6, 7] and SampleDraws(0, indices=[9, 2, 4]).places(2).tolist() == [9, 2]
    rng, other = StepDraws(0, 0, 1, CPU), StepDraws(0, 0, 1, CPU)
    rng.places(4)
    assert torch.equal(rng.uniform(4), other.uniform(4)), "nothing is drawn"
