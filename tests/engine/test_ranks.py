"""Two processes are one: the same steps as two micro-batches, the same bits on both, and an exact resume after a kill."""

import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.ranks import Ranks, joined
from ganvas.engine.state import model_tensors
from ganvas.errors import GanvasError
from tests.engine import rank_worker
from tests.engine.faults import two
from tests.engine.toys import Toy, assert_equal, plan, tensors, trainer

WORKER = Path(rank_worker.__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything the ranks leave: one start that ends in a kill, and a second one that resumes."""
    folder = tmp_path_factory.mktemp("ranks")
    assert two(WORKER, folder, "whole", "killed") == [-signal.SIGKILL] * 2
    assert two(WORKER, folder, "resumed") == [0, 0]
    return folder


@pytest.fixture(scope="module")
def small(folder):
    return [json.loads((folder / f"small-{rank}.json").read_text()) for rank in (0, 1)]


def of(folder, what):
    return [load_file(folder / f"{what}-{rank}.safetensors") for rank in (0, 1)]


def by_rank(name):
    """Pools differ by design; batch-norm statistics are each rank's own until they are averaged for a checkpoint."""
    return name == "model/pool" or any(part in name for part in ("running", "batches_tracked"))


def test_two_ranks_are_two_micro_batches(folder):
    """With dropout and batch norm on: every rank draws what the micro-batch in its place would."""
    t = trainer(Toy(), plan=plan(budget=256, accumulate=2))
    for _ in range(rank_worker.STEPS):
        t.play()
    mine, ranks = tensors(t), of(folder, "whole")[0]
    assert mine.keys() == ranks.keys() and any("dropout" in str(module).lower() for module in t.model.critic)
    for name, value in mine.items():
        if not by_rank(name):
            torch.testing.assert_close(ranks[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_all_that_is_shared_is_bit_equal_on_both_ranks(folder):
    first, second = of(folder, "whole")
    for name, value in first.items():
        if not by_rank(name):
            assert torch.equal(value, second[name]), name
    assert not torch.equal(first["model/pool"], second["model/pool"])


def test_saving_averages_the_statistics_of_batch_norm(folder):
    first, second = of(folder, "saved")
    name = "model/generator.1.running_mean"
    assert torch.equal(first[name], second[name])
    stored = Checkpoints(folder / "checkpoints").newest(warn=pytest.fail)
    assert torch.equal(stored.tensors["model"]["generator.1.running_mean"], first[name])
    later = of(folder, "whole")
    assert not torch.equal(later[0][name], later[1][name])


def test_a_killed_run_is_resumed_exactly_on_both_ranks(folder):
    for saved, restored in zip(of(folder, "saved"), of(folder, "restored"), strict=True):
        assert_equal(saved, restored)
    for whole, resumed in zip(of(folder, "whole"), of(folder, "resumed"), strict=True):
        assert_equal(whole, resumed)


def test_pools_are_saved_by_rank(folder):
    stored = Checkpoints(folder / "checkpoints").newest(warn=pytest.fail)
    pools = [saved["model/pool"] for saved in of(folder, "saved")]
    assert not torch.equal(*pools)
    for rank, pool in enumerate(pools):
        assert torch.equal(stored.tensors[f"rank-{rank:04d}"]["pool"], pool)
        assert torch.equal(model_tensors(stored, ("pool",), rank)["pool"], pool)
    assert "pool" not in stored.tensors["model"]


def test_a_rank_without_a_state_is_refused(folder):
    stored = Checkpoints(folder / "checkpoints").newest(warn=pytest.fail)
    with pytest.raises(GanvasError, match="no state for rank 2: resume with as many ranks as before"):
        model_tensors(stored, ("pool",), 2)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list threads")
def test_the_threads_of_the_group_end_with_it(folder):
    for rank in (0, 1):
        assert not [name for name in json.loads((folder / f"threads-{rank}.json").read_text()) if "gloo" in name]


def test_the_mean_over_ranks_is_differentiable(small):
    """Loss of rank r is r m^2 with m = mean(w r) = 1.5 w: the mean loss is 1.5 (1.5 w)^2, and its slope 6.75 w, for w = 2."""
    for rank in small:
        assert rank["mean"] == pytest.approx(3.0)
        assert rank["gradient"] == pytest.approx(13.5)


def test_the_mean_over_ranks_is_differentiable_twice(small):
    """A penalty on the slope of m^3 on rank r, r 3 m^2: its mean square is 22.5 m^4, the slope of that 135 m^3, for m = 3."""
    for rank in small:
        assert rank["second"] == pytest.approx(135 * 27.0)


def test_gathering_keeps_order_and_layout(small):
    pool = torch.arange(2 * 3 * 2 * 2).view(2, 3, 2, 2)
    for rank in small:
        assert rank["gathered"] == [pool.tolist(), (pool + 100).tolist()]
        assert rank["gathered flags"] == [[False], [True]]


def test_averages_keep_shape_and_layout(small):
    pool = torch.arange(2 * 3 * 2 * 2).view(2, 3, 2, 2).float()
    for rank in small:
        assert rank["averaged"] == [[[0.5, 0.5]] * 3, 2.0, [], (pool + 50).tolist()]


def test_ranks_agree(small):
    for rank in small:
        assert rank["highest"] == 3 and rank["agreed"] == {"from": 0}


def test_the_timing_probe_takes_equal_steps_on_all_ranks(small):
    """That it came back at all shows it: clocks started 0.3 s apart."""
    assert small[0]["images"] == small[1]["images"] > 0


def test_a_single_process_needs_no_group(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined() as ranks:
        assert ranks == Ranks() and ranks.first
        x = torch.ones(2, requires_grad=True)
        assert ranks.mean(x) is x and ranks.gather(x)[0] is x and ranks.agree(4) == 4 and ranks.highest(5, torch.device("cpu")) == 5
        ranks.mean_([x.detach()])
        ranks.wait()
