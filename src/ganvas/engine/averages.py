"""The exponential moving average of weights that samples are drawn from."""

import copy
from typing import final

import torch
from torch import Tensor

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Average, GenerativeModel
from ganvas.errors import GanvasError


@final
class Averaged:
    """A second copy of a model for sampling, in evaluation mode.

    Weights of the modules its `Average` names are averages; every other tensor, buffers included, IS the training model's (the same
    storage), so batch-norm statistics are always the current ones.
    """

    def __init__(self, model: GenerativeModel) -> None:
        self._rule: Average | None = model.average()
        owned = {id(p) for module in (self._rule.modules if self._rule else ()) for p in module.parameters()}
        self._live: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if id(p) in owned}
        shared = [p for p in model.parameters() if id(p) not in owned] + list(model.buffers())
        self.model: GenerativeModel = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
        self.model.eval()
        own = dict(self.model.named_parameters())
        self._average: dict[str, Tensor] = {name: own[name].detach() for name in self._live}

    def decay(self, images: int, drawn: int, clock: Clock | None = None) -> float:
        """The share of the old average kept by an update after `images` images, `drawn` of which in this step.

        The clock, which has counted the step, is for half-lives that follow it.
        """
        assert self._rule is not None
        if 0 < images <= self._rule.start:
            return 0.0
        if self._rule.decay is not None:
            return self._rule.decay
        assert self._rule.half_life is not None
        half_life = self._rule.half_life
        if callable(half_life):
            assert clock is not None, "a half-life that follows the clock is asked with one"
            half_life = half_life(clock)
        if self._rule.ramp is not None:
            half_life = min(half_life, self._rule.ramp * images)
        return 0.5 ** (drawn / max(half_life, 1e-8))

    @torch.no_grad()
    def update(self, images: int, drawn: int, clock: Clock | None = None) -> None:
        """Move the average towards the weights after a step."""
        if self._live:
            weight = 1.0 - self.decay(images, drawn, clock)
            torch._foreach_lerp_(list(self._average.values()), [p.detach() for p in self._live.values()], weight)

    def state(self) -> dict[str, Tensor]:
        """The averaged tensors by the names they have in the model."""
        return dict(self._average)

    @torch.no_grad()
    def load(self, stored: dict[str, Tensor]) -> None:
        load_tensors(self._average, stored, "average")


@torch.no_grad()
def load_tensors(live: dict[str, Tensor], stored: dict[str, Tensor], what: str) -> None:
    """Copy stored tensors into live ones of the same names and shapes; anything missing, left over or misshapen is an error."""
    missing, extra = sorted(live.keys() - stored.keys()), sorted(stored.keys() - live.keys())
    if missing or extra:
        raise GanvasError(f"the checkpoint's {what} does not fit this model: missing {missing[:5]}, unexpected {extra[:5]}")
    for name, tensor in live.items():
        if tensor.shape != stored[name].shape:
            raise GanvasError(f"the checkpoint's {what} '{name}' has shape {tuple(stored[name].shape)}, the model's {tuple(tensor.shape)}")
        tensor.copy_(stored[name])
