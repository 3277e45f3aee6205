"""How well categories that were found without labels agree with classes, whatever their order.

Every category is matched with a class of its own so that the share of agreeing examples is largest (Kuhn 1955, doi:10.1002/nav.3800020109;
the measure is the accuracy of clustering). Chen et al. 2016 (arXiv:1606.03657, section 7.2) match an InfoGAN's code with digits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.errors import require


@dataclass(frozen=True)
class Agreement:
    """The share of examples whose category is matched with their class, and the class of each category, -1 where none is left."""

    share: float
    matched: tuple[int, ...]


def agreement(categories: Tensor, classes: Tensor, *, of_categories: int, of_classes: int) -> Agreement:
    """The best one-to-one match between the categories (N,) and the classes (N,) of the same examples.

    With more categories than classes some are left over, and their examples count as wrong; likewise with more classes.
    """
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    require(len(categories) == len(classes) > 0, f"{len(categories)} categories need as many classes, {len(classes)} came")
    for name, numbers, of in (("categories", categories, of_categories), ("classes", classes, of_classes)):
        require(bool(((numbers >= 0) & (numbers < of)).all()), f"{name} of 0 .. {of - 1} are wanted")
    pairs = categories.cpu().long() * of_classes + classes.cpu().long()
    table = torch.bincount(pairs, minlength=of_categories * of_classes).view(of_categories, of_classes)
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    matched = [-1] * of_categories
    for row, column in zip(rows, columns, strict=True):
        matched[int(row)] = int(column)
    return Agreement(int(table.numpy()[rows, columns].sum()) / len(classes), tuple(matched))
