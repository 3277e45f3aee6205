"""PSNR, SSIM and MS-SSIM by hand, and against torchmetrics."""

import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as their_ms_ssim
from torchmetrics.functional.image import structural_similarity_index_measure as their_ssim

from ganvas.errors import GanvasError
from ganvas.metrics.ms_ssim import Pairs
from ganvas.metrics.similarity import ms_ssim, psnr, scales_for, ssim


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def noisy(x, amount=0.2):
    return (x + amount * torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=x.dtype)).clamp(-1, 1)


def test_psnr_by_hand():
    a = torch.zeros(1, 1, 4, 4)
    assert float(psnr(a, a + 0.2)) == pytest.approx(20.0, abs=1e-5)  # 4 / 0.04 = 100
    assert float(psnr(a, a)) == float("inf")


def test_ssim_equals_torchmetrics_inside_the_borders():
    # Theirs mirrors the borders, and takes a window of 11 for sigma 1.5 when told; windows inside the image are the same.
    a = images(3, 3, 40, 36)
    b = noisy(a)
    _, theirs = their_ssim(a, b, data_range=2.0, gaussian_kernel=False, kernel_size=11, return_full_image=True)
    assert theirs.shape == a.shape  # the full map is there, so that its inner part can be compared
    _, full = their_ssim(a, b, data_range=2.0, sigma=1.5, return_full_image=True)
    inner = full[:, :, 5:-5, 5:-5].flatten(1).mean(dim=1)
    torch.testing.assert_close(ssim(a, b), inner, rtol=1e-6, atol=1e-6)


def test_ms_ssim_equals_torchmetrics():
    smooth = torch.nn.functional.interpolate(images(2, 1, 24, 24), size=(192, 192), mode="bicubic").clamp(-1, 1)
    other = noisy(smooth, 0.1)
    theirs = torch.stack([their_ms_ssim(smooth[i : i + 1], other[i : i + 1], data_range=2.0) for i in range(2)])
    torch.testing.assert_close(ms_ssim(smooth, other), theirs, rtol=0.02, atol=0)  # theirs counts mirrored borders too


@pytest.mark.parametrize(("side", "exponent"), [(176, 0.1333), (32, 0.2856 / (0.0448 + 0.2856)), (8, 1.0)])
def test_the_mean_counts_at_the_coarsest_scale_alone(side, exponent):
    """Of two flat images contrast and structure are equal, so only the mean's term is left, with the exponent of the last scale."""
    a, b = torch.full((1, 1, side, side), 0.3), torch.full((1, 1, side, side), 0.5)
    luminance = (2 * 0.3 * 0.5 + 0.0004) / (0.3**2 + 0.5**2 + 0.0004)
    assert float(ms_ssim(a, b)) == pytest.approx(luminance**exponent, rel=1e-5)


def test_an_image_is_like_itself_and_the_order_of_a_pair_does_not_matter():
    a, b = images(2, 3, 32, 32), images(2, 3, 32, 32, seed=1)
    torch.testing.assert_close(ssim(a, a), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    assert (ms_ssim(a, b) < 0.5).all()


def test_scales_follow_the_size():
    assert [scales_for(side, side) for side in (8, 16, 28, 32, 64, 128, 176, 256)] == [1, 1, 2, 2, 3, 4, 5, 5]
    with pytest.raises(GanvasError, match="allow 1 to 2 scales"):
        ms_ssim(images(1, 1, 28, 28), images(1, 1, 28, 28), scales=3)


def test_constant_and_small_images_are_defined():
    flat = torch.full((1, 1, 28, 28), 0.3)
    assert float(ssim(flat, flat)) == pytest.approx(1.0)
    assert 0 <= float(ms_ssim(flat, -flat)) < 1
    assert float(ssim(images(1, 1, 3, 5), images(1, 1, 3, 5))) == pytest.approx(1.0)


def test_other_sizes_and_nan_are_refused():
    with pytest.raises(GanvasError, match="of one size"):
        ssim(images(1, 1, 8, 8), images(1, 1, 8, 9))
    with pytest.raises(GanvasError, match="NaN"):
        psnr(images(1, 1, 8, 8) * torch.nan, images(1, 1, 8, 8))


def test_pairs_are_of_one_class_and_batches_do_not_matter():
    x, labels = images(12, 1, 16, 16), torch.tensor([0, 1] * 6)
    whole, parts = Pairs(), Pairs()
    whole.add(x, labels)
    for at in range(0, 12, 5):
        parts.add(x[at : at + 5], labels[at : at + 5])
    assert whole.pairs == parts.pairs == 6
    # 0 with 2, 4 with 6, 8 with 10, and 1 with 3 ...
    expected = torch.cat([ms_ssim(x[a : a + 1], x[a + 2 : a + 3]) for a in (0, 4, 8, 1, 5, 9)]).mean()
    assert whole.value() == pytest.approx(float(expected)) == parts.value()


def test_copies_have_no_variety():
    copies = Pairs(pairs=4)
    copies.add(images(1, 1, 16, 16).expand(20, -1, -1, -1))
    assert copies.pairs == 4 and copies.value() == pytest.approx(1.0)
    with pytest.raises(GanvasError, match="no pair"):
        Pairs().value()
