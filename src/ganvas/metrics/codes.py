"""What is near in code space: whether the nearest code is of an image of the same class."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganvas.errors import require
from ganvas.metrics.features import checked_pair
from ganvas.metrics.neighbours import BLOCK, nothing


def nearest_accuracy(
    known: Tensor, labels: Tensor, asked: Tensor, truth: Tensor, *, block: int = BLOCK, poll: Callable[[], None] = nothing
) -> float:
    """Share of the codes `asked` (M, Z) whose nearest of the codes `known` (N, Z) has their label; labels (N,), truth (M,).

    Distances are Euclidean, in float64; of equal ones the first counts. Raises `GanvasError` for codes that are not finite.
    """
    fits = len(known) == len(labels) > 0 and len(asked) == len(truth) > 0
    require(fits, f"{len(known)} and {len(asked)} codes need as many labels, {len(labels)} and {len(truth)} came")
    exact, wanted = checked_pair(known, asked, ("the codes of known images", "the codes asked about"), least=1)
    right = 0
    for rows in torch.arange(len(wanted)).split(max(1, block // len(exact))):
        poll()
        # Differences, not the expanded square: of codes far from 0 that would lose the digits that tell them apart.
        nearest = torch.cdist(wanted[rows], exact, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
        right += int((labels[nearest] == truth[rows]).sum())
    return right / len(wanted)
