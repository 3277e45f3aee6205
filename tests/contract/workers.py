"""Processes of the contract suite, each for all games in turn: one that resumes, and two that train together.

`python workers.py resume FOLDER`: for every game, restore FOLDER/GAME and play on. `torchrun workers.py ranks FOLDER`: play from the start.
Each writes FOLDER/GAME-WHAT.safetensors, or FOLDER/GAME-WHAT.error.
"""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvas.engine.loop import Trainer
from ganvas.engine.ranks import Ranks, joined
from tests.contract.games import GAMES, SAVED, STEPS, Game
from tests.engine.toys import tensors


def saved(game: Game, folder: Path) -> Trainer:
    t = game.trainer(folder=folder / str(game))
    while t.step < SAVED:
        t.play()
    t.save()
    return t


def resumed(game: Game, folder: Path) -> Trainer:
    t = game.trainer(folder=folder / str(game))
    assert t.restore() and t.step == SAVED
    while t.step < STEPS:
        t.play()
    return t


def together(game: Game, ranks: Ranks) -> Trainer:
    t = game.trainer(ranks=ranks)
    while t.step < STEPS:
        t.play()
    return t


def each(folder: Path, what: str, train: Callable[[Game], Trainer]) -> None:
    for game in GAMES:
        try:
            found = contents(train(game))
        except Exception:
            (folder / f"{game}-{what}.error").write_text(traceback.format_exc())
            continue
        save_file(found, folder / f"{game}-{what}.safetensors")


def contents(t: Trainer) -> dict[str, Tensor]:
    """Everything a run is made of, and where it stands."""
    counters = torch.tensor([t.step, t.images, t.stage, t.stage_step, t.stage_start])
    return {name: value.contiguous() for name, value in tensors(t).items()} | {"counters": counters}


if __name__ == "__main__":
    task, place = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    if task == "resume":
        each(place, "resumed", lambda game: resumed(game, place))
    else:
        with joined() as peers:
            each(place, f"rank-{peers.rank}", lambda game: together(game, peers))
