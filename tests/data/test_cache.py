"""The cache makes a start faster, is never stale, and never an error."""

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganvas.data.cache import cache_directory, prune, read_array, read_json, sha256, write_array, write_json, write_whole
from ganvas.data.open import open_data
from tests.data.pictures import noise, pixels, save


class Watcher:
    """Records what is reported."""

    def __init__(self) -> None:
        self.tasks: list[list] = []

    def start(self, total: int, what: str) -> None:
        self.tasks.append([what, total, 0, False])

    def advance(self, n: int = 1) -> None:
        self.tasks[-1][2] += n

    def close(self) -> None:
        self.tasks[-1][3] = True


@pytest.fixture
def folder(tmp_path):
    for i in range(40):
        save(tmp_path / "set" / f"{i:02}.png", noise(i))
    return tmp_path / "set"


def replaced(path: Path, seed: int) -> None:
    """Another image of the same number of bytes and the same time: what size and time of change cannot show."""
    before = path.stat()
    image = path.read_bytes()
    for other in range(seed, seed + 10_000):
        save(path, noise(other))
        if path.stat().st_size == len(image) and path.read_bytes() != image:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            return
    raise AssertionError("no other image of this size")


def test_the_second_opening_reads_and_decodes_nothing(folder):
    first, second = Watcher(), Watcher()
    one = open_data(str(folder), progress=first)
    two = open_data(str(folder), progress=second)
    assert first.tasks == [["reading images", 40, 40, True], ["decoding images", 40, 40, True]] and second.tasks == []
    assert one.fingerprint == two.fingerprint and np.array_equal(pixels(one), pixels(two)) and one.notes() == two.notes()


def test_only_changed_files_are_read_again(folder):
    open_data(str(folder))
    save(folder / "03.png", noise(99))
    os.utime(folder / "03.png", ns=(1, 1))
    save(folder / "40.png", noise(40))
    (folder / "07.png").unlink()
    watcher = Watcher()
    opened = open_data(str(folder), progress=watcher)
    assert watcher.tasks[0] == ["reading images", 2, 2, True] and len(opened) == 40
    assert np.array_equal(pixels(opened)[3], np.asarray(noise(99))) and np.array_equal(pixels(opened)[-1], np.asarray(noise(40)))


def test_verify_finds_what_size_and_time_do_not_show(folder):
    before = open_data(str(folder))
    replaced(folder / "05.png", 1000)
    assert open_data(str(folder)).fingerprint == before.fingerprint
    verified = open_data(str(folder), verify=True)
    assert verified.fingerprint != before.fingerprint
    assert open_data(str(folder)).fingerprint == verified.fingerprint


def test_touching_a_file_changes_nothing_that_is_trained_on(folder):
    before = open_data(str(folder)).fingerprint
    os.utime(folder / "01.png", ns=(1, 1))
    assert open_data(str(folder)).fingerprint == before


def test_another_resolution_is_another_decoding_of_the_same_scan(folder):
    open_data(str(folder))
    watcher = Watcher()
    assert open_data(str(folder), resolution=8, progress=watcher).spec.shape == (3, 8, 8)
    assert [task[0] for task in watcher.tasks] == ["decoding images"]


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "junk", "folder"])
def test_a_damaged_cache_is_rebuilt(folder, cache, harm):
    before = open_data(str(folder))
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    for path in files:
        data = bytearray(path.read_bytes())
        if harm == "flip":
            for _ in range(3):
                data[random.Random(len(data)).randrange(len(data))] ^= 0x55
        content = {"cut": bytes(data[: len(data) // 2]), "empty": b"", "junk": b"\x80\x04}."}.get(harm, bytes(data))
        path.unlink()
        path.mkdir() if harm == "folder" else path.write_bytes(content)
    after = open_data(str(folder))
    assert after.fingerprint == before.fingerprint and np.array_equal(pixels(after), pixels(before))


def test_every_flipped_byte_of_the_pixels_is_noticed(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "one.safetensors"
    assert write_array(path, array, sha256(array))
    whole, rng = path.read_bytes(), random.Random(1)
    stored = read_array(path, array.shape)
    assert stored is not None and np.array_equal(stored[0], array)
    assert read_array(path, (8, 6, 8, 3)) is None and read_array(tmp_path / "none", array.shape) is None
    for _ in range(100):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(data))
        found = read_array(path, array.shape)
        assert found is None or np.array_equal(found[0], array)


def test_no_cache_can_be_written_and_all_is_well(folder, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("GANVAS_CACHE", str(blocked))
    assert len(open_data(str(folder))) == 40 and blocked.read_text() == "in the way"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_json_round_trip(tmp_path, value):
    assert write_json(tmp_path / "a" / "b.json", value) and read_json(tmp_path / "a" / "b.json") == value
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "one.json"
    write_json(path, 1)

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    assert not write_whole(path, fail)
    assert read_json(path) == 1 and list(tmp_path.iterdir()) == [path]


def test_where_the_cache_lies(monkeypatch, tmp_path):
    assert cache_directory() == Path(os.environ["GANVAS_CACHE"])
    monkeypatch.delenv("GANVAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "ganvas"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "ganvas"


def test_pruning_removes_what_was_unused_for_longest(tmp_path):
    for age in range(5):
        (tmp_path / str(age)).write_bytes(bytes(100))
        os.utime(tmp_path / str(age), (time.time() - age * 60,) * 2)
    prune(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
    prune(tmp_path / "absent", 0)
