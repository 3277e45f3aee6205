"""A number of images: which they are, that nothing else is trained on, and that measuring sees the source's other splits."""

import pytest
import torch

from ganvas.data.describe import describe, scan
from ganvas.data.digits import DigitSource
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.data.source import Request
from ganvas.errors import GanvasError
from tests.data.pictures import noise, save

TRAIN = DigitSource().open("train", Request())
ALL = TRAIN.batch(torch.arange(len(TRAIN)))


@pytest.fixture(scope="module")
def first():
    return open_data("first:200:digits")


def test_it_holds_so_many_images_of_the_training_split_with_their_labels(first):
    assert len(first) == 200 and first.split == "train" and first.spec == TRAIN.spec
    assert first.kept.unique().numel() == 200 and int(first.kept.max()) < len(TRAIN)
    batch = first.batch(torch.tensor([0, 199, 7]))
    assert torch.equal(batch.images, ALL.images[first.kept[[0, 199, 7]]])
    assert torch.equal(batch.labels, ALL.labels[first.kept[[0, 199, 7]]])
    assert sum(first.label_counts()) == 200 and min(first.label_counts()) >= 8  # drawn from all classes


def test_a_smaller_number_is_part_of_a_larger_one(first):
    fewer, all_of_them = open_data("first:50:digits"), open_data(f"first:{len(TRAIN)}:digits")
    assert set(fewer.kept.tolist()) < set(first.kept.tolist())
    assert torch.equal(all_of_them.batch(torch.arange(9)).images, ALL.images[:9])


def test_examples_stand_where_they_are_asked_for(first):
    indices = torch.tensor([5, 2, 199])
    first.expect(indices)
    assert torch.equal(first.standing(indices), indices)
    assert first.to(torch.device("cpu")).fingerprint == first.fingerprint


def test_the_fingerprint_knows_which_images_are_kept(first):
    prints = [first.fingerprint, open_data("first:200:digits").fingerprint, open_data("first:201:digits").fingerprint, TRAIN.fingerprint]
    assert prints[0] == prints[1] and len(set(prints)) == 3


def test_measuring_sees_the_other_splits_whole(first):
    test = open_data("first:200:digits", split="test")
    assert evaluation_split("first:200:digits") == "test" and splits("first:200:digits") == ("train", "test")
    assert test.fingerprint == DigitSource().open("test", Request()).fingerprint
    assert first.compared is first


def test_an_undivided_folder_without_labels_is_cut_down_too(tmp_path):
    for i in range(9):
        save(tmp_path / "set" / f"{i}.png", noise(i, 8, 8, "L"))
    first = open_data(f"first:4:{tmp_path / 'set'}")
    assert first.split == "all" and len(first) == 4 and first.label_counts() == () and set(first.batch(torch.arange(4)).views) == {"images"}


def test_other_sources_are_made_of_it():
    few, stacked, noisy = (
        open_data(name) for name in ("few:20:first:300:digits", "stacked:first:30:digits", "task:denoise:first:40:digits")
    )
    assert len(few) == 300 and few.label_counts() == (2,) * 10
    assert stacked.spec.shape == (3, 8, 8) and len(noisy) == 40


def test_it_says_what_is_kept(first):
    assert f"first:200:digits: 200 images of {len(TRAIN):,}" in first.notes()[-1]
    found = scan("first:200:digits")
    assert found.splits["train"].count == 200 and tuple(found.splits["train"].classes.values()) == first.label_counts()
    assert found.splits["test"].count == 355 and "of the train split 200 images" in describe("first:200:digits")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("first:digits", "say how many images are kept, and of which source, as in first:500:mnist/"),
        ("first:0:digits", "say how many images are kept"),
        ("first:5:", "say how many images are kept"),
        ("first:5000:digits", "5,000 images are asked for, and 'digits' has 1,442 images"),
        ("first:10:ring", "a number of single images is kept, and 'ring' is none such"),
        ("first:10:inked", "a number of single images is kept, and 'inked' is none such"),
        ("first:10:first:20:digits", "images are counted once"),
        ("first:10:few:20:digits", "say few:...:first:N:SOURCE"),
        ("first:10:nowhere", "there is no data source 'nowhere'"),
    ],
)
def test_wrong_names_are_one_clear_error(source, message):
    with pytest.raises(GanvasError, match=message):
        open_data(source)
