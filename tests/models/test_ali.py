"""ALI: symmetry of the two kinds of pairs, an encoder that draws, the exact posterior at the optimum, presets, and a short trace."""

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
from ganvas.models.ali import ALI, PRESETS, Maxout, canvas_for
from ganvas.parts.objectives import NON_SATURATING

TINY = replace(PRESETS["tiny"], dropout=0.0, dropout_input=0.0)  # dropout would hide what is compared
DIGITS = DataSpec(kind="images", shape=(1, 8, 8))
CIFAR = DataSpec(kind="images", shape=(3, 32, 32))

TRACE = {
    "discriminator/value": [1.39971, 1.39647, 1.38579, 1.37378, 1.38016],
    "inverse/encoder": [0.691334, 0.680286, 0.688746, 0.673841, 0.682358],
    "inverse/generator": [0.696657, 0.715219, 0.700623, 0.704997, 0.69531],
}


def constant(model, logit):
    """A discriminator that answers one logit whatever it sees."""
    last = model.discriminator.join[-1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, logit)
    return model


def softplus(t):
    return math.log1p(math.exp(t))


# (a) by hand


def test_the_terms_of_both_losses(step_for, pictures_of):
    a, model, step = 0.7, constant(ALI(TINY, DIGITS), 0.7), step_for(pictures_of(8, 1, 8, 8))
    value = model.discriminator_loss(step).terms["value"]
    torch.testing.assert_close(value, torch.full((8,), softplus(-a) + softplus(a)))
    terms = model.inverse_loss(step_for(pictures_of(8, 1, 8, 8))).terms
    torch.testing.assert_close(terms["encoder"], torch.full((8,), softplus(a)))
    torch.testing.assert_close(terms["generator"], torch.full((8,), softplus(-a)))


def test_maxout_is_the_largest_of_neighbours():
    x = torch.tensor([[1.0, 3.0, -2.0, -5.0]])
    assert Maxout(2)(x).tolist() == [[3.0, -2.0]] and Maxout(4)(x).tolist() == [[3.0]]
    maps = torch.randn(2, 6, 3, 3)
    torch.testing.assert_close(Maxout(2)(maps)[:, 1], torch.maximum(maps[:, 2], maps[:, 3]))


# (b) what only it has


def test_exchanging_the_pairs_and_their_labels_changes_nothing(step_for, pictures_of):
    """D' = 1 - D on exchanged pairs pays what D pays: the other players' loss is the discriminator's with the answers turned round."""
    model, images = ALI(replace(TINY, init=0.2), DIGITS), pictures_of(8, 1, 8, 8)
    other = sum(term for term in model.inverse_loss(step_for(images)).terms.values())
    with torch.no_grad():
        model.discriminator.join[-1].weight.neg_()
        model.discriminator.join[-1].bias.neg_()
    torch.testing.assert_close(model.discriminator_loss(step_for(images)).terms["value"], other.detach())


def test_the_code_of_data_is_drawn_and_its_deviation_learns(step_for, pictures_of):
    """z^ = mu + sigma eps: two draws differ by sigma; the gradient reaches mu and log sigma through the pair alone."""
    model, images = ALI(replace(TINY, init=0.2), DIGITS), pictures_of(8, 1, 8, 8)
    x, first, _, _ = model._pairs(step_for(images, seed=0))
    _, second, _, _ = model._pairs(step_for(images, seed=1))
    mean, log_sigma = model.encoder(x)
    assert not torch.equal(first, second)
    draws = step_for(images, seed=0).rng
    draws.normal(8, 4)
    torch.testing.assert_close(first, mean + log_sigma.exp() * draws.normal(8, 4))
    model.inverse_loss(step_for(images)).terms["encoder"].mean().backward()
    head = model.encoder.layers[-2]
    assert head.weight.grad[:4].any() and head.weight.grad[4:].any()
    assert all(p.grad is None or not p.grad.any() for p in model.generator.parameters())
    model.zero_grad()
    model.inverse_loss(step_for(images)).terms["generator"].mean().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.encoder.parameters())


def test_the_discriminator_judges_pairs(pictures_of):
    """The same images with codes of others get other logits; the same codes with other images, too."""
    model, images = ALI(replace(TINY, init=0.3), DIGITS).eval(), pictures_of(6, 1, 8, 8)
    x, z = model.canvas.pad(images), 3 * torch.randn(6, 4)
    logits = model.discriminator(x, z)
    assert (model.discriminator(x, z.roll(1, 0)) - logits).abs().min() > 1e-6
    assert (model.discriminator(x.roll(1, 0), z) - logits).abs().min() > 1e-6


def best_value(real, fake):
    """V of the best discriminator, a = log real / fake, of two joint laws on a grid."""
    logits = (real / fake).log().flatten()
    return float(-(real.flatten() * NON_SATURATING.g(logits)).sum() - (fake.flatten() * NON_SATURATING.g(-logits)).sum())


def test_at_the_optimum_the_encoder_is_the_posterior():
    """x = z + n on a grid, all normal: of the Gaussians q(z|x) = N(s x, d^2) only the posterior's s = 1/2, d^2 = 1/2 reaches -log 4."""
    grid = torch.linspace(-7, 7, 141, dtype=torch.float64)
    x, z = torch.meshgrid(grid, grid, indexing="ij")

    def normal(at, mean, variance):
        return torch.exp(-0.5 * (at - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)

    model = normal(z, 0, 1) * normal(x, z, 1)
    best = None
    for slope, variance in [(0.5, 0.5), (0.5, 0.3), (0.5, 0.8), (0.4, 0.5), (0.7, 0.5), (0.0, 1.0)]:
        inferred = normal(x, 0, 2) * normal(z, slope * x, variance)
        laws = [law.clamp(min=1e-300) / law.sum() for law in (inferred, model)]
        value = best_value(*laws)
        if best is None:
            best = value
            assert value == pytest.approx(-math.log(4), abs=1e-4)
        else:
            assert value > best + 1e-3


def test_there_is_dropout_in_the_discriminator_alone_and_normalisation_in_the_others_alone():
    model = ALI(PRESETS["tiny"], DIGITS)
    drops = [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert drops and len(drops) == sum(isinstance(layer, nn.Dropout) for layer in model.discriminator.modules())
    assert not any("Norm" in type(layer).__name__ for layer in model.discriminator.modules())
    for network, bare in ((model.encoder, 1), (model.generator, 1)):  # the last layer of each is not normalised
        convolutions = sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in network.modules())
        assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == convolutions - bare


@pytest.mark.parametrize(
    ("size", "canvas", "left"),
    [((32, 32), (32, 32), (4, 4)), ((28, 28), (28, 28), (3, 3)), ((8, 8), (20, 20), (1, 1)), ((11, 30), (20, 32), (1, 4))],
)
def test_the_smallest_canvas_of_any_size(size, canvas, left):
    fitted, kept = canvas_for(*size)
    assert (fitted.size, kept) == (canvas, left)


def test_generated_images_have_the_border_of_the_data(step_for, pictures_of):
    """8 x 8 on a canvas of 20: the discriminator sees each generated edge repeated, as that of real images."""
    model = ALI(replace(TINY, init=0.3), DIGITS)
    _, _, fake, _ = model._pairs(step_for(pictures_of(8, 1, 8, 8)))
    torch.testing.assert_close(fake, model.canvas.pad(model.canvas.crop(fake)))


# Presets and configuration


def test_the_paper_preset_is_table_3():
    model = ALI(PRESETS["paper"], CIFAR)
    convolutions = lambda network: [
        (layer.kernel_size[0], layer.stride[0], layer.out_channels) for layer in network.modules() if isinstance(layer, nn.Conv2d)
    ]
    growing = [
        (layer.kernel_size[0], layer.stride[0], layer.out_channels)
        for layer in model.generator.modules()
        if isinstance(layer, nn.ConvTranspose2d)
    ]
    shrinking = [(5, 1, 32), (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512)]
    assert convolutions(model.encoder) == [*shrinking, (1, 1, 512), (1, 1, 128)]
    assert growing == [(4, 1, 256), (4, 2, 128), (4, 1, 64), (4, 2, 32), (5, 1, 32), (1, 1, 32)]
    assert convolutions(model.generator) == [(1, 1, 3)] and model.generator.bias.shape == (3, 32, 32)
    assert convolutions(model.discriminator.look) == [(k, s, 2 * maps) for k, s, maps in shrinking]
    dense = [(layer.in_features, layer.out_features) for layer in model.discriminator.modules() if isinstance(layer, nn.Linear)]
    assert dense == [(64, 1024), (512, 1024), (1024, 2048), (1024, 2048), (1024, 1)]
    shares = [layer.p for layer in model.discriminator.modules() if isinstance(layer, nn.Dropout)]
    assert shares == [0.2, 0.5, 0.5, 0.5, 0.5, 0.2, 0.5, 0.5, 0.5, 0.5]
    assert {layer.negative_slope for layer in model.modules() if isinstance(layer, nn.LeakyReLU)} == {0.1}
    assert float(model.encoder.layers[3].weight.detach().std()) == pytest.approx(0.01, rel=0.02)


def test_the_paper_preset_s_optimizers():
    (stage,) = ALI(PRESETS["paper"], DIGITS).stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [phase.name for phase in stage.phases] == ["discriminator", "inverse"] and stage.batch == 100
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 1e-4}
    assert stage.phases[0].optimizer is not stage.phases[1].optimizer


def test_encoding_gives_the_mean(pictures_of):
    model, images = ALI(TINY, DIGITS).eval(), pictures_of(6, 1, 8, 8)
    mean, _ = model.encoder(model.canvas.pad(images))
    torch.testing.assert_close(model.encode(Batch({"images": images})), mean)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": 0}, "--config.z must be a whole number of at least 1, not 0"),
        ({"dropout": 1.0}, "--config.dropout must be at least 0 and below 1, not 1.0"),
        ({"batch": 1}, "--config.batch must be a whole number of at least 2, not 1"),
        ({"betas": (0.5, 1.0)}, "--config.betas holds numbers"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="ali takes images, not points"):
        ALI(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        ALI(TINY, DIGITS).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: ALI(PRESETS["tiny"], data), pictures_of(8, 1, 8, 8), TRACE)
