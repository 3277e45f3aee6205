"""A finished run to look at, and one thread for every test."""

from pathlib import Path

import pytest
import torch

from tests.diagnostics.runs import begin, observed, trainer


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A finished run of `gan` on digits, with pictures but without a report."""
    path = tmp_path_factory.mktemp("runs") / "a run"
    entry, model, examples = begin(path)
    assert trainer(model, examples, observers=observed(path, entry.card, examples.spec)).run() == "finished"
    return path
