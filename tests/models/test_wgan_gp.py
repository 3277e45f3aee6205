"""WGAN-GP: the losses by hand, the penalty's defining properties on its own critics, presets, and a short trace."""

import math
import statistics
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.wgan_gp import PRESETS, WGANGP
from ganvas.parts.penalties import gradient_penalty

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))

TRACE = {
    "critic/distance": [0.924243, 0.72026, 0.471355, 0.26075, -0.0175847],
    "critic/penalty": [0.112938, 0.303317, 0.128348, 0.156588, 0.39794],
    "generator/cost": [0.103528, 0.0502312, 0.0929809, 0.0852683, 0.0502562],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def linear_critic(model, slope):
    """Make the critic of a model of points f(x) = <slope, x>: a ReLU network that is linear where |x| stays below 100."""
    first, second, third, last = (layer for layer in model.critic.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        for layer in (first, second, third, last):
            layer.weight.zero_()
            layer.bias.zero_()
        first.weight[0], first.bias[0] = torch.tensor(slope), 100.0  # positive on all of the data: ReLU is the identity
        second.weight[0, 0] = third.weight[0, 0] = last.weight[0, 0] = 1.0
        last.bias[0] = -100.0
    return model


# (a) by hand


def test_the_losses_of_a_linear_critic(step_for):
    """f(x) = 3 x_1 + 4 x_2: slope 5, so each penalty is (5 - 1)^2, and the distance that of the means along (3, 4)."""
    model = linear_critic(WGANGP(replace(TINY, penalty_weight=0.5), PLANE), (3.0, 4.0))
    real = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.5, 0.5]])
    with torch.no_grad():
        fake = model.generator(model.draw(4, step_for(real).rng))
    scores = torch.tensor([3.0, 4.0])
    loss = model.critic_loss(step_for(real))
    torch.testing.assert_close(loss.terms["penalty"], torch.full((4,), 0.5 * 16.0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loss.terms["distance"], fake @ scores - real @ scores, rtol=1e-4, atol=1e-4)
    estimate = (real @ scores).mean() - (fake @ scores).mean()
    torch.testing.assert_close(loss.watch["wasserstein"], estimate, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.generator_loss(step_for(real)).terms["cost"], -(fake @ scores), rtol=1e-4, atol=1e-4)


# (b) what only it has


def test_a_critic_of_unit_slope_has_no_penalty(step_for):
    model = linear_critic(WGANGP(TINY, PLANE), (0.6, 0.8))
    penalty = model.critic_loss(step_for(torch.randn(8, 2))).terms["penalty"]
    assert penalty.shape == (8,) and penalty.abs().max() < 1e-6


@pytest.mark.parametrize(("slope", "two_sided", "one_sided"), [(0.25, 0.5625, 0.0), (3.0, 4.0, 4.0)])
def test_the_one_sided_penalty_spares_gentle_slopes(step_for, slope, two_sided, one_sided):
    for penalty, value in (("two-sided", two_sided), ("one-sided", one_sided)):
        model = linear_critic(WGANGP(replace(TINY, penalty=penalty, penalty_weight=1.0), PLANE), (slope, 0.0))
        found = model.critic_loss(step_for(torch.randn(8, 2))).terms["penalty"]
        torch.testing.assert_close(found, torch.full((8,), value), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("data", [images(1, 28, 28), images(3, 20, 44), PLANE], ids=["digits", "wide", "points"])
def test_the_critic_has_no_normalisation_and_sees_each_sample_alone(pictures_of, data):
    model = WGANGP(TINY, data)
    assert not any("Norm" in type(layer).__name__ for layer in model.critic.modules())
    x = torch.randn(6, 2) if data is PLANE else model.canvas.pad(pictures_of(6, *data.shape))
    torch.testing.assert_close(model.critic(x)[:2], model.critic(x[:2]))


def test_the_penalty_s_second_order_gradient_equals_finite_differences(step_for, pictures_of):
    """In float64, on the convolutional critic with its in-place activations: d penalty / d weights, entry by entry."""
    torch.manual_seed(0)
    model = WGANGP(replace(TINY, width=2), images(1, 8, 8)).double()
    real, fake = pictures_of(4, 1, 8, 8).double(), -pictures_of(4, 1, 8, 8).double().flip(3)

    def penalty():
        return gradient_penalty(model.critic, real, fake, step_for(real).rng).mean()

    parameters = [p for p in model.critic.parameters() if p.dim() > 1]
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


def test_the_penalty_is_the_same_under_autocast(step_for, pictures_of):
    model = WGANGP(TINY, images(1, 16, 16))
    real, fake = pictures_of(8, 1, 16, 16), pictures_of(8, 1, 16, 16).flip(2)
    exact = gradient_penalty(model.critic, real, fake, step_for(real).rng)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.critic(real).dtype == torch.bfloat16  # the critic itself does run in half precision
        autocast = gradient_penalty(model.critic, real, fake, step_for(real).rng)
        loss = model.critic_loss(step_for(real))
    assert torch.equal(exact, autocast)
    assert all(term.dtype == torch.float32 for term in loss.terms.values())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 20, 44)])
def test_samples_have_the_data_s_size(step_for, pictures_of, shape):
    model = WGANGP(TINY, images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.critic_loss(step).terms["penalty"].shape == model.generator_loss(step).terms["cost"].shape == (4,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


class StandingStill(nn.Module):
    """A generator that does not learn: codes (B, Z) of independent normal entries to points (B, 1) from U[0, 1]."""

    def forward(self, z):
        return torch.special.ndtr(z[:, :1])


@pytest.mark.parametrize(
    ("theta", "weight"), [*((theta, 50.0) for theta in (-2.0, 0.5, 1.0, 2.0, 4.0)), *((theta, 10.0) for theta in (-1.0, 0.5, 1.0))]
)
def test_the_penalised_critic_s_estimate_is_the_distance(step_for, theta, weight):
    """W = |theta| between U[0, 1] and U[theta, theta + 1], and no factor stands before it, as with clipping.

    The best critic's slope is above 1 where mass is carried: it maximises s W - lambda (s - 1)^2, s = 1 + W / (2 lambda), where all pairs
    have the same distance W: at most 4 % with lambda = 50 here, and with the paper's 10 5 % at W = 1, 20 % at W = 4.
    """
    torch.manual_seed(0)
    model = WGANGP(replace(TINY, width=32, penalty_weight=weight, lr_critic=5e-3), DataSpec(kind="points", shape=(1,)))
    model.generator = StandingStill()
    (stage,) = model.stages()
    critic = stage.phases[0]
    optimizer = critic.optimizer.build(list(model.critic.parameters()))
    optimizer.param_groups[0].update(
        critic.optimizer.settings(Clock(step=0, images=0, budget=10**6, stage_step=0, stage_images=0, stage_budget=10**6))
    )
    middles, estimates = (torch.arange(1000)[:, None] + 0.5) / 1000, []
    for update in range(500):
        real = theta + torch.rand(64, 1, generator=torch.Generator().manual_seed(update))
        terms = critic.loss(step_for(real, seed=update)).terms
        optimizer.zero_grad()
        (terms["distance"].mean() + terms["penalty"].mean()).backward()
        optimizer.step()
        with torch.no_grad():
            estimates.append(float(model.critic(theta + middles).mean() - model.critic(middles).mean()))
    # The steps of Adam go to and fro about the best critic.
    estimate = statistics.mean(estimates[300:])
    assert estimate == pytest.approx(abs(theta), rel=0.06)


# Presets and configuration


@pytest.mark.parametrize(("preset", "weight", "steps"), [("paper", 10.0, 5), ("paper-points", 0.1, 5)])
def test_the_optimizers_of_the_authors_scripts(preset, weight, steps):
    config = PRESETS[preset]
    (stage,) = WGANGP(config, PLANE).stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("critic", steps), ("generator", 1)]
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.9)
        assert phase.optimizer.settings(clock) == {"lr": 1e-4}
    assert (config.penalty_weight, config.penalty) == (weight, "two-sided")


def test_the_paper_preset_is_the_authors_mnist_network():
    model = WGANGP(PRESETS["paper"], images(1, 28, 28))
    ups = [layer for layer in model.generator.modules() if isinstance(layer, nn.ConvTranspose2d)]
    downs = [layer for layer in model.critic.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in ups] == [(256, 128), (128, 64), (64, 1)]
    assert [(layer.in_channels, layer.out_channels) for layer in downs] == [(1, 64), (64, 128), (128, 256)]
    assert {layer.kernel_size for layer in [*ups, *downs]} == {(5, 5)}
    assert model.generator.project.weight.shape == (4 * 4 * 256, 128) and PRESETS["paper"].batch == 50
    assert not any("Norm" in type(layer).__name__ for layer in model.modules())


def test_the_authors_initialisation():
    torch.manual_seed(0)
    model = WGANGP(replace(PRESETS["paper"], width=32), images(1, 28, 28))
    second = [layer for layer in model.critic.modules() if isinstance(layer, nn.Conv2d)][1]  # 32 to 64 maps
    first = next(layer for layer in model.generator.modules() if isinstance(layer, nn.ConvTranspose2d))  # 128 to 64 maps
    for layer, fans in ((second, 25 * (32 + 64 / 4)), (first, 25 * (128 / 4 + 64))):
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(4 / fans), rel=0.02)
        assert float(layer.weight.detach().abs().max()) <= math.sqrt(12 / fans)
        assert not layer.bias.detach().any()


def test_the_networks_of_points_have_four_layers_of_512():
    model = WGANGP(PRESETS["paper-points"], PLANE)
    for network, inputs, outputs in ((model.generator, 2, 2), (model.critic, 2, 1)):
        shapes = [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]
        assert shapes == [(inputs, 512), (512, 512), (512, 512), (512, outputs)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"critic_steps": 0}, "--config.critic_steps must be a whole number of at least 1, not 0"),
        ({"penalty_weight": -1.0}, "--config.penalty_weight must be at least 0, not -1.0"),
        ({"lr_critic": math.inf}, "--config.lr_critic must be above 0"),
        ({"betas": (0.5, 2.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="wgan_gp takes images or points, not tokens"):
        WGANGP(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="not conditional"):
        WGANGP(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: WGANGP(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
