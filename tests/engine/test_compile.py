"""`--compile` trains the same game."""

import shutil

import pytest
import torch
from torch import nn

from ganvas.engine.contract import Loss
from ganvas.engine.draws import SampleDraws
from ganvas.parts.penalties import gradient_penalty
from tests.engine.toys import Toy, plan, tensors, trainer

pytestmark = [
    pytest.mark.slow,
    # What torch's compiler says of torch.
    pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning", "ignore:The .grad attribute:UserWarning"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, which this machine lacks"),
]


class Network(nn.Module):
    """A network with a `forward` of its own, as those of the models (torch leaves a bare `nn.Sequential` alone)."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x)


class Penalised(Toy):
    """With a second-order term, which compiled networks leave to the eager ones."""

    def __init__(self):
        super().__init__(dropout=0.0, norm=False)
        self.generator, self.critic = Network(self.generator), Network(self.critic)

    def lazy_loss(self, step):
        real = step.batch.points
        return Loss({"penalty": gradient_penalty(self.critic, real, real.flip(0), step.rng)})


def test_compiled_training_is_close_to_eager():
    torch._dynamo.reset()
    runs, counters = {}, torch._dynamo.utils.counters["stats"]
    counters.clear()
    for compiled in (False, True):
        t = trainer(Penalised(), plan=plan(budget=10**4, compile=compiled))
        for _ in range(4):
            t.play()
        runs[compiled] = tensors(t)
        with torch.no_grad():
            runs[compiled]["samples"] = t.averaged.model.sample(8, rng=SampleDraws(0))
        assert (counters["unique_graphs"] > 0) == compiled
    assert runs[True].keys() == runs[False].keys()
    for name, value in runs[False].items():
        torch.testing.assert_close(runs[True][name], value, rtol=1e-3, atol=1e-4, msg=name)
