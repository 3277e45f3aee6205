"""Sets too large for memory: the same batches, and a clear word when a file goes missing."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.examples import MemoryImages
from ganvas.data.streamed import StreamedImages
from ganvas.errors import GanvasError
from tests.data.pictures import noise, pixels, read, save


@pytest.fixture
def folder(tmp_path):
    for i in range(30):
        save(tmp_path / "ab"[i % 2] / f"{i:02}.png", noise(i, 16 + 8 * (i % 3 == 0), 16, "L" if i % 5 == 0 else "RGB"))
    return tmp_path


def test_streamed_batches_equal_those_from_memory(folder):
    memory, streamed = read(folder), read(folder, memory=1000)
    assert isinstance(memory, MemoryImages) and isinstance(streamed, StreamedImages)
    indices = torch.tensor([7, 0, 29, 7])
    one, other = memory.batch(indices), streamed.batch(indices)
    assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
    assert other.images.is_contiguous(memory_format=torch.channels_last)
    assert memory.spec == streamed.spec and len(memory) == len(streamed) and memory.label_counts() == streamed.label_counts()
    assert any("batch by batch" in note for note in streamed.notes())
    moved = streamed.to(torch.device("cpu"))
    assert torch.equal(moved.batch(indices).images, one.images) and moved.fingerprint == streamed.fingerprint


def test_memory_is_used_up_to_the_bound_exactly(folder):
    size = 30 * 16 * 16 * 3
    assert isinstance(read(folder, memory=size), MemoryImages) and isinstance(read(folder, memory=size - 1), StreamedImages)


def test_the_fingerprint_follows_the_content_and_not_the_place(folder, tmp_path_factory):
    before = read(folder, memory=0).fingerprint
    moved = tmp_path_factory.mktemp("moved") / "set"
    shutil.copytree(folder, moved)
    assert read(moved, memory=0).fingerprint == before
    save(moved / "a" / "00.png", noise(77, 24, 16, "L"))
    assert read(moved, memory=0).fingerprint != before


def test_a_file_that_vanishes_or_breaks_is_named(folder):
    streamed = read(folder, memory=0)
    streamed.batch(torch.arange(30))
    (folder / "a" / "02.png").unlink()
    (folder / "b" / "03.png").write_bytes(b"")
    with pytest.raises(GanvasError, match=r"'a/02.png' .* cannot be read \(no such file"):
        streamed.batch(torch.tensor([1]))
    with pytest.raises(GanvasError, match=r"'b/03.png' .* is empty"):
        streamed.batch(torch.tensor([16]))
    save(folder / "a" / "04.png", noise(1234))
    with pytest.raises(GanvasError, match=r"'a/04.png' .* has other content"):
        streamed.batch(torch.tensor([2]))
    assert len(streamed.batch(torch.tensor([0])).images) == 1


def test_pixels_kept_from_the_survey_do_not_exceed_memory_and_change_nothing(tmp_path):
    for i in range(6):  # native pixels take far more than the resized ones that are kept in the end
        save(tmp_path / f"{i}.png", Image.fromarray(np.full((64, 64, 3), i * 40, np.uint8)))
    opened = read(tmp_path, resolution=8, memory=6 * 8 * 8 * 3)
    assert isinstance(opened, MemoryImages)
    assert [int(image.mean()) for image in pixels(opened)] == [0, 40, 80, 120, 160, 200]
