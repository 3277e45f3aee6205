"""The likelihood that a model gives to held-out images: nats per image, bits per dimension.

Numbers of differently prepared images are not comparable: a black-and-white image has less to be guessed than a grey one. So each model
says what it measures (`LogProbability.measured`), and whether its number is exact or a lower bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ganvas.data.examples import Examples
from ganvas.data.progress import Progress, Silent
from ganvas.engine.capabilities import LogProbability
from ganvas.engine.draws import SampleDraws
from ganvas.errors import require
from ganvas.metrics.neighbours import nothing

_BATCH = 250


@dataclass(frozen=True)
class Likelihood:
    """Mean of -log p(x) over examples in nats, its standard error (std / sqrt N), and the same in bits per dimension, nats / (D log 2)."""

    nats: float
    error: float
    bits_per_dim: float
    count: int


@torch.no_grad()
def likelihood(
    model: LogProbability,
    examples: Examples,
    *,
    count: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    poll: Callable[[], None] = nothing,
    progress: Progress | None = None,
) -> Likelihood:
    """Of the first `count` examples (all unless given); what is drawn for example i is a function of (seed, i).

    Raises `GanvasError` for fewer than 2 examples and for a model in which an example has probability 0 or none at all.
    """
    wanted = len(examples) if count is None else min(count, len(examples))
    require(wanted >= 2, f"a likelihood with its error needs at least 2 examples, not {wanted}")
    watcher, there, found = progress or Silent(), examples.to(torch.device(device)), []
    watcher.start(wanted, "likelihood")
    try:
        for rows in torch.arange(wanted).split(_BATCH):
            poll()
            batch = there.batch(rows)
            found.append(model.log_probability(batch, SampleDraws(seed, device=device, indices=rows.tolist())).double().cpu())
            watcher.advance(len(rows))
    finally:
        watcher.close()
    nats = -torch.cat(found)
    bad = int((~nats.isfinite()).sum())
    require(bad == 0, f"likelihood: {bad} of {wanted} examples have no finite log-probability in this model")
    dimensions = math.prod(examples.spec.shape)
    mean = float(nats.mean())
    return Likelihood(mean, float(nats.std()) / math.sqrt(wanted), mean / (dimensions * math.log(2)), wanted)
