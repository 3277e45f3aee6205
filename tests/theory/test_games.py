"""docs/theory.md, sections 4 and 9: the game on a line, and a critic's estimate that follows the samples."""

import ot
import pytest
import torch
from docs.figures.critics import Schooling, gaussian, schooled
from docs.figures.games import distance, exact, followed, indecision, on_the_line


def test_the_game_on_a_line_ends_near_the_data_and_near_one_half():
    start, end = on_the_line(250, [0, 250]).looks
    assert distance(end) < 0.5 * distance(start)
    assert indecision(end) < 0.15


def test_the_same_seed_plays_the_same_game():
    first, again = (on_the_line(5, [5]).looks[0] for _ in range(2))
    assert torch.equal(first.samples, again.samples) and torch.equal(first.judged, again.judged)


def test_the_exact_distance_is_that_of_pot():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(40, 2, generator=generator), torch.randn(40, 2, generator=generator) + 1
    cost = torch.cdist(a.double(), b.double()).numpy()
    assert exact(a, b) == pytest.approx(float(ot.emd2([], [], cost)), rel=1e-9)


def test_the_estimate_of_a_critic_that_keeps_up_is_the_distance():
    """Samples of N(m, 1/4) and data of N(0, 1/4), at distance m: the estimate is m, and by the spring of statement 8 up to a fifth more."""
    for m in (0.5, 1.0, 2.0, 4.0):
        real, fake = gaussian(0.0, 0.5), gaussian(m, 0.5)
        critic = schooled(real, fake, 1, Schooling(leash="one-sided", steps=120, batch=128, widths=(32, 32), lr=3e-3))
        x, x_hat = real(4_096, torch.Generator().manual_seed(1)), fake(4_096, torch.Generator().manual_seed(2))
        assert 0.85 * m < float((critic(x).mean() - critic(x_hat).mean()).detach()) < 1.3 * m


def test_a_run_is_followed_by_all_three_numbers():
    seen, distances, sliced = followed(6, [3, 6], n=64)
    assert seen.steps == [3, 6] and all("critic/watch/wasserstein" in row for row in seen.rows)
    assert all(0 < cheaper <= whole for cheaper, whole in zip(sliced, distances, strict=True))  # a projection is never longer
