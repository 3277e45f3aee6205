"""Which folders are splits, which are classes, and what lies outside both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganvas.data.layout import arrange
from ganvas.data.source import split_of
from ganvas.errors import GanvasError


def places(*names: str) -> dict[str, tuple[str, str] | None]:
    layout = arrange(names)
    return {name: layout.place(name) for name in names}


def test_a_flat_folder_is_one_set():
    assert places("a.png", "b.png") == {"a.png": ("all", ""), "b.png": ("all", "")}
    assert arrange(["a.png"]).splits == ("all",) and arrange(["a.png"]).classes == ()


def test_class_folders():
    layout = arrange(["dogs/1.png", "cats/1.png", "cats/persian/2.png"])
    assert layout.splits == ("all",) and layout.classes == ("cats", "dogs")
    assert layout.place("cats/persian/2.png") == ("all", "cats")


def test_number_classes_are_in_order_of_value():
    assert arrange([f"{i}/x.png" for i in (10, 9, 2, 1)]).classes == ("1", "2", "9", "10")


@pytest.mark.parametrize("word", ["test", "t10k", "Test", "testing"])
def test_splits_are_never_classes(word):
    layout = arrange(["train/a/1.png", "train/b/1.png", f"{word}/a/1.png", f"{word}/b/2.png"])
    assert layout.splits == ("train", "test") and layout.classes == ("a", "b")
    assert layout.place(f"{word}/b/2.png") == ("test", "b")


def test_splits_without_classes_and_the_three_words_for_val():
    for word in ("val", "valid", "validation"):
        layout = arrange(["train/1.png", f"{word}/1.png", "test/1.png"])
        assert layout.splits == ("train", "val", "test") and layout.classes == ()


@pytest.mark.parametrize("top", ["cifar10/", "a/b/c/"])
def test_wrapping_folders_mean_nothing(top):
    layout = arrange([f"{top}{split}/{label}/1.jpg" for split in ("train", "test") for label in ("x", "y")])
    assert layout.splits == ("train", "test") and layout.classes == ("x", "y")
    inner = arrange([f"{top}{label}/1.jpg" for label in ("x", "y")])
    assert inner.splits == ("all",) and inner.classes == ("x", "y")


def test_wrapping_folders_within_the_splits_mean_nothing():
    layout = arrange(["train/images/1.png", "test/images/2.png"])
    assert layout.classes == () and layout.place("test/images/2.png") == ("test", "")
    assert arrange(["train/train/1.png", "test/test/2.png"]).splits == ("train", "test")


def test_splits_below_classes():
    layout = arrange(["cats/train/1.png", "cats/test/1.png", "dogs/train/1.png", "dogs/test/1.png"])
    assert layout.splits == ("train", "test") and layout.classes == ("cats", "dogs")
    assert layout.place("dogs/test/1.png") == ("test", "dogs")


def test_what_lies_beside_the_splits_is_left_out():
    layout = arrange(["train/1.png", "test/1.png", "extra/1.png", "cover.png"])
    assert layout.place("extra/1.png") is None and "outside the splits (train, test)" in layout.reason("extra/1.png")
    assert layout.place("cover.png") is None


def test_a_folder_in_two_splits_is_left_out():
    layout = arrange(["train/1.png", "train/val/2.png"])
    assert layout.place("train/val/2.png") is None and "two splits" in layout.reason("train/val/2.png")


def test_a_split_among_other_folders_is_an_error():
    with pytest.raises(GanvasError, match=r"facades/train.*named as a split"):
        arrange(["facades/train/1.png", "facades/val/1.png", "pictures/1.png"])


def test_the_fewer_images_beside_class_folders_are_left_out_and_the_more_end_the_classes():
    few = arrange(["a/1.png", "a/2.png", "b/1.png", "cover.png"])
    assert few.classes == ("a", "b") and few.place("cover.png") is None and "no class" in few.reason("cover.png")
    many = arrange(["a/1.png", "b/1.png", "1.png", "2.png", "3.png"])
    assert many.classes == () and many.place("1.png") == many.place("a/1.png") == ("all", "") and many.notes


def test_one_folder_is_no_class():
    layout = arrange(["cats/1.png", "cats/2.png", "cover.png"])
    assert layout.classes == () and layout.place("cover.png") == layout.place("cats/1.png") == ("all", "")


def test_a_readme_does_not_decide():
    layout = arrange(["README.txt", "set/train/1.png", "set/test/1.png"])
    assert layout.splits == ("train", "test") and layout.place("README.txt") is None


def test_files_without_a_suffix_decide_where_no_other_does():
    assert arrange(["a/1", "b/2"]).classes == ("a", "b")


_PARTS = st.sampled_from(["train", "test", "val", "t10k", "cats", "dogs", "1", "2"])
_NAMES = st.lists(st.tuples(st.lists(_PARTS, max_size=3), st.sampled_from(["x.png", "y.jpg", "z.txt"])), min_size=1, max_size=12)


@given(_NAMES)
def test_no_split_is_a_class_and_no_file_is_in_a_split_it_does_not_lie_in(tree):
    names = sorted({"/".join([*folders, name]) for folders, name in tree})
    try:
        layout = arrange(names)
    except GanvasError:
        return
    assert not any(split_of(label) for label in layout.classes)
    for name in names:
        place = layout.place(name)
        lies_in = {split_of(part) for part in name.split("/")[:-1]} - {None}
        if place is None:
            assert layout.reason(name)
        elif layout.splits != ("all",):
            assert lies_in == {place[0]}
        elif name.endswith((".png", ".jpg")):
            assert not lies_in
        assert place is None or place[1] == "" or place[1] in layout.classes
