"""The kernel distance of patches: by hand, without bias, and what it sees."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.data.open import open_data
from ganvas.errors import GanvasError
from ganvas.metrics import patches
from ganvas.metrics.evaluate import evaluate_patches
from ganvas.metrics.patches import WIDTHS, Patches, distances, kernel_distance, levels, own_distance


@pytest.fixture(autouse=True)
def fewer(monkeypatch):
    """A quarter of the patches, and so a sixteenth of the time."""
    monkeypatch.setattr(patches, "PATCHES", 1_024)


def k(x, y):
    apart = sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / len(x)
    return sum(math.exp(-apart / (2 * w**2)) for w in WIDTHS) / len(WIDTHS)


def of_images(images, count=None, scales=1, side=4, **chosen):
    found = Patches(count or len(images), scales, side, **({"seed": 0, "whose": "samples"} | chosen))
    found.add(images)
    return found


def texture(count, size, *, seed, smooth=1.0):
    """Noise, of which neighbours are more or less alike."""
    noise = torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed))
    side = 2 * int(3 * smooth) + 1
    line = torch.exp(-((torch.arange(side) - side // 2) ** 2) / (2 * smooth**2))
    window = (line[:, None] * line / line.sum() ** 2)[None, None]
    blurred = F.conv2d(F.pad(noise, [side // 2] * 4, mode="circular"), window)
    return (0.4 * blurred / blurred.std()).clamp(-1, 1)


def examples(images, labels=()):
    """A reference of images (N, C, H, W) in [-1, 1]."""
    pixels = images.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).contiguous()
    return MemoryImages(About(spec=DataSpec(kind="images", shape=tuple(images.shape[1:])), split="all"), pixels)


def test_the_distance_of_a_few_patches_by_hand():
    a, b = [(0.0, 0.1), (0.4, -0.2), (0.9, 0.9)], [(0.1, 0.0), (-0.5, 0.3)]
    within_a = sum(k(x, y) for x, y in product(a, a) if x != y) / 6
    within_b = k(*b)
    across = sum(k(x, y) for x, y in product(a, b)) / 6
    found = kernel_distance(torch.tensor(a), torch.tensor(b))
    assert found == pytest.approx(within_a + within_b - 2 * across, abs=1e-6)


def test_pairs_of_one_group_do_not_count():
    a, b = [(0.0,), (0.2,), (0.7,), (-0.4,)], [(0.1,), (0.5,)]
    groups = [0, 0, 1, 1]
    pairs = [(i, j) for i, j in product(range(4), range(4)) if groups[i] != groups[j]]
    within = sum(k(a[i], a[j]) for i, j in pairs) / len(pairs)
    across = sum(k(x, y) for x, y in product(a, b)) / 8
    found = kernel_distance(torch.tensor(a), torch.tensor(b), torch.tensor(groups))
    assert found == pytest.approx(within + k(*b) - 2 * across, abs=1e-6)
    with pytest.raises(GanvasError):
        kernel_distance(torch.tensor(a), torch.tensor(b), torch.zeros(4, dtype=torch.int64))


def test_blocks_change_nothing(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(70, 9, generator=generator), torch.rand(50, 9, generator=generator) * 0.8
    whole = kernel_distance(a, b)
    monkeypatch.setattr(patches, "_BLOCK", 130)
    assert kernel_distance(a, b) == pytest.approx(whole, rel=1e-10) and whole > 0.001


def test_the_estimate_is_unbiased_and_sees_another_law():
    """Equal laws: means of both signs about 0. A shift by a tenth of the deviation is seen all the same."""
    generator = torch.Generator().manual_seed(0)

    def drawn(shift=0.0):
        return kernel_distance(torch.randn(200, 4, generator=generator) * 0.3, torch.randn(200, 4, generator=generator) * 0.3 + shift)

    equal = torch.tensor([drawn() for _ in range(60)])
    assert (equal < 0).sum() > 10 and (equal > 0).sum() > 10
    assert abs(float(equal.mean())) < 4 * float(equal.std()) / 60**0.5
    assert min(drawn(0.15) for _ in range(10)) > float(equal.max())


def test_patches_are_windows_of_the_images():
    """Each patch stands somewhere in its own image, at its scale; every image gives equally many."""
    images = torch.rand(3, 2, 11, 13, generator=torch.Generator().manual_seed(0))
    found = of_images(images, scales=2)
    assert found.images == 3 and found.each == -(-patches.PATCHES // 3)
    for scale, seen in enumerate((images, F.interpolate(images, size=(5, 6), mode="area"))):
        rows, groups = found.at(scale)
        assert rows.shape == (3 * found.each, 2 * 4 * 4) and torch.equal(groups, torch.arange(3).repeat_interleave(found.each))
        windows = seen.unfold(2, 4, 1).unfold(3, 4, 1).permute(0, 2, 3, 1, 4, 5).reshape(3, -1, 32)
        for image in range(3):
            mine = rows[groups == image][:200]
            assert (torch.cdist(mine.double(), windows[image].double()).min(1).values < 1e-6).all()
            assert len(mine.unique(dim=0)) > (10 if scale == 0 else 3)


def test_patches_do_not_depend_on_batches(monkeypatch):
    monkeypatch.setattr(patches, "PATCHES", 40)
    images = torch.rand(90, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    whole, parts = of_images(images), Patches(90, 1, 4, seed=0, whose="samples")
    for part in images.split(7):
        parts.add(part)
    assert whole.images == parts.images == 40 and whole.each == 1
    assert torch.equal(whole.at(0)[0], parts.at(0)[0])
    assert not torch.equal(of_images(images, seed=1).at(0)[0], whole.at(0)[0])
    assert not torch.equal(of_images(images, whose="reference").at(0)[0], whole.at(0)[0])


def test_patches_of_one_image_are_each_their_own_group():
    rows, groups = of_images(texture(1, 40, seed=0)).at(0)
    assert len(rows) == patches.PATCHES and torch.equal(groups, torch.arange(patches.PATCHES))


@pytest.mark.parametrize(("size", "other", "scales"), [((7, 7), (7, 7), 1), ((28, 28), (28, 28), 3), ((188, 250), (188, 400), 5)])
def test_scales_end_where_a_patch_no_longer_fits(size, other, scales):
    assert levels(*[size, other]) == scales


def test_texture_is_told_from_texture():
    """Another picture of the same texture is as near as the picture to itself; a smoother one, noise and one flat tone are far."""
    one = of_images(texture(1, 64, seed=0), scales=2, whose="reference")
    again = of_images(texture(1, 64, seed=0), scales=2, whose="reference again")
    floor = own_distance(one, again, 2)
    near = sum(distances(one, of_images(texture(1, 64, seed=1), scales=2), 2)) / 2
    apart = [
        sum(distances(one, of_images(other, scales=2), 2)) / 2
        for other in (texture(1, 64, seed=1, smooth=2.5), texture(1, 64, seed=1, smooth=0.3), torch.zeros(1, 1, 64, 64))
    ]
    assert abs(floor) < 0.002 and near < 0.02 and min(apart) > 3 * max(near, floor)


def test_shuffled_quarters_are_seen_at_coarse_scales_only():
    """Texture stays, layout does not."""
    face = torch.zeros(60, 1, 32, 32)
    face[:, :, 4:12, 4:12], face[:, :, 20:26, 8:24] = 0.9, -0.8
    face += 0.05 * torch.randn(60, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    shuffled = torch.cat([face[30:, :, 16:], face[30:, :, :16]], dim=2)
    scales = levels((32, 32), (32, 32))
    real, fake, good = (of_images(x, scales=scales, side=7, whose=str(i)) for i, x in enumerate((face[:30], shuffled, face[30:])))
    found = distances(real, fake, scales)
    assert found[-1] > 5 * found[0] and found[-1] > 20 * abs(distances(real, good, scales)[-1])


# as an evaluation


def test_samples_against_one_photograph():
    photo = open_data("china", resolution=64)
    image = photo.batch(torch.tensor([0])).images
    copies = evaluate_patches(image.expand(6, -1, -1, -1), photo)
    assert abs(copies.values["patch_kd"]) < 0.003 and copies.values["diversity"] == 0.0
    assert copies.values["diversity_of"] == pytest.approx(float(image.double().flatten(2).var(2, correction=0).mean().sqrt()), rel=1e-6)
    moved = torch.stack([image[0].roll(shift, dims=2) for shift in (5, 12, 20, 31)])
    found = evaluate_patches(moved, photo)
    assert found.values["patch_kd"] < 0.03 and found.values["diversity"] > 0.2
    noise = torch.rand(4, *image.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert evaluate_patches(noise, photo).values["patch_kd"] > 10 * found.values["patch_kd"]
    said = found.protocol
    assert said["samples"]["count"] == 4 and said["reference"]["of"] == 1 and said["features"]["name"] == "patches"
    assert len(said["patch_kd"]["by_scale"]) == levels((48, 64), (48, 64))
    wide = evaluate_patches(torch.cat([moved, moved], dim=3), photo)
    assert "compared pixel by pixel" in wide.protocol["sizes"] and wide.values["patch_kd"] < 0.05
    assert "diversity" not in evaluate_patches(image, photo).values
    assert "patch_kd" in str(wide)


def test_few_images_need_samples_of_their_size():
    reference = examples(texture(8, 20, seed=0))
    found = evaluate_patches(texture(8, 20, seed=1), reference)
    assert abs(found.values["patch_kd"] - found.protocol["patch_kd"]["of_the_data_to_themselves"]) < 0.03
    with pytest.raises(GanvasError, match="1 x 20 x 24 and the reference 1 x 20 x 20"):
        evaluate_patches(torch.zeros(3, 1, 20, 24), reference)
    resized = evaluate_patches(torch.zeros(3, 1, 20, 24), reference, convert=True)
    assert "resized from 20 x 24 to 20 x 20" in resized.protocol["samples"]["changes"]


def test_a_poll_interrupts():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_patches(texture(3, 20, seed=1), examples(texture(3, 20, seed=0)), poll=stop)
