"""R3GAN: the loss and both penalties by hand, branches that start as nothing, the schedules, the published networks, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from ganvas.data.open import open_data
from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.r3gan import PRESETS, R3GAN
from ganvas.parts.grouped import GroupedBlock

TINY = PRESETS["tiny"]
ALONE = replace(TINY, conditional=False)

TRACE = {
    "discriminator/comparison": [0.67841, 0.768226, 0.755284, 0.652327, 0.620069],
    "discriminator/r1": [0.000289387, 0.000294225, 0.000264062, 0.000248327, 0.000267802],
    "discriminator/r2": [0.000289387, 0.000293774, 0.000263338, 0.000240903, 0.000261641],
    "generator/cost": [0.704211, 0.717545, 0.72971, 0.797726, 0.752236],
}


def images(*shape, classes=()):
    return DataSpec(kind="images", shape=shape, classes=classes)


def clock(done):
    return Clock(step=done, images=done, budget=1000, stage_step=done, stage_images=done, stage_budget=1000)


def small(preset, **changes):
    """A published preset with networks of a few maps, which leaves its numbers."""
    return replace(PRESETS[preset], width=4, most=4, group=4, depth=1, **changes)


class Constant(nn.Module):
    """A critic that holds everything to be equally real; pixels enter, and count for nothing."""

    def forward(self, x, y):
        return 3 + 0 * x.sum((1, 2, 3))


class Linear(nn.Module):
    """a(x) = w . x, whose gradient is w everywhere."""

    def __init__(self, *shape):
        super().__init__()
        self.w = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)) / 8)

    def forward(self, x, y):
        return (x * self.w).sum((1, 2, 3))


class Quadratic(nn.Module):
    """a(x) = ||x||^2 / 2, whose gradient is x: other penalties for reals and fakes."""

    def forward(self, x, y):
        return 0.5 * x.square().sum((1, 2, 3))


# (a) by hand


def test_the_loss_of_a_linear_critic_by_hand(step_for, pictures_of):
    model, x = R3GAN(replace(ALONE, gamma=(0.4, 0.4)), images(1, 8, 8)), pictures_of(6, 1, 8, 8)
    model.discriminator = critic = Linear(1, 8, 8)
    loss, rng = model.discriminator_loss(step_for(x, seed=3)), step_for(x, seed=3).rng
    fake = model.generator(model.draw(6, rng), None).detach()
    lead = ((x - fake) * critic.w).sum((1, 2, 3)).detach()
    torch.testing.assert_close(loss.terms["comparison"], softplus(-lead), rtol=1e-4, atol=1e-5)
    for name in ("r1", "r2"):
        torch.testing.assert_close(loss.terms[name], (0.2 * critic.w.square().sum()).expand(6))
    assert float(loss.watch["lead"]) == pytest.approx(float(lead.mean()), rel=1e-4)
    (gradient,) = torch.autograd.grad(loss.terms["r1"].mean() + loss.terms["r2"].mean(), critic.w)
    torch.testing.assert_close(gradient, 2 * 0.4 * critic.w.detach())


def test_r1_is_of_reals_and_r2_of_fakes(step_for, pictures_of):
    model, x = R3GAN(replace(ALONE, gamma=(0.4, 0.4)), images(1, 8, 8)), pictures_of(6, 1, 8, 8)
    model.discriminator = Quadratic()
    terms, rng = model.discriminator_loss(step_for(x, seed=3)).terms, step_for(x, seed=3).rng
    fake = model.generator(model.draw(6, rng), None).detach()
    torch.testing.assert_close(terms["r1"], 0.2 * x.square().sum((1, 2, 3)))
    torch.testing.assert_close(terms["r2"], 0.2 * fake.square().sum((1, 2, 3)), rtol=1e-4, atol=1e-5)


def test_both_penalties_of_a_constant_critic_are_0(step_for, pictures_of):
    model, x = R3GAN(ALONE, images(1, 8, 8)), pictures_of(6, 1, 8, 8)
    model.discriminator = Constant()
    terms = model.discriminator_loss(step_for(x)).terms
    assert not terms["r1"].any() and not terms["r2"].any()
    torch.testing.assert_close(terms["comparison"], torch.full((6,), math.log(2)))


def test_the_generator_s_cost_by_hand_and_that_reals_are_constants_to_it(step_for, pictures_of):
    model, x = R3GAN(ALONE, images(1, 8, 8)), pictures_of(6, 1, 8, 8)
    model.discriminator = critic = Linear(1, 8, 8)
    cost, rng = model.generator_loss(step_for(x, seed=3)).terms["cost"], step_for(x, seed=3).rng
    fake = model.generator(model.draw(6, rng), None)
    lead = (fake - x).mul(critic.w).sum((1, 2, 3))
    torch.testing.assert_close(cost, softplus(-lead), rtol=1e-4, atol=1e-5)
    (found,) = torch.autograd.grad(cost.mean(), critic.w)  # nothing comes by way of the reals
    slope = -torch.sigmoid(-lead.detach()) / 6
    torch.testing.assert_close(found, (slope.view(-1, 1, 1, 1) * fake.detach()).sum(0), rtol=1e-4, atol=1e-5)


def test_only_the_lead_counts(step_for, pictures_of):
    """A number added to all scores changes neither player's loss."""
    model, x = R3GAN(ALONE, images(1, 8, 8)), pictures_of(6, 1, 8, 8)
    critic = Linear(1, 8, 8)

    class Raised(nn.Module):
        def forward(self, x, y):
            return critic(x, y) + 7

    terms = []
    for one in (critic, Raised()):
        model.discriminator = one
        terms.append(model.discriminator_loss(step_for(x)).terms | model.generator_loss(step_for(x)).terms)
    for name in terms[0]:
        torch.testing.assert_close(terms[0][name], terms[1][name], rtol=1e-4, atol=1e-5)


# (b) what only it has


def test_branches_start_as_nothing_so_that_networks_start_as_their_skip_paths(pictures_of):
    torch.manual_seed(0)
    model = R3GAN(replace(ALONE, depth=2), images(2, 16, 16))
    x, z = pictures_of(4, 2, 16, 16), model.draw(4, SampleDraws(0))
    made, scores = model.generator(z, None), model.score(Batch({"images": x}))
    blocks = [module for module in model.modules() if isinstance(module, GroupedBlock)]
    assert len(blocks) == 2 * 2 * 3
    for block in blocks:
        assert not block.last.weight.any() and block.first.weight.any() and block.middle.any()
        block.forward = lambda maps: maps
    torch.testing.assert_close(model.generator(z, None), made)
    torch.testing.assert_close(model.score(Batch({"images": x})), scores)


def test_the_critic_starts_linear_and_the_generator_too(pictures_of):
    model = R3GAN(ALONE, images(1, 8, 8))
    x, y = pictures_of(8, 1, 8, 8).chunk(2)
    a, b, mean = (model.score(Batch({"images": value})) for value in (x, y, (x + y) / 2))
    torch.testing.assert_close(mean, (a + b) / 2)
    z, w = model.draw(8, SampleDraws(0)).chunk(2)
    torch.testing.assert_close(model.generator(z + 2 * w, None), model.generator(z, None) + 2 * model.generator(w, None))


def test_nothing_is_normalised(pictures_of):
    model = R3GAN(PRESETS["quick"], images(1, 28, 28))
    assert not any("Norm" in type(layer).__name__ for layer in model.modules())
    x = pictures_of(6, 1, 28, 28)
    scores = model.train().score(Batch({"images": x}))
    torch.testing.assert_close(model.score(Batch({"images": x[:2]})), scores[:2], rtol=1e-4, atol=1e-5)


def test_both_penalties_are_taken_in_every_step():
    (stage,) = R3GAN(TINY, images(1, 8, 8)).stages()
    assert [(phase.name, phase.every, phase.repeat) for phase in stage.phases] == [("discriminator", 1, 1), ("generator", 1, 1)]


def test_four_numbers_follow_half_a_cosine_of_the_burn_in():
    """At the start, at a quarter, half and the end of the burn-in, and long after; the paper's is a tenth of its run."""
    model = R3GAN(small("paper"), images(3, 32, 32))
    (stage,), average = model.stages(), model.average()
    quarter = (1 + math.cos(math.pi / 4)) / 2
    share = {0: 1.0, 25: quarter, 50: 0.5, 100: 0.0, 101: 0.0, 1000: 0.0}  # of the first value, by images of 1000
    for done, first in share.items():
        for phase in stage.phases:
            settings = phase.optimizer.settings(clock(done))
            assert settings["lr"] == pytest.approx(2e-4 * first + 5e-5 * (1 - first))
            assert settings["betas"] == (0.0, pytest.approx(0.9 * first + 0.99 * (1 - first)))
        assert model.gamma(clock(done)) == pytest.approx(0.05 * first + 0.005 * (1 - first))
        assert average.half_life(clock(done)) == pytest.approx(5e6 * (1 - first), abs=1e-6)


def test_the_weight_of_the_penalties_is_that_of_the_clock(step_for, pictures_of):
    model, x = R3GAN(replace(ALONE, gamma=(0.4, 0.1), burn_in=1.0), images(1, 8, 8)), pictures_of(4, 1, 8, 8)
    model.discriminator = critic = Linear(1, 8, 8)
    for step, gamma in ((0, 0.4), (125, 0.25), (250, 0.1)):
        r1 = model.discriminator_loss(step_for(x, step=step, budget=1000)).terms["r1"]
        torch.testing.assert_close(r1, (gamma / 2 * critic.w.square().sum()).expand(4))


def test_the_largest_share_never_binds_in_the_paper_s_run():
    """max over the burn-in of 5e6 (1 - cos(pi t)) / 2 / (2e7 t) is below 0.3, and so it is for FFHQ's shorter half-life."""
    for preset in ("paper", "paper-256"):
        average = R3GAN(small(preset), images(3, 32, 32)).average()
        shares = [average.half_life(clock(done)) / (2e8 * done / 1000) for done in range(1, 1001)]
        assert max(shares) < average.ramp


# Classes


def test_both_networks_are_told_the_class_as_in_the_authors_code(pictures_of):
    torch.manual_seed(0)
    model, x = R3GAN(TINY, images(1, 8, 8, classes=("a", "b", "c"))), pictures_of(6, 1, 8, 8)
    y, z = torch.tensor([0, 1, 2, 0, 1, 2]), model.draw(6, SampleDraws(0))
    g, d = model.generator, model.discriminator
    torch.testing.assert_close(g(z, y), g.layers(torch.cat([z, nn.functional.one_hot(y, 3).float() @ g.embedding.t()], 1)))
    vectors = nn.functional.one_hot(y, 3).float() @ d.embedding.t()
    torch.testing.assert_close(d(x, y), ((d.trunk(x) @ d.weight.t()) * vectors).sum(1))
    assert model.conditions(("labels",)) == ("labels",) and g.embedding.shape == (4, 3) and d.embedding.shape == (8, 3)


def test_fakes_have_the_classes_of_the_reals_beside_them(step_for, pictures_of):
    model, seen = R3GAN(TINY, images(1, 8, 8, classes=("a", "b", "c"))), []
    labels = torch.tensor([2, 0, 1, 1])
    for network in (model.generator, model.discriminator):
        network.register_forward_hook(lambda module, inputs, output: seen.append((type(module).__name__, inputs[1])))
    model.discriminator_loss(step_for(pictures_of(4, 1, 8, 8), labels=labels))
    model.generator_loss(step_for(pictures_of(4, 1, 8, 8), labels=labels))
    assert [name for name, _ in seen] == ["Generator", "Discriminator", "Discriminator", "Generator", "Discriminator"]
    assert torch.equal(seen[1][1], labels.repeat(2)) and all(torch.equal(seen[i][1], labels) for i in (0, 2, 3, 4))


def test_data_without_classes_and_models_told_not_to_are_not_conditional():
    for config, classes in ((TINY, ()), (ALONE, ("a", "b"))):
        model = R3GAN(config, images(1, 8, 8, classes=classes))
        assert model.conditions(("labels",)) == () and model.generator.embedding is None and model.discriminator.embedding is None
        with pytest.raises(GanvasError, match="not conditional"):
            model.sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# Presets and configuration


@pytest.mark.parametrize(
    ("preset", "batch", "gamma", "half_life"), [("paper", 512, (0.05, 0.005), 5e6), ("paper-256", 256, (150.0, 15.0), 5e5)]
)
def test_the_numbers_of_the_authors_code(preset, batch, gamma, half_life):
    (stage,) = R3GAN(small(preset), images(3, 32, 32)).stages()
    c = PRESETS[preset]
    assert (stage.images * c.burn_in, stage.batch) == (pytest.approx(2e7), batch)
    assert (c.lr, c.beta1, c.beta2, c.gamma, c.ema_half_life) == ((2e-4, 5e-5), 0.0, (0.9, 0.99), gamma, half_life)
    assert all(isinstance(phase.optimizer, Adam) and phase.optimizer.eps == 1e-8 for phase in stage.phases)


def test_the_paper_preset_is_that_of_cifar10():
    """Four stages of two blocks of 768 maps, 1,536 within them in 96 groups; the parameters of the authors' networks."""
    with torch.device("meta"):
        model = R3GAN(PRESETS["paper"], images(3, 32, 32, classes=tuple("0123456789")))
    block = 768 * 1536 * 2 + 1536 * 16 * 9 + 2 * 1536
    for network in (model.generator, model.discriminator):
        blocks = [module for module in network.modules() if isinstance(module, GroupedBlock)]
        assert len(blocks) == 8 and {module.groups for module in blocks} == {96}
        assert {sum(p.numel() for p in module.parameters()) for module in blocks} == {block}
    generator, discriminator = (sum(p.numel() for p in network.parameters()) for network in (model.generator, model.discriminator))
    assert generator == 8 * block + 16 * 768 + 128 * 768 + 3 * 768 + 10 * 64
    assert discriminator == 8 * block + 16 * 768 + 768 * 768 + 3 * 768 + 10 * 768


def test_the_preset_for_256_halves_its_largest_stages():
    with torch.device("meta"):
        model = R3GAN(PRESETS["paper-256"], images(3, 256, 256))
    stages = model.generator.layers.stages
    assert [stage[0].first.weight.shape[1] for stage in stages] == [768, 768, 768, 768, 384, 192, 96]
    assert [stage[0].groups for stage in stages] == [96, 96, 96, 96, 48, 24, 12]


@pytest.mark.parametrize("classes", [(), ("a", "b")])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 13), (1, 28, 28), (3, 32, 32)])
def test_losses_and_samples_of_every_size(classes, shape, step_for, pictures_of):
    model = R3GAN(TINY, images(*shape, classes=classes))
    step = step_for(pictures_of(4, *shape), labels=torch.tensor([0, 1, 1, 0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for loss in (model.discriminator_loss(step), model.generator_loss(step)):
            assert all(term.shape == (4,) and term.dtype == torch.float32 and term.isfinite().all() for term in loss.terms.values())
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"burn_in": 0.0}, "--config.burn_in must be above 0 and at most 1, not 0"),
        ({"beta1": 1.0}, "--config.beta1 must be at least 0 and below 1"),
        ({"beta2": (0.9, 1.0)}, "--config.beta2 holds numbers of at least 0 and below 1, not 1"),
        ({"lr": (-1e-3, 1e-4)}, "--config.lr holds numbers of at least 0, not -0.001"),
        ({"gamma": (0.1, math.nan)}, "--config.gamma holds numbers of at least 0, not nan"),
        ({"ema_half_life": 0.0}, "--config.ema_half_life must be above 0"),
        ({"depth": 0}, "--config.depth must be a whole number of at least 1, not 0"),
        ({"most": 2}, "--config.most must be at least --config.width, 4, not 2"),
        ({"group": 3}, "--config.group must divide the 8 maps within a block of 4, not be 3"),
        ({"width": 5, "most": 30, "group": 12}, "--config.group must divide the 20 maps within a block of 10, not be 12"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points():
    with pytest.raises(GanvasError, match="r3gan takes images, not points"):
        R3GAN(TINY, DataSpec(kind="points", shape=(2,)))


def test_a_resumed_run_goes_on_with_its_schedules(tmp_path):
    """Two runs of six steps, one of them interrupted after three and taken up by a new process' objects: equal bit for bit."""

    def run(folder):
        torch.manual_seed(0)
        torch.set_num_threads(1)
        data = open_data("digits", split="train")
        plan = Plan(seed=0, budget=8 * 6, save_every=10**9, log_every=10**9)
        return Trainer(R3GAN(TINY, data.spec), data, plan, Machine(device=torch.device("cpu"), bf16=False, threads=1), checkpoints=folder)

    whole = run(None)
    first = run(Checkpoints(tmp_path))
    for _ in range(3):
        first.play()
    first.save()
    second = run(Checkpoints(tmp_path))
    assert second.restore()
    while not whole.done:
        whole.play()
        if not second.done:
            second.play()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    for name, value in whole.averaged.state().items():
        assert torch.equal(value, second.averaged.state()[name]), name


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: R3GAN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
