"""The Inception Score by hand, and against torchmetrics."""

import math

import pytest
import torch
from torchmetrics.image.inception import InceptionScore as Theirs

from ganvas.errors import GanvasError
from ganvas.metrics.inception_score import inception_score


def probabilities(n, k, *, sharp=3.0, seed=0):
    return (sharp * torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).softmax(dim=1)


def test_it_lies_between_one_and_the_number_of_classes():
    assert inception_score(torch.full((40, 8), 1 / 8, dtype=torch.float64)).score == pytest.approx(1.0, abs=1e-12)
    assert inception_score(torch.eye(8).repeat(10, 1).double(), splits=10).score == pytest.approx(8.0, abs=1e-12)


def test_two_rows_by_hand():
    # p(y) = (0.7, 0.3); KL((0.9, 0.1) || p) and KL((0.5, 0.5) || p).
    first = 0.9 * math.log(0.9 / 0.7) + 0.1 * math.log(0.1 / 0.3)
    second = 0.5 * math.log(0.5 / 0.7) + 0.5 * math.log(0.5 / 0.3)
    found = inception_score(torch.tensor([[0.9, 0.1], [0.5, 0.5]]), splits=1)
    assert found.score == pytest.approx(math.exp((first + second) / 2), abs=1e-7)
    assert found.deviation == 0.0


class Given(torch.nn.Module):
    """Takes logits for images."""

    def forward(self, x):
        return x


@pytest.mark.filterwarnings("ignore:Metric:UserWarning")  # that features are kept
def test_equal_to_torchmetrics(monkeypatch):
    # It shuffles before it splits; without that both split in order.
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))
    logits = 2 * torch.randn(200, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = Theirs(feature=Given(), splits=4)
    theirs.update(logits)
    mean, deviation = theirs.compute()
    found = inception_score(logits.softmax(dim=1), splits=4)
    assert found.score == pytest.approx(float(mean), rel=1e-10)
    assert found.deviation == pytest.approx(float(deviation) * math.sqrt(3 / 4), rel=1e-10)  # theirs divides by splits - 1


def test_a_saturated_softmax_is_defined():
    sharp = (1e4 * torch.eye(5).repeat(8, 1)).softmax(dim=1)
    assert (sharp == 0).any()
    assert inception_score(sharp, splits=2).score == pytest.approx(5.0, abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (torch.full((4, 3), 1 / 3), "at least 10 rows"),
        (torch.full((20, 3), 0.5), "the sum 1"),
        (torch.tensor([[1.5, -0.5]]).repeat(20, 1), "none negative"),
        (torch.full((20, 3), torch.nan), "NaN"),
    ],
)
def test_rows_that_are_no_probabilities_are_refused(rows, said):
    with pytest.raises(GanvasError, match=said):
        inception_score(rows)
