"""The sliced Wasserstein distance of Laplacian pyramids."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.laplacian import Descriptors, distances, pyramid


def images(count=20, size=32, seed=0, channels=1):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def described(x, seed=0, batch=1000):
    found = Descriptors(seed=seed)
    for part in x.split(batch):
        found.add(part)
    return found


def test_levels_halve_down_to_sixteen_pixels():
    assert [tuple(level.shape[2:]) for level in pyramid(images(2, 64))] == [(64, 64), (32, 32), (16, 16)]
    assert [tuple(level.shape[2:]) for level in pyramid(images(2, 28))] == [(28, 28)]


def test_a_constant_image_lives_in_the_smallest_level():
    levels = pyramid(torch.full((1, 1, 64, 64), 0.7))
    torch.testing.assert_close(levels[-1], torch.full((1, 1, 16, 16), 0.7))
    for level in levels[:-1]:
        assert float(level[:, :, 4:-4, 4:-4].abs().max()) < 1e-6


def test_a_set_is_at_no_distance_from_itself_and_batches_do_not_matter():
    x = images()
    assert distances(described(x), described(x)) == [0.0, 0.0]
    assert distances(described(x), described(x, batch=7)) == pytest.approx([0.0, 0.0], abs=1e-3)


def test_scaled_patches_are_compared():
    # Contrast and brightness are taken out at each level, so they make no difference; texture does.
    x = images(40)
    same = distances(described(x), described(0.5 * x + 0.1))
    smooth = torch.nn.functional.interpolate(images(40, 8), size=(32, 32), mode="bicubic")
    other = distances(described(x), described(smooth))
    assert max(same) < 1e-2
    assert min(other) > 50
    chance = distances(described(x), described(images(40, seed=1)))
    assert all(by_chance < apart / 1.5 for by_chance, apart in zip(chance, other, strict=True))


def test_by_hand_for_one_pixel_patches_of_a_line(monkeypatch):
    from ganvas.metrics import laplacian

    # In one dimension each direction is +-1, and the distance that of the sorted values.
    a, b = torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([[0.5], [0.5], [5.0]])
    assert laplacian._sliced(a, b, 0) == pytest.approx((0.5 + 0.5 + 1.0) / 3, abs=1e-6)


def test_the_number_of_images_is_bounded_and_sizes_must_agree():
    found = Descriptors(seed=0, count=5)
    found.add(images(8))
    assert found.images == 5
    with pytest.raises(GanvasError, match="of one size"):
        distances(described(images()), described(images(size=64)))
    with pytest.raises(GanvasError, match="at least 7 x 7"):
        Descriptors(seed=0).add(images(2, 6))
