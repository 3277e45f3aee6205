"""DCGAN: its loss by hand, its rules (no pooling, where normalisation stands, exact doubling), native sizes, presets, a short trace."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.dcgan import DCGAN, PRESETS

TINY = PRESETS["tiny"]

TRACE = {
    "discriminator/value": [1.39962, 1.29883, 1.25787, 1.18921, 1.16721],
    "generator/cost": [0.702318, 0.684772, 0.669671, 0.668162, 0.673977],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def sizes(network, x):
    """Height and width of the maps after every layer that changes them."""
    seen = [tuple(x.shape[2:])]
    for layer in network.layers:
        x = layer(x)
        if tuple(x.shape[2:]) != seen[-1]:
            seen.append(tuple(x.shape[2:]))
    return seen


# (a) by hand


def test_the_losses_of_a_discriminator_that_answers_one_logit(step_for, pictures_of):
    a, model = 0.7, DCGAN(TINY, images(1, 8, 8))
    nn.init.zeros_(model.discriminator.score.weight)
    nn.init.constant_(model.discriminator.score.bias, a)
    step = step_for(pictures_of(8, 1, 8, 8))
    value = math.log(1 + math.exp(-a)) + math.log(1 + math.exp(a))
    torch.testing.assert_close(model.discriminator_loss(step).terms["value"], torch.full((8,), value))
    torch.testing.assert_close(model.generator_loss(step).terms["cost"], torch.full((8,), math.log(1 + math.exp(-a))))


def test_the_logistic_loss_of_its_own_logits(step_for, pictures_of):
    model = DCGAN(TINY, images(1, 8, 8))
    real = pictures_of(8, 1, 8, 8)
    value = model.discriminator_loss(step_for(real)).terms["value"]
    a_real, a_fake = model.discriminator(real), model.discriminator(model.generator(model.draw(8, step_for(real).rng)))
    expected = -torch.log(a_real.sigmoid()) - torch.log(1 - a_fake.sigmoid())
    torch.testing.assert_close(value, expected)


# (b) the rules of section 3


@pytest.mark.parametrize("preset", ["paper", "quick", "tiny"])
def test_strides_and_no_pooling(preset):
    config = replace(PRESETS[preset], width=8, discriminator_width=8)
    model = DCGAN(config, images(3, 64, 64))
    banned = nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d | nn.Upsample
    assert not any(isinstance(layer, banned) for layer in model.modules())
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert linear == [model.generator.project, model.discriminator.score]  # no hidden fully connected layer


def test_normalisation_stands_everywhere_but_at_the_pixels():
    model = DCGAN(replace(TINY, width=8, discriminator_width=8), images(3, 64, 64))
    generator, discriminator = list(model.generator.layers), list(model.discriminator.layers)
    assert isinstance(generator[0], nn.BatchNorm2d)
    ups = [i for i, layer in enumerate(generator) if isinstance(layer, nn.ConvTranspose2d)]
    assert [isinstance(generator[i + 1], nn.BatchNorm2d) for i in ups] == [True, True, True, False]
    assert isinstance(generator[ups[-1] + 1], nn.Tanh) and len(generator) == ups[-1] + 2
    downs = [i for i, layer in enumerate(discriminator) if isinstance(layer, nn.Conv2d)]
    assert downs[0] == 0
    assert [isinstance(discriminator[i + 1], nn.BatchNorm2d) for i in downs] == [False, True, True, True]
    slopes = {layer.negative_slope for layer in discriminator if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.2} and not any(isinstance(layer, nn.LeakyReLU) for layer in generator)


def test_the_paper_s_maps_at_64_pixels():
    model = DCGAN(PRESETS["paper"], images(3, 64, 64))
    ups = [layer for layer in model.generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in ups] == [(1024, 512), (512, 256), (256, 128), (128, 3)]
    downs = [layer for layer in model.discriminator.layers if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in downs] == [(3, 128), (128, 256), (256, 512), (512, 1024)]
    assert {layer.kernel_size for layer in [*ups, *downs]} == {(5, 5)}
    assert model.generator.maps == (4, 4, 1024) and model.config.z == 100


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 20, 44), (3, 64, 64)])
def test_samples_have_the_data_s_size_and_maps_double(step_for, pictures_of, shape):
    model = DCGAN(TINY, images(*shape))
    found = sizes(model.discriminator, model.canvas.pad(pictures_of(2, *shape)))
    assert found[-1] == model.canvas.base
    assert all((2 * h, 2 * w) == larger for larger, (h, w) in pairwise(found))
    step = step_for(pictures_of(8, *shape))
    assert model.discriminator_loss(step).terms["value"].shape == model.generator_loss(step).terms["cost"].shape == (8,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.dtype == torch.float32 and sample.abs().max() <= 1


def test_reals_and_fakes_are_normalised_apart(step_for, pictures_of):
    """The logits of reals must not depend on the fakes (facts of batch normalisation: joined batches change the game)."""
    real = pictures_of(8, 1, 16, 16)
    model = DCGAN(TINY, images(1, 16, 16))
    first = float(model.discriminator_loss(step_for(real, seed=1)).watch["D(x)"])
    second = float(model.discriminator_loss(step_for(real, seed=2)).watch["D(x)"])
    assert first == second


def test_the_generator_gets_no_gradient_from_the_discriminator_s_phase(step_for, pictures_of):
    model = DCGAN(TINY, images(1, 8, 8))
    model.discriminator_loss(step_for(pictures_of(8, 1, 8, 8))).terms["value"].mean().backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.discriminator.parameters())


def test_both_networks_keep_channels_last(pictures_of):
    model = DCGAN(TINY, images(3, 16, 16)).to(memory_format=torch.channels_last)
    fake = model.generator(torch.randn(2, TINY.z))
    assert fake.is_contiguous(memory_format=torch.channels_last)
    maps = model.discriminator.layers(pictures_of(2, 3, 16, 16).contiguous(memory_format=torch.channels_last))
    assert maps.is_contiguous(memory_format=torch.channels_last)


# Presets and configuration


@pytest.mark.parametrize("preset", ["paper", "textbook"])
def test_the_optimizer_of_section_4(preset):
    (stage,) = DCGAN(replace(PRESETS[preset], width=4, discriminator_width=4), images(1, 28, 28)).stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [phase.name for phase in stage.phases] == ["discriminator", "generator"]
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 2e-4}
    assert PRESETS["paper"].batch == 128


def test_the_paper_s_initialisation():
    torch.manual_seed(0)
    model = DCGAN(replace(PRESETS["paper"], width=16, discriminator_width=16), images(3, 64, 64))
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and layer.weight.numel() > 1000:
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        if isinstance(layer, nn.BatchNorm2d) and layer.num_features > 60:
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.4)
            assert float(layer.weight.detach().mean()) == pytest.approx(1.0, abs=0.02)


def test_the_paper_s_codes_are_uniform():
    z = DCGAN(replace(PRESETS["paper"], width=4), images(1, 8, 8)).draw(500, SampleDraws(0))
    assert z.shape == (500, 100) and z.min() >= -1 and z.max() < 1
    assert float(z.std()) == pytest.approx(1 / math.sqrt(3), rel=0.02)


def test_the_textbook_preset_is_the_keras_chapter():
    model = DCGAN(PRESETS["textbook"], images(1, 28, 28))
    assert model.generator.maps == (7, 7, 128) and model.generator.project.in_features == 100
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [128, 64, 1, 32, 64, 128, 256]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert [layer.stride[0] for layer in convolutions] == [1, 1, 1, 2, 2, 2, 1]
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [layer.num_features for layer in norms] == [128, 128, 64, 64, 128]
    assert all(layer.momentum == pytest.approx(0.2) and layer.eps == 1e-3 for layer in norms)
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.25] * 4


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 30, 21), (1, 28, 28)])
def test_the_textbook_networks_take_other_sizes(step_for, pictures_of, shape):
    model = DCGAN(replace(PRESETS["textbook"], width=4, discriminator_width=2), images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.discriminator_loss(step).terms["value"].shape == model.generator_loss(step).terms["cost"].shape == (4,)
    assert model.eval().sample(2, rng=SampleDraws(0)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "--config.width must be a whole number of at least 1, not 0"),
        ({"kernel": 1}, "--config.kernel must be a whole number of at least 2, not 1"),
        ({"network": "upsampling"}, "--config.kernel must be odd for --config.network upsampling, not 4"),
        ({"decay_from": 1.0}, "--config.decay_from must be at least 0 and below 1, not 1.0"),
        ({"betas": (-0.1, 0.9)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="dcgan takes images, not points"):
        DCGAN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        DCGAN(TINY, images(1, 8, 8)).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: DCGAN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
