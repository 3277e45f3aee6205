"""InfoGAN: the bound on mutual information by hand and against exact values, codes that are turned and read, presets, a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.infogan import PRESETS, Config, InfoGAN, category_bound, number_bound

TINY = PRESETS["tiny"]
EIGHT = DataSpec(kind="images", shape=(1, 8, 8))
LEAST = -0.5 * math.log(2 * math.pi)  # log N(0; 0, 1)

TRACE = {
    "discriminator/value": [1.37721, 1.37479, 1.37174, 1.36803, 1.36323],
    "discriminator/information": [0.95312, 0.771154, 0.700684, 0.871805, 0.681592],
    "generator/cost": [0.672574, 0.665039, 0.668288, 0.663207, 0.66128],
    "generator/information": [0.775679, 0.732184, 0.739511, 0.743998, 0.745706],
}


def constant_head(head, outputs):
    """Make the last layer of a head answer the same whatever it sees."""
    last = head if isinstance(head, nn.Linear) else head[-1]
    nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor(outputs, dtype=torch.float32)


# (a) by hand


def test_the_bounds_by_hand():
    logits = torch.tensor([[0.0, 0.0, 0.0], [math.log(2.0), 0.0, 0.0]])
    found = category_bound(logits, torch.tensor([0, 0]))
    torch.testing.assert_close(found, torch.tensor([0.0, math.log(3) + math.log(2 / 4)]))
    found = number_bound(torch.tensor([0.5, 0.0]), torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(found, torch.tensor([math.log(2) + LEAST, math.log(2) + LEAST - 0.5]))


def test_the_terms_of_both_losses(step_for, pictures_of):
    """D says one half; Q answers category 0 with probability 1/2, the nine others 1/18 each, and the numbers 0.25 and -0.5."""
    model = InfoGAN(replace(TINY, information_weight=2.0, numbers_weight=0.5), EIGHT)
    constant_head(model.discriminator, [0.0])
    constant_head(model.recogniser, [math.log(9.0)] + [0.0] * 9 + [0.25, -0.5])
    images = pictures_of(8, 1, 8, 8)
    z = model.draw(8, step_for(images).rng)
    category = z[:, 4:14].argmax(1)
    discrete = math.log(10) + torch.where(category == 0, math.log(1 / 2), math.log(1 / 18))
    numbers = 2 * (math.log(2) + LEAST) - (z[:, 14] - 0.25).square() / 2 - (z[:, 15] + 0.5).square() / 2
    first = model.discriminator_loss(step_for(images))
    torch.testing.assert_close(first.terms["value"], torch.full((8,), 2 * math.log(2)))
    torch.testing.assert_close(first.terms["information"], -(2.0 * discrete + 0.5 * numbers))
    torch.testing.assert_close(first.watch["I(c1)"], discrete.mean())
    torch.testing.assert_close(first.watch["I(c2)"] + first.watch["I(c3)"], numbers.mean())
    second = model.generator_loss(step_for(images))
    torch.testing.assert_close(second.terms["cost"], torch.full((8,), math.log(2)))
    torch.testing.assert_close(second.terms["information"], first.terms["information"])  # the same draws, and Q is constant


# (b) what only it has

JOINT = torch.tensor([[0.20, 0.03, 0.02], [0.01, 0.22, 0.02], [0.05, 0.05, 0.15], [0.00, 0.10, 0.15]], dtype=torch.float64)  # x, c


def information_of(joint):
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint * (joint / independent).log()).nan_to_num().sum())


def expected_bound(joint, logits):
    """E over x and c of log Q(c|x) + log K, with Q's logits (X, K)."""
    x, c = (index.flatten() for index in torch.meshgrid(torch.arange(4), torch.arange(3), indexing="ij"))
    return float((joint.flatten() * category_bound(logits[x], c)).sum())


def test_the_bound_is_below_the_information_and_reaches_it_with_the_posterior():
    joint = JOINT / JOINT.sum(0, keepdim=True) / 3  # the code's law is uniform
    exact = information_of(joint)
    posterior = (joint / joint.sum(1, keepdim=True)).clamp(min=1e-300).log()
    assert expected_bound(joint, posterior) == pytest.approx(exact, abs=1e-12)
    generator = torch.Generator().manual_seed(0)
    for scale in (0.0, 0.1, 1.0, 3.0):
        other = posterior.clamp(min=-9) + scale * torch.randn(4, 3, generator=generator, dtype=torch.float64)
        assert expected_bound(joint, other) <= exact + 1e-12
    assert 0 < exact < math.log(3)


@pytest.mark.parametrize("categories", [2, 10])
def test_the_bound_never_exceeds_the_entropy_and_equals_it_for_a_perfect_guess(categories):
    category = torch.arange(64) % categories
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 10.0, 1e4):
        logits = scale * torch.randn(64, categories, generator=generator)
        assert bool((category_bound(logits, category) <= math.log(categories) + 1e-6).all())
        assert torch.isfinite(category_bound(logits, category)).all()
    perfect = category_bound(200.0 * nn.functional.one_hot(category, categories).float(), category)
    torch.testing.assert_close(perfect, torch.full((64,), math.log(categories)))
    number = torch.linspace(-1, 1, 64)
    assert bool((number_bound(torch.randn(64, generator=generator), number) <= math.log(2) + LEAST).all())
    torch.testing.assert_close(number_bound(number, number), torch.full((64,), math.log(2) + LEAST))


def test_both_players_are_rewarded_and_q_is_trained_by_the_discriminator_s_phase(step_for, pictures_of):
    """The authors' code: the bound's gradient reaches the trunk, Q and the generator, each in its own phase."""
    model, images = InfoGAN(TINY, EIGHT), pictures_of(8, 1, 8, 8)
    (stage,) = model.stages()
    assert [phase.trains for phase in stage.phases] == [(model.trunk, model.discriminator, model.recogniser), (model.generator,)]
    model.discriminator_loss(step_for(images)).terms["information"].mean().backward()
    assert all(p.grad is None for p in (*model.generator.parameters(), *model.discriminator.parameters()))
    assert all(p.grad is not None and p.grad.any() for p in (model.trunk.layers[0].weight, model.recogniser[0].weight))
    model.generator_loss(step_for(images)).terms["information"].mean().backward()
    assert all(p.grad is not None for p in model.generator.parameters())


def test_the_code_is_noise_a_category_and_numbers():
    config = replace(TINY, categories=(3, 4), numbers=1)
    model = InfoGAN(config, EIGHT)
    assert dict(model.factors) == {"c1": 3, "c2": 4, "c3": 0}
    z = model.draw(4000, StepDraws(0, 0, 1, torch.device("cpu")))
    noise, first, second, number = z.split([4, 3, 4, 1], dim=1)
    for part in (noise, number):
        assert part.min() >= -1 and part.max() < 1
        assert float(part.mean()) == pytest.approx(0, abs=0.05) and float(part.var()) == pytest.approx(1 / 3, abs=0.02)
    for hot in (first, second):
        assert torch.equal(hot.sum(1), torch.ones(4000)) and set(hot.unique().tolist()) == {0.0, 1.0}
        assert float((hot.mean(0) - 1 / hot.shape[1]).abs().max()) < 0.03


def test_a_part_is_turned_and_read_and_the_rest_stays():
    model = InfoGAN(TINY, EIGHT)
    z = model.draw(5, SampleDraws(0))
    turned = model.turn(z, "c1", torch.tensor(7))
    assert model.read(turned, "c1").tolist() == [7] * 5
    assert torch.equal(turned[:, :4], z[:, :4]) and torch.equal(turned[:, 14:], z[:, 14:])
    moved = model.turn(z, "c3", torch.linspace(-1, 1, 5))
    assert torch.equal(moved[:, :15], z[:, :15]) and torch.equal(model.read(moved, "c3"), torch.linspace(-1, 1, 5))
    with pytest.raises(GanvasError, match="there is no 'c4' .there are: c1, c2, c3."):
        model.turn(z, "c4", torch.tensor(0.0))


def test_encode_gives_q_s_likeliest_code(pictures_of):
    model = InfoGAN(TINY, EIGHT).eval()
    constant_head(model.recogniser, [0.0, 0.0, 0.0, 5.0] + [0.0] * 6 + [0.25, -3.0])
    z = model.encode(Batch({"images": pictures_of(3, 1, 8, 8)}))
    expected = torch.zeros(16)
    expected[4 + 3], expected[14], expected[15] = 1.0, 0.25, -1.0
    torch.testing.assert_close(z, expected.expand(3, 16))


def test_a_code_that_decides_the_image_is_found_again(step_for):
    """A generator that is fixed and shows its category: Q alone, trained by the discriminator's phase, reaches the entropy."""
    torch.manual_seed(0)
    model = InfoGAN(replace(TINY, categories=(4,), numbers=0, lr_discriminator=1e-2), EIGHT)

    class Shown(nn.Module):
        def forward(self, z):
            x = torch.full((len(z), 1, 8, 8), -2.0)
            for row, category in enumerate(z[:, 4:].argmax(1).tolist()):
                x[row, 0, 2 * category : 2 * category + 2] = 2.0
            return x

    model.generator = Shown()
    (stage,) = model.stages()
    parameters = [p for module in stage.phases[0].trains for p in module.parameters()]
    optimizer = stage.phases[0].optimizer.build(parameters)
    for step in range(60):
        loss = model.discriminator_loss(step_for(torch.zeros(32, 1, 8, 8), seed=step))
        optimizer.zero_grad()
        loss.terms["information"].mean().backward()
        optimizer.param_groups[0].update(stage.phases[0].optimizer.settings(step_for(torch.zeros(8, 1, 8, 8)).clock))
        optimizer.step()
    assert math.log(4) - 0.1 < float(loss.watch["I(c1)"]) <= math.log(4)


# Presets and configuration


def settings(preset):
    (stage,) = InfoGAN(preset, EIGHT).stages()
    clock = Clock(step=0, images=0, budget=1000, stage_step=0, stage_images=0, stage_budget=1000)
    return stage, {phase.name: (phase.optimizer, phase.optimizer.settings(clock)["lr"]) for phase in stage.phases}


def test_the_paper_preset_is_the_authors_mnist_script():
    stage, found = settings(Config())
    assert (stage.images, stage.batch) == (640_000, 128)
    assert {name: rate for name, (_, rate) in found.items()} == {"discriminator": 2e-4, "generator": 1e-3}
    assert all(isinstance(optimizer, Adam) and optimizer.betas == (0.5, 0.999) for optimizer, _ in found.values())
    model = InfoGAN(Config(), DataSpec(kind="images", shape=(1, 28, 28)))
    assert dict(model.factors) == {"c1": 10, "c2": 0, "c3": 0} and model.config.noise == 62
    sizes = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(74, 1024), (1024, 6272), (6272, 1024), (1024, 1), (1024, 128), (128, 12)]
    stds = [float(layer.weight.detach().std()) for layer in model.modules() if isinstance(layer, nn.Linear)][:3]
    assert stds == pytest.approx([0.02] * 3, rel=0.02)


def test_quick_is_the_reference_at_half_width():
    stage, found = settings(PRESETS["quick"])
    quick, paper = PRESETS["quick"], Config()
    assert (2 * quick.width, 2 * quick.units, stage.images) == (paper.width, paper.units, paper.images)
    assert {name: rate for name, (_, rate) in found.items()} == {"discriminator": 2e-4, "generator": 1e-3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": (1,)}, "--config.categories must be whole numbers of at least 2, not .1,."),
        ({"categories": (), "numbers": 0}, "--config.categories and --config.numbers: there is no code"),
        ({"batch": 1}, "--config.batch must be a whole number of at least 2, not 1"),
        ({"information_weight": -1.0}, "--config.information_weight must be at least 0, not -1.0"),
        ({"noise": 0}, "--config.noise must be a whole number of at least 1, not 0"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="infogan takes images, not points"):
        InfoGAN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        InfoGAN(TINY, EIGHT).eval().sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: InfoGAN(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
