"""Where the slow tests find real data: the folder of `GANVAS_DATA`, by default `../shared/data` beside the repository."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("GANVAS_DATA", Path(__file__).resolve().parents[2] / ".." / "shared" / "data"))


def folder(name: str) -> str:
    """The path of a data set, or a skip that says what is missing."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{path} is not there: set GANVAS_DATA to the folder that holds {name}")
    return str(path)
