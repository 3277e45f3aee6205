"""LSGAN: the losses by hand, the chi-square divergence against the best discriminator, presets, and a short trace."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.lsgan import LSGAN, PRESETS, Config
from ganvas.parts.objectives import least_squares

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))

TRACE = {
    "discriminator/fit": [1.01064, 0.770851, 0.719117, 0.645374, 0.539864],
    "generator/cost": [0.795268, 0.528275, 0.502763, 0.174516, 0.16681],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


class First(nn.Module):
    """The score of a point is its first coordinate."""

    def forward(self, x):
        return x[:, 0]


class Fixed(nn.Module):
    """The same fakes whatever the code."""

    def __init__(self, fakes):
        super().__init__()
        self.fakes = fakes

    def forward(self, z):
        return self.fakes


# (a) by hand


@pytest.mark.parametrize(
    ("targets", "fit", "cost"),
    [((0.0, 1.0, 1.0), [0.625, 2.5], [0.125, 2.0]), ((-1.0, 1.0, 0.0), [1.625, 2.0], [0.125, 0.5])],
)
def test_the_losses_of_known_scores(step_for, targets, fit, cost):
    """Scores of reals 2 and -1, of fakes 1/2 and -1."""
    model = LSGAN(replace(TINY, targets=targets), PLANE)
    model.discriminator, model.generator = First(), Fixed(torch.tensor([[0.5, 9.0], [-1.0, 9.0]]))
    step = step_for(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]))
    loss = model.discriminator_loss(step)
    torch.testing.assert_close(loss.terms["fit"], torch.tensor(fit))
    assert (float(loss.watch["D(x)"]), float(loss.watch["D(G(z))"])) == (0.5, -0.25)
    torch.testing.assert_close(model.generator_loss(step).terms["cost"], torch.tensor(cost))


# (b) what only it has: section 3.2, on two densities whose integrals are sums over nodes of a quadrature


def densities(name):
    """Weights of the nodes, p_data and p_g there."""
    if name == "triangles":  # 2 x and 2 (1 - x) on [0, 1]: chi-square is the integral of (4 x - 2)^2 / 2, which is 2/3
        nodes, weights = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(16))
        x = (nodes + 1) / 2
        return weights / 2, 2 * x, 2 * (1 - x)
    x = torch.linspace(-14, 14, 8001, dtype=torch.float64)
    gauss = lambda mean, std: torch.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    return torch.full_like(x, 28 / 8000), gauss(0.5, 1.0), gauss(-1.0, 1.5)


def cost_against_the_best(targets, weights, data, model):
    """C(G): the generator's cost, with the like term of reals, where the discriminator minimises its own loss at every node."""
    objective = least_squares(*targets)
    scores = torch.zeros_like(data, requires_grad=True)
    unseen_real, unseen_fake = torch.full_like(data, targets[1]), torch.full_like(data, targets[0])  # those cost nothing
    loss = (weights * (data * objective.d(scores, unseen_fake) + model * objective.d(unseen_real, scores))).sum()
    (gradient,) = torch.autograd.grad(loss, scores, create_graph=True)
    (curvature,) = torch.autograd.grad(gradient.sum(), scores)
    best = -(gradient / curvature).detach()  # one step of Newton's method, exact for least squares
    a, b, _ = targets
    torch.testing.assert_close(best, (b * data + a * model) / (data + model), rtol=1e-9, atol=1e-12)
    return float((weights * (data + model) * objective.g(best)).sum())


@pytest.mark.parametrize("name", ["triangles", "gaussians"])
@pytest.mark.parametrize("targets", [(-1.0, 1.0, 0.0), (0.0, 2.0, 1.0)])
def test_twice_the_cost_against_the_best_discriminator_is_the_chi_square_divergence(name, targets):
    """Pearson's, between p_data + p_g and 2 p_g, wherever b - c = 1 and b - a = 2."""
    weights, data, model = densities(name)
    divergence = float((weights * (2 * model - (data + model)) ** 2 / (data + model)).sum())
    assert name != "triangles" or divergence == pytest.approx(2 / 3, abs=1e-9)
    assert 2 * cost_against_the_best(targets, weights, data, model) == pytest.approx(divergence, abs=1e-6)
    assert cost_against_the_best(targets, weights, data, data) == pytest.approx(0.0, abs=1e-9)


def test_labels_0_and_1_give_another_number():
    weights, data, model = densities("gaussians")
    found = 2 * cost_against_the_best((0.0, 1.0, 1.0), weights, data, model)
    assert found == pytest.approx(float((weights * model**2 / (data + model)).sum()), abs=1e-6)
    assert 2 * cost_against_the_best((0.0, 1.0, 1.0), weights, data, data) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("data", [images(1, 28, 28), PLANE], ids=["images", "points"])
def test_scores_are_linear_in_the_last_layer(step_for, pictures_of, data):
    """No sigmoid: the scores grow with the last weights, beyond any target."""
    model = LSGAN(TINY, data).eval()
    x = pictures_of(4, *data.shape) if data.kind == "images" else torch.randn(4, 2)
    before = model.score(step_for(x).batch).detach()
    with torch.no_grad():
        model.discriminator.score.weight.mul_(1e6)
        model.discriminator.score.bias.mul_(1e6)
    after = model.score(step_for(x).batch).detach()
    torch.testing.assert_close(after, 1e6 * before, rtol=1e-4, atol=0.1)
    assert after.abs().max() > 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44)])
def test_samples_have_the_data_s_size(step_for, pictures_of, shape):
    model = LSGAN(TINY, images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.discriminator_loss(step).terms["fit"].shape == model.generator_loss(step).terms["cost"].shape == (4,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


def test_losses_are_in_single_precision_under_autocast(step_for, pictures_of):
    model = LSGAN(TINY, images(1, 16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = [model.discriminator_loss(step_for(pictures_of(4, 1, 16, 16))).terms["fit"]]
        terms.append(model.generator_loss(step_for(pictures_of(4, 1, 16, 16))).terms["cost"])
    assert all(term.dtype == torch.float32 for term in terms)


# Presets and configuration


def test_the_paper_s_numbers():
    config = PRESETS["paper"]
    assert config == Config() and (config.batch, config.z, config.targets) == (64, 1024, (0.0, 1.0, 1.0))
    (stage,) = LSGAN(replace(config, width=8, discriminator_width=8), images(1, 28, 28)).stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 1), ("generator", 1)]
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 1e-3}


def test_the_discriminator_of_the_paper_s_scenes():
    """Four strides: 64, 128, 256, 512 maps, normalised but for the first; one linear score."""
    model = LSGAN(PRESETS["paper"], images(3, 64, 64))
    downs = [layer for layer in model.discriminator.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer.num_features for layer in model.discriminator.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [layer.out_channels for layer in downs] == [64, 128, 256, 512] and norms == [128, 256, 512]
    assert {layer.kernel_size for layer in downs} == {(5, 5)}
    assert model.discriminator.score.weight.shape == (1, 4 * 4 * 512)
    assert float(downs[2].weight.detach().std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": (1.0, 0.0, 0.0)}, "--config.targets are scores a, b, c with a .of fakes. below b .* not .1.0, 0.0, 0.0."),
        ({"targets": (0.0, 1.0, 0.0)}, "--config.targets"),
        ({"targets": (0.0, math.inf, 1.0)}, "--config.targets"),
        ({"kernel": 1}, "--config.kernel must be a whole number of at least 2, not 1"),
        ({"init": 0.0}, "--config.init must be above 0, not 0.0"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
        ({"prior": "cauchy"}, "--config.prior must be one of normal, uniform, not 'cauchy'"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="lsgan takes images or points, not tokens"):
        LSGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="lsgan is not conditional"):
        LSGAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: LSGAN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
