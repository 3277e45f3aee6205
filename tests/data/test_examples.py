"""Batches: values, layout, speed, and the device."""

import json
import time

import numpy as np
import pytest
import torch

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.errors import GanvasError


def example(n: int = 256, channels: int = 3, size: int = 32) -> tuple[MemoryImages, np.ndarray]:
    array = np.random.default_rng(0).integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    array[0, 0, 0, 0], array[0, 0, 1, 0] = 0, 255
    spec = DataSpec(kind="images", shape=(channels, size, size), classes=("a", "b"))
    return MemoryImages(About(spec=spec, split="train"), torch.from_numpy(array), torch.arange(n) % 2), array


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_holds_the_rows_asked_for(channels):
    examples, array = example(channels=channels)
    indices = torch.tensor([5, 0, 5, 200])
    batch = examples.batch(indices)
    assert batch.images.shape == (4, channels, 32, 32) and batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images, torch.from_numpy(array[[5, 0, 5, 200]]).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert batch.images[1, 0, 0, :2].tolist() == [-1.0, 1.0]
    assert batch.labels.tolist() == [1, 0, 1, 0] and batch.labels.dtype == torch.int64
    assert torch.equal(examples.spec.native(batch.images), torch.from_numpy(array[[5, 0, 5, 200]]))


def test_a_batch_does_not_alias_the_data():
    examples, array = example()
    examples.batch(torch.arange(8)).images.zero_()
    assert torch.equal(examples.spec.native(examples.batch(torch.arange(8)).images), torch.from_numpy(array[:8]))


def test_an_index_beyond_the_end_is_not_silently_wrapped():
    examples, _ = example()
    with pytest.raises((IndexError, RuntimeError)):
        examples.batch(torch.tensor([256]))


def test_fingerprints_differ_by_content_labels_and_spec():
    examples, array = example()
    same = MemoryImages(About(spec=examples.spec, split="test"), torch.from_numpy(array.copy()), torch.arange(256) % 2)
    other = array.copy()
    other[17, 3, 3, 1] ^= 1
    moved = MemoryImages(About(spec=examples.spec, split="train"), torch.from_numpy(other), torch.arange(256) % 2)
    relabelled = MemoryImages(About(spec=examples.spec, split="train"), torch.from_numpy(array), (torch.arange(256) + 1) % 2)
    assert examples.fingerprint == same.fingerprint
    assert len({examples.fingerprint, moved.fingerprint, relabelled.fingerprint}) == 3


def test_an_empty_set_is_an_error():
    with pytest.raises(GanvasError, match="empty"):
        MemoryImages(About(spec=DataSpec(kind="images", shape=(1, 8, 8)), split="all"), torch.zeros(0, 8, 8, 1, dtype=torch.uint8))


def test_to_a_device_keeps_everything():
    examples, _ = example()
    moved = examples.to(torch.device("cpu"))
    assert moved.fingerprint == examples.fingerprint and moved.split == examples.split and len(moved) == len(examples)
    assert torch.equal(moved.batch(torch.arange(5)).images, examples.batch(torch.arange(5)).images)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_cuda_equal_those_on_the_cpu():
    examples, _ = example()
    moved, indices = examples.to(torch.device("cuda")), torch.tensor([3, 1, 200])
    batch = moved.batch(indices)
    assert batch.images.device.type == batch.labels.device.type == "cuda"
    assert torch.allclose(batch.images.cpu(), examples.batch(indices).images, atol=1e-6) and moved.fingerprint == examples.fingerprint


def test_a_batch_of_64_takes_well_under_a_millisecond():
    examples, _ = example(2000)
    rows, best = torch.randint(2000, (64,)), 1.0
    for _ in range(50):
        began = time.perf_counter()
        examples.batch(rows)
        best = min(best, time.perf_counter() - began)
    assert best < 1e-3


def test_a_description_comes_back_from_json_and_anything_else_is_named():
    spec = DataSpec(kind="points", shape=(2,), offset=(0.0, 1.0), scale=(1.0, 2.0), views={"target": (2,)}, domains=("A", "B"))
    stored = json.loads(json.dumps(spec.to_json()))
    assert DataSpec.from_json(stored) == spec
    wrong = {"kind": "sounds", "shape": [3, "x"], "views": 3, "classes": 1, "aligned": "perhaps", "scale": [None], "domains": [3]}
    for name, odd in wrong.items():
        with pytest.raises(GanvasError, match=rf"the description of the data: {name}"):
            DataSpec.from_json(stored | {name: odd})
    for shape in ([], [0], [-1], [10**30]):
        with pytest.raises(GanvasError, match="the description of the data: shape"):
            DataSpec.from_json(stored | {"shape": shape})
    with pytest.raises(GanvasError, match="the description of the data: kind"):
        DataSpec.from_json({name: value for name, value in stored.items() if name != "kind"})
    with pytest.raises(GanvasError, match="unknown entries: sort"):
        DataSpec.from_json(stored | {"sort": 1})
