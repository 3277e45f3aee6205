"""Labels and attributes that lie beside the images in a file of their own.

- `dataset.json`, as StyleGAN's tools write it: {"labels": [["00000/img00000000.png", 3], ...]}, or null for none. Labels are whole
  numbers, or vectors of 0 and 1: one-hot vectors are classes, others attributes.
- `labels.csv` and `metadata.csv`: a head row, a column of file names and a column of labels, told by their names (`FILES`, `LABELS`).
- `list_attr_celeba.txt`: the number of images, the names of the attributes, then a line for each image with 1 or -1 for each attribute; or
  the same as `list_attr_celeba.csv` with a head row.

A file is named by its path below the folder of the table, or by its bare name (with or without ending) where there is only one of it.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, final

import numpy as np
from numpy.typing import NDArray

from ganvas.data.stores import Gone, Store
from ganvas.data.words import counted, shown
from ganvas.errors import GanvasError

FILES = ("file_name", "filename", "file", "file_path", "filepath", "path", "image", "image_path", "image_id", "name", "id")
LABELS = ("label", "labels", "class", "class_name", "category", "target")
_CELEBA = ("list_attr_celeba.txt", "list_attr_celeba.csv")
_NAMES = ("dataset.json", "labels.csv", "metadata.csv", *_CELEBA)

Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class Facts:
    """What tables say: the class of files by path, or None if they say nothing of classes; 0 or 1 (A,) of the `attributes` likewise."""

    labels: Mapping[str, str] | None = None
    attributes: tuple[str, ...] = ()
    bits: Mapping[str, Bits] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    """The file that "labels" and "attributes" come from."""
    about_labels: bool = False
    """Whether a table speaks of labels, be it to say that there are none: folders are no classes then."""


def is_table(name: str) -> bool:
    """Whether a file, by its path, is called as one of the tables."""
    return name.rpartition("/")[2].lower() in _NAMES


def read(source: str, store: Store, tables: Sequence[str], files: Sequence[str]) -> Facts:
    """What `tables` say of `files` (paths below the source). Errors name the table, the row and the column."""
    there = _Files(files)
    found = [_Reading(source, table, there, store).read() for table in tables]
    labels: dict[str, str] = {}
    bits: dict[str, Bits] = {}
    speaking, naming = [], []
    names: tuple[str, ...] = ()
    for table, one in zip(tables, found, strict=True):
        if one.labels is not None:
            speaking.append(table)
            labels |= one.labels
        if one.attributes:
            naming.append(table)
            names = names or one.attributes
            bits |= one.bits
            _same(source, naming[0], table, names == one.attributes, "attributes")
    for table in speaking:
        _same(source, speaking[0], table, _bare(speaking[0]) == _bare(table), "labels")
    return Facts(
        labels=labels if speaking else None,
        attributes=names,
        bits=bits,
        tables={what: shown(where[0]) for what, where in (("labels", speaking), ("attributes", naming)) if where},
        notes=tuple(note for one in found for note in one.notes),
        about_labels=any(one.about_labels for one in found),
    )


def _same(source: str, first: str, other: str, agree: bool, what: str) -> None:
    if not agree:
        raise GanvasError(f"'{source}': both '{shown(first)}' and '{shown(other)}' hold {what}: move one of them away")


def _bare(path: str) -> str:
    return path.rpartition("/")[2].lower()


@final
class _Files:
    """The paths that a table may mean."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = set(paths)
        self._bare: dict[str, list[str]] = {}
        for path in paths:
            bare = path.rpartition("/")[2]
            for name in {bare, bare.rpartition(".")[0]} - {""}:
                self._bare.setdefault(name, []).append(path)

    def meant(self, folder: str, written: str) -> list[str]:
        """The files that `written` in a table of `folder` may mean: none, one, or several."""
        name = written.strip().replace("\\", "/").removeprefix("./")
        path = f"{folder}/{name}" if folder else name
        return [path] if path in self._paths else self._bare.get(name, [])


@final
class _Reading:
    """One table being read."""

    def __init__(self, source: str, table: str, files: _Files, store: Store) -> None:
        self._source, self._table, self._files, self._store = source, table, files, store
        self._folder = table.rpartition("/")[0]
        self._absent = 0

    def read(self) -> Facts:
        try:
            text = self._store.read_text(self._table)
        except Gone as error:
            self._fail(str(error))
        except UnicodeDecodeError as error:
            self._fail(f"is not UTF-8 text (byte {error.start})")
        kind = _bare(self._table)
        if kind == "dataset.json":
            return self._dataset(text)
        return self._celeba(text, kind.endswith(".csv")) if kind in _CELEBA else self._csv(text, kind)

    def _fail(self, message: str, row: int | None = None, column: str | None = None) -> NoReturn:
        where = f"'{self._source}': '{shown(self._table)}'"
        where += (f", row {row:,}" if row is not None else "") + (f", column '{shown(column)}'" if column is not None else "")
        raise GanvasError(f"{where}{':' if row is not None else ''} {message}")

    def _file(self, written: str, row: int, column: str | None, known: Mapping[str, object]) -> str | None:
        """The path that is meant; None if there is no such file."""
        meant = self._files.meant(self._folder, written)
        if len(meant) > 1:
            self._fail(f"'{shown(written)}' may be '{shown(meant[0])}' or '{shown(meant[1])}': write the path", row, column)
        if not meant:
            self._absent += 1
            return None
        if meant[0] in known:
            self._fail(f"'{shown(written)}' has a row already", row, column)
        return meant[0]

    def _notes(self, what: str, known: Mapping[str, object], example: str) -> tuple[str, ...]:
        if not known:
            self._fail(f"names none of the images ('{shown(example)}' is not there): file names are paths below its folder")
        absent = f"; {counted(self._absent, 'row')} of it name files that are not there" if self._absent else ""
        return (f"{what} from '{shown(self._table)}'{absent}",)

    def _dataset(self, text: str) -> Facts:
        try:
            stored = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            self._fail(f"is not whole JSON ({error})")
        if not isinstance(stored, dict) or "labels" not in stored:
            return Facts(notes=(f"'{shown(self._table)}' is not used, for it has no entry 'labels'",))
        if stored["labels"] is None:
            return Facts(about_labels=True, notes=(f"'{shown(self._table)}' says that there are no labels",))
        rows = stored["labels"]
        if not isinstance(rows, list) or not rows:
            self._fail("has 'labels' that are neither null nor a list of [file, label]")
        found: dict[str, Any] = {}
        for row, pair in enumerate(rows, 1):
            self._check(pair, rows[0], row)
            path = self._file(pair[0], row, "labels", found)
            if path is not None:
                found[path] = pair[1]
        notes = self._notes("labels", found, rows[0][0])
        if not isinstance(rows[0][1], list):
            return Facts(labels={path: str(label) for path, label in found.items()}, notes=notes, about_labels=True)
        if all(sum(label) == 1 for label in found.values()):
            return Facts(labels={path: str(label.index(1)) for path, label in found.items()}, notes=notes, about_labels=True)
        names = tuple(str(place) for place in range(len(rows[0][1])))
        bits = {path: np.array(label, np.uint8) for path, label in found.items()}
        return Facts(attributes=names, bits=bits, notes=(notes[0].replace("labels", "attributes", 1),), about_labels=True)

    def _check(self, pair: Any, first: Any, row: int) -> None:
        """A row of `dataset.json` is [file, label], with a label of the kind and length of the first row's."""
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            self._fail(f"{_short(pair)} is not a pair [file, label]", row, "labels")
        label = pair[1]
        if not (_is_class(label) or _is_bits(label)):
            self._fail(f"the label {_short(label)} is neither a whole number from 0 nor a vector of 0 and 1", row, "labels")
        if type(label) is not type(first[1]) or (isinstance(label, list) and len(label) != len(first[1])):
            self._fail(f"the label {_short(label)} is of another kind or length than that of the first row", row, "labels")

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """The rows of a CSV file that are not empty, with the number of the line that each ends on."""
        head = text.partition("\n")[0]
        mark = max(",;\t", key=head.count)  # a comma where there is none of them, for `max` takes the first
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._fail(f"is not CSV ({error})", reader.line_num)
            if any(field.strip() for field in fields):
                yield reader.line_num, [field.strip() for field in fields]

    def _csv(self, text: str, kind: str) -> Facts:
        rows = self._rows(text)
        _, head = next(rows, (0, []))
        file, label = _column(head, FILES), _column(head, LABELS)
        if len(head) == 2 and (file is None) != (label is None):
            file, label = (1 - label, label) if label is not None else (file, 1 - (file or 0))
        if file is None or label is None:
            if kind == "metadata.csv":  # image folders keep captions and much else in it
                return Facts(notes=(f"'{shown(self._table)}' is not used, for its columns name no files and labels",))
            what, names = ("file", FILES) if file is None else ("label", LABELS)
            self._fail(f"has no {what} column, called {', '.join(names[:-1])} or {names[-1]}; its columns: {_short(', '.join(head))}", 1)
        found: dict[str, str] = {}
        first = ""
        for row, fields in rows:
            if len(fields) != len(head):
                self._fail(f"has {counted(len(fields), 'field')}, the head has {len(head)}", row)
            first = first or fields[file]
            path = self._file(fields[file], row, head[file], found)
            if not fields[label]:
                self._fail(f"'{shown(fields[file])}' has no label", row, head[label])
            if path is not None:
                found[path] = fields[label]
        notes = self._notes(f"labels (column '{shown(head[label])}')", found, first)
        return Facts(labels=found, notes=notes, about_labels=True)

    def _celeba(self, text: str, commas: bool) -> Facts:
        declared: int | None = None
        if commas:
            rows = self._rows(text)
            names = next(rows, (0, []))[1][1:]
        else:
            lines = [line.split() for line in text.splitlines()]
            if len(lines) < 2 or len(lines[0]) != 1 or not lines[0][0].isdecimal():
                self._fail("begins neither with the number of images nor with the names of attributes", 1)
            declared, names = int(lines[0][0]), lines[1]
            rows = ((row, fields) for row, fields in enumerate(lines[2:], 3) if fields)
        if not names or len(set(names)) != len(names):
            self._fail("has no attributes, or two of one name", 1 if commas else 2)
        found: dict[str, Bits] = {}
        count, first = 0, ""
        for row, fields in rows:
            count += 1
            if len(fields) != len(names) + 1:
                self._fail(f"has {counted(len(fields) - 1, 'value')} for {counted(len(names), 'attribute')}", row)
            wrong = next((at for at, value in enumerate(fields[1:]) if value not in ("1", "-1", "0")), None)
            if wrong is not None:
                self._fail(f"'{shown(fields[wrong + 1])}' is neither 1 nor -1", row, names[wrong])
            first = first or fields[0]
            path = self._file(fields[0], row, None, found)
            if path is not None:
                found[path] = np.array([value == "1" for value in fields[1:]], np.uint8)
        if declared is not None and declared != count:
            self._fail(f"declares {declared:,} images but has {counted(count, 'row')}: it is not whole", 1)
        return Facts(attributes=tuple(names), bits=found, notes=self._notes(counted(len(names), "attribute"), found, first))


def _column(head: Sequence[str], names: Sequence[str]) -> int | None:
    lower = [name.lower() for name in head]
    return next((lower.index(name) for name in names if name in lower), None)


def _is_class(label: object) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and label >= 0


def _is_bits(label: object) -> bool:
    return isinstance(label, list) and bool(label) and all(isinstance(value, int | float) and value in (0, 1) for value in label)


def _short(value: object, most: int = 80) -> str:
    text = shown(str(value))
    return text if len(text) <= most else text[:most] + " ..."
