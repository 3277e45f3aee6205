"""`task:NAME:SOURCE`: pairs made on the fly, the same at every reading, and names that say what is wrong with them."""

import pytest
import torch

from ganvas.data.describe import describe, scan
from ganvas.data.digits import DigitSource
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.data.source import Request
from ganvas.data.tasks import TASKS, divided, generator_for, spoiled
from ganvas.errors import GanvasError
from tests.data.pictures import noise, save

TRAIN = DigitSource().open("train", Request())


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(5):
        save(folder / f"{i}.png", noise(i, 12, 12, "RGB"))
    return folder


@pytest.mark.parametrize("title", TASKS)
def test_every_task_makes_aligned_pairs_of_a_folder(title, photos):
    data = open_data(f"task:{title}:{photos}")
    task, batch = TASKS[title], data.batch(torch.arange(5))
    plain = open_data(str(photos)).batch(torch.arange(5)).images
    assert data.spec.aligned and data.spec.has("target") and data.spec.domains == task.domains and len(data) == 5
    assert torch.equal(batch["target"], plain) and data.spec.views == {"target": (3, 12, 12)}
    assert batch.images.shape[1:] == data.spec.shape == (1 if task.grey else 3, 12, 12)
    assert batch.images.dtype == torch.float32 and batch.images.abs().max() <= 1
    levels = (batch.images + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert batch.images.shape != plain.shape or not torch.equal(batch.images, plain)


def test_what_comes_in_is_what_the_degradation_gives_to_a_level(photos):
    data = open_data(f"task:super-resolve-3:{photos}")
    batch = data.batch(torch.tensor([2]))
    mean = batch["target"][0, :, 3:6, 9:12].mean((1, 2))
    torch.testing.assert_close(batch.images[0, :, 3:6, 9:12], mean[:, None, None].expand(3, 3, 3), atol=0.5 / 127.5 + 1e-6, rtol=0)
    raw = open_data(f"task:demosaic:{photos}").batch(torch.tensor([0, 3]))
    torch.testing.assert_close(raw.images[:, 0, ::2, ::2], raw["target"][:, 0, ::2, ::2])
    torch.testing.assert_close(raw.images[:, 0, 1::2, 1::2], raw["target"][:, 2, 1::2, 1::2])


@pytest.mark.parametrize("title", ["denoise", "derain", "inpaint-brush"])
def test_a_pair_is_a_function_of_its_row_alone(title):
    source = f"task:{title}:digits"
    data, again = open_data(source), open_data(source)
    torch.manual_seed(5)
    first = data.batch(torch.tensor([3, 90, 3, 7])).images
    torch.manual_seed(6)
    for row, image in zip((3, 90, 3, 7), first, strict=True):
        assert torch.equal(again.batch(torch.tensor([row])).images[0], image)
    data.expect(torch.arange(4))
    assert torch.equal(data.standing(torch.tensor([4, 2])), torch.tensor([4, 2]))
    assert torch.equal(data.to(torch.device("cpu")).batch(torch.tensor([90])).images[0], first[1])


def test_rows_seeds_and_splits_have_unrelated_noise():
    image = torch.zeros(1, 1, 8, 8)
    one = spoiled(image, torch.tensor([0]), "denoise", 25, "a")
    assert torch.equal(one, spoiled(image, torch.tensor([0]), "denoise", 25, "a"))
    assert not torch.equal(one, spoiled(image, torch.tensor([1]), "denoise", 25, "a"))
    assert not torch.equal(one, spoiled(image, torch.tensor([0]), "denoise", 25, "b"))
    assert generator_for("a", 12).initial_seed() != generator_for("a1", 2).initial_seed()
    train, test = (open_data("task:denoise:digits", split=split) for split in ("train", "test"))
    noises = [(data.batch(torch.tensor([0])).images - data.batch(torch.tensor([0]))["target"]) for data in (train, test)]
    assert not torch.equal(*noises)


def test_samples_are_compared_with_the_source_itself():
    data = open_data("task:denoise:digits", split="test")
    assert data.compared.fingerprint == DigitSource().open("test", Request()).fingerprint and data.compared.spec.classes
    assert splits("task:denoise:digits") == ("train", "test") and evaluation_split("task:edges:digits") == "test"


def test_the_fingerprint_knows_task_and_strength():
    sources = ("task:denoise:digits", "task:denoise-25:digits", "task:denoise-26:digits", "task:derain-25:digits", "digits")
    prints = [open_data(source).fingerprint for source in sources]
    assert prints[0] == prints[1] and len(set(prints)) == 4


def test_it_says_what_it_is():
    data = open_data("task:denoise-30:digits")
    assert "1,442 pairs, noisy (8 x 8 pixels, grey) to clean, made on the fly, strength 30" in data.notes()[-1]
    found = scan("task:denoise:digits")
    assert found.spec == data.spec and found.splits["test"].domains == {"noisy": 355, "clean": 355}
    assert "aligned domains: noisy (1,442), clean (1,442)" in describe("task:denoise:digits")


def test_layout_and_resolution_are_the_sources(photos):
    data = open_data(f"task:denoise:{photos}", layout="images", resolution=6)
    assert data.spec.shape == (3, 6, 6)
    assert open_data("task:inpaint-centre:flower", resolution=16).spec.single is False


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("task:denoise:digits", ("denoise", 25, "digits")),
        ("task:denoise-50:a/b:c", ("denoise", 50, "a/b:c")),
        ("task:super-resolve-4:x", ("super-resolve", 4, "x")),
        ("task:super-resolve:x", ("super-resolve", 2, "x")),
        ("task:edges:stacked:digits", ("edges", 0, "stacked:digits")),
    ],
)
def test_names_in_parts(name, parts):
    assert divided(name) == parts


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("task:digits", "say what is to be learned, and on which source, as in task:denoise:photos/"),
        ("task:denoise:", "say what is to be learned"),
        ("task:denoyse:digits", "there is no task 'denoyse', only colourise.*Did you mean 'denoise'"),
        ("task:denoise-0:digits", "the strength of denoise is a whole number from 1 to 100, not 0"),
        ("task:super-resolve-17:digits", "from 2 to 16, not 17"),
        ("task:edges-3:digits", "edges has no strength; say task:edges:digits"),
        ("task:colourise:digits", "colourise needs colour, and the images are grey"),
        ("task:denoise:ring", "pairs are made of single images, and 'ring' has points"),
        ("task:denoise:inked-pairs", "pairs are made of single images, and 'inked-pairs' has pairs or further views"),
        ("task:denoise:task:edges:digits", "pairs are made of images alone"),
        ("few:10:task:edges:digits", "labels are taken away once, and of images with labels"),
        ("stacked:task:edges:digits", "grey images with classes are stacked, not pairs"),
        ("task:denoise:nowhere", "there is no data source 'nowhere'"),
    ],
)
def test_wrong_names_are_one_clear_error(source, message):
    with pytest.raises(GanvasError, match=message):
        open_data(source)
