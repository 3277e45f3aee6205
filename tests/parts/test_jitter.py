"""Pairs enlarged, cropped and mirrored alike."""

import torch

from ganvas.engine.draws import StepDraws
from ganvas.parts.jitter import jittered

CPU = torch.device("cpu")


def test_both_images_of_a_pair_are_cropped_and_mirrored_alike():
    x = torch.arange(6 * 64).float().view(6, 1, 8, 8)
    y = torch.cat([x, 2 * x], dim=1)
    a, b = jittered(x, y, 1.5, True, StepDraws(0, 0, 1, CPU))
    assert a.shape == x.shape and b.shape == y.shape
    torch.testing.assert_close(b, torch.cat([a, 2 * a], dim=1))
    slopes = (a[:, 0, 0, -1] - a[:, 0, 0, 0]).sign()
    assert set(slopes.tolist()) == {-1.0, 1.0}, "some are mirrored and some are not"
    corners = {float(one.min()) for one in a}
    assert len(corners) == 6, "each has a place of its own"
    first = jittered(x[:3], y[:3], 1.5, True, StepDraws(0, 0, 2, CPU))[0]
    torch.testing.assert_close(first, a[:3])


def test_without_enlargement_pairs_are_whole():
    x, y = torch.rand(20, 1, 6, 5), torch.rand(20, 2, 6, 5)
    a, b = jittered(x, y, 1.0, True, StepDraws(1, 0, 1, CPU))
    turned = (a != x).flatten(1).any(1)
    assert 0 < int(turned.sum()) < 20
    assert torch.equal(a[turned], x[turned].flip(3)) and torch.equal(b[turned], y[turned].flip(3)) and torch.equal(b[~turned], y[~turned])


def test_label_maps_keep_their_colours_where_pictures_are_blended():
    """Of a map of two values nothing between them comes up; the picture, the same map, is blended as without `maps`."""
    x = torch.randint(2, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    maps, blended = jittered(x, x, 1.4, True, StepDraws(0, 0, 1, CPU), maps=True)
    assert set(maps.unique().tolist()) == {0.0, 1.0} and len(blended.unique()) > 2
    torch.testing.assert_close(blended, jittered(x, x, 1.4, True, StepDraws(0, 0, 1, CPU))[1])
    assert float((maps - blended).abs().mean()) < 0.35, "both were cut at the same place"


def test_a_map_that_is_enlarged_twofold_is_cut_of_repeated_pixels():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    maps, _ = jittered(x, x, 2.0, False, StepDraws(3, 0, 1, CPU), maps=True)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    cuts = [large[:, :, i : i + 4, j : j + 4] for i in range(5) for j in range(5)]
    assert any(torch.equal(maps, cut) for cut in cuts)
