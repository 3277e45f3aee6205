"""Sets too large for memory: the same batches, decoded ahead, and what happens when files go missing."""

import itertools
import os
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas import catalog
from ganvas.data.batch import Batch
from ganvas.data.examples import Examples, MemoryImages
from ganvas.data.open import find
from ganvas.data.source import Request
from ganvas.data.streamed import StreamedImages
from ganvas.engine.devices import Machine
from ganvas.engine.loop import Plan, Trainer
from ganvas.errors import GanvasError, TrainingStopped
from ganvas.run import build
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


def test_a_lost_file_is_named_once_and_the_next_example_stands_in_for_it(folder, capsys):
    streamed, whole = read(folder, memory=0), read(folder).batch(torch.arange(30))
    (folder / "a" / "02.png").unlink()
    for _ in range(2):
        batch = streamed.batch(torch.tensor([0, 1, 29, 1]))
        stands = torch.tensor([0, 2, 29, 2])
        assert torch.equal(batch.images, whole.images[stands]) and torch.equal(batch.labels, whole.labels[stands])
    assert torch.equal(streamed.standing(torch.tensor([1, 3])), torch.tensor([2, 3]))
    said = capsys.readouterr().err
    assert said.count("WARNING: 'a/02.png' of") == said.count("WARNING") == 1 and "now cannot be read (no such file" in said


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "has other content"),
        (lambda path: save(path, noise(1234)), "has other content"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is a fifo"),
        (lambda path: (path.unlink(), path.mkdir()), "no regular file|directory"),
    ],
)
def test_whatever_happens_to_a_file_the_same_example_stands_in(folder, harm, reason, ahead, capsys):
    streamed, whole = read(folder, memory=0), pixels(read(folder))
    harm(folder / "b" / "29.png")  # the last one: the first stands in
    rows = torch.tensor([5, 29])
    if ahead:
        streamed.expect(rows)
    assert np.array_equal(streamed.spec.native(streamed.batch(rows).images).numpy(), whole[[5, 0]])
    assert re.search(reason, capsys.readouterr().err)


def test_a_run_ends_when_too_many_files_are_lost(folder, capsys):
    streamed = read(folder, memory=0)
    for name in ("02", "04"):
        (folder / "a" / f"{name}.png").unlink()
    with pytest.raises(TrainingStopped, match=r"2 files of 30 got lost while in use, more than 1%; the last, 'a/04.png' of .*no such file"):
        streamed.batch(torch.tensor([1, 2]))
    assert len(streamed.batch(torch.tensor([0])).images) == 1 and "'a/02.png'" in capsys.readouterr().err


def test_one_in_a_hundred_files_may_be_lost(tmp_path, capsys):
    for i in range(300):
        save(tmp_path / f"{i:03}.png", noise(i, 4, 4, "L"))
    streamed = read(tmp_path, memory=0)
    for i in (10, 20, 30):
        (tmp_path / f"{i:03}.png").unlink()
    assert streamed.standing(torch.tensor([10, 20, 30, 31])).tolist() == [11, 21, 31, 31]
    (tmp_path / "040.png").unlink()
    with pytest.raises(TrainingStopped, match="4 files of 300"):
        streamed.batch(torch.tensor([40]))
    assert capsys.readouterr().err.count("WARNING") == 3


def test_a_file_lost_between_scanning_and_decoding_is_named(folder):
    source = find(folder)
    source.scan(Request())
    (folder / "a" / "02.png").write_bytes(b"")
    with pytest.raises(GanvasError, match=r"'a/02.png' of .* was usable when the data were scanned, but now it is empty"):
        source.open("all", Request())


def test_expected_batches_are_decoded_ahead_and_equal(folder):
    plain, ahead = read(folder, memory=0), read(folder, memory=0)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0)).split(7)
    for at, rows in enumerate(order):
        one, other = plain.batch(rows), ahead.batch(rows)
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
        if at + 1 < len(order):
            ahead.expect(order[at + 1])
            assert set(ahead._coming) == set(order[at + 1].tolist())


def test_what_was_expected_in_vain_is_forgotten(folder):
    streamed, whole = read(folder, memory=0), pixels(read(folder))
    streamed.expect(torch.arange(10))
    streamed.expect(torch.arange(20, 25))
    assert set(streamed._coming) == set(range(20, 25))
    assert np.array_equal(streamed.spec.native(streamed.batch(torch.tensor([3, 3, 21])).images).numpy(), whole[[3, 3, 21]])
    assert set(streamed._coming) == {20, 22, 23, 24}


def test_the_next_batch_is_ready_before_it_is_asked_for(folder):
    streamed = read(folder, memory=0)
    streamed.expect(torch.arange(8))
    for future in list(streamed._coming.values()):
        future.result(timeout=60)
    shutil.rmtree(folder)  # nothing is read any more
    assert streamed.batch(torch.arange(8)).images.shape == (8, 3, 16, 16)


def test_pixels_kept_from_the_survey_do_not_exceed_memory_and_change_nothing(tmp_path):
    for i in range(6):  # native pixels take far more than the resized ones that are kept in the end
        save(tmp_path / f"{i}.png", Image.fromarray(np.full((64, 64, 3), i * 40, np.uint8)))
    opened = read(tmp_path, resolution=8, memory=6 * 8 * 8 * 3)
    assert isinstance(opened, MemoryImages)
    assert [int(image.mean()) for image in pixels(opened)] == [0, 40, 80, 120, 160, 200]


def trained(examples: Examples, budget: int = 96) -> tuple[Trainer, dict[str, torch.Tensor]]:
    """A tiny model trained from fixed weights, one processor thread."""
    entry = catalog.open_model("dcgan")
    torch.manual_seed(0)
    model = build(entry, entry.presets["tiny"], examples.spec)
    machine = Machine(device=torch.device("cpu"), bf16=False, threads=1)
    trainer = Trainer(model, examples, Plan(seed=3, budget=budget, save_every=10**9, log_every=1), machine)
    assert trainer.run() == "finished"
    return trainer, {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


@pytest.fixture
def quick(folder):
    """Resized, so that batches are small."""
    return lambda memory: read(folder, resolution=8, memory=memory)


def test_training_on_a_streamed_set_equals_training_from_memory_bit_by_bit(quick):
    _, one = trained(quick(10**9))
    trainer, other = trained(quick(0))
    assert isinstance(trainer.examples, StreamedImages)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert trainer.examples._coming == {}  # nothing is read beyond the budget


def test_a_trainer_expects_what_it_then_asks_for(quick):
    class Watched(Examples):
        """Hands on to a streamed set and notes what is expected and asked for."""

        def __init__(self, inner: Examples) -> None:
            super().__init__(inner._about)
            self.inner, self.said = inner, []

        def __len__(self) -> int:
            return len(self.inner)

        @property
        def fingerprint(self) -> str:
            return self.inner.fingerprint

        def batch(self, indices: torch.Tensor) -> Batch:
            self.said.append(("asked", indices.tolist()))
            return self.inner.batch(indices)

        def expect(self, indices: torch.Tensor) -> None:
            self.said.append(("expected", indices.tolist()))

        def to(self, device: torch.device) -> Examples:
            return self

        def label_counts(self) -> tuple[int, ...]:
            return self.inner.label_counts()

    watched = Watched(quick(10**9))
    trained(watched)
    assert [kind for kind, _ in watched.said[:2]] == ["asked", "expected"] and watched.said[-1][0] == "asked"
    for (kind, rows), (following, then) in itertools.pairwise(watched.said):
        assert kind != "expected" or (following == "asked" and then == rows)


def test_a_file_lost_while_training_does_not_stop_the_run_and_changes_it_in_one_way(folder, quick, capsys):
    ends = []
    for _ in range(2):
        examples = quick(0)
        (folder / "a" / "02.png").unlink()
        ends.append(trained(examples)[1])
        save(folder / "a" / "02.png", noise(2))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert capsys.readouterr().err.count("WARNING: 'a/02.png'") == 2
    untouched = trained(quick(0))[1]
    assert any(not torch.equal(ends[0][name], untouched[name]) for name in untouched)
