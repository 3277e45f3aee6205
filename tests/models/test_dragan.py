"""DRAGAN: the losses by hand, where its penalty looks and where it never does, presets, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.dragan import DRAGAN, PRESETS, Config
from ganvas.parts.penalties import input_gradient, local_penalty, slope

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))

TRACE = {
    "discriminator/value": [1.40357, 1.2992, 1.45583, 1.44086, 1.32335],
    "discriminator/penalty": [1.3283, 0.550561, 0.634636, 0.331782, 0.321596],
    "generator/cost": [0.697502, 0.627956, 0.572696, 0.556799, 0.511348],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


class Linear(nn.Module):
    """The logit <slope, x> of a point, and all the points it was asked about."""

    def __init__(self, *slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return x @ self.slope


class Fixed(nn.Module):
    """The same fakes whatever the code."""

    def __init__(self, fakes):
        super().__init__()
        self.fakes = nn.Parameter(fakes)

    def forward(self, z):
        return self.fakes


def known(config, slope, fakes):
    model = DRAGAN(config, PLANE)
    model.discriminator, model.generator = Linear(*slope), Fixed(fakes)
    return model


# (a) by hand


def test_the_losses_of_a_linear_discriminator(step_for):
    """a(x) = 3 x_1 + 4 x_2: slope 5 everywhere, so each penalty is 10 (5 - 1)^2; logits of reals 3 and 0, of fakes 4 and -3."""
    model = known(TINY, (3.0, 4.0), torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    step = step_for(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    softplus = lambda t: math.log(1 + math.exp(t))
    loss = model.discriminator_loss(step)
    torch.testing.assert_close(loss.terms["penalty"], torch.full((2,), 10 * 16.0))
    torch.testing.assert_close(loss.terms["value"], torch.tensor([softplus(-3) + softplus(4), softplus(0) + softplus(-3)]))
    torch.testing.assert_close(model.generator_loss(step).terms["cost"], torch.tensor([softplus(-4), softplus(3)]))
    assert float(loss.watch["D(x)"]) == pytest.approx((1 / (1 + math.exp(-3)) + 0.5) / 2)


@pytest.mark.parametrize(("weight", "target", "value"), [(10.0, 5.0, 0.0), (2.0, 4.0, 2.0), (0.0, 1.0, 0.0)])
def test_the_penalty_s_weight_and_slope_are_the_configuration_s(step_for, weight, target, value):
    model = known(replace(TINY, penalty_weight=weight, penalty_slope=target), (3.0, 4.0), torch.zeros(4, 2))
    found = model.discriminator_loss(step_for(torch.randn(4, 2))).terms["penalty"]
    torch.testing.assert_close(found, torch.full((4,), value), rtol=1e-4, atol=1e-5)


# (b) what only it has


@pytest.mark.parametrize("noise", [0.5, 0.1])
def test_the_penalty_looks_around_reals_only_and_symmetrically(step_for, noise):
    """Points asked about: the reals, the fakes, and one point a real, at most `noise` standard deviations from it, on either side."""
    torch.manual_seed(0)
    real, fakes = torch.randn(2000, 2), torch.full((2000, 2), 50.0)
    model = known(replace(TINY, noise=noise), (0.6, 0.8), fakes)
    model.discriminator_loss(step_for(real))
    seen_reals, seen_fakes, around = model.discriminator.seen
    assert torch.equal(seen_reals, real) and torch.equal(seen_fakes, fakes)
    delta, reach = around - real, noise * float(real.std(correction=0))
    assert delta.abs().max() <= reach + 1e-6 and delta.max() > 0.99 * reach and delta.min() < -0.99 * reach
    assert float(delta.mean()) == pytest.approx(0.0, abs=0.02 * reach)
    assert float((delta > 0).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_fakes_never_enter_the_penalty(step_for, pictures_of):
    """Another generator, the same penalty; and no gradient of it reaches the fakes."""
    penalties = []
    for scale in (0.0, 30.0):
        torch.manual_seed(0)
        model = DRAGAN(TINY, images(1, 16, 16))
        torch.nn.init.normal_(model.generator.project.weight, 0.0, scale)
        penalties.append(model.discriminator_loss(step_for(pictures_of(8, 1, 16, 16))).terms["penalty"])
    assert torch.equal(*penalties)
    model = known(TINY, (3.0, 4.0), torch.zeros(4, 2))
    model.discriminator_loss(step_for(torch.randn(4, 2))).terms["penalty"].sum().backward()
    assert model.generator.fakes.grad is None and model.discriminator.slope.grad.abs().sum() > 0


@pytest.mark.parametrize("data", [images(1, 28, 28), images(3, 20, 44), PLANE], ids=["digits", "wide", "points"])
def test_the_discriminator_has_no_normalisation_and_sees_each_sample_alone(pictures_of, data):
    model = DRAGAN(TINY, data)
    assert not any("Norm" in type(layer).__name__ for layer in model.discriminator.modules())
    assert data is PLANE or any("BatchNorm" in type(layer).__name__ for layer in model.generator.modules())
    x = torch.randn(6, 2) if data is PLANE else pictures_of(6, *data.shape)
    torch.testing.assert_close(model.discriminator(x)[:2], model.discriminator(x[:2]))


def test_the_penalty_s_second_order_gradient_equals_finite_differences(step_for, pictures_of):
    """In float64, on the convolutional discriminator with its in-place activations: d penalty / d weights, entry by entry."""
    torch.manual_seed(0)
    model = DRAGAN(replace(TINY, discriminator_width=2), images(1, 8, 8)).double()
    real = pictures_of(4, 1, 8, 8).double()

    def penalty():
        return local_penalty(model.discriminator, real, step_for(real).rng).mean()

    parameters = [p for p in model.discriminator.parameters() if p.dim() > 1]
    gradients = torch.autograd.grad(penalty(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        for index in range(0, parameter.numel(), max(1, parameter.numel() // 5)):
            flat, step = parameter.data.view(-1), 1e-6
            before = float(flat[index])
            flat[index] = before + step
            above = float(penalty().detach())
            flat[index] = before - step
            below = float(penalty().detach())
            flat[index] = before
            assert float(gradient.reshape(-1)[index]) == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-8)


def test_losses_are_in_single_precision_under_autocast(step_for, pictures_of):
    model = DRAGAN(TINY, images(1, 16, 16))
    exact = model.discriminator_loss(step_for(pictures_of(4, 1, 16, 16))).terms["penalty"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.discriminator_loss(step_for(pictures_of(4, 1, 16, 16)))
    assert all(term.dtype == torch.float32 for term in loss.terms.values())
    assert torch.equal(loss.terms["penalty"], exact)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44)])
def test_samples_have_the_data_s_size(step_for, pictures_of, shape):
    model = DRAGAN(TINY, images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.discriminator_loss(step).terms["penalty"].shape == model.generator_loss(step).terms["cost"].shape == (4,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


# Presets and configuration


def test_the_numbers_of_the_authors_notebook():
    config = PRESETS["paper"]
    assert config == Config() and (config.batch, config.z, config.prior) == (128, 100, "uniform")
    assert (config.penalty_weight, config.penalty_slope, config.noise) == (10.0, 1.0, 0.5)
    (stage,) = DRAGAN(replace(config, width=8, discriminator_width=8), images(1, 28, 28)).stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 1), ("generator", 1)]
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.9)
        assert phase.optimizer.settings(clock) == {"lr": 1e-4}


def test_the_first_weights_let_gradients_through():
    """N(0, 2 / inputs) in the discriminator (authors' notebook), N(0, 0.02^2) in the generator; so slopes begin near 1, not near 0."""
    torch.manual_seed(0)
    model = DRAGAN(replace(PRESETS["paper"], width=32, discriminator_width=32), images(1, 28, 28))
    first, second, third = (layer for layer in model.discriminator.modules() if isinstance(layer, nn.Conv2d))
    for layer, inputs in ((second, 16 * 32), (third, 16 * 64), (model.discriminator.score, 4 * 4 * 128)):
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / inputs), rel=0.05)
        assert not layer.bias.detach().any()
    assert float(model.generator.project.weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    slopes = slope(input_gradient(model.discriminator, torch.rand(8, 1, 28, 28) * 2 - 1))
    assert 0.1 < float(slopes.detach().mean()) < 10.0 and first.kernel_size == (4, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"penalty_weight": -1.0}, "--config.penalty_weight must be at least 0, not -1.0"),
        ({"penalty_slope": math.nan}, "--config.penalty_slope must be at least 0, not nan"),
        ({"noise": -0.5}, "--config.noise must be at least 0, not -0.5"),
        ({"discriminator_width": 0}, "--config.discriminator_width must be a whole number of at least 1, not 0"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="dragan takes images or points, not tokens"):
        DRAGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="dragan is not conditional"):
        DRAGAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: DRAGAN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
