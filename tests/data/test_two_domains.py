"""Data of two domains, and single images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.batch import DataSpec
from ganvas.data.inked import inked
from ganvas.data.open import open_data, splits
from ganvas.data.photo import LONGEST
from ganvas.errors import GanvasError


def test_aligned_pairs_belong_together():
    pairs = open_data("inked-pairs")
    batch = pairs.batch(torch.tensor([3, 500, 7]))
    grey = pairs.spec.native(batch.images).numpy()
    assert np.array_equal(pairs.spec.native(batch["target"]).numpy(), inked(grey[..., 0]))
    assert pairs.spec.aligned and pairs.spec.domains == ("plain", "inked") and pairs.spec.views == {"target": (3, 8, 8)}
    assert len(pairs) == len(open_data("digits"))


def test_unaligned_domains_share_no_image_and_every_image_is_seen():
    data = open_data("inked")
    every = data.batch(torch.arange(len(data)))
    plain, target = data.spec.native(every.images).numpy(), data.spec.native(every["target"]).numpy()
    assert not data.spec.aligned
    known = {image.tobytes() for image in inked(plain[..., 0])}
    assert sum(image.tobytes() in known for image in target) < 0.01 * len(target)
    assert len(np.unique(target.reshape(len(target), -1), axis=0)) > 0.98 * len(data.compared)


def test_two_domains_are_fixed_and_have_splits():
    assert splits("inked") == ("train", "test")
    train, test = open_data("inked"), open_data("inked", split="test")
    assert train.fingerprint == open_data("inked").fingerprint != test.fingerprint != open_data("inked-pairs", split="test").fingerprint
    assert open_data("inked", resolution=16).spec.shape == (3, 16, 16)


def test_ink_grows_strokes_and_paints_both_grounds():
    digit = np.zeros((1, 16, 16), np.uint8)
    digit[0, 4:12, 8] = 255
    painted = inked(digit)
    assert (painted == (255, 150, 30)).all(-1).sum() == 8 * 3 + 2
    assert (painted[0, 0, 0] == (15, 35, 90)).all()


def test_specs_of_two_domains_come_back_from_json():
    for source in ("inked", "flower", "digits"):
        spec = open_data(source).spec
        assert DataSpec.from_json(spec.to_json()) == spec
    assert "single" not in open_data("digits").spec.to_json()


def test_needs_are_answered_by_the_spec():
    pairs, photo, digits = (open_data(name).spec for name in ("inked-pairs", "flower", "digits"))
    assert pairs.has("target") and pairs.has("aligned") and not pairs.has("labels") and not pairs.has("single")
    assert photo.has("single") and not photo.has("target")
    assert digits.has("labels") and not digits.has("style")


def test_a_single_image_keeps_its_aspect():
    photo = open_data("china")
    assert len(photo) == 1 and photo.spec.single and photo.spec.shape == (3, 167, 250) and LONGEST == 250
    assert open_data("china", resolution=60).spec.shape == (3, 40, 60)
    assert photo.batch(torch.zeros(4, dtype=torch.int64)).images.shape == (4, 3, 167, 250)


def test_a_picture_of_the_users_is_a_source(tmp_path: Path):
    path = tmp_path / "small.PNG"
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(path)
    photo = open_data(str(path))
    assert photo.spec.shape == (1, 20, 30) and photo.split == "all"
    assert np.array_equal(photo.spec.native(photo.batch(torch.tensor([0])).images)[0, ..., 0], np.asarray(Image.open(path)))


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"<html>", "HTML"), (b"\x89PNG\r\n\x1a\nxx", "small.png")])
def test_a_picture_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "small.png"
    path.write_bytes(content)
    with pytest.raises(GanvasError, match=reason) as error:
        open_data(str(path))
    assert "small.png" in str(error.value)
