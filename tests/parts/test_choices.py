"""Objectives and penalties by name: all there are, where each objective is undecided, and penalties of known slopes."""

from typing import get_args

import pytest
import torch
from torch import tensor

from ganvas.engine.draws import StepDraws
from ganvas.parts.choices import OBJECTIVES, SLOPES, Name
from ganvas.parts.divergences import DIVERGENCES
from ganvas.parts.relativistic import CRITERIA


def rng():
    return StepDraws(0, 0, 1, torch.device("cpu"))


def test_every_objective_there_is_has_its_name():
    usual = {"minimax", "non-saturating", "maximum-likelihood", "least-squares", "hinge", "wasserstein"}
    compared = {f"{how}-{name}" for how in ("paired", "averaged") for name in CRITERIA}
    assert set(OBJECTIVES) == set(get_args(Name)) == usual | {f"f-{name}" for name in DIVERGENCES} | compared


@pytest.mark.parametrize("name", [name for name, choice in OBJECTIVES.items() if choice.middle is not None])
def test_where_reals_and_fakes_are_alike_the_best_score_is_the_middle(name):
    """The discriminator's loss on equally many reals and fakes of one score is least there; the hinge's is flat around it."""
    choice = OBJECTIVES[name]
    scores = choice.middle + torch.linspace(-2, 2, 401, dtype=torch.float64)
    loss = choice.objective.d(scores, scores)
    assert float(loss[200]) <= float(loss.min()) + 1e-9
    if name not in ("hinge", "f-total-variation"):
        assert int(loss.argmin()) == 200


@pytest.mark.parametrize("name", [name for name, choice in OBJECTIVES.items() if choice.middle is None])
def test_the_others_know_differences_alone(name):
    objective, real, fake = OBJECTIVES[name].objective, torch.randn(6).double(), torch.randn(6).double()
    torch.testing.assert_close(objective.d(real + 3, fake + 3), objective.d(real, fake))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_generator_that_compares_looks_at_reals_and_no_other_does(name):
    choice, fake = OBJECTIVES[name], torch.randn(5)
    values = [choice.objective.g(fake, real) for real in (torch.randn(5), torch.randn(5) + 1)]
    assert torch.equal(*values) != choice.compares


@pytest.mark.parametrize(
    ("name", "value"), [("r1", 12.5), ("r2", 2.0), ("r1-r2", 14.5), ("wgan-gp", 16.0), ("one-sided", 16.0), ("local", 16.0)]
)
def test_penalties_of_known_slopes(name, value):
    """Scores of slope 5 for reals and 2 for fakes."""
    of_reals, of_fakes = (lambda u: u @ tensor([3.0, 4.0])), (lambda u: u @ tensor([2.0, 0.0]))
    found = SLOPES[name](of_reals, of_fakes, torch.randn(4, 2), torch.randn(4, 2), rng())
    torch.testing.assert_close(found, torch.full((4,), value))


def test_the_one_sided_penalty_spares_gentle_slopes():
    gentle = lambda u: u @ tensor([0.5, 0.0])
    values = [SLOPES[name](gentle, gentle, torch.randn(3, 2), torch.randn(3, 2), rng()) for name in ("wgan-gp", "one-sided")]
    torch.testing.assert_close(torch.stack(values), tensor([[0.25] * 3, [0.0] * 3]))
