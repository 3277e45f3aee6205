"""Zip archives: read in place, equal to the folder they were made from, and never trusted."""

import io
import os
import stat
import struct
import zipfile

import numpy as np
import pytest

from ganvas.data.open import open_data, splits
from ganvas.errors import GanvasError
from tests.data.pictures import labels, noise, pixels, read, reasons, save, zipped


def png_bytes(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise(seed).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            for i in range(3):
                save(tmp_path / "set" / split / name / f"{i}.png", noise(i + 10 * len(split)))
    return tmp_path / "set"


def test_an_archive_equals_the_folder_it_was_made_from(folder, tmp_path):
    archive = zipped(tmp_path / "set.zip", folder, "wrapped/")
    before = sorted(tmp_path.rglob("*"))
    for split in ("train", "test"):
        one, other = open_data(str(folder), split=split), open_data(str(archive), split=split)
        assert one.fingerprint == other.fingerprint and one.spec == other.spec
        assert np.array_equal(pixels(one), pixels(other)) and labels(one) == labels(other)
    assert splits(archive) == ("train", "test") and "a zip archive" in other.notes()[0]
    assert sorted(tmp_path.rglob("*")) == before  # nothing was written


def test_streaming_from_an_archive(folder, tmp_path):
    archive = zipped(tmp_path / "set.zip", folder)
    assert np.array_equal(pixels(read(archive, memory=0)), pixels(open_data(str(archive))))


def test_hostile_members_are_left_alone(tmp_path):
    outside = tmp_path / "evil.png"
    path = tmp_path / "in" / "set.zip"
    path.parent.mkdir()
    link, device = zipfile.ZipInfo("link.png"), zipfile.ZipInfo("device.png")
    link.external_attr, device.external_attr = (stat.S_IFLNK | 0o777) << 16, (stat.S_IFCHR | 0o666) << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", png_bytes(1))
        for name in ("../evil.png", "/evil.png", "C:/evil.png", "a/..\\..\\evil.png"):
            archive.writestr(name, png_bytes(2))
        archive.writestr(link, "/etc/passwd")
        archive.writestr(device, "")
        archive.writestr("nested.png", b"PK\3\4" + bytes(100))
        archive.writestr("zeros.png", bytes(1_000_000))
        archive.writestr("__MACOSX/._good.png", b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("good.png", png_bytes(3))
    opened = open_data(str(path))
    found = reasons(opened)
    assert len(opened) == 1 and np.array_equal(pixels(opened)[0], np.asarray(noise(1)))
    for name in ("../evil.png", "/evil.png", "C:/evil.png", "a/..\\..\\evil.png"):
        assert "leads out of the archive" in found.pop(name)
    assert "symbolic link" in found.pop("link.png") and "device" in found.pop("device.png")
    assert "zip archive" in found.pop("nested.png") and "not a PNG" in found.pop("zeros.png")
    assert "twice" in found.pop("good.png") and found == {}
    assert not outside.exists()


def _declare(path, name: str, size: int) -> None:
    """Rewrite the inflated size that the archive's directory declares for a member."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
    data[at + 24 : at + 28] = struct.pack("<I", size)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("size", "reason"), [(2_000_000_000, "inflates to 2,000,000,000 bytes"), (500, "cannot be unpacked|truncated")])
def test_a_member_that_lies_about_its_size_is_left_out(tmp_path, size, reason):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", png_bytes(1))
        archive.writestr("liar.png", png_bytes(2))
    _declare(path, "liar.png", size)
    opened = open_data(str(path))
    assert len(opened) == 1 and opened.rejected[0].path == "liar.png"
    assert any(part in opened.rejected[0].reason for part in reason.split("|"))


def test_a_damaged_member_is_left_out(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", png_bytes(i))
    data = bytearray(path.read_bytes())
    data[data.index(b"1.png") + 200] ^= 0xFF
    path.write_bytes(bytes(data))
    opened = open_data(str(path))
    assert len(opened) == 2 and "1.png" in reasons(opened) and "CRC" in reasons(opened)["1.png"]


def test_what_is_no_archive_or_holds_nothing_is_one_clear_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    (tmp_path / "text").write_text("hello")
    whole = (tmp_path / "text.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    for name, reason in [
        ("empty.zip", "holds no image: it is empty"),
        ("text.zip", "no usable image among 1 file: 'a.txt' is text"),
        ("text", "is a file but not a zip archive"),
        ("cut.zip", "not a zip archive"),
    ]:
        with pytest.raises(GanvasError, match=reason) as caught:
            open_data(str(tmp_path / name))
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_replaced_archive_is_read_anew(tmp_path):
    path = tmp_path / "set.zip"
    for seed in (1, 2):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("1.png", png_bytes(seed))
        os.utime(path, ns=(seed * 10**9, seed * 10**9))
        assert np.array_equal(pixels(open_data(str(path)))[0], np.asarray(noise(seed)))
