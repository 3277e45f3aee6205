"""GAN: the value and the three costs by hand, the optimal discriminator, presets, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import SGD, Adam
from ganvas.errors import GanvasError
from ganvas.models.gan import COSTS, GAN, PRESETS, Config
from ganvas.parts.objectives import MAXIMUM_LIKELIHOOD, MINIMAX, NON_SATURATING

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))

TRACE = {
    "discriminator/value": [1.38876, 1.38238, 1.3683, 1.36317, 1.35762],
    "generator/cost": [0.664493, 0.662687, 0.665254, 0.667656, 0.671517],
}


def at(step=0, images=0, budget=1000):
    return Clock(step=step, images=images, budget=budget, stage_step=step, stage_images=images, stage_budget=budget)


def settings(preset, clock):
    (stage,) = GAN(preset, PLANE).stages()
    return {phase.name: phase.optimizer.settings(clock) for phase in stage.phases}


def constant_logit(model, logit):
    """Make the discriminator answer one logit whatever it sees."""
    last = model.discriminator.layers[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, logit)
    return model


# (a) by hand


def test_the_value_is_minus_log_4_where_the_discriminator_says_one_half(step_for, pictures_of):
    model = constant_logit(GAN(TINY, DataSpec(kind="images", shape=(1, 8, 8))), 0.0)
    loss = model.discriminator_loss(step_for(pictures_of(8, 1, 8, 8)))
    assert loss.terms["value"].shape == (8,)
    torch.testing.assert_close(-loss.terms["value"], torch.full((8,), -math.log(4)))
    assert float(loss.watch["D(x)"]) == float(loss.watch["D(G(z))"]) == 0.5


@pytest.mark.parametrize(
    ("cost", "value", "slope"),
    [
        ("minimax", lambda a, s: math.log(1 - s), lambda a, s: -s),
        ("non-saturating", lambda a, s: -math.log(s), lambda a, s: -(1 - s)),
        ("maximum-likelihood", lambda a, s: -math.exp(a), lambda a, s: -math.exp(a)),
    ],
)
def test_each_cost_and_its_slope_by_the_logit(step_for, cost, value, slope):
    a = -1.5
    sigma = 1 / (1 + math.exp(-a))
    model = constant_logit(GAN(replace(TINY, generator_cost=cost), PLANE), a)
    term = model.generator_loss(step_for(torch.zeros(8, 2))).terms["cost"]
    torch.testing.assert_close(term, torch.full((8,), value(a, sigma)))
    logit = torch.tensor([a], dtype=torch.float64, requires_grad=True)
    COSTS[cost].g(logit).sum().backward()
    assert float(logit.grad) == pytest.approx(slope(a, sigma), rel=1e-12)


# (b) what only it has: theory of sections 4.1 and 4.2, on distributions over six points

P_DATA = torch.tensor([0.30, 0.25, 0.20, 0.15, 0.07, 0.03], dtype=torch.float64)
P_MODEL = torch.tensor([0.05, 0.10, 0.15, 0.20, 0.20, 0.30], dtype=torch.float64)


def kl(p, q):
    return (p * (p / q).log()).sum()


def jsd(p, q):
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


def test_the_best_discriminator_is_the_share_of_the_data_and_its_value_is_the_divergence():
    logits = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def negative_value():
        # d(real, fake) is a sum of one function of each logit: weighing each point by its probability gives the expectation.
        nothing = torch.full_like(logits, -1e9)
        value = (P_DATA * MINIMAX.d(logits, nothing)).sum() + (P_MODEL * MINIMAX.d(-nothing, logits)).sum()
        descent.zero_grad()
        value.backward()
        return value

    descent.step(negative_value)
    torch.testing.assert_close(logits.detach().sigmoid(), P_DATA / (P_DATA + P_MODEL), rtol=1e-5, atol=1e-6)
    value = -float(negative_value().detach())
    assert value == pytest.approx(-math.log(4) + 2 * float(jsd(P_DATA, P_MODEL)), rel=1e-9)


@pytest.mark.parametrize(
    ("objective", "divergence"),
    [
        (MINIMAX, lambda q: 2 * jsd(P_DATA, q)),
        (NON_SATURATING, lambda q: kl(q, P_DATA) - 2 * jsd(P_DATA, q)),
        (MAXIMUM_LIKELIHOOD, lambda q: kl(P_DATA, q)),
    ],
    ids=["minimax", "non-saturating", "maximum-likelihood"],
)
def test_against_the_best_discriminator_each_cost_descends_a_divergence(objective, divergence):
    """Theorem 1; Arjovsky & Bottou 2017 (arXiv:1701.04862), theorem 2.5; Goodfellow 2016, section 3.2.4."""
    scores = P_MODEL.log().clone().requires_grad_()
    model = scores.softmax(0)
    best = (P_DATA / P_MODEL).log()  # the logit of p_data / (p_data + p_model), held fixed
    (found,) = torch.autograd.grad((model * objective.g(best)).sum(), scores)
    other = P_MODEL.log().clone().requires_grad_()
    (expected,) = torch.autograd.grad(divergence(other.softmax(0)), other)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_maxout_unit_is_the_largest_of_its_linear_pieces():
    model = GAN(Config(), PLANE)
    hidden = model.discriminator.layers[1]
    x = torch.randn(5, 2)
    pieces = hidden.linear(x).view(5, 240, 5)
    torch.testing.assert_close(hidden(x), pieces.amax(2))
    assert model.discriminator(x).shape == (5,)


def test_dropout_hides_only_while_training(step_for):
    model = GAN(Config(), PLANE)
    x = torch.randn(4, 2)
    assert not torch.equal(model.discriminator(x), model.discriminator(x))
    model.eval()
    assert torch.equal(model.discriminator(x), model.discriminator(x))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9)])
def test_images_end_in_tanh_and_points_do_not(shape):
    images = GAN(TINY, DataSpec(kind="images", shape=shape)).eval()
    sample = images.sample(6, rng=SampleDraws(0))
    assert sample.shape == (6, *shape) and sample.abs().max() <= 1
    points = GAN(TINY, DataSpec(kind="points", shape=(1,))).eval()
    torch.nn.init.constant_(points.generator.layers[-1].bias, 5.0)
    assert points.sample(6, rng=SampleDraws(0)).min() > 1


# Presets and configuration


def test_the_paper_preset_is_the_published_mnist_configuration():
    model = GAN(PRESETS["paper"], DataSpec(kind="images", shape=(1, 28, 28)))
    linear = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (100, 1200), (1200, 1200), (1200, 784), (784, 1200), (240, 1200), (240, 1),
    ]  # fmt: skip
    bounds = [float(layer.weight.detach().abs().max()) for layer in linear]
    assert bounds == pytest.approx([0.05] * 3 + [0.005] * 3, rel=0.02) and max(bounds) <= 0.05
    (stage,) = model.stages()
    assert (stage.images, stage.batch) == (12_500_000, 100)
    assert all(isinstance(phase.optimizer, SGD) and phase.repeat == 1 for phase in stage.phases)


def test_the_paper_preset_decays_its_rate_and_raises_its_momentum():
    start, end = settings(PRESETS["paper"], at()), settings(PRESETS["paper"], at(step=125_000, images=1000))
    assert start["generator"] == {"lr": 0.1, "momentum": 0.5}
    assert start["discriminator"] == {"lr": 0.05, "momentum": 0.5}
    assert end["generator"] == pytest.approx({"lr": 0.1 / 1.000004**125_000, "momentum": 0.7})


def test_the_textbook_preset_is_the_keras_chapter():
    model = GAN(PRESETS["textbook"], DataSpec(kind="images", shape=(1, 28, 28)))
    linear = [layer.out_features for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert linear == [256, 512, 1024, 784, 512, 256, 1] and model.config.z == 100
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm1d)]
    assert [(norm.num_features, norm.eps) for norm in norms] == [(256, 1e-3), (512, 1e-3), (1024, 1e-3)]
    assert all(norm.momentum == pytest.approx(0.2) for norm in norms)
    (stage,) = model.stages()
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(at(step=100)) == {"lr": 2e-4}


def test_critic_steps_repeat_the_discriminator_alone():
    (stage,) = GAN(replace(TINY, critic_steps=3), PLANE).stages()
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 3), ("generator", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "--config.batch must be a whole number of at least 1, not 0"),
        ({"generator_widths": (16, 0)}, "--config.generator_widths must be whole numbers of at least 1, not .16, 0."),
        ({"dropout": 1.0}, "--config.dropout must be at least 0 and below 1, not 1.0"),
        ({"lr_generator": -1.0}, "--config.lr_generator must be above 0, not -1.0"),
        ({"lr_generator": math.nan}, "--config.lr_generator must be above 0, not nan"),
        ({"betas": None}, "--config.momentum .* and --config.betas"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
        ({"ema_half_life": 0.0}, "--config.ema_half_life must be above 0"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="gan takes images or points, not tokens"):
        GAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="not conditional"):
        GAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: GAN(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
