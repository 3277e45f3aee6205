"""VAE-GAN: its losses by hand, where gradients stop, one balance of three players, sizes, a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam, RMSProp
from ganvas.errors import GanvasError
from ganvas.models.vae_gan import FLOOR, PRESETS, VAEGAN

TINY = PRESETS["tiny"]

TRACE = {
    "encoder/prior": [0.707975, 0.683224, 0.647628, 0.57776, 0.520354],
    "encoder/likeness": [11.2903, 11.286, 11.2481, 10.6612, 11.5302],
    "decoder/likeness": [0.112903, 0.11286, 0.112481, 0.106612, 0.115302],
    "decoder/adversarial": [1.33595, 1.54536, 1.73354, 1.88552, 2.03584],
    "discriminator/value": [2.39596, 1.95279, 1.61373, 1.53241, 1.32637],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def game(step_for, pictures_of, **changes):
    """A model, and a step whose first phase has been played."""
    torch.manual_seed(0)
    model = VAEGAN(replace(TINY, **changes), images(1, 12, 12))
    step = step_for(pictures_of(8, 1, 12, 12))
    return model, step, model.encoder_loss(step)


def constant_logit(model, a):
    nn.init.zeros_(model.discriminator.rest[-1].weight)
    nn.init.constant_(model.discriminator.rest[-1].bias, a)


# (a) by hand


def test_the_adversarial_losses_of_a_discriminator_that_answers_one_logit(step_for, pictures_of):
    a = 0.7
    for cost, by_hand in [("non-saturating", 2 * math.log(1 + math.exp(-a))), ("minimax", -2 * math.log(1 + math.exp(a)))]:
        model, step, _ = game(step_for, pictures_of, decoder_cost=cost)
        constant_logit(model, a)
        torch.testing.assert_close(model.decoder_loss(step).terms["adversarial"], torch.full((8,), by_hand))
        value = math.log(1 + math.exp(-a)) + 2 * math.log(1 + math.exp(a))
        torch.testing.assert_close(model.discriminator_loss(step).terms["value"], torch.full((8,), value))


def test_the_costs_of_the_balance(step_for, pictures_of):
    a = 0.7
    model, step, _ = game(step_for, pictures_of)
    constant_logit(model, a)
    watch = model.encoder_loss(step).watch
    d = 1 / (1 + math.exp(-a))
    assert float(watch["real cost"]) == pytest.approx(-math.log(d + FLOOR), rel=1e-5)
    assert float(watch["fake cost"]) == pytest.approx(-math.log(1 - d + FLOOR), rel=1e-5)


def test_likeness_is_half_the_squared_distance_of_the_third_convolution(step_for, pictures_of):
    model, step, loss = game(step_for, pictures_of)
    both = torch.cat([model.canvas.pad(step.batch.images), step.scratch["reconstruction"]])
    seen = []
    third = [layer for layer in model.discriminator.modules() if isinstance(layer, nn.Conv2d)][2]
    hook = third.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model.discriminator(both)
    hook.remove()
    real, fake = seen[0].flatten(1).chunk(2)
    torch.testing.assert_close(loss.terms["likeness"], (real - fake).square().sum(1) / 2)
    torch.testing.assert_close(model.decoder_loss(step).terms["likeness"], TINY.gamma * loss.terms["likeness"])


def test_equal_images_are_alike(step_for, pictures_of):
    model, step, _ = game(step_for, pictures_of)
    x = model.canvas.pad(step.batch.images)
    assert model._likeness(x, x.clone()).abs().max() < 1e-6
    assert model._likeness(x, -x).min() > 0.01


def test_the_prior_s_term_is_the_divergence_of_the_posterior(step_for, pictures_of):
    model, step, loss = game(step_for, pictures_of)
    mean, log_variance = model.encoder(model.canvas.pad(step.batch.images))
    library = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(loss.terms["prior"], library.sum(1))


# (b) where gradients stop


def gradients(loss, network):
    total = torch.stack([term.mean() for term in loss.terms.values()]).sum()
    return torch.autograd.grad(total, list(network.parameters()), allow_unused=True, retain_graph=True)


def test_no_adversarial_gradient_reaches_the_encoder(step_for, pictures_of):
    model, step, _ = game(step_for, pictures_of)
    assert all(gradient is None for gradient in gradients(model.decoder_loss(step), model.encoder))
    assert all(gradient is None for gradient in gradients(model.discriminator_loss(step), model.encoder))


def test_the_encoder_s_own_loss_does_not_depend_on_the_verdict(step_for, pictures_of):
    """Its loss uses the discriminator's features, never its logits: another verdict on the same features changes nothing."""
    model, step, loss = game(step_for, pictures_of)
    before = gradients(loss, model.encoder)
    with torch.no_grad():
        for parameter in model.discriminator.rest.parameters():
            parameter.mul_(-3.0)
    after = gradients(model.encoder_loss(step_for(step.batch.images)), model.encoder)
    assert all(gradient is not None for gradient in before)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)


def test_no_reconstruction_gradient_reaches_the_discriminator(step_for, pictures_of):
    """The discriminator's gradient is that of -L_GAN on given fakes, recomputed here from logits alone."""
    model, step, _ = game(step_for, pictures_of)
    loss = model.discriminator_loss(step)
    assert set(loss.terms) == {"value"}
    x, fakes = model.canvas.pad(step.batch.images), [step.scratch["reconstruction"], step.scratch["sample"]]
    a_real, *a_fake = model.discriminator(torch.cat([x, *fakes])).chunk(3)
    by_hand = -(a_real.sigmoid().log() + sum((1 - a.sigmoid()).log() for a in a_fake)).mean()
    wanted = torch.autograd.grad(by_hand, list(model.discriminator.parameters()))
    for one, other in zip(gradients(loss, model.discriminator), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert all(gradient is None for gradient in gradients(loss, model.decoder))


def test_both_errors_reach_the_decoder_and_none_beyond(step_for, pictures_of):
    model, step, _ = game(step_for, pictures_of)
    terms = model.decoder_loss(step).terms
    for term in terms.values():
        found = torch.autograd.grad(term.mean(), list(model.decoder.parameters()), retain_graph=True)
        assert any(gradient.abs().max() > 0 for gradient in found)


def test_all_phases_judge_the_same_fakes(step_for, pictures_of):
    """x~ and x_p of the decoder's phase are those of the encoder's, as long as no weight has moved."""
    model, step, _ = game(step_for, pictures_of)
    torch.testing.assert_close(model.decoder(step.scratch["z"]), step.scratch["reconstruction"])
    torch.testing.assert_close(model.decoder(step.scratch["z_prior"]), step.scratch["sample"])


# The balance


@pytest.mark.parametrize(
    ("costs", "players"),
    [
        ((0.68, 0.68), {"encoder", "decoder", "discriminator"}),
        ((0.27, 0.68), {"encoder", "decoder"}),
        ((0.68, 0.27), {"encoder", "decoder"}),
        ((1.09, 0.68), {"encoder", "discriminator"}),
        ((0.68, 1.09), {"encoder", "discriminator"}),
        ((0.27, 1.09), {"encoder", "decoder", "discriminator"}),
        ((0.29, 1.07), {"encoder", "decoder", "discriminator"}),
    ],
)
def test_who_plays(costs, players):
    model = VAEGAN(TINY, images(1, 8, 8))
    (stage,) = model.stages()
    watch = dict(zip(("real cost", "fake cost"), map(torch.tensor, costs), strict=True))
    model.after_update(stage.phases[0], watch, {})
    assert {phase.name for phase in stage.phases if phase.when is None or phase.when()} == players
    model.after_update(stage.phases[1], {}, {})
    torch.testing.assert_close(model.costs, torch.tensor(costs))


# Networks and presets


def test_table_1():
    with torch.device("meta"):
        model = VAEGAN(PRESETS["paper"], images(3, 64, 64))

    def maps(network):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        return [(layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in layers]

    assert maps(model.encoder) == [(3, 64, 5, 2), (64, 128, 5, 2), (128, 256, 5, 2)]
    assert maps(model.decoder) == [(256, 256, 5, 2), (256, 128, 5, 2), (128, 32, 5, 2), (32, 3, 5, 1)]
    assert maps(model.discriminator) == [(3, 32, 5, 1), (32, 128, 5, 2), (128, 256, 5, 2), (256, 256, 5, 2)]
    dense = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert dense == [(8 * 8 * 256, 2048), (2048, 256), (128, 8 * 8 * 256), (8 * 8 * 256, 512), (512, 1)]


def test_the_optimizers():
    (stage,) = VAEGAN(replace(PRESETS["paper"], width=2, encoder_hidden=2, discriminator_hidden=2), images(1, 8, 8)).stages()
    assert all(isinstance(phase.optimizer, RMSProp) and phase.optimizer.lr == 3e-4 for phase in stage.phases)
    assert len({id(phase.optimizer) for phase in stage.phases}) == 3 and stage.batch == 64
    (quick,) = VAEGAN(replace(PRESETS["quick"], width=2), images(1, 8, 8)).stages()
    assert all(isinstance(phase.optimizer, Adam) for phase in quick.phases)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 20), (3, 64, 64)])
def test_native_sizes(step_for, pictures_of, shape):
    model = VAEGAN(TINY, images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.encoder_loss(step).terms["likeness"].shape == (4,)
    assert model.decoder_loss(step).terms["adversarial"].shape == model.discriminator_loss(step).terms["value"].shape == (4,)
    assert model.eval().sample(3, rng=SampleDraws(1)).shape == (3, *shape)
    assert model.encode(step.batch).shape == (4, TINY.z)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 1}, "--config.width must be a whole number of at least 2, not 1"),
        ({"gamma": -1.0}, "--config.gamma must be at least 0, not -1.0"),
        ({"decoder_cost": "minmax"}, "--config.decoder_cost must be one of minimax, non-saturating, not 'minmax'. Did you mean 'minimax'?"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError) as caught:
        replace(TINY, **change)
    assert message in str(caught.value)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="vae_gan takes images, not points"):
        VAEGAN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        VAEGAN(TINY, images(1, 8, 8)).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: VAEGAN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
