"""`hf:NAME`: a data set that the `datasets` library reads, by its name on the Hugging Face hub or by a path.

A path is what `Dataset.save_to_disk` wrote, or a folder that `load_dataset` understands; `hf:NAME:CONFIG` picks one of several
configurations. The images are those of the first column of images, and the classes those of the first column of class labels. Files are
decoded here, like those of a folder, and not by the library. Only a name on the hub reaches for the network, and that through the library.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from ganvas.data.decode import Unusable, check_head
from ganvas.data.examples import Rejected
from ganvas.data.images import ImageSource
from ganvas.data.source import UNDIVIDED, split_of
from ganvas.data.stores import MOST_BYTES, Entry, Gone, Store, read_file
from ganvas.data.survey import cache_file
from ganvas.data.tables import Facts
from ganvas.data.words import shown
from ganvas.errors import GanvasError, require

PREFIX = "hf:"


@final
class Columns(Store):
    """The images of the splits of a data set; image 7 of the training split is the file `train/00000007`."""

    def __init__(self, splits: Mapping[str, Any], column: str) -> None:
        self._splits, self._column = splits, column

    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        # A survey is remembered by the fingerprint of the data set, which changes with the content: sizes and times need not be known.
        return [Entry(name, 0, 0) for split in sorted(self._splits) for name in self.names(split)], []

    def names(self, split: str) -> list[str]:
        """The names of all images of a split, in order."""
        folder = "" if split == UNDIVIDED else f"{split}/"
        return [f"{folder}{row:08}" for row in range(len(self._splits[split]))]

    def read(self, name: str) -> bytes:
        split, _, row = name.rpartition("/")
        stored = self._splits[split or UNDIVIDED][int(row)][self._column]
        if stored is None:
            raise Unusable("holds no image (it is null)")
        data: bytes | None = stored["bytes"]
        if data is None:
            return read_file(stored["path"])
        if len(data) > MOST_BYTES:
            raise Unusable(f"has {len(data):,} bytes, more than {MOST_BYTES:,}")
        check_head(data[:64])
        return data

    def read_text(self, name: str) -> str:
        raise Gone("is no table")


def hub_source(name: str) -> ImageSource:
    """The source that `hf:...` means; `GanvasError` if the library is missing, cannot read it, or finds no images in it."""
    if importlib.util.find_spec("datasets") is None:
        raise GanvasError(f"'{shown(name)}' is read by the library `datasets`, which is not installed: pip install 'ganvas[data]'")
    import datasets

    found = _loaded(name.removeprefix(PREFIX))
    splits: dict[str, Any] = {}
    others: list[str] = []
    for called, one in found.items():
        split = split_of(called)
        if split is not None and split not in splits:
            splits[split] = one
        else:
            others.append(called)
    if not splits:
        require(len(others) == 1, f"'{shown(name)}' has the splits {', '.join(others)}, none of which is called train, validation or test")
        splits, others = {UNDIVIDED: found[others[0]]}, []
    first = next(iter(splits.values()))
    images = [column for column, kind in first.features.items() if isinstance(kind, datasets.Image)]
    labels = [column for column, kind in first.features.items() if isinstance(kind, datasets.ClassLabel)]
    if not images:
        raise GanvasError(f"'{shown(name)}' has no column of images; its columns: {', '.join(map(shown, first.features))}")
    plain = {split: one.cast_column(images[0], datasets.Image(decode=False)) for split, one in splits.items()}
    store = Columns(plain, images[0])
    notes = [f"images are column '{shown(images[0])}'" + (f", labels are column '{shown(labels[0])}'" if labels else "")]
    notes += [f"the splits {', '.join(map(shown, others))} are not used"] if others else []
    label = labels[0] if labels else None
    known = Facts(labels=_classes(store, plain, label), notes=tuple(notes), tables={"labels": label or ""}, about_labels=True)
    prints = "-".join(str(one._fingerprint) for one in splits.values())
    return ImageSource(name, "a data set of the library datasets", store, cache_file(Path(f"/{PREFIX}{prints}")), known=known)


def _classes(store: Columns, splits: Mapping[str, Any], column: str | None) -> dict[str, str] | None:
    """The class of each image by its name; images without a label (-1 or null) have none."""
    if column is None:
        return None
    found: dict[str, str] = {}
    for split, one in splits.items():
        names = one.features[column].names
        rows = zip(store.names(split), one[column], strict=True)
        found |= {name: names[label] for name, label in rows if label is not None and label >= 0}
    return found


def _loaded(name: str) -> Mapping[str, Any]:
    """The splits of a data set by the library's names."""
    import datasets

    require(bool(name), f"'{PREFIX}' wants the name or path of a data set behind it")
    path = Path(name).expanduser()
    try:
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            found = datasets.load_from_disk(str(path))
        elif path.exists():
            found = datasets.load_dataset(str(path))
        else:
            repository, _, configuration = name.partition(":")
            found = datasets.load_dataset(repository, configuration or None)
    except Exception as error:  # the library raises whatever its many readers and the network do
        raise GanvasError(f"'{PREFIX}{shown(name)}' cannot be read by the library datasets: {' '.join(str(error).split())[:300]}") from None
    return found if isinstance(found, dict) else {UNDIVIDED: found}
