"""Labels of samples that are made for a class: drawn while training, asked for when sampling, and wrong ones on purpose."""

import torch
from torch import Tensor

from ganvas.engine.contract import Condition
from ganvas.engine.draws import Draws
from ganvas.errors import GanvasError, require

__all__ = ["asked", "drawn", "wrong"]


def drawn(n: int, classes: int, rng: Draws) -> Tensor:
    """n labels (n,) int64, every class equally likely."""
    return rng.integers(n, classes)


def wrong(labels: Tensor, classes: int, rng: Draws) -> Tensor:
    """For each of the labels (B,) another one, all others equally likely; there are at least two classes."""
    return (labels + 1 + rng.integers(len(labels), classes - 1)) % classes


def asked(condition: Condition | None, z: Tensor, classes: int, name: str) -> Tensor:
    """The labels (n,) that a condition asks for codes (n, Z); without a condition the classes in turn, 0, 1, .. and again 0.

    `name` is the model's, for errors. Labels are trusted to be 0 .. classes - 1: a look at them would make a GPU wait.
    """
    if condition is None:
        return torch.arange(len(z), device=z.device) % classes
    if condition.labels is None:
        raise GanvasError(f"{name}: its samples can be asked for by labels alone")
    require(condition.labels.shape == (len(z),), f"{name}: {len(z)} samples take as many labels, not {tuple(condition.labels.shape)}")
    return condition.labels
