"""Checkpoints: what goes in comes out, bit for bit; what is damaged is noticed and passed over; what is hostile is refused."""

import hashlib
import json
import random
import re
import shutil
import struct

import pytest
import torch

from ganvas.engine.checkpoints import MANIFEST, Checkpoints, DamagedCheckpoint, load, replace_json, verify
from ganvas.errors import GanvasError
from tests.engine.faults import STATE, Bomb, forge, tensors_of

ROUNDS = 200  # truncations, and as many flipped bits


def same(found, step):
    expected = {stem: named for stem, named in tensors_of(step).items() if named}
    assert found.tensors.keys() == expected.keys()
    for stem, named in expected.items():
        assert found.tensors[stem].keys() == named.keys()
        for name, tensor in named.items():
            got = found.tensors[stem][name]
            assert got.dtype == tensor.dtype and torch.equal(got, tensor), (stem, name)
    assert found.state == STATE | {"step": step}


def write(folder, *steps, keep=3):
    checkpoints = Checkpoints(folder, keep)
    for step in steps:
        checkpoints.save(step, tensors_of(step), STATE | {"step": step})
    return checkpoints


def test_everything_comes_back_as_it_was(tmp_path):
    """Tensors without axes, integers, booleans, half precision, empty ones, channels last, slices, non-finite numbers."""
    found = write(tmp_path, 7).newest(warn=pytest.fail)
    same(found, 7)
    assert found.path.name == "step-000000000007"


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "absent").newest(warn=pytest.fail) is None


def test_equal_states_are_equal_files(tmp_path):
    a, b = (write(tmp_path / name, 5).paths()[0] for name in ("here", "and/there"))
    for file in sorted(a.iterdir()):
        assert file.read_bytes() == (b / file.name).read_bytes(), file.name


def test_tensor_files_hold_neither_time_nor_place(tmp_path):
    path = write(tmp_path, 5).paths()[0]
    for file in path.glob("*.safetensors"):
        raw = file.read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + length])
        assert header.keys() - {"__metadata__"} == tensors_of(5)[file.stem].keys()
        assert header.get("__metadata__", {}) in ({}, {"format": "pt"})
        assert str(tmp_path).encode() not in raw


def test_whoever_may_read_one_file_may_read_all(tmp_path):
    path = write(tmp_path, 5).paths()[0]
    assert len({file.stat().st_mode for file in path.iterdir()}) == 1


def test_the_last_k_are_kept(tmp_path):
    checkpoints = write(tmp_path, 1, 2, 3, 4, 5, keep=2)
    assert [path.name for path in checkpoints.paths()] == ["step-000000000004", "step-000000000005"]
    assert {path.name for path in tmp_path.iterdir()} == {"step-000000000004", "step-000000000005"}


def test_a_step_can_be_saved_again(tmp_path):
    checkpoints = write(tmp_path, 1, 2)
    checkpoints.save(2, {"model": {"w": torch.zeros(3)}}, {"step": 2})
    assert torch.equal(checkpoints.newest(warn=pytest.fail).tensors["model"]["w"], torch.zeros(3))


def test_a_leftover_of_a_kill_is_no_checkpoint_and_never_blocks(tmp_path):
    checkpoints = write(tmp_path, 1)
    for step in (2, 9):
        shutil.copytree(tmp_path / "step-000000000001", tmp_path / f"step-{step:012d}.tmp")
    (tmp_path / "step-000000000002.tmp" / "model.safetensors").write_bytes(b"half")
    same(checkpoints.newest(warn=pytest.fail), 1)
    write(tmp_path, 2)
    same(checkpoints.newest(warn=pytest.fail), 2)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return write(folder, 1, 2)


def falls_back(checkpoints):
    """The damaged newest checkpoint is named in one warning, and the one before it is what is loaded."""
    warnings = []
    same(checkpoints.newest(warn=warnings.append), 1)
    assert len(warnings) == 1 and "step-000000000002" in warnings[0] and warnings[0].startswith("WARNING: ")


def test_truncation_anywhere_is_noticed(pair):
    rng = random.Random(0)
    files = sorted(pair.paths()[-1].iterdir())
    for i in range(ROUNDS):
        file = files[i % len(files)]
        whole = file.read_bytes()
        file.write_bytes(whole[: rng.choice([0, 1, len(whole) - 1, rng.randrange(len(whole))])])
        falls_back(pair)
        file.write_bytes(whole)
    same(pair.newest(warn=pytest.fail), 2)


def test_a_flipped_bit_anywhere_is_noticed(pair):
    rng = random.Random(1)
    files = sorted(pair.paths()[-1].iterdir())
    for i in range(ROUNDS):
        file = files[i % len(files)]
        whole = file.read_bytes()
        at, bit = rng.randrange(len(whole)), rng.randrange(8)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
        falls_back(pair)
        file.write_bytes(whole)
    same(pair.newest(warn=pytest.fail), 2)


def test_every_bit_of_the_manifest_counts(pair):
    """The manifest is guarded by no sum of its own, so all of its bits are tried, and one in each byte of the sums it holds."""
    file = pair.paths()[-1] / MANIFEST
    whole = file.read_bytes()
    sums = {at for match in re.finditer(rb"[0-9a-f]{64}", whole) for at in range(*match.span())}
    for at in range(len(whole)):
        for bit in [at % 8] if at in sums else range(8):
            changed = whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]
            file.write_bytes(changed)
            with pytest.raises(DamagedCheckpoint):
                verify(file.parent)
    file.write_bytes(whole)


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", MANIFEST])
def test_a_missing_file_is_noticed(tmp_path, name):
    checkpoints = write(tmp_path, 1, 2)
    (checkpoints.paths()[-1] / name).unlink()
    falls_back(checkpoints)


def test_appended_bytes_are_noticed(tmp_path):
    checkpoints = write(tmp_path, 1, 2)
    with open(checkpoints.paths()[-1] / "model.safetensors", "ab") as file:
        file.write(b"\0")
    falls_back(checkpoints)


def test_when_all_are_damaged_nothing_is_loaded(tmp_path):
    checkpoints = write(tmp_path, 1, 2)
    for path in checkpoints.paths():
        (path / "state.json").write_text("{}")
    warnings = []
    with pytest.raises(GanvasError, match="every checkpoint in .* is damaged"):
        checkpoints.newest(warn=warnings.append)
    assert len(warnings) == 2


@pytest.mark.parametrize("keep", [1, 2])
def test_a_run_that_went_on_from_an_older_checkpoint_keeps_what_it_writes(tmp_path, keep):
    """Damaged later ones may not push the new ones out."""
    for step in (10, 20, 30):
        write(tmp_path, step, keep=3)
    for step in (20, 30):
        (tmp_path / f"step-{step:012d}" / "state.json").write_text("{}")
    checkpoints = Checkpoints(tmp_path, keep)
    checkpoints.save(12, tensors_of(12), STATE | {"step": 12})
    same(checkpoints.newest(warn=lambda message: None), 12)


NOT_MANIFESTS = [
    "",
    "null",
    "[]",
    "{}",
    '"files"',
    "7",
    '{"format": 1, "step": 2}',
    '{"format": 1, "step": 2, "files": []}',
    '{"format": 1, "step": 2, "files": {}}',
    '{"format": 1, "step": 2, "files": {"state.json": 3}}',
    '{"format": 1, "step": 2, "files": {"": {}}}',
    '{"format": 99, "step": 2, "files": {}}',
    '{"format": 1, "step": "two", "files": {}}',
    '{"format": 1, "step": {}, "files": {"a": null}}',
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"format": ' + "9" * 5000 + "}",
    "\ud800".encode("utf-8", "surrogatepass"),
]


@pytest.mark.parametrize("text", NOT_MANIFESTS, ids=range(len(NOT_MANIFESTS)))
def test_anything_else_in_place_of_a_manifest_is_damage(tmp_path, text):
    checkpoints = write(tmp_path, 1, 2)
    (checkpoints.paths()[-1] / MANIFEST).write_bytes(text if isinstance(text, bytes) else text.encode())
    falls_back(checkpoints)


@pytest.mark.parametrize("name", ["../step-000000000001/state.json", "/etc/hostname", "..", "a/b", "a\\b", "x\0y", "~", "a b"])
def test_a_manifest_that_points_outside_is_refused(tmp_path, name):
    path = write(tmp_path, 1, 2).paths()[-1]
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    replace_json(path / MANIFEST, manifest)
    with pytest.raises(DamagedCheckpoint, match="outside itself|IsADirectory"):
        load(path)


HEADERS = {
    "a header of a gigabyte": struct.pack("<Q", 1 << 30) + b"{}",
    "a header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "a header of 2^64 - 1": b"\xff" * 8,
    "no header": b"abc",
    "a header that is no JSON": struct.pack("<Q", 4) + b"\x80\x04N.",
    "overlapping tensors": {"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [4, 12])},
    "a hole": {"a": ("F32", [1], [0, 4]), "b": ("F32", [1], [8, 12])},
    "an end before its beginning": {"a": ("F32", [1], [8, 4])},
    "negative offsets": {"a": ("F32", [1], [-4, 0])},
    "offsets beyond the file": {"a": ("F32", [1 << 40], [0, 1 << 42])},
    "a shape that overflows": {"a": ("F32", [1 << 62, 1 << 62], [0, 16])},
    "an unknown type": {"a": ("PICKLE", [1], [0, 4])},
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_forged_tensor_file_is_refused(tmp_path, what):
    path = write(tmp_path, 1, 2).paths()[-1]
    raw = HEADERS[what]
    if isinstance(raw, dict):
        header = json.dumps({name: dict(zip(("dtype", "shape", "data_offsets"), row, strict=True)) for name, row in raw.items()}).encode()
        raw = struct.pack("<Q", len(header)) + header + bytes(16)
    forge(path, "model.safetensors", raw)
    with pytest.raises(DamagedCheckpoint, match="step-000000000002"):
        load(path)


@pytest.mark.parametrize("form", Bomb.FORMS)
@pytest.mark.parametrize("name", ["model.safetensors", "state.json", MANIFEST])
def test_a_pickle_is_never_opened(tmp_path, form, name):
    path = write(tmp_path, 1, 2).paths()[-1]
    canary = tmp_path / "canary"
    forge(path, name, Bomb(canary).written(form))
    with pytest.raises(DamagedCheckpoint):
        load(path)
    assert not canary.exists()


@pytest.mark.parametrize("state", ["[]", "null", "7", "[" * 100_000])
def test_a_state_that_is_no_table_is_damage(tmp_path, state):
    path = write(tmp_path, 1, 2).paths()[-1]
    forge(path, "state.json", state.encode())
    with pytest.raises(DamagedCheckpoint):
        load(path)


def test_an_unlisted_state_is_not_read(tmp_path):
    path = write(tmp_path, 1, 2).paths()[-1]
    manifest = json.loads((path / MANIFEST).read_text())
    del manifest["files"]["state.json"]
    replace_json(path / MANIFEST, manifest)
    with pytest.raises(DamagedCheckpoint, match=r"state\.json"):
        load(path)


def test_json_is_replaced_in_one_move(tmp_path):
    path = tmp_path / "config.json"
    replace_json(path, {"b": 1, "a": [1.5, None]})
    replace_json(path, {"b": 2, "a": [1.5, None]})
    assert json.loads(path.read_text()) == {"a": [1.5, None], "b": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
