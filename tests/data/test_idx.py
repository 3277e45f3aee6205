"""IDX files, by hand."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ganvas.data.idx import read_array
from ganvas.data.open import evaluation_split, open_data, splits
from ganvas.errors import GanvasError
from tests.data.pictures import idx, labels, pixels


def images(n: int, seed: int = 0, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(idx(images(20), packed=True))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(20) % 10, packed=True))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images(6, 1)))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(6)))
    return folder


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=6)), packed=st.booleans())
def test_round_trip(tmp_path, array, packed):
    path = tmp_path / "one"
    path.write_bytes(idx(array, packed))
    assert np.array_equal(read_array(path), array)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(share=st.floats(0, 0.999), packed=st.booleans())
def test_every_truncation_is_found(tmp_path, share, packed):
    whole = idx(images(4), packed)
    path = tmp_path / "one"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(GanvasError, match="one"):
        read_array(path)


def test_train_and_test_never_mix(mnist):
    assert splits(str(mnist)) == ("train", "test") and evaluation_split(str(mnist)) == "test"
    train, test = open_data(str(mnist)), open_data(str(mnist), split="test")
    assert np.array_equal(pixels(train)[..., 0], images(20)) and np.array_equal(pixels(test)[..., 0], images(6, 1))
    assert labels(train) == [i % 10 for i in range(20)] and labels(test) == list(range(6))
    assert train.spec == test.spec and train.spec.shape == (1, 8, 8) and train.spec.classes == tuple("0123456789")
    assert train.split == "train" and "split train: 20 images" in train.notes()[0]


@pytest.mark.parametrize(
    "name",
    ["train-images.idx3-ubyte", "train-images-idx3-ubyte.gz", "emnist-letters-train-images-idx3-ubyte.gz", "train_images.idx3-ubyte"],
)
def test_the_names_in_use_are_known(tmp_path, name):
    (tmp_path / name).write_bytes(idx(images(3), name.endswith(".gz")))
    assert splits(str(tmp_path)) == ("train",) and len(open_data(str(tmp_path))) == 3


def test_a_set_without_split_words_is_undivided_and_labels_are_optional(tmp_path):
    (tmp_path / "shapes-images-idx3-ubyte").write_bytes(idx(images(3)))
    opened = open_data(str(tmp_path))
    assert splits(str(tmp_path)) == ("all",) and opened.spec.classes == () and opened.split == "all"
    assert any("no labels" in note for note in opened.notes())


def test_colour_and_a_subfolder(tmp_path):
    (tmp_path / "raw").mkdir()
    colour = np.random.default_rng(3).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    (tmp_path / "raw" / "train-images-idx4-ubyte").write_bytes(idx(colour))
    opened = open_data(str(tmp_path))
    assert opened.spec.shape == (3, 8, 6) and np.array_equal(pixels(opened), colour)


def test_an_unpacked_file_is_preferred_to_the_packed_one(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images(3)))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(idx(images(4), packed=True))
    assert len(open_data(str(tmp_path))) == 3


def test_resolution_resizes_and_says_so(mnist):
    opened = open_data(str(mnist), resolution=16)
    assert opened.spec.shape == (1, 16, 16) and any("20 images resized" in note and "8 x 8" in note for note in opened.notes())
    assert opened.fingerprint != open_data(str(mnist)).fingerprint


def test_the_fingerprint_follows_pixels_and_labels(mnist):
    before = open_data(str(mnist)).fingerprint
    assert before == open_data(str(mnist)).fingerprint and len(before) == 64
    (mnist / "train-labels-idx1-ubyte.gz").write_bytes(idx((np.arange(20) + 1) % 10, packed=True))
    changed_labels = open_data(str(mnist)).fingerprint
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(idx(images(20, 9), packed=True))
    assert len({before, changed_labels, open_data(str(mnist)).fingerprint}) == 3


def _replace(folder, content: bytes, name: str = "train-images-idx3-ubyte.gz"):
    (folder / name).write_bytes(content)
    return str(folder)


def test_bad_files_are_one_clear_error(mnist):
    flipped = bytearray(idx(images(20), packed=True))
    flipped[60] ^= 0xFF
    bomb = gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12)
    for content, reason in [
        (bytes(flipped), "damaged gzip"),
        (bomb, "declares"),
        (idx(images(20)) + b"x", "declares 20 x 8 x 8"),
        (gzip.compress(idx(images(20)) + bytes(1000)), "holds 1,281 or more"),
        (b"", "not an IDX file"),
        (b"GIF89a", "not an IDX file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "only unsigned bytes"),
        (idx(np.zeros((0, 8, 8))), "holds no image"),
        (idx(np.zeros((2, 8, 8, 5))), "1 or 3 channels"),
        (idx(np.zeros((2, 2, 2))), "2 x 2 pixels"),
        (idx(images(19)), "do not belong together"),
    ]:
        with pytest.raises(GanvasError, match=reason) as caught:
            open_data(_replace(mnist, content))
        assert "\n" not in str(caught.value) and "ubyte" in str(caught.value)


def test_two_sets_in_one_folder_are_refused(tmp_path):
    for name in ("emnist-letters-train-images-idx3-ubyte", "emnist-digits-train-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(idx(images(2)))
    with pytest.raises(GanvasError, match="two train sets"):
        open_data(str(tmp_path))
