"""A data set handed over in Python."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from ganvas.data.describe import scan
from ganvas.data.examples import MemoryImages
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.errors import GanvasError
from tests.data.pictures import labels, noise, pixels, read


class Listed(Dataset):
    def __init__(self, items: list) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        return self.items[index]


ARRAYS = [np.asarray(noise(i, 12, 8)) for i in range(6)]


@pytest.mark.parametrize(
    "form",
    [
        lambda a: torch.from_numpy(a.copy()).permute(2, 0, 1),
        lambda a: torch.from_numpy(a.copy()).permute(2, 0, 1).float() / 127.5 - 1,
        lambda a: torch.from_numpy(a.copy()).permute(2, 0, 1).double() / 127.5 - 1,
        lambda a: a,
        Image.fromarray,
    ],
    ids=["uint8 tensor", "float tensor", "double tensor", "array", "Pillow"],
)
def test_every_form_of_an_image_gives_the_same_pixels(form):
    dataset = Listed([(form(array), i % 3) for i, array in enumerate(ARRAYS)])
    opened = open_data(dataset)
    assert isinstance(opened, MemoryImages) and opened.spec.shape == (3, 8, 12) and opened.spec.classes == ("0", "1", "2")
    assert np.array_equal(pixels(opened), np.stack(ARRAYS)) and labels(opened) == [0, 1, 2, 0, 1, 2]
    assert opened.fingerprint == open_data(Listed([(a, i % 3) for i, a in enumerate(ARRAYS)])).fingerprint


def test_grey_images_without_labels():
    tensors = torch.randint(256, (5, 8, 8), dtype=torch.uint8)
    for dataset in (TensorDataset(tensors), TensorDataset(tensors[:, None]), Listed([t.numpy() for t in tensors])):
        opened = open_data(dataset)
        assert opened.spec.shape == (1, 8, 8) and opened.spec.classes == () and np.array_equal(pixels(opened)[..., 0], tensors.numpy())
    assert splits(dataset) == ("all",) and evaluation_split(dataset) == "all" and opened.split == "all"
    with pytest.raises(GanvasError, match="undivided"):
        open_data(dataset, split="test")


def test_labels_of_all_whole_kinds():
    kinds = [0, np.int64(1), torch.tensor(2), np.array(3)]
    assert labels(open_data(Listed([(ARRAYS[0], label) for label in kinds]))) == [0, 1, 2, 3]


def test_mixed_sizes_need_a_resolution():
    dataset = Listed([noise(0, 12, 8), noise(1, 20, 20)])
    with pytest.raises(GanvasError, match=r"item 1 .* shape \(20, 20, 3\).*ask for a resolution"):
        open_data(dataset)
    assert open_data(dataset, resolution=8).spec.shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "is empty"),
        ([torch.full((3, 8, 8), 2.0)], r"item 0 .* floats from 2 to 2"),
        ([torch.full((3, 8, 8), float("nan"))], "floats from nan"),
        ([torch.rand(3, 8, 8)], r"none is below 0: if they lie in \[0, 1\]"),
        ([torch.zeros(3, 8, 8, dtype=torch.int64)], "tensor of torch.int64"),
        ([torch.zeros(2, 8, 8, dtype=torch.uint8)], "1 or 3 channels"),
        ([torch.zeros(8, dtype=torch.uint8)], "has shape"),
        ([torch.zeros(3, 2, 2, dtype=torch.uint8)], "2 x 2 pixels"),
        ([np.zeros((8, 8), np.float32)], "NumPy array of float32"),
        ([{"image": 1}], "is a dict"),
        ([(ARRAYS[0], 1, 2)], "has 3 parts"),
        ([(ARRAYS[0], "cat")], "label cat"),
        ([(ARRAYS[0], -1)], "label -1"),
        ([(ARRAYS[0], 10**9)], "label 1000000000"),
        ([(ARRAYS[0], 0.5)], "label 0.5"),
        ([(ARRAYS[0], torch.tensor(0.5))], "label tensor"),
        ([(ARRAYS[0], 0), ARRAYS[1]], "item 1 .* differs from item 0 in having a label"),
        ([ARRAYS[0], ARRAYS[1][..., 0]], "item 1 .* shape"),
    ],
)
def test_wrong_items_are_named(items, message):
    with pytest.raises(GanvasError, match=message) as caught:
        open_data(Listed(items))
    assert "\n" not in str(caught.value)


def test_sets_without_length_or_order_are_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            yield torch.zeros(1, 8, 8)

    class Endless(Dataset):
        def __getitem__(self, index: int):
            return torch.zeros(1, 8, 8)

    with pytest.raises(GanvasError, match="IterableDataset"):
        open_data(Stream())
    with pytest.raises(GanvasError, match="no length"):
        open_data(Endless())
    with pytest.raises(GanvasError, match="not int"):
        open_data(3)


def test_a_set_too_large_for_memory_gives_the_same_batches():
    dataset = Listed([(array, i % 2) for i, array in enumerate(ARRAYS)])
    memory, streamed = open_data(dataset), read(dataset, memory=100)
    assert not isinstance(streamed, MemoryImages) and any("read again for each batch" in note for note in streamed.notes())
    indices = torch.tensor([4, 0, 4])
    assert torch.equal(memory.batch(indices).images, streamed.batch(indices).images)
    assert torch.equal(memory.batch(indices).labels, streamed.batch(indices).labels)
    assert streamed.fingerprint == read(dataset, memory=100).fingerprint
    changed = Listed([(array, i % 2) for i, array in enumerate(ARRAYS[::-1])])
    assert streamed.fingerprint != read(changed, memory=100).fingerprint
    assert streamed.to(torch.device("cpu")).label_counts() == memory.label_counts() == (3, 3)


def test_random_transforms_are_frozen_and_said():
    class Flickering(Listed):
        def __getitem__(self, index: int):
            return torch.randint(256, (1, 8, 8), dtype=torch.uint8)

    opened = open_data(Flickering([0] * 4))
    assert np.array_equal(pixels(opened), pixels(opened)) and any("random transforms" in note for note in opened.notes())


def test_a_scan_of_a_data_set():
    found = scan(Listed([(array, i % 2) for i, array in enumerate(ARRAYS)]), resolution=8)
    assert found.spec.shape == (3, 8, 8) and found.sizes == ((12, 8, 6),) and found.splits["all"].classes == {"0": 3, "1": 3}
    assert any("6 images resized" in line for line in found.conversions)
