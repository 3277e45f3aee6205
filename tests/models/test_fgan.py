"""f-GAN: the bound and the generator's costs by hand, the threshold, the networks of the paper, presets, and a short trace."""

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
from ganvas.models.fgan import FGAN, PRESETS, Config
from ganvas.parts.divergences import DIVERGENCES

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))
LINE = DataSpec(kind="points", shape=(1,))
every = pytest.mark.parametrize("divergence", DIVERGENCES)

TRACE = {
    "critic/value": [0.316974, 0.291786, 0.263526, 0.239555, 0.214862],
    "generator/cost": [-0.419372, -0.422321, -0.430419, -0.435528, -0.443776],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def linear_critic(model, slope, level=0.0):
    """Make the critic of points v(x) = <slope, x> + level: ELU units are linear above 0, so that it holds where |x| stays below 100."""
    layers = [layer for layer in model.critic.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[0, 0] = 1.0
        layers[0].weight[0], layers[0].bias[0] = torch.tensor(slope), 100.0
        layers[-1].bias[0] = level - 100.0
    return model


def fakes(model, step):
    with torch.no_grad():
        return model.generator(model.draw(step.batch.size, step.rng))


# (a) by hand

# T and f*(T) of an output v, written out.
BY_HAND = {
    "kl": (lambda v: v, lambda v: math.exp(v - 1)),
    "reverse-kl": (lambda v: -math.exp(-v), lambda v: v - 1),
    "pearson": (lambda v: v, lambda v: v * v / 4 + v),
    "neyman": (lambda v: 1 - math.exp(-v), lambda v: 2 - 2 * math.exp(-v / 2)),
    "squared-hellinger": (lambda v: 1 - math.exp(-v), lambda v: math.exp(v) - 1),
    "jensen-shannon": (lambda v: math.log(2 / (1 + math.exp(-v))), lambda v: -math.log(2 - 2 / (1 + math.exp(-v)))),
    "gan": (lambda v: math.log(1 / (1 + math.exp(-v))), lambda v: -math.log(1 - 1 / (1 + math.exp(-v)))),
    "total-variation": (lambda v: math.tanh(v) / 2, lambda v: math.tanh(v) / 2),
}


@every
def test_the_losses_of_a_linear_critic(step_for, divergence):
    """v(x) = x_1 / 2 + 1/4: equation 6 term by term, and both costs of the generator."""
    judged, priced = BY_HAND[divergence]
    model = linear_critic(FGAN(replace(TINY, divergence=divergence), PLANE), (0.5, 0.0), 0.25)
    real = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.5, 0.5]])
    fake = fakes(model, step_for(real))
    on_data = [judged(0.5 * x + 0.25) for x in real[:, 0].tolist()]
    on_fakes = [0.5 * x + 0.25 for x in fake[:, 0].tolist()]
    loss = model.critic_loss(step_for(real))
    expected = torch.tensor([priced(v) - t for t, v in zip(on_data, on_fakes, strict=True)])
    torch.testing.assert_close(loss.terms["value"].detach(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loss.watch["bound"], -expected.mean(), rtol=1e-4, atol=1e-4)
    for cost, of in (("minimax", priced), ("non-saturating", judged)):
        other = linear_critic(FGAN(replace(TINY, divergence=divergence, generator_cost=cost), PLANE), (0.5, 0.0), 0.25)
        other.generator = model.generator
        found = other.generator_loss(step_for(real)).terms["cost"].detach()
        torch.testing.assert_close(found, torch.tensor([-of(v) for v in on_fakes]), rtol=1e-4, atol=1e-4)


def test_the_penalty_of_a_linear_critic(step_for):
    """v(x) = 3 x_1 + 4 x_2 has the squared slope 25; weight 0.4 makes it 0.4 / 2 * 25. Without a weight there is no such term."""
    real = torch.randn(8, 2)
    terms = linear_critic(FGAN(replace(TINY, penalty_weight=0.4), PLANE), (3.0, 4.0)).critic_loss(step_for(real)).terms
    torch.testing.assert_close(terms["penalty"].detach(), torch.full((8,), 5.0), rtol=1e-4, atol=1e-4)
    assert FGAN(replace(TINY, penalty_weight=0.0), PLANE).critic_loss(step_for(real)).terms.keys() == {"value"}


# (b) what only it has


@every
def test_the_share_judged_right_is_counted_at_the_threshold(step_for, divergence):
    """v at the threshold is 1 for `kl` and 0 for all others: reals at v - 1, v + 1, v + 2, v + 3, and all fakes below it or above."""
    at_edge = 1.0 if divergence == "kl" else 0.0
    real = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    for offset, fakes_right in ((-50.0, 1.0), (50.0, 0.0)):
        model = linear_critic(FGAN(replace(TINY, divergence=divergence), PLANE), (1.0, 0.0), at_edge)
        model.generator = Fixed(torch.full((4, 2), offset))
        watch = model.critic_loss(step_for(real)).watch
        assert (float(watch["reals_right"]), float(watch["fakes_right"])) == (0.75, fakes_right)


def test_the_critic_measures_kl_from_data_to_samples_and_reverse_kl_the_other_way(step_for):
    """Data on -1, 0, 1 with shares P, a generator that gives shares Q: the model's own critic loss ends at the divergence P to Q."""
    p, q = torch.tensor([10, 9, 1]) / 20, torch.tensor([2, 4, 14]) / 20
    values = torch.tensor([[-1.0], [0.0], [1.0]])
    data, samples = (values.repeat_interleave((20 * share).round().long(), 0) for share in (p, q))
    forward, backward = float((p * (p / q).log()).sum()), float((q * (q / p).log()).sum())
    assert (forward, backward) == (pytest.approx(1.0377, abs=1e-4), pytest.approx(1.5242, abs=1e-4))
    for name, expected in (("kl", forward), ("reverse-kl", backward)):
        torch.manual_seed(0)
        model = FGAN(replace(TINY, divergence=name), LINE)
        model.generator = Fixed(samples)
        descent = torch.optim.Adam(model.critic.parameters(), lr=0.01)
        for _ in range(1000):
            descent.zero_grad()
            loss = model.critic_loss(step_for(data))
            loss.terms["value"].mean().backward()
            descent.step()
        assert float(loss.watch["bound"]) == pytest.approx(expected, abs=1e-3), name


class Fixed(nn.Module):
    """A generator that always gives the same samples."""

    def __init__(self, samples):
        super().__init__()
        self.samples = samples

    def forward(self, z):
        return self.samples


@pytest.mark.parametrize("divergence", sorted(DIVERGENCES.keys() - {"total-variation"}))  # whose best critic is a step, without a gradient
def test_the_best_critic_gives_a_gaussian_generator_the_gradient_of_the_divergence(divergence):
    """A generator of no hidden layers and normal codes is x = a z + b. Against the best critic of N(0, 1) and N(b, a^2) the derivative of
    the minimax cost by b is that of the divergence, by quadrature over codes and over the line."""
    players, a, b = FGAN(replace(TINY, divergence=divergence), LINE).objective, 0.9, 0.3
    x = torch.linspace(-9, 9, 6001, dtype=torch.float64)
    cell = float(x[1] - x[0])
    normal = lambda at, mean, scale: torch.exp(-0.5 * ((at - mean) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))

    def best(at):  # v at T*, from the densities of data and samples; the generator does not move them
        ratio = at.pow(2) / -2 + (at - b).pow(2) / (2 * a * a) + math.log(a)
        scale = {"neyman": 2.0, "squared-hellinger": 0.5}.get(divergence, 1.0)
        return 2 * (ratio.exp() - 1) if divergence == "pearson" else ratio * scale + (divergence == "kl")

    shift = torch.tensor(b, dtype=torch.float64, requires_grad=True)
    cost = (normal(x, 0.0, 1.0) * players.g(best(a * x + shift))).sum() * cell
    (found,) = torch.autograd.grad(cost, shift)
    density = normal(x, shift, a)
    (expected,) = torch.autograd.grad((density * DIVERGENCES[divergence].f(normal(x, 0.0, 1.0) / density)).sum() * cell, shift)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_generator_without_hidden_layers_is_linear():
    model = FGAN(replace(TINY, generator_widths=()), PLANE)
    layers = [layer for layer in model.generator.layers]
    assert len(layers) == 1 and isinstance(layers[0], nn.Linear)


@pytest.mark.parametrize("network", ["dense", "strided"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44)])
def test_samples_have_the_data_s_size(step_for, pictures_of, network, shape):
    model = FGAN(replace(TINY, network=network), images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.critic_loss(step).terms["value"].shape == model.generator_loss(step).terms["cost"].shape == (4,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@every
def test_losses_are_single_precision_and_finite_under_autocast(step_for, pictures_of, divergence):
    model = FGAN(replace(TINY, divergence=divergence), images(1, 8, 8))
    step = step_for(pictures_of(8, 1, 8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = [model.critic_loss(step), model.generator_loss(step)]
    for loss in losses:
        for term in loss.terms.values():
            assert term.dtype == torch.float32 and term.isfinite().all()


# Presets and configuration


def test_the_paper_preset_is_the_mnist_network():
    model = FGAN(PRESETS["paper"], images(1, 28, 28))
    linear = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert linear == [(100, 1200), (1200, 1200), (1200, 784), (784, 240), (240, 240), (240, 1)]
    kinds = [type(layer).__name__ for layer in model.generator.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear", "Tanh"]
    assert [type(layer).__name__ for layer in model.critic.layers] == ["Linear", "ELU", "Linear", "ELU", "Linear"]
    codes = model.draw(1000, SampleDraws(0))
    assert codes.shape == (1000, 100) and codes.min() >= -1 and codes.max() < 1 and float(codes.std()) == pytest.approx(3**-0.5, rel=0.02)


def test_the_optimizers_of_the_paper():
    (stage,) = FGAN(PRESETS["paper"], PLANE).stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("critic", 1), ("generator", 1)] and stage.batch == 4096
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas[0] == 0.5
        assert phase.optimizer.settings(clock) == {"lr": 2e-4}
    assert FGAN(PRESETS["paper"], PLANE).average() is None
    assert (Config().divergence, Config().generator_cost) == ("kl", "minimax")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"divergence": "kl-reverse"}, "--config.divergence must be one of kl, reverse-kl, pearson, .*, not 'kl-reverse'"),
        ({"generator_cost": "saturating"}, "--config.generator_cost must be one of minimax, non-saturating"),
        ({"critic_widths": (0,)}, "--config.critic_widths must be whole numbers of at least 1"),
        ({"critic_activation": "gelu"}, "--config.critic_activation must be one of elu, relu"),
        ({"penalty_weight": -0.1}, "--config.penalty_weight must be at least 0"),
        ({"penalty_weight": 0.1, "network": "strided"}, "--config.penalty_weight needs --config.network dense"),
        ({"critic_steps": 0}, "--config.critic_steps must be a whole number of at least 1, not 0"),
        ({"lr_critic": math.inf}, "--config.lr_critic must be above 0"),
        ({"betas": (0.5, 2.0)}, "--config.betas"),
    ],
)
def test_bad_values_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_labels_and_strides_on_points():
    with pytest.raises(GanvasError, match="fgan takes images or points, not tokens"):
        FGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="--config.network strided takes images"):
        FGAN(replace(TINY, network="strided"), PLANE)
    with pytest.raises(GanvasError, match="not conditional"):
        FGAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: FGAN(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
