"""What the tests of single models share: steps built by hand, fixed pictures, and a plain loop that records a short trace.

Refresh the traces stored in the test files with `GANVAS_REFRESH_TRACES=1 pytest tests/models`, and say in the commit why they moved.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, DataSpec, GenerativeModel, Step
from ganvas.engine.draws import StepDraws, key

CPU = torch.device("cpu")


def pictures(n: int, *shape: int) -> Tensor:
    """n fixed pictures (n, C, H, W) in [-1, 1]: strokes whose place and slope depend on the picture."""
    channels, height, width = shape
    i = torch.arange(n).float().view(n, 1, 1, 1)
    c = torch.arange(channels).float().view(1, channels, 1, 1)
    y = torch.linspace(-1, 1, height).view(1, 1, height, 1)
    x = torch.linspace(-1, 1, width).view(1, 1, 1, width)
    return torch.tanh(3 * torch.cos(3 * x * torch.cos(i) + 3 * y * torch.sin(i) + i / 2 + c))


def data_for(samples: Tensor) -> DataSpec:
    return DataSpec(kind="images" if samples.dim() == 4 else "points", shape=tuple(samples.shape[1:]))


def make_step(samples: Tensor, *, seed: int = 0, step: int = 0, budget: int = 1000, **views: Tensor) -> Step:
    """A step of one process: images (B, C, H, W) or points (B, D), further `views` of the batch (labels), and the draws of `seed`."""
    images = step * len(samples)
    clock = Clock(step=step, images=images, budget=budget, stage_step=step, stage_images=images, stage_budget=budget)
    batch = Batch({data_for(samples).kind: samples, **views})
    return Step(batch=batch, rng=StepDraws(seed, 0, 1, CPU), clock=clock, mean=lambda x: x, scratch={})


def play(model: GenerativeModel, samples: Tensor, steps: int, **views: Tensor) -> dict[str, list[float]]:
    """Play a model's only stage for a few steps on the same batch; every loss term at every step, the last one of repeated phases."""
    (stage,) = model.stages()
    optimizers = {phase.name: phase.optimizer.build([p for m in phase.trains for p in m.parameters()]) for phase in stage.phases}
    trace: dict[str, list[float]] = {}
    model.train()
    for step in range(steps):
        scratch: dict[str, Tensor] = {}
        for phase in stage.phases:
            terms: Mapping[str, Tensor] = {}
            for repeat in range(phase.repeat(make_step(samples).clock) if callable(phase.repeat) else phase.repeat):
                seed = key("trace", step, phase.name, repeat)
                torch.manual_seed(seed)
                for module in model.children():
                    module.requires_grad_(module in phase.trains)
                at = replace(make_step(samples, seed=seed, step=step, **views), scratch=scratch)
                loss = phase.loss(at)
                terms = loss.terms
                optimizers[phase.name].zero_grad()
                torch.stack([term.mean() for term in terms.values()]).sum().backward()
                optimizers[phase.name].param_groups[0].update(phase.optimizer.settings(at.clock))
                optimizers[phase.name].step()
                with torch.no_grad():
                    model.after_update(phase, {name: value.detach().float().mean() for name, value in loss.watch.items()}, scratch)
            for name, term in terms.items():
                trace.setdefault(f"{phase.name}/{name}", []).append(float(term.detach().mean()))
    return trace


@pytest.fixture
def step_for() -> Callable[..., Step]:
    return make_step


@pytest.fixture
def pictures_of() -> Callable[..., Tensor]:
    return pictures


@pytest.fixture
def check_trace(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compare five steps with the `TRACE` of the test file, to a thousandth; or write it there if GANVAS_REFRESH_TRACES is set."""

    def check(build: Callable[[DataSpec], GenerativeModel], samples: Tensor, stored: dict[str, list[float]], **views: Tensor) -> None:
        torch.manual_seed(0)
        found = play(build(data_for(samples)), samples, 5, **views)
        if os.environ.get("GANVAS_REFRESH_TRACES"):
            rows = "".join(f'    "{name}": [{", ".join(f"{value:.6g}" for value in values)}],\n' for name, values in found.items())
            text = request.path.read_text()
            request.path.write_text(re.sub(r"^TRACE = \{.*?\}$", f"TRACE = {{\n{rows}}}", text, flags=re.S | re.M))
            pytest.skip("trace written")
        assert found.keys() == stored.keys()
        for name, values in found.items():
            assert values == pytest.approx(stored[name], rel=1e-3, abs=1e-5), name

    return check
