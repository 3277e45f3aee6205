"""What every metric asks of the features it is given."""

from torch import Tensor

from ganvas.errors import require


def checked(features: Tensor, what: str, least: int) -> Tensor:
    """`features` (N, D) as float64 on the processor.

    Raises `GanvasError` naming `what` unless there are two axes, at least `least` rows, one column, and only finite numbers: a metric of
    NaN or infinity would be a wrong number, not a bad one.
    """
    return sound(features, what, least).double()


def sound(features: Tensor, what: str, least: int) -> Tensor:
    """The same in the precision given."""
    require(features.dim() == 2 and features.shape[1] > 0, f"{what}: features of shape (N, D) are wanted, not {tuple(features.shape)}")
    require(len(features) >= least, f"{what}: at least {least} rows of features are needed, {len(features)} came: use more samples")
    exact = features.detach().cpu()
    finite = bool(exact.sum().isfinite())  # one pass; only what is wrong (or overflows) is counted
    bad = 0 if finite else int((~exact.isfinite().all(dim=1)).sum())
    require(bad == 0, f"{what}: {bad} of {len(exact)} rows of features hold NaN or infinity; look for non-finite samples or weights")
    return exact


def checked_pair(first: Tensor, second: Tensor, names: tuple[str, str], least: int) -> tuple[Tensor, Tensor]:
    """Two sets of features (N, D) and (M, D) of the same D, each as `checked` returns it."""
    a, b = checked(first, names[0], least), checked(second, names[1], least)
    same = a.shape[1] == b.shape[1]
    require(same, f"{names[0]} have {a.shape[1]} features each, {names[1]} {b.shape[1]}: take both from the same extractor")
    return a, b
