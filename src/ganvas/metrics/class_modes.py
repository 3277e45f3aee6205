"""Modes among classes: how many of the data's classes samples fall into, and how unevenly (Srivastava et al. 2017, arXiv:1705.07761,
section 5.2; Lin et al. 2018, arXiv:1712.04086, section 4.2).

On Stacked-MNIST, three digits as the channels of one image, there are 1,000 of them; a classifier of one digit reads each channel. A class
is found with one sample. The divergence is KL(samples' classes || data's classes), in nats; log 1000 = 6.9 where all fall into one class.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import require


@dataclass(frozen=True)
class ClassModes:
    """`found` of `of` classes, and the divergence in nats."""

    found: int
    of: int
    divergence: float


def class_modes(labels: Tensor, shares: Tensor) -> ClassModes:
    """From the classes (N,) of samples, and the data's shares (K,) of each class, none negative, with the sum 1.

    Raises `GanvasError` without samples, for labels outside 0 .. K - 1, and where a class that the data lack was found: the divergence is
    infinite there.
    """
    require(len(labels) > 0, "modes: there are no samples")
    of = len(shares)
    require(bool(((labels >= 0) & (labels < of)).all()), f"modes: labels of 0 .. {of - 1} are wanted")
    counts = torch.bincount(labels.cpu(), minlength=of).double()
    law, mine = shares.double().cpu(), counts / counts.sum()
    absent = int(((law == 0) & (counts > 0)).sum())
    require(absent == 0, f"modes: samples fall into {absent} classes that the data do not have")
    present = mine > 0
    divergence = float((mine[present] * (mine[present] / law[present]).log()).sum())
    return ClassModes(int(present.sum()), of, max(0.0, divergence))
