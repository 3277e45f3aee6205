"""`digits`: 1,797 handwritten digits that ship inside scikit-learn, 8 x 8 pixels, 17 grey levels, ten classes.

They are the test part of Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
"""

import gzip
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from ganvas.data.arrays import memory_images, scan_arrays
from ganvas.data.examples import MemoryImages
from ganvas.data.source import Request, Scan, Source

_TITLE = "handwritten digits that ship inside scikit-learn"
_CLASSES = tuple("0123456789")


def _table() -> NDArray[np.int64]:
    """(1797, 65): 64 grey levels 0 .. 16 and the digit.

    scikit-learn's own file is read where it lies, because importing scikit-learn takes ten times as long; an installation
    that keeps it elsewhere is asked through `load_digits`.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            with gzip.open(path, "rt", encoding="ascii") as text:
                return np.loadtxt(text, delimiter=",", dtype=np.int64)
    return from_scikit_learn()


def from_scikit_learn() -> NDArray[np.int64]:
    """The same table, through scikit-learn's public function."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return np.concatenate([loaded.data, loaded.target[:, None]], axis=1).astype(np.int64)


def _is_test(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for every fifth image of each class, in the order of the set."""
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[4::5]] = True
    return test


@final
class DigitSource(Source):
    """The 17 grey levels are spread over 0 .. 255; every fifth image of each class is a test image."""

    def __init__(self) -> None:
        super().__init__("digits")

    def splits(self) -> tuple[str, ...]:
        return ("train", "test")

    def open(self, split: str, request: Request) -> MemoryImages:
        table = _table()
        rows = table[_is_test(table[:, 64]) == (split == "test")]
        pixels = np.rint(rows[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        return memory_images(source=f"digits ({_TITLE})", split=split, pixels=pixels, labels=rows[:, 64], classes=_CLASSES, request=request)

    def scan(self, request: Request) -> Scan:
        native = {split: self.open(split, replace(request, resolution=None)) for split in self.splits()}
        return scan_arrays(self.name, f"images, built in: {_TITLE}", native, request)
