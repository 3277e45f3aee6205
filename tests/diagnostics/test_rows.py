"""metrics.jsonl: whole rows come back, a torn end does no harm, and what was played again replaces what it repeats."""

import json

import pytest

from ganvas.diagnostics.rows import append_row, names_by_phase, of_kind, read_rows, truncate_rows
from ganvas.errors import GanvasError

ROWS = [{"kind": "train", "step": i, "images": 8 * i, "d/loss": 0.5 * i, "stage": "ü"} for i in range(1, 6)]


@pytest.fixture
def path(tmp_path):
    for row in ROWS:
        append_row(tmp_path / "metrics.jsonl", row)
    return tmp_path / "metrics.jsonl"


def test_rows_come_back_as_they_were(path):
    assert read_rows(path) == ROWS


def test_no_file_is_no_rows(tmp_path):
    assert read_rows(tmp_path / "metrics.jsonl") == []
    truncate_rows(tmp_path / "metrics.jsonl", 3)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_file_cut_anywhere_gives_the_rows_that_were_whole(path):
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        assert read_rows(path) == ROWS[: whole[:end].count(b"\n")]


def test_a_row_appended_after_a_torn_line_is_whole(path):
    path.write_bytes(path.read_bytes()[:-7])
    append_row(path, ROWS[4])
    assert read_rows(path) == ROWS


def test_a_file_that_is_nothing_but_a_torn_line_starts_again(path):
    path.write_bytes(b'{"kind": "tr' + b"x" * 10_000)
    append_row(path, ROWS[0])
    assert read_rows(path) == ROWS[:1]


def test_a_damaged_line_among_good_ones_is_named(path):
    lines = path.read_bytes().split(b"\n")
    lines[1] = b"\x00\x00"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(GanvasError, match=r"metrics\.jsonl, line 2: "):
        read_rows(path)


def test_every_line_is_json_that_other_readers_take(path):
    append_row(path, {"kind": "train", "step": 9, "d/loss": float("nan"), "deep": {"list": [1.0, float("inf")]}})

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    last = json.loads(path.read_text().splitlines()[-1], parse_constant=refuse)
    assert last["d/loss"] is None and last["deep"] == {"list": [1.0, None]}


def test_truncation_keeps_rows_up_to_a_step_and_drops_a_torn_end(path):
    append_row(path, {"kind": "evaluate", "step": 2, "images": 16, "values": {"fd": 1.0}})
    path.write_bytes(path.read_bytes() + b'{"kind": "train", "st')
    truncate_rows(path, 3)
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3, 2]
    assert [p.name for p in path.parent.iterdir()] == ["metrics.jsonl"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(GanvasError, match="nowhere"):
        append_row(tmp_path / "nowhere" / "metrics.jsonl", ROWS[0])


def test_the_last_of_rows_that_share_a_step_counts(path):
    append_row(path, ROWS[1] | {"d/loss": 7.0})
    assert [row["d/loss"] for row in of_kind(read_rows(path), "train")] == [0.5, 7.0, 1.5, 2.0, 2.5]


def test_names_are_grouped_by_phase_in_order_of_appearance():
    rows = [{"step": 1, "d/loss": 1, "g/cost": 2}, {"step": 2, "d/loss": 1, "d/gradient norm": 3, "images_per_second": 4}]
    assert names_by_phase(rows) == {"d": ["loss", "gradient norm"], "g": ["cost"]}
