"""Few labels: which are kept, what a batch holds, that nothing pairs wrongly, and that measuring sees all labels."""

import pytest
import torch

from ganvas.data.describe import describe, scan
from ganvas.data.digits import DigitSource
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.data.source import Request
from ganvas.engine.order import Order
from ganvas.errors import GanvasError
from ganvas.metrics.choosing import choose
from tests.data.pictures import noise, save

TRAIN = DigitSource().open("train", Request())
ALL = TRAIN.batch(torch.arange(len(TRAIN)))


@pytest.fixture(scope="module")
def few():
    return open_data("few:50:digits")


def test_equally_many_labels_of_each_class_are_kept(few):
    assert len(few) == len(TRAIN) and few.label_counts() == (5,) * 10
    assert few.kept.unique().numel() == 50
    assert torch.equal(ALL.labels[few.kept].bincount(), torch.full((10,), 5))


def test_a_batch_holds_all_images_and_pairs_of_the_few(few):
    """Every labelled image is one of the fifty and comes with its own class; images stand in their own order, without labels."""
    indices = torch.tensor([3, 1400, 3, 77])
    batch = few.batch(indices)
    assert set(batch.views) == {"images", "labelled", "labelled_classes"} and batch.size == 4
    assert torch.equal(batch.images, ALL.images[indices])
    whole = few.batch(torch.arange(len(few)))
    assert torch.equal(whole["labelled_classes"].sum(1), torch.ones(len(few)))
    same = (whole["labelled"].flatten(1)[:, None] == ALL.images[few.kept].flatten(1)[None]).all(2)  # (N, 50)
    assert same.any(1).all()
    assert torch.equal(ALL.labels[few.kept][same.int().argmax(1)], whole["labelled_classes"].argmax(1))


def test_each_of_the_few_stands_beside_equally_many(few):
    beside = few._few(torch.arange(len(few)))
    counts = (beside[:, None] == few.kept).sum(0)
    assert int(counts.min()) >= 28 and int(counts.max()) - int(counts.min()) <= 1  # 1,442 examples for 50 images
    of_its_class = (ALL.labels[beside] == ALL.labels).float().mean()
    assert 0.05 < float(of_its_class) < 0.15  # chance: which of the few stands beside an image says nothing of the image


def test_a_model_that_pairs_images_with_labels_is_refused(few):
    with pytest.raises(GanvasError, match="the batch has no 'labels'"):
        _ = few.batch(torch.tensor([0])).labels


def test_the_spec_declares_the_views(few):
    assert few.spec.views == {"labelled": (1, 8, 8), "labelled_classes": (10,)} and len(few.spec.classes) == 10
    assert few.spec.has("labelled") and not TRAIN.spec.has("labelled")
    batch = few.batch(torch.arange(3))
    assert all(batch[name].shape[1:] == shape for name, shape in few.spec.views.items())


def test_a_batch_is_a_function_of_the_position_alone(few):
    order, again = Order(len(few), seed=4), open_data("few:50:digits")
    first = few.batch(order.indices(7 * 32, 32))
    second = again.batch(Order(len(again), seed=4).indices(7 * 32, 32))
    assert all(torch.equal(first[name], second[name]) for name in first.views)
    few.expect(order.indices(0, 8))
    assert torch.equal(few.standing(torch.tensor([5, 2])), torch.tensor([5, 2]))


def test_the_fingerprint_knows_which_labels_are_kept(few):
    fingerprints = [few.fingerprint, open_data("few:50:digits").fingerprint, open_data("few:60:digits").fingerprint, TRAIN.fingerprint]
    assert fingerprints[0] == fingerprints[1] and len(set(fingerprints)) == 3
    assert few.to(torch.device("cpu")).fingerprint == few.fingerprint


def test_measuring_sees_all_labels(few, tmp_path):
    test = open_data("few:50:digits", split="test")
    assert evaluation_split("few:50:digits") == "test" and splits("few:50:digits") == ("train", "test")
    assert test.fingerprint == DigitSource().open("test", Request()).fingerprint and "labels" in test.batch(torch.tensor([0]))
    assert few.compared.fingerprint == TRAIN.fingerprint
    assert choose(few.compared, test.compared, cache=tmp_path).extractor is not None


def test_an_undivided_set_keeps_few_labels_too(tmp_path):
    for name in ("ant", "bee"):
        for i in range(4):
            save(tmp_path / "set" / name / f"{i}.png", noise(i, 8, 8, "L"))
    few = open_data(f"few:4:{tmp_path / 'set'}")
    assert few.split == "all" and len(few) == 8 and few.label_counts() == (2, 2) and "labels" in few.compared.batch(torch.tensor([0]))


def test_it_says_what_is_known(few):
    assert "the labels of 50 images are known, 5 of each class" in few.notes()[-1]
    found = scan("few:50:digits")
    assert found.spec == few.spec and found.splits["train"].count == len(few) and set(found.splits["train"].classes.values()) == {5}
    assert found.splits["test"].count == 355 and sum(found.splits["test"].classes.values()) == 355
    assert "of the train split 50 labels are known" in describe("few:50:digits")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("few:digits", "say how many labels are kept, and of which source, as in few:100:mnist/"),
        ("few:0:digits", "say how many labels are kept"),
        ("few:50:", "say how many labels are kept"),
        ("few:55:digits", "55 labels cannot be shared equally by 10 classes: keep 50 or 60"),
        ("few:3:digits", "3 labels cannot be shared equally by 10 classes: keep 10"),
        ("few:1500:digits", "150 of each class are kept, and class '.' has 1.. images"),
        ("few:10:ring", "labels are kept of images with at least 2 classes, and 'ring' has none such"),
        ("few:10:few:20:digits", "labels are taken away once"),
        ("stacked:few:10:digits", "say few:N:stacked:SOURCE"),
        ("few:10:nowhere", "there is no data source 'nowhere'"),
    ],
)
def test_wrong_names_are_one_clear_error(source, message):
    with pytest.raises(GanvasError, match=message):
        open_data(source)
