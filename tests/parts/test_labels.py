"""Labels drawn, wrong on purpose, and asked for."""

import pytest
import torch

from ganvas.engine.contract import Condition
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.errors import GanvasError
from ganvas.parts import labels


def draws(seed=0, part=0, parts=1):
    return StepDraws(seed, part, parts, torch.device("cpu"))


def test_every_class_is_drawn_equally_often():
    counts = labels.drawn(10_000, 4, draws()).bincount()
    assert len(counts) == 4 and (counts - 2_500).abs().max() < 4 * (10_000 * 0.25 * 0.75) ** 0.5


def test_wrong_labels_are_never_right_and_all_others_are_equally_likely():
    right = torch.arange(5).repeat(2_000)
    wrong = labels.wrong(right, 5, draws())
    assert not (wrong == right).any() and wrong.min() >= 0 and wrong.max() < 5
    for label in range(5):
        counts = wrong[right == label].bincount(minlength=5)
        assert (counts[counts > 0] - 500).abs().max() < 4 * (2_000 * 0.25 * 0.75) ** 0.5 and (counts == 0).sum() == 1
    assert labels.wrong(torch.tensor([0, 1, 1]), 2, draws()).tolist() == [1, 0, 0]


def test_parts_of_a_batch_see_parts_of_one_draw():
    whole = labels.drawn(8, 10, draws(3))
    assert torch.equal(torch.cat([labels.drawn(4, 10, draws(3, part, 2)) for part in (0, 1)]), whole)
    assert torch.equal(labels.drawn(4, 10, SampleDraws(1)), labels.drawn(8, 10, SampleDraws(1))[:4])


def test_without_a_condition_the_classes_come_in_turn():
    assert labels.asked(None, torch.zeros(7, 2), 3, "it").tolist() == [0, 1, 2, 0, 1, 2, 0]
    wanted = torch.tensor([2, 2, 0])
    assert labels.asked(Condition(labels=wanted), torch.zeros(3, 2), 3, "it") is wanted


def test_what_cannot_be_asked_for_is_refused():
    with pytest.raises(GanvasError, match="it: its samples can be asked for by labels alone"):
        labels.asked(Condition(text=("a",)), torch.zeros(1, 2), 3, "it")
    with pytest.raises(GanvasError, match="it: 2 samples take as many labels"):
        labels.asked(Condition(labels=torch.zeros(3, dtype=torch.int64)), torch.zeros(2, 2), 3, "it")
