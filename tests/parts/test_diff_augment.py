"""Differentiable augmentation: each change by hand, the laws of the draws, and gradients."""

import pytest
import torch
from torch import tensor

from ganvas.engine.draws import StepDraws
from ganvas.parts.diff_augment import brightened, contrasted, cut, diff_augment, picked, saturated, shifted

SIZES = [(1, 8, 8), (3, 11, 13), (2, 9, 6), (1, 28, 28)]


def rng(seed=0, part=0, parts=1):
    return StepDraws(seed, part, parts, torch.device("cpu"))


def test_brightness_is_added_to_each_image():
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(brightened(x, tensor([0.5, -0.25])), x + tensor([0.5, -0.25])[:, None, None, None])


def test_saturation_stretches_pixels_about_their_channels_mean():
    x = tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1).repeat(3, 1, 2, 2)  # a pixel's mean is 3
    found = saturated(x, tensor([0.0, 1.0, 2.0]))[:, :, 0, 0]
    torch.testing.assert_close(found, tensor([[3.0, 3.0, 3.0], [1.0, 2.0, 6.0], [-1.0, 1.0, 9.0]]))
    grey = torch.randn(4, 1, 5, 5)
    torch.testing.assert_close(saturated(grey, torch.rand(4)), grey)


def test_contrast_stretches_an_image_about_its_mean():
    x = tensor([[0.0, 1.0], [2.0, 5.0]]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)  # the mean is 2
    found = contrasted(x, tensor([0.5, 1.5]))
    torch.testing.assert_close(found[:, 0], tensor([[[1.0, 1.5], [2.0, 3.5]], [[-1.0, 0.5], [2.0, 6.5]]]))


def test_a_shift_moves_pixels_and_lets_zeros_in():
    x = torch.arange(1.0, 7.0).view(1, 1, 2, 3).repeat(3, 1, 1, 1)
    found = shifted(x, tensor([1, 0, -1]), tensor([0, 2, -1]))[:, 0]
    assert found.tolist() == [[[0, 0, 0], [1, 2, 3]], [[0, 0, 1], [0, 0, 4]], [[5, 6, 0], [0, 0, 0]]]


def test_rows_and_columns_are_picked_image_by_image():
    x = torch.randn(2, 3, 3, 4)
    rows, columns = tensor([[2, 1, 0], [0, 0, 1]]), tensor([[0, 1, 2, 3], [3, 3, 0, 1]])
    found = picked(x, rows, columns)
    torch.testing.assert_close(found[0], x[0].flip(1))
    torch.testing.assert_close(found[1], x[1][:, [0, 0, 1]][:, :, [3, 3, 0, 1]])


def test_what_is_cut_out_is_half_as_high_and_wide_about_its_middle():
    x = torch.ones(3, 2, 8, 6)
    found = cut(x, tensor([4, 0, 8]), tensor([3, 6, 0]))
    assert (found[0, 0] == 0).sum() == 4 * 3 and not found[0, :, 2:6, 2:5].any()
    assert not found[1, :, :2, 5:].any() and (found[1, 0] == 0).sum() == 2 * 1  # hangs over the border
    assert not found[2, :, 6:, :2].any() and (found[2, 0] == 0).sum() == 2 * 2
    assert torch.equal(found[:, 0], found[:, 1])


@pytest.mark.parametrize("shape", SIZES)
def test_every_size_and_gradients_to_the_image(shape):
    x = torch.randn(4, *shape, dtype=torch.float64, requires_grad=True)
    found = diff_augment(x, rng())
    assert found.shape == x.shape and found.dtype == x.dtype
    assert torch.autograd.gradcheck(lambda u: diff_augment(u, rng())[:, :, ::3, ::3], (x[:2].detach().requires_grad_(),))


def test_an_empty_policy_changes_nothing_and_each_part_only_its_own():
    x = torch.randn(64, 3, 16, 16)
    assert diff_augment(x, rng(), ()) is x
    moved = diff_augment(x, rng(), ("translation",))
    down = tensor([d for d in range(-2, 3) for _ in range(5)])
    right = tensor([r for _ in range(5) for r in range(-2, 3)])
    allowed = [{tuple(image.flatten().tolist()) for image in shifted(one.expand(25, -1, -1, -1), down, right)} for one in x]
    assert all(tuple(image.flatten().tolist()) in shifts for image, shifts in zip(moved, allowed, strict=True))
    cutout = diff_augment(x, rng(), ("cutout",))
    assert ((cutout == x) | (cutout == 0)).all() and ((cutout == 0).flatten(1).sum(1) <= 3 * 64).all()
    assert ((cutout == 0).flatten(1).sum(1) >= 3 * 16).all()


def test_the_laws_of_the_draws():
    """Colour: of an image of one value the mean moves by U[-1/2, 1/2); shifts of 8 pixels are -1, 0, 1 alike."""
    flat = diff_augment(torch.zeros(4000, 1, 8, 8), rng(1), ("colour",))[:, 0, 0, 0]
    assert flat.min() >= -0.5 and flat.max() < 0.5 and abs(float(flat.mean())) < 0.02
    assert float(flat.std()) == pytest.approx(12**-0.5, rel=0.03)
    dot = torch.zeros(4000, 1, 8, 8)
    dot[:, :, 4, 4] = 1
    places = diff_augment(dot, rng(2), ("translation",)).mean(0)[0]
    assert places[3:6, 3:6].sum() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(places[3:6, 3:6], torch.full((3, 3), 1 / 9), atol=0.02, rtol=0)


def test_contrast_and_saturation_have_the_published_ranges():
    x = torch.zeros(3000, 3, 8, 8)
    x[:, 0, :, :4], x[:, 0, :, 4:] = 1.0, -1.0  # each pixel's red is away from its grey, and the image's mean is 0
    found = diff_augment(x, rng(3), ("colour",))
    red, green = found[:, 0, 0, 0] - found[:, 0, 0, 7], found[:, 1, 0, 0] - found[:, 1, 0, 7]
    contrast = (red + 2 * green) / 2  # the sum over channels is kept by saturation
    saturation = (red - green) / 2 / contrast
    assert contrast.min() >= 0.5 - 1e-4 and contrast.max() <= 1.5 + 1e-4 and float(contrast.mean()) == pytest.approx(1, abs=0.02)
    assert saturation.min() >= -1e-4 and saturation.max() <= 2 + 1e-3 and float(saturation.mean()) == pytest.approx(1, abs=0.04)


def test_two_halves_of_a_batch_are_changed_as_the_whole():
    x = torch.randn(8, 3, 10, 12)
    halves = [diff_augment(x[part * 4 :][:4], rng(5, part, 2)) for part in range(2)]
    assert torch.equal(torch.cat(halves), diff_augment(x, rng(5)))
    assert not torch.equal(diff_augment(x, rng(6)), diff_augment(x, rng(5)))
