"""What each rank does in the tests of `test_ranks.py`; started by torchrun with a folder and the name of a part."""

import faulthandler
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from ganvas.engine.budget import images_for
from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.loop import Trainer
from ganvas.engine.ranks import Ranks, joined
from tests.engine.toys import MACHINE, Toy, plan, points, tensors

STEPS, SAVED = 6, 3


def trainer(ranks: Ranks, folder: Path | None = None) -> Trainer:
    checkpoints = None if folder is None else Checkpoints(folder / "checkpoints")
    return Trainer(Toy(), points(), plan(budget=256), MACHINE, ranks=ranks, checkpoints=checkpoints)


def written(t: Trainer, path: Path) -> None:
    save_file({name: value.contiguous() for name, value in tensors(t).items()}, path)


def whole(ranks: Ranks, folder: Path) -> None:
    """An undisturbed run (that saves, as saving averages batch-norm buffers), and the sums of small things."""
    t = trainer(ranks, folder / "elsewhere")
    for _ in range(STEPS):
        t.play()
        if t.step == SAVED:
            t.save()
    written(t, folder / f"whole-{ranks.rank}.safetensors")
    (folder / f"small-{ranks.rank}.json").write_text(json.dumps(small(ranks)))


def small(ranks: Ranks) -> dict[str, object]:
    w = torch.tensor(2.0, requires_grad=True)
    mean = ranks.mean(w * (ranks.rank + 1))
    ((ranks.rank + 1) * mean**2).backward()
    gradient = [w.grad]
    ranks.mean_(gradient)
    slope = torch.autograd.grad(ranks.mean(w * (ranks.rank + 1)) ** 3, w, create_graph=True)[0]
    second = [torch.autograd.grad(slope**2, w)[0]]
    ranks.mean_(second)
    pool = (torch.arange(2 * 3 * 2 * 2).view(2, 3, 2, 2) + 100 * ranks.rank).contiguous(memory_format=torch.channels_last)
    uneven = [torch.full((2, 3), float(ranks.rank)).t(), torch.tensor(float(ranks.rank * 4)), torch.zeros(0), pool.float()]
    ranks.mean_(uneven)
    values = {
        "mean": mean.item(),
        "gradient": gradient[0].item(),
        "second": second[0].item(),
        "gathered": [each.tolist() for each in ranks.gather(pool)],
        "gathered flags": [each.tolist() for each in ranks.gather(torch.tensor([ranks.rank == 1]))],
        "averaged": [each.tolist() for each in uneven],
        "highest": ranks.highest(3 - ranks.rank, torch.device("cpu")),
        "agreed": ranks.agree({"from": ranks.rank}),
    }
    time.sleep(0.3 * ranks.rank)  # ranks never look at their clocks at the same moment
    return values | {"images": images_for(0.01, Toy(), points(), plan(budget=256), MACHINE, ranks)}


def killed(ranks: Ranks, folder: Path) -> None:
    """Dies without warning two steps after its checkpoint."""
    t = trainer(ranks, folder)
    for _ in range(SAVED + 2):
        t.play()
        if t.step == SAVED:
            t.save()
            written(t, folder / f"saved-{ranks.rank}.safetensors")
    os.kill(os.getpid(), signal.SIGKILL)


def resumed(ranks: Ranks, folder: Path) -> None:
    t = trainer(ranks, folder)
    assert t.restore() and t.step == SAVED
    written(t, folder / f"restored-{ranks.rank}.safetensors")
    while t.step < STEPS:
        t.play()
    written(t, folder / f"resumed-{ranks.rank}.safetensors")


PARTS = {"whole": whole, "killed": killed, "resumed": resumed}

if __name__ == "__main__":
    faulthandler.dump_traceback_later(400, exit=True)  # a rank that waits in vain says where
    torch.set_num_threads(1)
    with joined() as joined_ranks:
        for part in sys.argv[2:]:
            PARTS[part](joined_ranks, Path(sys.argv[1]))
    # Threads of a process group that is still held would be met by the end of the interpreter, which then may abort.
    names = [Path("/proc/self/task", task, "comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    (Path(sys.argv[1]) / f"threads-{joined_ranks.rank}.json").write_text(json.dumps(names))
