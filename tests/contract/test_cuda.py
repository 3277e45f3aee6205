"""Every game on a CUDA device: it trains there as on the processor, and is taken up again exactly."""

import numpy as np
import pytest
import torch

from ganvas.engine.devices import make_deterministic
from tests.contract.games import SAVED, STEPS
from tests.contract.workers import contents

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("default"),  # torch warns of kernels that it cannot vouch for; equal bits are what counts
]
CUDA = torch.device("cuda", 0)


@pytest.fixture(scope="module", autouse=True)
def deterministic():
    fills = torch.utils.deterministic.fill_uninitialized_memory
    make_deterministic(CUDA)
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_a_run_on_cuda_is_taken_up_again_exactly(game, bf16, tmp_path):
    whole = game.trainer(device=CUDA, bf16=bf16)
    rows = [whole.play() for _ in range(STEPS)]
    assert all(np.isfinite(value) for row in rows for value in row.values() if isinstance(value, float)), rows
    first = game.trainer(device=CUDA, bf16=bf16, folder=tmp_path)
    while first.step < SAVED:
        first.play()
    first.save()
    second = game.trainer(device=CUDA, bf16=bf16, folder=tmp_path)
    assert second.restore()
    while second.step < STEPS:
        second.play()
    a, b = contents(whole), contents(second)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_samples_of_weights_are_the_same_on_cuda(game):
    """Codes are drawn on the processor, so that a seed names the same sample on any device; to 2e-3, for sums in another order."""
    model = game.model().eval()
    there = game.samples(model, 3, seed=5)
    torch.testing.assert_close(game.samples(model.to(CUDA), 3, seed=5, device=CUDA).cpu(), there, rtol=0, atol=2e-3)
