"""Balls, precision, recall, density and coverage against double loops."""

import math

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.density_coverage import density_coverage
from ganvas.metrics.neighbours import balls, contained
from ganvas.metrics.precision_recall import precision_recall


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(*shape, high=3, seed=0):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed)).double()


def loop_radii(rows, k):
    rows = rows.tolist()
    return [sorted(math.dist(a, b) for j, b in enumerate(rows) if j != i)[k - 1] for i, a in enumerate(rows)]


def loop_inside(centres, radii, points):
    """[point][ball]"""
    return [[math.dist(p, c) < r for c, r in zip(centres.tolist(), radii, strict=True)] for p in points.tolist()]


def loop_metrics(real, fake, k_pr, k_dc):
    in_real = loop_inside(real, loop_radii(real, k_pr), fake)
    in_fake = loop_inside(fake, loop_radii(fake, k_pr), real)
    dense = loop_inside(real, loop_radii(real, k_dc), fake)
    precision = sum(map(any, in_real)) / len(fake)
    recall = sum(map(any, in_fake)) / len(real)
    density = sum(map(sum, dense)) / len(fake) / k_dc
    coverage = sum(any(row[j] for row in dense) for j in range(len(real))) / len(real)
    return precision, recall, density, coverage


def fast_metrics(real, fake, k_pr=3, k_dc=5):
    pr, dc = precision_recall(real, fake, k=k_pr), density_coverage(real, fake, k=k_dc)
    return pr.precision, pr.recall, dc.density, dc.coverage


@pytest.mark.parametrize("shift", [0.0, 0.7, 3.0])
@pytest.mark.parametrize(("n", "m", "d"), [(40, 40, 3), (31, 17, 8), (12, 50, 1)])
def test_equal_to_a_double_loop(n, m, d, shift):
    real, fake = normal(n, d), normal(m, d, seed=1) + shift
    assert fast_metrics(real, fake) == pytest.approx(loop_metrics(real, fake, 3, 5), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_a_double_loop_where_distances_tie(seed):
    # Points of a lattice: many copies, many radii of 0, many points exactly on a ball's surface.
    real, fake = whole(60, 3, seed=seed), whole(50, 3, seed=seed + 100)
    assert balls(real, 3).radii.tolist() == pytest.approx(loop_radii(real, 3), abs=1e-12)
    assert fast_metrics(real, fake, 3, 2) == pytest.approx(loop_metrics(real, fake, 3, 2), abs=1e-12)


def test_ties_survive_a_far_away_origin_and_odd_numbers():
    # The same lattice scaled by 0.1 and moved: not exact in binary, so a product of matrices alone would scatter the ties.
    real, fake = whole(60, 3), whole(50, 3, seed=100)
    expected = loop_metrics(real, fake, 3, 2)
    assert fast_metrics(0.1 * real + 1000, 0.1 * fake + 1000, 3, 2) == pytest.approx(expected, abs=1e-12)


def test_a_common_offset_changes_nothing():
    real, fake = normal(60, 4), normal(50, 4, seed=1)
    assert fast_metrics(real + 1e7, fake + 1e7) == pytest.approx(fast_metrics(real, fake), abs=1e-12)


def test_radius_by_hand():
    rows = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert balls(rows, 1).radii.tolist() == [1.0, 1.0, 2.0, 4.0]
    assert balls(rows, 3).radii.tolist() == [7.0, 6.0, 4.0, 7.0]


def test_copies_have_radius_zero_and_such_a_ball_holds_nothing():
    rows = torch.cat([normal(1, 128).repeat(4, 1), normal(20, 128, seed=1)])
    found = balls(rows, 3)
    assert found.radii[:4].tolist() == [0.0] * 4
    assert bool((found.radii[4:] > 0).all())
    assert contained(found, rows[:1]).points_of_ball[:4].tolist() == [0] * 4


def test_float32_copies_of_large_features_have_radius_zero():
    rows = (1e4 + 100 * normal(30, 128)).float()
    assert balls(torch.cat([rows, rows]), 1).radii.tolist() == [0.0] * 60


def test_close_float32_neighbours_are_told_apart():
    # One unit in the last place away, and centred data: distance 1.2e-7, not 0.
    rows = torch.tensor([[1.0], [1.0 + 2**-23], [-1.0], [-1.0 - 2**-23]])
    assert balls(rows, 1).radii.tolist() == pytest.approx([2**-23] * 4, rel=0.01)


def test_a_set_against_itself():
    rows = normal(200, 6)
    # Each point lies in its own ball and strictly inside k - 1 more: density is exactly 1 and nothing is uncovered.
    assert density_coverage(rows, rows).density == pytest.approx(1.0, abs=1e-12)
    assert fast_metrics(rows, rows) == pytest.approx((1.0, 1.0, 1.0, 1.0), abs=1e-12)


def test_the_block_size_changes_nothing():
    real, fake = torch.cat([normal(100, 5), whole(57, 5)]), torch.cat([whole(90, 5, seed=1), normal(31, 5, seed=1)])
    for k in (1, 3, 5):
        whole_radii = balls(real, k)
        expected = contained(whole_radii, fake)
        for block in (1, 157, 500, 5_000):
            blocked = balls(real, k, block=block)
            assert torch.allclose(blocked.radii, whole_radii.radii, rtol=1e-12, atol=0)
            hits = contained(blocked, fake, block=block)
            assert torch.equal(hits.balls_of_point, expected.balls_of_point)
            assert torch.equal(hits.points_of_ball, expected.points_of_ball)


@pytest.mark.parametrize("k", [1, 5])
def test_coverage_and_density_of_equal_laws(k):
    # E[coverage] = 1 - 2^-k and E[density] = 1 (Naeem et al. 2020, section 3.2); 3,000 rows give a standard error below 0.01.
    found = density_coverage(normal(3000, 16), normal(3000, 16, seed=1), k=k)
    assert found.coverage == pytest.approx(1 - 2**-k, abs=0.02)
    assert found.density == pytest.approx(1.0, abs=0.05)


def test_a_distant_set_scores_nothing():
    real, fake = normal(100, 8), normal(100, 8, seed=1) + 100
    assert fast_metrics(real, fake) == (0.0, 0.0, 0.0, 0.0)


def test_collapse_keeps_precision_and_loses_recall_and_coverage():
    real = normal(500, 4)
    fake = real[:1].repeat(500, 1)
    found = precision_recall(real, fake)
    assert (found.precision, found.recall) == (1.0, 0.0)
    assert density_coverage(real, fake).coverage < 0.05


def test_constant_sets_are_defined():
    same = torch.ones(20, 4)
    assert fast_metrics(same, same) == (0.0, 0.0, 0.0, 0.0)
    assert fast_metrics(normal(20, 4), same)[1] == 0.0


def test_bad_input_is_refused():
    rows = normal(10, 3)
    with pytest.raises(GanvasError, match="at least 4 rows"):
        precision_recall(rows, rows[:3])
    with pytest.raises(GanvasError, match="at least 6 rows"):
        density_coverage(rows[:5], rows)
    with pytest.raises(GanvasError, match="same extractor"):
        density_coverage(rows, normal(10, 4))
    with pytest.raises(GanvasError, match="overflow"):
        balls(1e200 * rows, 3)
    rows[2, 0] = float("nan")
    with pytest.raises(GanvasError, match="1 of 10 rows"):
        precision_recall(normal(10, 3, seed=1), rows)


def test_poll_may_interrupt_between_blocks():
    calls = []

    def poll():
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        balls(normal(100, 3), 3, block=1_000, poll=poll)
    assert len(calls) == 3
