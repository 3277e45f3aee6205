"""Features without labels: what is turned and how, what is learnt, kept and refused."""

import pytest
import torch

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.errors import GanvasError
from ganvas.metrics import rotations
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.rotations import reduced, rotations_for, squares, turned

from .conftest import all_images


def arrows(count=80, *, height=10, width=10, split="train", seed=0, upright=True):
    """Bright bars that taper upwards, somewhere on noise; turned at random where they have no upright."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(60, (count, height, width, 1), generator=generator, dtype=torch.uint8)
    for image in pixels:
        top, left = (int(torch.randint(side - 4, (1,), generator=generator)) for side in (height, width))
        shape = torch.tensor([[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]])
        if not upright:
            shape = shape.rot90(int(torch.randint(4, (1,), generator=generator)))
        image[top : top + 5, left : left + 5, 0] += (180 * shape).to(torch.uint8)
    return MemoryImages(About(spec=DataSpec(kind="images", shape=(1, height, width)), split=split), pixels)


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(rotations, "_STEPS", 60)


def test_turns_are_counted_in_quarters():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    images, quarters = turned(torch.cat([image, image + 10]))
    assert images.shape == (8, 1, 3, 3) and quarters.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(images[0], image[0]) and torch.equal(images[5, 0], image[0, 0].flip(0, 1) + 10)
    assert images[2, 0].tolist() == [[2.0, 5.0, 8.0], [1.0, 4.0, 7.0], [0.0, 3.0, 6.0]]
    assert torch.equal(images[6].rot90(1, dims=(1, 2)), image[0])


@pytest.mark.parametrize(
    ("shape", "starts"), [((4, 4), [0]), ((4, 6), [0, 2]), ((9, 4), [0, 2, 5]), ((4, 8), [0, 4]), ((5, 16), [0, 4, 7, 11])]
)
def test_squares_show_all_of_an_image(shape, starts):
    x = torch.arange(float(shape[0] * shape[1])).view(1, 1, *shape)
    found, side = squares(x), min(shape)
    assert [square.shape for square in found] == [(1, 1, side, side)] * len(starts)
    longer = 3 if shape[1] > shape[0] else 2
    for square, start in zip(found, starts, strict=True):
        assert torch.equal(square, x.narrow(longer, start, side))
    assert torch.cat([square.flatten() for square in found]).unique().numel() == x.numel()


def test_squares_of_training_stand_anywhere():
    x = torch.arange(20.0).expand(200, 1, 5, 20)
    cut = rotations._cut(x, torch.Generator().manual_seed(0))
    assert cut.shape == (200, 1, 5, 5) and set(cut[:, 0, 0, 0].tolist()) == set(range(16))
    assert torch.equal(cut - cut[:, :, :, :1], torch.arange(5.0).expand(200, 1, 5, 5))


def test_large_images_are_reduced_by_their_shorter_side():
    assert reduced(torch.zeros(1, 3, 128, 256)).shape == (1, 3, 64, 128)
    assert reduced(torch.zeros(1, 3, 40, 300)).shape == (1, 3, 40, 300)


def test_the_turn_is_learnt_where_there_is_an_upright(brief, tmp_path):
    network = rotations_for(arrows(), arrows(40, split="test", seed=1), cache=tmp_path)
    assert network.accuracy > 0.9 and network.useful
    features = network.features(all_images(arrows(7, seed=2)))
    assert features.shape == (7, 128)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(7))
    said = network.protocol
    assert said["name"] == "rotations" and said["chance"] == 0.25 and said["accuracy"] == network.accuracy and "note" not in said
    assert said["accuracy_on"].startswith("40 images of split 'test'") and "80 images" in said["trained_on"]


def test_images_without_an_upright_teach_nothing_and_that_is_said(brief, tmp_path):
    network = rotations_for(arrows(upright=False), arrows(100, split="test", seed=1, upright=False), cache=tmp_path)
    assert network.accuracy < 0.4 and not network.useful
    assert "hardly beats chance" in network.protocol["note"]


def test_without_a_held_out_split_a_tenth_is_kept_from_training(brief, tmp_path):
    network = rotations_for(arrows(100, split="all"), None, cache=tmp_path)
    assert network.protocol["accuracy_on"].startswith("10 images of split 'all' kept from training")
    assert "90 of 100 images" in network.protocol["trained_on"]


def test_it_is_trained_once_per_data_set(brief, tmp_path, monkeypatch):
    data = arrows()
    first = rotations_for(data, None, cache=tmp_path)
    monkeypatch.setattr(rotations, "_train", lambda *_: pytest.fail("trained again"))
    again = rotations_for(data, None, cache=tmp_path)
    assert again.hash == first.hash and again.protocol == first.protocol
    images = all_images(arrows(5, seed=3))
    assert torch.equal(again.features(images), first.features(images))


def test_other_data_and_damaged_files_are_trained_anew(brief, tmp_path):
    first = rotations_for(arrows(), None, cache=tmp_path)
    assert rotations_for(arrows(seed=5), None, cache=tmp_path).hash != first.hash
    for path in (tmp_path / "rotations").iterdir():
        path.write_bytes(path.read_bytes()[:-9] + b"damaged!!")
    assert rotations_for(arrows(), None, cache=tmp_path).hash == first.hash


def test_images_of_two_shapes_are_refused(brief, tmp_path):
    with pytest.raises(GanvasError, match="1 x 10 x 12, split 'train' 1 x 10 x 10"):
        rotations_for(arrows(), arrows(width=12, split="test"), cache=tmp_path)
    with pytest.raises(GanvasError, match="at least 3 training images; split 'train' has 2"):
        rotations_for(arrows(2), None, cache=tmp_path)
    network = rotations_for(arrows(width=15), None, cache=tmp_path)
    assert "mean over 2 squares of 10 pixels" in network.protocol["input"]
    with pytest.raises(GanvasError, match="trained on images 1 x 10 x 15, these are 1 x 10 x 10"):
        network.features(torch.zeros(2, 1, 10, 10))


def test_an_interruption_leaves_nothing(tmp_path):
    calls = iter(range(5))

    def poll():
        if next(calls, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotations_for(arrows(), None, cache=tmp_path, poll=poll)
    assert not any((tmp_path / "rotations").glob("*")) or not (tmp_path / "rotations").exists()


def test_distances_on_its_features_see_blur_and_repetition(brief, tmp_path):
    data, held_out = arrows(300), arrows(120, split="test", seed=1)
    network = rotations_for(data, held_out, cache=tmp_path)
    real = all_images(arrows(120, seed=2))

    def measured(samples):
        return evaluate(samples, held_out, network, cache=tmp_path).values

    good = measured(real)
    blurred = measured(torch.nn.functional.avg_pool2d(real, 3, stride=1, padding=1))
    repeated = measured(real[:4].repeat(30, 1, 1, 1))
    assert good["coverage"] > 0.8 and good["fd"] < 0.5 * min(blurred["fd"], repeated["fd"])
    assert repeated["coverage"] < 0.5 * good["coverage"] and blurred["coverage"] < good["coverage"]
