"""Samples keyed by (seed, index): the i-th sample of a seed is the same whatever is drawn with it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganvas.data.examples import Examples
from ganvas.engine.capabilities import Latent
from ganvas.engine.card import Card
from ganvas.engine.contract import Condition, GenerativeModel
from ganvas.engine.draws import SampleDraws
from ganvas.errors import GanvasError, require


def _nothing() -> None:
    """The poll of a caller that cannot be interrupted."""


@torch.no_grad()
def draw(
    model: GenerativeModel,
    card: Card,
    n: int,
    *,
    seed: int,
    labels: Sequence[int] | None = None,
    sources: Examples | None = None,
    device: torch.device | str = "cpu",
    indices: Sequence[int] | None = None,
    batch: int = 256,
    poll: Callable[[], None] = _nothing,
) -> Tensor:
    """Samples 0 .. n - 1 of `seed` (or those with the n `indices`), in float32 on the processor.

    `labels` are asked for in turn: sample i gets `labels[i % len(labels)]`. A model that makes samples from images takes them of
    `sources` in order: sample i is made from example i % N.
    `model` is in evaluation mode. `poll` is called between batches. Raises `GanvasError` for labels where the model takes none.
    """
    require(n > 0, f"--count {n}: ask for at least one sample")
    if labels is not None and "labels" not in card.conditions:
        raise GanvasError(f"--labels: {card.title} is not conditional, its samples cannot be asked for by label")
    require("images" not in card.conditions or sources is not None, f"{card.title} makes samples from images: say which data they are of")
    require(not model.training, "sampling needs a model in evaluation mode")
    chosen = range(n) if indices is None else indices
    pieces = []
    for at in range(0, n, batch):
        poll()
        here = chosen[at : at + batch]
        condition = _condition(card, here, labels, sources, device)
        pieces.append(model.sample(len(here), condition=condition, rng=SampleDraws(seed, device=device, indices=here)).float().cpu())
    return torch.cat(pieces)


def _condition(
    card: Card, indices: Sequence[int], labels: Sequence[int] | None, sources: Examples | None, device: torch.device | str
) -> Condition | None:
    """What the samples of `indices` are asked for or made from; None for a model that takes no condition, or where none is given."""
    wanted = torch.tensor([labels[i % len(labels)] for i in indices], device=device) if labels else None
    given = None
    if sources is not None and "images" in card.conditions:
        given = sources.batch(torch.tensor([i % len(sources) for i in indices])).images.to(device)
    return None if wanted is None and given is None else Condition(labels=wanted, images=given)


@torch.no_grad()
def interpolate(
    model: GenerativeModel,
    *,
    rows: int,
    steps: int,
    seed: int,
    labels: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Paths between codes, (rows * steps, ...): spherical where the prior is normal, linear where it is uniform.

    `labels` are asked for in turn, path by path: all of path r has `labels[r % len(labels)]`.

    Spherical interpolation keeps the norm that normal codes have; a straight line would pass through codes the model never saw
    (White 2016, arXiv:1609.04468).
    """
    if not isinstance(model, Latent):
        raise GanvasError(f"{type(model).__name__} has no latent codes to interpolate between")
    z = model.draw(2 * rows, SampleDraws(seed, 0, device))
    t = torch.linspace(0, 1, steps, device=z.device)
    paths = [
        (slerp if model.prior == "normal" else torch.lerp)(a[None], b[None], t[:, None]) for a, b in zip(z[:rows], z[rows:], strict=True)
    ]
    wanted = [labels[row % len(labels)] for row in range(rows) for _ in range(steps)] if labels else None
    condition = None if wanted is None else Condition(labels=torch.tensor(wanted, device=z.device))
    return model.decode(torch.cat(paths), condition=condition).float().cpu()


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(S, Z) points on the great circle from a (1, Z) to b (1, Z), norms interpolated linearly; t (S, 1) in [0, 1]."""
    norm_a, norm_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / norm_a, b / norm_b
    omega = torch.acos((unit_a * unit_b).sum(-1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6))
    direction = (torch.sin((1 - t) * omega) * unit_a + torch.sin(t * omega) * unit_b) / torch.sin(omega)
    return direction * torch.lerp(norm_a.expand_as(t), norm_b.expand_as(t), t)
