"""The model of ablations is the named models when given their parts: equal losses of equal weights, data and draws."""

from dataclasses import replace

import pytest
import torch

from ganvas.models import acgan, dcgan, dragan, fgan, lsgan, projection, relativistic, sngan, wgan, wgan_gp
from ganvas.models.modular import Modular
from tests.ablations import LABELLED, PLAIN, PLANE, SQUARE, Y
from tests.models.conftest import make_step, pictures


@pytest.fixture
def step_for():
    return make_step


@pytest.fixture
def pictures_of():
    return pictures


def copied(network, named, renamed=()):
    """Load a named model's weights, whose names may begin otherwise; every weight finds its place."""
    state = named.state_dict()
    for old, new in renamed:
        state = {(new + name.removeprefix(old) if name.startswith(old) else name): value for name, value in state.items()}
    network.load_state_dict(state, strict=True)


def equal(model, named, critic, x, step_for, terms, **views):
    """Both losses of both models; `terms` maps names of the named model's terms to modular's."""
    for ours, theirs in ((model.discriminator_loss, critic), (model.generator_loss, named.generator_loss)):
        torch.manual_seed(5)
        expected = theirs(step_for(x, seed=5, **views)).terms
        torch.manual_seed(5)
        found = ours(step_for(x, seed=5, **views)).terms
        assert {terms.get(name, name) for name in expected} == found.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[terms.get(name, name)], value, rtol=1e-4, atol=1e-5)


def test_it_equals_lsgan(step_for, pictures_of):
    torch.manual_seed(1)
    named = lsgan.LSGAN(lsgan.PRESETS["tiny"], SQUARE)
    model = Modular(replace(PLAIN, objective="least-squares", normalisation="batch"), SQUARE)
    copied(model.generator.layers, named.generator)
    copied(model.discriminator, named.discriminator)
    equal(model, named, named.discriminator_loss, pictures_of(8, 1, 16, 16), step_for, {"fit": "value"})


def test_it_equals_lsgan_on_points(step_for):
    torch.manual_seed(1)
    named = lsgan.LSGAN(lsgan.PRESETS["tiny"], PLANE)
    model = Modular(replace(PLAIN, objective="least-squares", backbone="perceptron"), PLANE)
    copied(model.generator.layers, named.generator)
    copied(model.discriminator, named.discriminator)
    equal(model, named, named.discriminator_loss, torch.randn(8, 2), step_for, {"fit": "value"})


def test_it_equals_dragan(step_for, pictures_of):
    torch.manual_seed(1)
    named = dragan.DRAGAN(dragan.PRESETS["tiny"], SQUARE)
    model = Modular(replace(PLAIN, penalty="local", penalty_weight=10.0), SQUARE)
    copied(model.generator.layers, named.generator)
    copied(model.discriminator, named.discriminator)
    equal(model, named, named.discriminator_loss, pictures_of(8, 1, 16, 16), step_for, {})


@pytest.mark.parametrize(
    ("pairing", "objective"),
    [
        ("RSGAN", "paired-logistic"),
        ("RaSGAN", "averaged-logistic"),
        ("RaLSGAN", "averaged-least-squares"),
        ("RaHinge", "averaged-hinge"),
    ],
)
def test_it_equals_the_relativistic_games(pairing, objective, step_for, pictures_of):
    torch.manual_seed(1)
    named = relativistic.RelativisticGAN(replace(relativistic.PRESETS["tiny"], game=pairing), SQUARE)
    model = Modular(replace(PLAIN, objective=objective, normalisation="batch"), SQUARE)
    copied(model.generator.layers, named.generator)
    copied(model.discriminator, named.critic)
    equal(model, named, named.critic_loss, pictures_of(8, 1, 16, 16), step_for, {"comparison": "value"})


@pytest.mark.parametrize("divergence", ["kl", "jensen-shannon", "squared-hellinger"])
def test_it_equals_fgan(divergence, step_for, pictures_of):
    torch.manual_seed(1)
    config = replace(fgan.PRESETS["tiny"], divergence=divergence, generator_cost="non-saturating")
    named = fgan.FGAN(config, SQUARE)
    given = {"generator": named.generator, "discriminator": named.critic}
    model = Modular(replace(PLAIN, objective=f"f-{divergence}", backbone="own", z=config.z, prior=config.prior), SQUARE, given)
    (term,) = named.critic_loss(step_for(pictures_of(8, 1, 16, 16), seed=5)).terms
    equal(model, named, named.critic_loss, pictures_of(8, 1, 16, 16), step_for, {term: "value"})


def test_it_equals_dcgan_given_its_networks(step_for, pictures_of):
    torch.manual_seed(1)
    named = dcgan.DCGAN(dcgan.PRESETS["tiny"], SQUARE)
    model = Modular(replace(PLAIN, backbone="own"), SQUARE, {"generator": named.generator, "discriminator": named.discriminator})
    equal(model, named, named.discriminator_loss, pictures_of(8, 1, 16, 16), step_for, {})


def test_it_equals_wgan_gp_given_its_networks(step_for, pictures_of):
    torch.manual_seed(1)
    named = wgan_gp.WGANGP(wgan_gp.PRESETS["tiny"], SQUARE)
    config = replace(PLAIN, objective="wasserstein", penalty="wgan-gp", penalty_weight=10.0, backbone="own")
    model = Modular(config, SQUARE, {"generator": named.generator, "discriminator": named.critic})
    equal(model, named, named.critic_loss, pictures_of(8, 1, 16, 16), step_for, {"distance": "value"})


def test_it_equals_wgan_given_its_networks_and_clips_as_it_does(step_for, pictures_of):
    torch.manual_seed(1)
    named, x = wgan.WGAN(wgan.PRESETS["tiny"], SQUARE), pictures_of(8, 1, 16, 16)
    config = replace(PLAIN, objective="wasserstein", clip=0.01, backbone="own", z=named.config.z, prior=named.prior)
    model = Modular(config, SQUARE, {"generator": named.generator, "discriminator": named.critic})
    (term,) = named.critic_loss(step_for(x)).terms
    equal(model, named, named.critic_loss, x, step_for, {term: "value"})
    (stage,) = model.stages()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        model.after_update(stage.phases[1], {}, {})
        assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
        model.after_update(stage.phases[0], {}, {})
    for name, p in model.named_parameters():
        bounded = before[name].clamp(-0.01, 0.01) if name.startswith("discriminator") else before[name]
        assert torch.equal(p, bounded)


def test_it_equals_sngan(step_for, pictures_of):
    torch.manual_seed(1)
    named = sngan.SNGAN(replace(sngan.PRESETS["tiny"], codes=1), SQUARE)
    model = Modular(replace(PLAIN, objective="hinge", normalisation="spectral", backbone="residual", levels="doubling"), SQUARE)
    copied(model.generator.layers, named.generator)
    copied(model.discriminator, named.discriminator)
    equal(model, named, named.discriminator_loss, pictures_of(8, 1, 16, 16), step_for, {})


def test_it_equals_projection(step_for, pictures_of):
    torch.manual_seed(1)
    named = projection.Projection(replace(projection.PRESETS["tiny"], codes=1), LABELLED)
    config = replace(PLAIN, objective="hinge", normalisation="spectral", backbone="residual", levels="doubling", conditioning="projection")
    model = Modular(config, LABELLED)
    copied(model.generator.layers, named.generator.layers)
    copied(model.discriminator, named.discriminator, [("head.", "score.")])
    equal(model, named, named.discriminator_loss, pictures_of(8, 1, 16, 16), step_for, {}, labels=Y)


def test_it_equals_acgan(step_for, pictures_of):
    torch.manual_seed(1)
    named = acgan.ACGAN(acgan.PRESETS["tiny"], LABELLED)
    model = Modular(replace(PLAIN, normalisation="batch", conditioning="classifier", class_weight=0.5), LABELLED)
    copied(model.generator.layers, named.generator.layers)
    copied(model.discriminator, named.discriminator)
    equal(model, named, named.discriminator_loss, pictures_of(8, 1, 16, 16), step_for, {"class of reals": "class"}, labels=Y)
