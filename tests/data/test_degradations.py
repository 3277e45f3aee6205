"""What spoils a picture, in closed form: what stays, what is lost, and how much of it."""

import math

import pytest
import torch

from ganvas.data import degradations as d

FUNCTIONS = {
    d.grey: 0,
    d.coarse: 2,
    d.noisy: 25,
    d.blurred: 5,
    d.rainy: 20,
    d.hazy: 100,
    d.mosaic: 0,
    d.shadowed: 60,
    d.without_centre: 50,
    d.without_pixels: 50,
    d.without_strokes: 4,
    d.outlines: 0,
}
COLOUR_ALONE = (d.mosaic,)


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(channels=3, height=12, width=10):
    return torch.rand(channels, height, width, generator=g(9))


@pytest.mark.parametrize("spoil", FUNCTIONS, ids=lambda spoil: spoil.__name__)
def test_each_is_pure_stays_in_range_and_keeps_the_size(spoil):
    for x in (picture(), picture(1, 8, 8), picture(3, 4, 4), picture(3, 5, 33)):
        if spoil in COLOUR_ALONE and len(x) == 1:
            continue
        before = x.clone()
        first = spoil(x, g(), FUNCTIONS[spoil])
        assert torch.equal(x, before) and torch.equal(first, spoil(x, g(), FUNCTIONS[spoil]))
        assert first.shape[1:] == x.shape[1:] and first.dtype == torch.float32
        assert first.min() >= 0 and first.max() <= 1 + 1e-6 and torch.isfinite(first).all()


@pytest.mark.parametrize("spoil", [d.noisy, d.blurred, d.rainy, d.hazy, d.shadowed, d.without_pixels, d.without_strokes])
def test_the_random_ones_follow_the_generator(spoil):
    x = picture(3, 32, 32)
    assert not torch.equal(spoil(x, g(0), FUNCTIONS[spoil]), spoil(x, g(1), FUNCTIONS[spoil]))


def test_grey_is_the_luma_and_leaves_grey_alone():
    x = picture()
    torch.testing.assert_close(d.grey(x, g(), 0)[0], 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2])
    same = picture(1)
    assert torch.equal(d.grey(same, g(), 0), same)
    torch.testing.assert_close(d.grey(same.expand(3, -1, -1), g(), 0), same)


def test_coarse_squares_are_means_and_the_border_has_what_there_is():
    x = picture(2, 7, 6)
    y = d.coarse(x, g(), 4)
    torch.testing.assert_close(y[:, :4, :4], x[:, :4, :4].mean((1, 2), keepdim=True).expand(-1, 4, 4))
    torch.testing.assert_close(y[:, 4:, 4:], x[:, 4:, 4:].mean((1, 2), keepdim=True).expand(-1, 3, 2))
    torch.testing.assert_close(d.coarse(y, g(), 4), y)


def test_noise_has_its_deviation_in_every_value():
    x = torch.full((3, 100, 100), 0.5)
    noise = d.noisy(x, g(), 25) - x
    assert float(noise.std()) * 255 == pytest.approx(25, rel=0.02) and abs(float(noise.mean())) < 0.002
    assert abs(float((noise[0] * noise[1]).mean())) * 255**2 < 25**2 * 0.03


def test_a_line_has_the_sum_one_its_length_and_its_middle():
    for length, angle in [(5, 0.0), (5, 0.7), (4, 2.0), (2, 1.0), (9, math.pi / 2)]:
        kernel = d.line(length, angle)
        side = kernel.shape[0]
        places = torch.arange(side) - side // 2
        assert side % 2 == 1 and float(kernel.sum()) == pytest.approx(1) and kernel.min() >= 0
        assert float((kernel.sum(0) * places).sum()) == pytest.approx(0, abs=1e-5)
        assert float((kernel.sum(1) * places).sum()) == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(d.line(5, 0.0)[3], torch.tensor([0, 1, 1, 1, 1, 1, 0]) / 5)
    torch.testing.assert_close(d.line(5, math.pi / 2)[:, 3], torch.tensor([0, 1, 1, 1, 1, 1, 0]) / 5, atol=1e-6, rtol=0)


def test_a_blur_of_a_plain_image_changes_nothing_and_of_a_point_is_the_line():
    torch.testing.assert_close(d.blurred(torch.full((3, 9, 9), 0.3), g(), 5), torch.full((3, 9, 9), 0.3))
    point = torch.zeros(1, 15, 15)
    point[0, 7, 7] = 1
    y = d.blurred(point, g(), 5)
    assert float(y.sum()) == pytest.approx(1)
    angle = math.pi * float(torch.rand((), generator=g()))
    torch.testing.assert_close(y[0, 4:11, 4:11], d.line(5, angle).flip(0, 1))


def test_rain_only_brightens_and_its_streaks_cover_about_their_share():
    x = picture(3, 64, 64) * 0.5
    y = d.rainy(x, g(), 20)
    assert (y >= x - 1e-6).all()
    share = ((y - x) / (1 - x)).mean(0)
    torch.testing.assert_close((y - x) / (1 - x), share.expand(3, -1, -1), atol=1e-5, rtol=0)
    assert float(share.max()) <= 0.8 + 1e-5 and 0.1 < float((share > 0.02).float().mean()) < 0.45
    dry = d.rainy(x, g(), 1)
    assert float((dry - x > 0).float().mean()) < float((y - x > 0).float().mean())


def test_haze_is_koschmieders_law():
    x = picture(3, 8, 6)
    y = d.hazy(x, g(5), 100)
    twin = g(5)
    b = 0.5 + float(torch.rand((), generator=twin))
    air = 0.7 + 0.3 * float(torch.rand((), generator=twin))
    through = torch.exp(-b * torch.linspace(1, 0, 8)).view(1, 8, 1)
    torch.testing.assert_close((y - air * (1 - through)) / through, x)
    torch.testing.assert_close(y[:, -1], x[:, -1])  # nothing stands between us and the lower border


def test_a_mosaic_keeps_the_values_of_bayers_pattern():
    x = picture(3, 7, 9)
    y = d.mosaic(x, g(), 0)
    assert y.shape == (1, 7, 9)
    colours = torch.tensor([[0, 1], [1, 2]])  # red, green; green, blue
    for row in range(7):
        for column in range(9):
            assert y[0, row, column] == x[colours[row % 2, column % 2], row, column]


def test_a_shadow_darkens_by_its_strength_and_nothing_outside():
    x = picture(3, 40, 40) * 0.9 + 0.1
    for seed in range(5):
        ratio = d.shadowed(x, g(seed), 60) / x
        torch.testing.assert_close(ratio[0], ratio[1])
        assert float(ratio.min()) == pytest.approx(0.4, abs=1e-5) and float(ratio.max()) <= 1 + 1e-6
        assert 0.02 < float((ratio < 0.41).float().mean()) < 0.9
    whole = torch.stack([d.shadowed(x, g(seed), 60) / x for seed in range(5)])
    assert float(whole.max()) == pytest.approx(1, abs=1e-6)


def holes(spoil, strength, seed=0, height=40, width=40):
    """Where one channel of an image without grey of level 128 is grey."""
    x = picture(3, height, width)
    y = spoil(x, g(seed), strength)
    hole = (y - d.GREY).abs().max(0).values < 1e-6
    assert torch.equal(y[:, ~hole], x[:, ~hole])
    return hole


def test_the_hole_in_the_middle():
    hole = holes(d.without_centre, 50)
    assert hole[10:30, 10:30].all() and int(hole.sum()) == 400
    assert int(holes(d.without_centre, 25, height=8, width=40).sum()) == 2 * 10


def test_single_pixels_are_hidden_with_their_probability():
    assert float(holes(d.without_pixels, 30, height=100, width=100).float().mean()) == pytest.approx(0.3, abs=0.02)


def test_more_strokes_hide_more():
    few, many = holes(d.without_strokes, 2), holes(d.without_strokes, 12)
    assert 0 < float(few.float().mean()) < float(many.float().mean()) < 0.9
    assert torch.equal(few & many, few), "the first strokes are the same"


def test_edges_of_a_step_are_one_line_and_a_plain_image_has_none():
    x = torch.zeros(1, 9, 10)
    x[:, :, 5:] = 1
    lines = d.outlines(x, g(), 0)
    assert torch.equal(lines[0, :, 4], torch.zeros(9)) and int((lines == 0).sum()) == 9
    lying = d.outlines(x.transpose(1, 2), g(), 0)
    assert torch.equal(lying, lines.transpose(1, 2))
    assert torch.equal(d.outlines(torch.full((3, 6, 6), 0.4), g(), 0), torch.ones(1, 6, 6))
