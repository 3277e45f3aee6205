"""CycleGAN: its losses by hand, identity maps, the pools, patches, any size, a short trace."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.data.open import open_data
from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.cyclegan import PRESETS, CycleGAN, Discriminator, Generator

TINY = PRESETS["tiny"]


def pairs(*shape, target=None):
    return DataSpec(kind="images", shape=shape, views={"target": target or shape}, domains=("horse", "zebra"))


@pytest.fixture
def step(step_for, pictures_of):
    """Images of two domains."""
    made = step_for(pictures_of(4, 3, 12, 12))
    return replace(made, batch=Batch({"images": pictures_of(4, 3, 12, 12), "target": pictures_of(9, 3, 12, 12)[5:]}))


class Same(nn.Module):
    """The map that changes nothing."""

    def __init__(self):
        super().__init__()
        self.spare = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.spare


class Constant(nn.Module):
    """A discriminator of one opinion on each of nine patches."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x):
        return self.value.expand(len(x), 1, 3, 3)


# (a) by hand


def test_identity_maps_have_no_cycle_and_no_identity_loss(step):
    model = CycleGAN(TINY, pairs(3, 12, 12))
    model.to_a, model.to_b = Same(), Same()
    terms = model.generators_loss(step).terms
    assert terms["cycle"].abs().max() == 0 and terms["identity"].abs().max() == 0 and terms["adversarial"].min() > 0


def test_the_generators_loss_by_hand(step):
    model = CycleGAN(replace(TINY, cycle=7.0, identity=0.25), pairs(3, 12, 12))
    model.judge_a, model.judge_b = Constant(0.3), Constant(-0.5)
    a, b = step.batch.images, step.batch["target"]
    terms = model.generators_loss(step).terms
    torch.testing.assert_close(terms["adversarial"], torch.full((4,), (0.3 - 1) ** 2 + (-0.5 - 1) ** 2))
    cycle = (model.to_a(model.to_b(a)) - a).abs().mean((1, 2, 3)) + (model.to_b(model.to_a(b)) - b).abs().mean((1, 2, 3))
    torch.testing.assert_close(terms["cycle"], 7 * cycle)
    same = (model.to_b(b) - b).abs().mean((1, 2, 3)) + (model.to_a(a) - a).abs().mean((1, 2, 3))
    torch.testing.assert_close(terms["identity"], 0.25 * 7 * same)


def test_the_discriminators_loss_by_hand(step):
    model = CycleGAN(TINY, pairs(3, 12, 12))
    model.generators_loss(step)
    model.judge_a, model.judge_b = Constant(0.3), Constant(-0.5)
    terms = model.discriminators_loss(step).terms
    torch.testing.assert_close(terms["of A"], torch.full((4,), (0.7**2 + 0.3**2) / 2))
    torch.testing.assert_close(terms["of B"], torch.full((4,), (1.5**2 + 0.5**2) / 2))


def test_each_discriminator_judges_its_own_domain(step):
    model = CycleGAN(TINY, pairs(3, 12, 12))
    model.generators_loss(step)
    before = model.discriminators_loss(step).terms
    other = replace(step, batch=Batch({"images": step.batch.images, "target": -step.batch["target"]}))
    after = model.discriminators_loss(other).terms
    assert torch.equal(before["of A"], after["of A"]) and not torch.equal(before["of B"], after["of B"])


def test_without_weight_there_is_no_identity_term(step):
    assert "identity" not in CycleGAN(replace(TINY, identity=0.0), pairs(3, 12, 12)).generators_loss(step).terms


# (b) pools


def test_fakes_enter_the_pools_after_the_discriminators(step):
    model = CycleGAN(replace(TINY, pool=6), pairs(3, 12, 12))
    (stage,) = model.stages()
    for phase in stage.phases:
        phase.loss(step)
        assert int(model.filled_b) == 0
    model.after_update(stage.phases[0], {}, step.scratch)
    assert int(model.filled_a) == int(model.filled_b) == 0
    model.after_update(stage.phases[1], {}, step.scratch)
    assert int(model.filled_a) == int(model.filled_b) == 4
    assert torch.equal(model.pool_b[:4], step.scratch["fake_b"]) and torch.equal(model.pool_a[:4], step.scratch["fake_a"])


def test_a_full_pool_is_shown(step):
    model = CycleGAN(replace(TINY, pool=2), pairs(3, 12, 12))
    model.pool_b.fill_(0.5)
    model.filled_b.fill_(2)
    model.generators_loss(step)
    seen = []
    model.judge_b.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model.discriminators_loss(replace(step, rng=StepDraws(1, 0, 1, torch.device("cpu"))))
    old = (seen[1] == 0.5).flatten(1).all(1)
    assert 0 < int(old.sum()) < 4 and torch.equal(old, step.scratch["slots_b"] >= 0)
    assert torch.equal(seen[1][~old], step.scratch["fake_b"][~old])


def test_full_pools_survive_a_resume_bit_for_bit(tmp_path):
    def trainer():
        torch.manual_seed(0)
        data = open_data("inked")
        plan = Plan(seed=0, budget=400, save_every=10**9, log_every=10**9)
        model = CycleGAN(replace(TINY, pool=5), data.spec)
        return Trainer(model, data, plan, Machine(device=torch.device("cpu"), bf16=False, threads=1), checkpoints=Checkpoints(tmp_path))

    whole = trainer()
    for _ in range(6):
        whole.play()
    first = trainer()
    for _ in range(3):
        first.play()
    assert int(first.model.filled_b) == 5
    first.save()
    second = trainer()
    assert second.restore()
    for _ in range(3):
        second.play()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


# Networks


def test_the_networks_of_the_appendix():
    with torch.device("meta"):
        generator, discriminator = Generator(PRESETS["paper"], 3, 3), Discriminator(PRESETS["paper"], 3, 256)
    convolutions = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, *[256] * 18, 128, 64, 3]
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(norms) == 23 and not any(layer.affine or layer.track_running_stats for layer in norms)
    judged = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.stride[0]) for layer in judged] == [(64, 2), (128, 2), (256, 2), (512, 1), (1, 1)]


def test_a_logit_sees_a_patch_of_70_pixels():
    judge = Discriminator(replace(PRESETS["paper"], discriminator_width=2), 1, 256)
    for layer in judge.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, 256, 256, requires_grad=True)
    score = nn.Sequential(*[layer for layer in judge.layers if isinstance(layer, nn.Conv2d)])(x)
    score[0, 0, 15, 15].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 70


@pytest.mark.parametrize("size", [(5, 5), (6, 9), (28, 28), (33, 50)])
def test_any_size_comes_back(size):
    model = CycleGAN(TINY, pairs(1, *size, target=(1, *size)))
    x = torch.rand(2, 1, *size)
    assert model.judge_a(x).shape[2] >= 1
    for to in ("horse", "zebra"):
        assert model.translate(x, to=to, rng=SampleDraws(0)).shape == x.shape
        for other in (torch.rand(1, 1, size[0] + 7, size[1] + 3), torch.rand(1, 1, 4, 41), torch.rand(1, 1, 1, 1)):
            assert model.translate(other, to=to, rng=SampleDraws(0)).shape == other.shape
    assert torch.equal(model.translate(x, to="zebra", rng=SampleDraws(0)), model.to_b(x))


def test_the_schedule_of_section_4():
    (stage,) = CycleGAN(replace(PRESETS["paper"], width=1, discriminator_width=1, blocks=1), pairs(3, 16, 16)).stages()
    assert stage.batch == 1 and [phase.name for phase in stage.phases] == ["generators", "discriminators"]
    from ganvas.engine.clock import Clock

    for share, rate in [(0.0, 2e-4), (0.5, 2e-4), (0.75, 1e-4), (1.0, 0.0)]:
        clock = Clock(step=0, images=0, budget=1000, stage_step=0, stage_images=round(1000 * share), stage_budget=1000)
        for phase in stage.phases:
            assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
            assert phase.optimizer.settings(clock)["lr"] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DataSpec(kind="images", shape=(3, 8, 8)), "needs data of two domains"),
        (pairs(1, 8, 8, target=(3, 8, 8)), "set --config.identity 0"),
        (pairs(3, 8, 8, target=(3, 8, 9)), "8 x 8 and 9 x 8: give --resolution"),
        (pairs(3, 4, 8), "at least 5 x 5 pixels, not 8 x 4"),
        (DataSpec(kind="points", shape=(2,)), "takes images, not points"),
    ],
)
def test_data_it_cannot_take(spec, message):
    with pytest.raises(GanvasError) as caught:
        CycleGAN(TINY, spec)
    assert message in str(caught.value)


def test_samples_are_made_from_images():
    model = CycleGAN(TINY, pairs(3, 8, 8)).eval()
    with pytest.raises(GanvasError, match="makes samples from images"):
        model.sample(2, rng=SampleDraws(0))
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(model.sample(2, condition=Condition(images=x), rng=SampleDraws(0)), model.to_b(x))
    with pytest.raises(GanvasError, match="no domain 'zebr', only horse and zebra. Did you mean 'zebra'"):
        model.translate(x, to="zebr", rng=SampleDraws(0))


@pytest.mark.parametrize(("change", "flag"), [({"blocks": 0}, "blocks"), ({"cycle": -1.0}, "cycle"), ({"pool": -1}, "pool")])
def test_bad_numbers_name_their_flag(change, flag):
    with pytest.raises(GanvasError, match=rf"--config\.{flag}"):
        replace(TINY, **change)


# (c) a short trace


TRACE = {
    "generators/adversarial": [1.98689, 1.92998, 1.79968, 1.64118, 1.33473],
    "generators/cycle": [11.9697, 11.6436, 10.9006, 10.5976, 10.4229],
    "generators/identity": [6.0202, 5.7934, 5.55784, 5.41988, 5.34998],
    "discriminators/of A": [0.478057, 0.39661, 0.312008, 0.260729, 0.182674],
    "discriminators/of B": [0.504997, 0.39692, 0.324982, 0.249004, 0.224266],
}


def test_the_trace_of_five_steps():
    torch.manual_seed(0)
    data = open_data("inked")
    plan = Plan(seed=0, budget=400, save_every=10**9, log_every=1)
    trainer = Trainer(CycleGAN(TINY, data.spec), data, plan, Machine(device=torch.device("cpu"), bf16=False, threads=1))
    rows = [trainer.play() for _ in range(5)]
    found = {name: [row[name] for row in rows] for name in rows[0] if "/" in name and "norm" not in name}
    assert found.keys() == TRACE.keys()
    for name, values in found.items():
        assert values == pytest.approx(TRACE[name], rel=1e-3), name
