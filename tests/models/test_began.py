"""BEGAN: the controller and the measure of convergence in numbers, the errors by hand, its networks, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.began import BEGAN, PRESETS

TINY = PRESETS["tiny"]

TRACE = {
    "critic/real": [0.850355, 0.850023, 0.850191, 0.850477, 0.850849],
    "critic/fake": [0, -0.010772, -0.0146348, -0.0181469, -0.0216838],
    "generator/error": [0.0125119, 0.0183821, 0.0235624, 0.0283213, 0.0335115],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def at(step):
    return Clock(step=step, images=step, budget=10**6, stage_step=step, stage_images=step, stage_budget=10**6)


def answering(model, *, reconstruction, fake):
    """Make the autoencoder answer one value whatever it sees, and the generator another."""
    deep = model.config.networks == "deep"
    for network, value in ((model.critic, reconstruction), (model.generator, fake)):
        last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d if deep else nn.ConvTranspose2d)][-1]
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, value if deep else math.atanh(value))
    return model


both = pytest.mark.parametrize("networks", ["deep", "shallow"])


def phases_of(model):
    (stage,) = model.stages()
    return stage.phases


def step_of(model, step):
    """Both losses of a step, and what follows each; returns the watched values of the second."""
    watched = {}
    for phase in phases_of(model):
        loss = phase.loss(step)
        watched = {name: value.detach() for name, value in loss.watch.items()}
        with torch.no_grad():
            model.after_update(phase, watched, step.scratch)
    return watched


# (a) by hand


@both
def test_k_and_the_measure_in_numbers(step_for, networks):
    """Reals of 0.6 and fakes of -0.1, reconstructed as 0.2: L(x) = 0.4, L(G(z)) = 0.3.

    With gamma 0.9 the balance is 0.36 - 0.3 = 0.06, so k goes from 0.25 to 0.25 + 0.001 * 0.06 = 0.25006, and M = 0.4 + 0.06 = 0.46. With
    gamma 0.5 it is 0.2 - 0.3 = -0.1: k goes to 0.2499 and M is 0.5. The critic minimises 0.4 - 0.25 * 0.3 = 0.325 for each pair.
    """
    for gamma, k, measure in ((0.9, 0.25006, 0.46), (0.5, 0.2499, 0.5)):
        model = answering(
            BEGAN(replace(TINY, networks=networks, gamma=gamma, lambda_k=1e-3), images(1, 8, 8)), reconstruction=0.2, fake=-0.1
        )
        model.k.fill_(0.25)
        step = step_for(torch.full((4, 1, 8, 8), 0.6))
        loss = model.critic_loss(step)
        torch.testing.assert_close(loss.terms["real"], torch.full((4,), 0.4))
        torch.testing.assert_close(loss.terms["fake"], torch.full((4,), -0.075))
        torch.testing.assert_close(model.generator_loss(step).terms["error"], torch.full((4,), 0.3))
        watched = step_of(model, step)
        assert float(watched["M"]) == pytest.approx(measure, rel=1e-5)
        assert float(model.k) == pytest.approx(k, rel=1e-6)


@both
@pytest.mark.parametrize(("start", "fake", "end"), [(0.0, 0.9, 0.0), (1.0, 0.2, 1.0), (0.9999, 0.2, 1.0)])
def test_k_stays_between_0_and_1(step_for, networks, start, fake, end):
    """Fakes of 0.9 have the error 0.7, more than gamma 0.4 = 0.2, which would make k negative; those of 0.2 have none."""
    model = answering(BEGAN(replace(TINY, networks=networks, gamma=0.5, lambda_k=1e-2), images(1, 8, 8)), reconstruction=0.2, fake=fake)
    model.k.fill_(start)
    step_of(model, step_for(torch.full((4, 1, 8, 8), 0.6)))
    assert float(model.k) == end


# (b) what only it has


def test_k_is_saved_state_that_moves_after_both_players_by_the_averaged_balance(step_for):
    model = BEGAN(replace(TINY, lambda_k=0.5), images(1, 8, 8))
    assert float(model.k) == 0 and "k" in model.state_dict()
    critic, generator = phases_of(model)
    model.after_update(critic, {"L(x)": torch.tensor(0.4), "k": torch.tensor(0.0)}, {})
    assert float(model.k) == 0
    model.after_update(generator, {"balance": torch.tensor(0.2), "M": torch.tensor(0.6)}, {})
    assert float(model.k) == pytest.approx(0.1)


@both
def test_the_controller_holds_the_ratio_of_the_errors(step_for, networks):
    """Section 3.3: where L(G(z)) = gamma L(x), k rests and M is L(x)."""
    model = answering(BEGAN(replace(TINY, networks=networks, gamma=0.5), images(1, 8, 8)), reconstruction=0.2, fake=0.4)
    model.k.fill_(0.3)
    watched = step_of(model, step_for(torch.full((4, 1, 8, 8), 0.6)))
    assert float(watched["balance"]) == pytest.approx(0, abs=1e-6) and float(watched["M"]) == pytest.approx(0.4, rel=1e-5)
    assert float(model.k) == pytest.approx(0.3, rel=1e-6)


@both
def test_with_k_at_0_the_critic_learns_from_data_alone(step_for, pictures_of, networks):
    model, real = BEGAN(replace(TINY, networks=networks), images(1, 8, 8)), pictures_of(4, 1, 8, 8)
    parameters = list(model.critic.parameters())
    terms = model.critic_loss(step_for(real)).terms
    both = torch.autograd.grad(terms["real"].mean() + terms["fake"].mean(), parameters)
    alone = torch.autograd.grad(model.error(model.canvas.pad(real)).mean(), parameters)
    for found, expected in zip(both, alone, strict=True):
        torch.testing.assert_close(found, expected)
    model.k.fill_(1.0)
    terms = model.critic_loss(step_for(real)).terms
    against = torch.autograd.grad(terms["real"].mean() + terms["fake"].mean(), parameters)
    assert any(not torch.allclose(found, expected) for found, expected in zip(against, alone, strict=True))


@both
def test_the_generator_s_gradient_passes_input_and_target(step_for, networks):
    """Of a constant reconstruction the gradient by the input is 0, and the target's is the sign of v - r over the number of entries."""
    tiny = replace(TINY, networks=networks)
    model = answering(BEGAN(tiny, images(1, 8, 8)), reconstruction=0.2, fake=0.0)
    x = torch.cat([torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), -0.5)]).requires_grad_()
    (gradient,) = torch.autograd.grad(model.error(x).sum(), x)
    expected = torch.cat([torch.full((1, 1, 8, 8), 1 / 64), torch.full((1, 1, 8, 8), -1 / 64)])
    torch.testing.assert_close(gradient, expected)
    free = BEGAN(tiny, images(1, 8, 8))
    (whole,) = torch.autograd.grad(free.error(x).sum(), x)
    fixed = x.detach()
    (by_target,) = torch.autograd.grad((x - free.critic(fixed).detach()).abs().flatten(1).mean(1).sum(), x)
    (by_input,) = torch.autograd.grad((fixed - free.critic(x)).abs().flatten(1).mean(1).sum(), x)
    assert by_input.any() and by_target.any()
    torch.testing.assert_close(whole, by_target + by_input)


def test_nothing_is_normalised_and_errors_are_of_single_samples(pictures_of):
    model = BEGAN(TINY, images(1, 28, 28))
    assert not any("Norm" in type(layer).__name__ for layer in model.modules())
    x = pictures_of(6, 1, 28, 28)
    torch.testing.assert_close(model.error(x)[:2], model.error(x[:2]))
    shallow = BEGAN(replace(TINY, networks="shallow"), images(1, 28, 28))
    torch.testing.assert_close(shallow.error(x)[:2], shallow.error(x[:2]))
    assert [name for name, _ in model.named_buffers()] == ["k"]


def test_errors_are_computed_in_single_precision(step_for, pictures_of):
    model = BEGAN(TINY, images(1, 16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.critic(pictures_of(4, 1, 16, 16)).dtype == torch.bfloat16
        terms = model.critic_loss(step_for(pictures_of(4, 1, 16, 16))).terms
    assert all(term.dtype == torch.float32 for term in terms.values())


# Networks, presets and configuration


def convolutions(network):
    return [(layer.in_channels, layer.out_channels, layer.stride[0]) for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def test_the_networks_of_64_pixels():
    """8 x 8 doubled three times; the encoder's maps grow by F on each size, the generator's stay F; ELU, nearest neighbours."""
    model, f = BEGAN(PRESETS["paper"], images(3, 64, 64)), 128
    encoder, decoder = model.critic
    assert model.canvas.base == (8, 8) and model.canvas.levels == 3
    assert convolutions(model.generator) == convolutions(decoder) == [(f, f, 1)] * 8 + [(f, 3, 1)]
    grown = [(size * f, size * f, 1) for size in (1, 2, 3)]
    halved = [(size * f, (size + 1) * f, 2) for size in (1, 2, 3)]
    between = [layer for pair in zip(grown, halved, strict=True) for layer in pair]
    assert convolutions(encoder) == [(3, f, 1), *between, (4 * f, 4 * f, 1), (4 * f, 4 * f, 1)]
    assert encoder.code.weight.shape == (64, 8 * 8 * 4 * f) and model.generator.project.weight.shape == (8 * 8 * f, 64)
    bends = [layer for layer in model.modules() if isinstance(layer, nn.ELU)]
    assert len(bends) == 8 + 8 + 9 and not any(isinstance(layer, nn.ReLU | nn.LeakyReLU) for layer in model.modules())
    assert {layer.mode for layer in model.modules() if isinstance(layer, nn.Upsample)} == {"nearest"}
    weights = [{id(p) for p in network.parameters()} for network in (model.generator, decoder)]
    assert not weights[0] & weights[1]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44), (2, 9, 6)])
def test_samples_and_reconstructions_have_the_data_s_size(pictures_of, shape):
    model = BEGAN(TINY, images(*shape)).eval()
    sample = model.sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1
    x = pictures_of(4, *shape)
    assert model.critic(model.canvas.pad(x)).shape[2:] == model.canvas.size
    torch.testing.assert_close(model.score(Batch({"images": x})), -model.error(model.canvas.pad(x)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44), (2, 9, 7)])
def test_shallow_networks_take_every_size(pictures_of, shape):
    model = BEGAN(replace(TINY, networks="shallow"), images(*shape)).eval()
    assert model.sample(3, rng=SampleDraws(1)).shape == (3, *shape)
    x = model.canvas.pad(pictures_of(4, *shape))
    assert model.critic(x).shape == x.shape == (4, shape[0], *model.canvas.size)
    assert all(0 <= large - small <= 1 for large, small in zip(model.canvas.size, shape[1:], strict=True))


def test_a_shallow_autoencoder_has_one_layer_and_a_code_on_each_side_and_the_generator_is_normalised():
    model = BEGAN(replace(PRESETS["quick"], width=5, code=7), images(1, 28, 28))
    shapes = [tuple(weight.shape) for weight in model.critic.parameters() if weight.dim() > 1]
    assert shapes == [(5, 1, 4, 4), (5, 1, 4, 4), (7, 5 * 14 * 14), (5 * 14 * 14, 7)]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.critic.modules())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.generator.modules())


def test_samples_are_clipped_to_the_range_of_images():
    model = answering(BEGAN(TINY, images(1, 8, 8)), reconstruction=0.0, fake=1.7)
    assert float(model.generator(torch.zeros(1, TINY.z)).detach().max()) == pytest.approx(1.7)
    assert torch.equal(model.eval().sample(2, rng=SampleDraws(0)), torch.ones(2, 1, 8, 8))


def test_the_paper_s_numbers():
    config = PRESETS["paper"]
    assert (config.batch, config.gamma, config.lambda_k, config.z, config.code, config.prior) == (16, 0.5, 1e-3, 64, 64, "uniform")
    model = BEGAN(config, images(1, 8, 8))
    for phase in phases_of(model):
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        rates = [phase.optimizer.settings(at(step))["lr"] for step in (0, 99_999, 100_000, 250_000)]
        assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 1.5}, "--config.gamma must be at least 0 and at most 1, not 1.5"),
        ({"lambda_k": 0.0}, "--config.lambda_k must be above 0, not 0.0"),
        ({"halve_every": 0}, "--config.halve_every must be a whole number of at least 1, not 0"),
        ({"networks": "wide"}, "--config.networks must be one of deep, shallow"),
        ({"prior": "normall"}, "--config.prior must be one of normal, uniform"),
        ({"lr_critic": math.inf}, "--config.lr_critic must be above 0"),
        ({"betas": (0.5, -0.1)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="began takes images, not points"):
        BEGAN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="began is not conditional"):
        BEGAN(TINY, images(1, 8, 8)).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: BEGAN(replace(TINY, lambda_k=1.0, gamma=1.0), data), pictures_of(8, 1, 12, 12), TRACE)
