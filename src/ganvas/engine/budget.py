"""A budget in minutes, turned into images by timing every stage before the run starts."""

import copy
import statistics
import time
from collections.abc import Sequence

import torch

from ganvas.data.examples import Examples
from ganvas.engine.contract import GenerativeModel
from ganvas.engine.devices import Machine
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.ranks import Ranks

SHARE = 0.92  # of the minutes given to training itself; the rest is for grids, evaluation, checkpoints and the report


def images_for(minutes: float, model: GenerativeModel, examples: Examples, plan: Plan, machine: Machine, ranks: Ranks) -> int:
    """How many images can be trained on in `minutes`, all stages scaled alike; measured on a copy, the same answer on all ranks."""
    trial = Trainer(copy.deepcopy(model), examples, plan, machine, ranks=ranks)
    lengths = [stage.images for stage in trial.stages]
    seconds = [_seconds_per_image(trial, index) for index in range(len(trial.stages))]
    return int(ranks.agree(scaled(minutes, lengths, seconds)))


def scaled(minutes: float, lengths: Sequence[int], seconds_per_image: Sequence[float]) -> int:
    """The total length whose stages, in the proportions of `lengths`, take `SHARE` of `minutes`."""
    whole = sum(length * seconds for length, seconds in zip(lengths, seconds_per_image, strict=True))
    return max(1, int(sum(lengths) * SHARE * minutes * 60 / whole))


def _seconds_per_image(trial: Trainer, stage: int, warm: int = 3, least: float = 1.5) -> float:
    """Median time of an image in one stage, over at least five steps and `least` seconds."""
    trial.stage, trial.stage_step, trial.stage_start = stage, 0, trial.images
    trial.enter()
    samples: list[float] = []
    began = time.perf_counter()
    # Every rank takes as many steps as the one that wants most: a rank that stopped earlier would be waited for in vain.
    while trial.ranks.highest(int(len(samples) < warm + 5 or time.perf_counter() - began < least), trial.machine.device):
        trial.stage, images, start = stage, trial.images, time.perf_counter()
        trial.play()
        if trial.machine.device.type == "cuda":
            torch.cuda.synchronize(trial.machine.device)
        samples.append((time.perf_counter() - start) / (trial.images - images))
    return statistics.median(samples[warm:])
