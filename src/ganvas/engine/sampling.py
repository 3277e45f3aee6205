"""Samples keyed by (seed, index): the i-th sample of a seed is the same whatever is drawn with it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

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
    device: torch.device | str = "cpu",
    indices: Sequence[int] | None = None,
    batch: int = 256,
    poll: Callable[[], None] = _nothing,
) -> Tensor:
    """Samples 0 .. n - 1 of `seed` (or those with the n `indices`), in float32 on the processor.

    `labels` are asked for in turn: sample i gets `labels[i % len(labels)]`.
    `model` is in evaluation mode. `poll` is called between batches. Raises `GanvasError` for labels where the model takes none.
    """
    require(n > 0, f"--count {n}: ask for at least one sample")
    if labels is not None and "labels" not in card.conditions:
        raise GanvasError(f"--labels: {card.title} is not conditional, its samples cannot be asked for by label")
    require(not model.training, "sampling needs a model in evaluation mode")
    chosen = range(n) if indices is None else indices
    pieces = []
    for at in range(0, n, batch):
        poll()
        here = chosen[at : at + batch]
        wanted = [labels[i % len(labels)] for i in here] if labels else None
        condition = Condition(labels=torch.tensor(wanted, device=device)) if wanted else None
        pieces.append(model.sample(len(here), condition=condition, rng=SampleDraws(seed, device=device, indices=here)).float().cpu())
    return torch.cat(pieces)


@torch.no_grad()
def interpolate(model: GenerativeModel, *, rows: int, steps: int, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Paths between codes, (rows * steps, ...): spherical where the prior is normal, linear where it is uniform.

    Spherical interpolation keeps the norm that normal codes have; a straight line would pass through codes the model never saw
    (White 2016, arXiv:1609.04468).
    """
    if not isinstance(model, Latent):
        raise GanvasError(f"{type(model).__name__} has no latent codes to interpolate between")
    z = model.draw(2 * rows, SampleDraws(seed, 0, device))
    t = torch.linspace(0, 1, steps, device=z.device)
    paths = [
        (_slerp if model.prior == "normal" else torch.lerp)(a[None], b[None], t[:, None]) for a, b in zip(z[:rows], z[rows:], strict=True)
    ]
    return model.decode(torch.cat(paths)).float().cpu()


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(S, Z) points on the great circle from a (1, Z) to b (1, Z), norms interpolated linearly; t (S, 1) in [0, 1]."""
    norm_a, norm_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / norm_a, b / norm_b
    omega = torch.acos((unit_a * unit_b).sum(-1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6))
    direction = (torch.sin((1 - t) * omega) * unit_a + torch.sin(t * omega) * unit_b) / torch.sin(omega)
    return direction * torch.lerp(norm_a.expand_as(t), norm_b.expand_as(t), t)
