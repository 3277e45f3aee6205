"""WGAN: the losses by hand, clipping, the critic's rounds, its estimate against exact distances, presets, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import RMSProp
from ganvas.errors import GanvasError
from ganvas.models.wgan import PRESETS, WGAN

TINY = PRESETS["tiny"]
PLANE, LINE = DataSpec(kind="points", shape=(2,)), DataSpec(kind="points", shape=(1,))

TRACE = {
    "critic/distance": [-0.00146992, -0.00136679, -0.00153535, -0.0013655, -0.001695],
    "generator/cost": [-0.00178526, -0.00157039, -0.00130407, -0.00120149, -0.00130014],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def at(step):
    return Clock(step=step, images=step, budget=10**6, stage_step=step, stage_images=step, stage_budget=10**6)


def phases_of(model):
    (stage,) = model.stages()
    return stage.phases


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
    """f(x) = 3 x_1 - x_2 on four points: scores 3, -1, -3 and 1, mean 0."""
    model = linear_critic(WGAN(TINY, PLANE), (3.0, -1.0))
    real = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.5, 0.5]])
    with torch.no_grad():
        fake = model.generator(model.draw(4, step_for(real).rng))
    fake_scores = 3 * fake[:, 0] - fake[:, 1]
    loss = model.critic_loss(step_for(real))
    torch.testing.assert_close(loss.terms["distance"], fake_scores - torch.tensor([3.0, -1.0, -3.0, 1.0]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loss.watch["wasserstein"], -fake_scores.mean(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.generator_loss(step_for(real)).terms["cost"], -fake_scores, rtol=1e-4, atol=1e-4)


def test_the_keras_version_s_labels_times_scores_are_the_same_loss(step_for):
    """There: mean(y f) with y = -1 on reals and 1 on fakes for the critic, y = -1 on fakes for the generator."""
    model, real = WGAN(TINY, PLANE), torch.randn(8, 2)
    with torch.no_grad():
        fake = model.generator(model.draw(8, step_for(real).rng))
        real_scores, fake_scores = model.critic(real), model.critic(fake)
    torch.testing.assert_close(
        model.critic_loss(step_for(real)).terms["distance"].mean(), (-1 * real_scores).mean() + (1 * fake_scores).mean()
    )
    torch.testing.assert_close(model.generator_loss(step_for(real)).terms["cost"].mean(), (-1 * fake_scores).mean())


# (b) what only it has


def test_every_parameter_of_the_critic_is_clipped_after_its_updates_only():
    """The gains of batch normalisation, which start near 1, too; the generator's parameters and the running statistics are left alone."""
    model = WGAN(PRESETS["paper"], images(1, 28, 28))
    critic, generator = phases_of(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.after_update(generator, {}, {})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        model.after_update(critic, {}, {})
    clipped = {f"critic.{name}" for name, _ in model.critic.named_parameters()}
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in model.critic.modules()) == 2
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name].clamp(-0.01, 0.01) if name in clipped else before[name]), name


def test_the_authors_rounds_of_the_critic():
    model = WGAN(PRESETS["paper"], PLANE)
    repeat = phases_of(model)[0].repeat
    assert [repeat(at(step)) for step in (0, 1, 24)] == [100, 100, 100]
    assert [repeat(at(step)) for step in (25, 26, 499)] == [5, 5, 5]
    assert [repeat(at(step)) for step in (500, 501, 1000)] == [100, 5, 100]
    textbook = phases_of(WGAN(PRESETS["textbook"], PLANE))[0].repeat
    assert {textbook(at(step)) for step in range(1001)} == {5}


THETAS = (-0.8, -0.5, -0.3, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
HALF = 0.05  # the laws below are uniform on intervals of length 0.1 around 0 and around theta
GRID = HALF * (2 * (torch.arange(1000)[:, None] + 0.5) / 1000 - 1)  # the middles of a thousand parts of the first


class Uniform(nn.Module):
    """A generator that stands still: codes (B, Z) of independent normal entries to points (B, 1), uniform around 0."""

    def forward(self, z):
        return HALF * (2 * torch.special.ndtr(z[:, :1]) - 1)


def trained_estimate(step_for, theta, *, clip=0.1, width=8, updates=120):
    """E[f(x)] - E[f(x_hat)] of a critic that its own phase trained between the two laws, by quadrature.

    It starts with biases at the bound, where every unit is on for all of the data: a ReLU unit that is off on all of them gets no gradient
    and stays off, and as many as happen to be so at the start would make K smaller.
    """
    torch.manual_seed(0)
    model = WGAN(replace(TINY, clip=clip, critic_width=width, lr_critic=2e-3), LINE)
    model.generator = Uniform()
    for layer in model.critic.modules():
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.bias, clip)
    critic, _ = phases_of(model)
    optimizer = critic.optimizer.build(list(model.critic.parameters()))
    optimizer.param_groups[0].update(critic.optimizer.settings(at(0)))
    for update in range(updates):
        real = theta + HALF * (2 * torch.rand(64, 1, generator=torch.Generator().manual_seed(update)) - 1)
        optimizer.zero_grad()
        critic.loss(step_for(real, seed=update)).terms["distance"].mean().backward()
        optimizer.step()
        with torch.no_grad():
            model.after_update(critic, {}, {})
    with torch.no_grad():
        return float(model.critic(theta + GRID).mean() - model.critic(GRID).mean())


def jensen_shannon(theta):
    """Between the two laws, by quadrature with the best discriminator p / (p + q)."""
    x = (torch.arange(40_000, dtype=torch.float64) + 0.5) / 20_000 - 1  # [-1, 1]
    p, q = (((x - centre).abs() < HALF).double() / (2 * HALF) for centre in (theta, 0.0))
    best = p / (p + q).clamp(min=1e-9)
    value = (torch.xlogy(p, best) + torch.xlogy(q, 1 - best)).sum() / 20_000
    return float(value + math.log(4)) / 2


def test_the_clipped_critic_s_estimate_is_proportional_to_the_distance_where_the_divergence_stands_still(step_for):
    """Section 2, example 1, in one dimension: W = |theta|, while the Jensen-Shannon divergence of disjoint laws is log 2 and has no slope.

    The factor K is at most the product of the layers' largest row sums, c (c F)^3."""
    distances = torch.tensor(THETAS, dtype=torch.float64).abs()
    estimates = torch.tensor([trained_estimate(step_for, theta) for theta in THETAS], dtype=torch.float64)
    factor = (estimates @ distances) / (distances @ distances)
    unexplained = (estimates - factor * distances).square().sum() / (estimates - estimates.mean()).square().sum()
    assert 1 - float(unexplained) >= 0.98
    bound = 0.1 * (0.1 * 8) ** 3
    assert float(factor) == pytest.approx(bound, rel=0.05) and (estimates <= bound * distances * 1.001).all()
    divergences = [jensen_shannon(theta) for theta in THETAS]
    assert divergences == pytest.approx([min(1.0, abs(theta) / 0.1) * math.log(2) for theta in THETAS], abs=1e-3)
    assert sum(divergence == pytest.approx(math.log(2), abs=1e-3) for divergence in divergences) == 8


def test_the_factor_follows_the_clipping_bound(step_for):
    """K = c (c F)^3 where all weights stand at the bound: half of c, a sixteenth of K."""
    wide, narrow = (trained_estimate(step_for, 0.5, clip=clip) for clip in (0.1, 0.05))
    assert wide / narrow == pytest.approx(16, rel=0.02)


# Networks, presets and configuration


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44)])
def test_samples_have_the_data_s_size(step_for, pictures_of, shape):
    model = WGAN(TINY, images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.critic_loss(step).terms["distance"].shape == model.generator_loss(step).terms["cost"].shape == (4,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@pytest.mark.parametrize("preset", ["paper", "textbook"])
def test_the_optimizers_of_algorithm_1(preset):
    config = PRESETS[preset]
    assert (config.batch, config.clip, config.critic_steps, config.z) == (64, 0.01, 5, 100)
    for phase in phases_of(WGAN(config, PLANE)):
        assert isinstance(phase.optimizer, RMSProp)
        assert phase.optimizer.settings(at(7)) == {"lr": 5e-5}
        built = phase.optimizer.build(list(phase.trains[0].parameters()))
        assert built.defaults["momentum"] == 0 and built.defaults["alpha"] == 0.99


def test_the_paper_preset_is_the_authors_network_of_64_pixels():
    model = WGAN(PRESETS["paper"], images(3, 64, 64))
    ups = [layer for layer in model.generator.modules() if isinstance(layer, nn.ConvTranspose2d)]
    downs = [layer for layer in model.critic.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in ups] == [(512, 256), (256, 128), (128, 64), (64, 3)]
    assert [(layer.in_channels, layer.out_channels) for layer in downs] == [(3, 64), (64, 128), (128, 256), (256, 512)]
    assert {layer.kernel_size for layer in [*ups, *downs]} == {(4, 4)}
    assert float(downs[2].weight.detach().std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": 0.0}, "--config.clip must be above 0, not 0.0"),
        ({"critic_steps": 0}, "--config.critic_steps must be a whole number of at least 1, not 0"),
        ({"long_every": 0}, "--config.long_every must be a whole number of at least 1, not 0"),
        ({"long_first": -1}, "--config.long_first must be a whole number of at least 0, not -1"),
        ({"lr_critic": math.inf}, "--config.lr_critic must be above 0"),
        ({"dropout": 1.0}, "--config.dropout must be at least 0 and below 1, not 1.0"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="wgan takes images or points, not tokens"):
        WGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="wgan is not conditional"):
        WGAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: WGAN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
