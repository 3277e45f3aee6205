"""Modular GAN: equal to the named models when given their parts, every combination, contradictions, networks of one's own, and a trace."""

import math
import shutil
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

import ganvas
from ganvas.engine.clock import Clock
from ganvas.engine.config import RunConfig, to_json
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models import acgan, dcgan, dragan, fgan, lsgan, projection, relativistic, sngan, wgan, wgan_gp
from ganvas.models.modular import CONSISTENT, PRESETS, Config, Modular
from ganvas.parts import consistency
from ganvas.parts.choices import OBJECTIVES, SLOPES
from ganvas.parts.diff_augment import diff_augment
from ganvas.parts.spectral import Spectral
from tests.models.conftest import play

TINY = PRESETS["tiny"]
CLASSES = tuple("0123456789")
COMBINATIONS = (
    *("dcgan", "lsgan", "wgan-gp", "hinge-spectral", "relativistic-r1"),
    *("projection", "lecam", "diffaugment", "adaptive", "consistency"),
)
PLAIN = replace(
    TINY,
    objective="non-saturating",
    normalisation="none",
    conditioning="none",
    augmentation="none",
    discriminator_steps=1,
    init=None,
)
Y = torch.tensor([0, 3, 1, 4, 9, 2, 6, 5])

TRACE = {
    "discriminator/value": [1.53278, 1.09487, 1.1907, 1.16321, 1.11602],
    "generator/cost": [-0.0524121, -0.102213, -0.107684, -0.146238, -0.201549],
}


def images(*shape, classes=()):
    return DataSpec(kind="images", shape=shape, classes=classes)


PLANE = DataSpec(kind="points", shape=(2,))
SQUARE = images(1, 16, 16)
LABELLED = images(1, 16, 16, classes=CLASSES)


def small(preset):
    return replace(PRESETS[preset], batch=8, z=4, width=4, discriminator_width=4)


def buffers(model):
    return {name: value.clone() for name, value in model.named_buffers()}


class Corner(nn.Module):
    """A discriminator that says three times what the first pixel is."""

    def forward(self, x):
        return 3 * x[:, 0, 0, 0]


# The named models, given their parts: the same weights, data and draws


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
    ("game", "objective"),
    [
        ("RSGAN", "paired-logistic"),
        ("RaSGAN", "averaged-logistic"),
        ("RaLSGAN", "averaged-least-squares"),
        ("RaHinge", "averaged-hinge"),
    ],
)
def test_it_equals_the_relativistic_games(game, objective, step_for, pictures_of):
    torch.manual_seed(1)
    named = relativistic.RelativisticGAN(replace(relativistic.PRESETS["tiny"], game=game), SQUARE)
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


# By hand: what no named model has


def test_augmentation_is_the_same_policy_for_reals_and_fakes_in_both_steps(step_for, pictures_of):
    model, x = Modular(replace(PLAIN, augmentation="diffaugment", objective="hinge"), SQUARE), pictures_of(8, 1, 16, 16)
    model.discriminator = Corner()
    found, rng = model.discriminator_loss(step_for(x, seed=3)).terms["value"], step_for(x, seed=3).rng
    fake = model.generator(model.draw(8, rng)).detach()
    real, fake = diff_augment(x, rng)[:, 0, 0, 0], diff_augment(fake, rng)[:, 0, 0, 0]
    torch.testing.assert_close(found, (1 - 3 * real).clamp(min=0) + (1 + 3 * fake).clamp(min=0), rtol=1e-4, atol=1e-4)
    assert not torch.equal(real, x[:, 0, 0, 0])
    cost, rng = model.generator_loss(step_for(x, seed=3)).terms["cost"], step_for(x, seed=3).rng
    shown = diff_augment(model.generator(model.draw(8, rng)), rng)[:, 0, 0, 0]
    torch.testing.assert_close(cost, -3 * shown, rtol=1e-4, atol=1e-4)
    cost.sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in model.generator.parameters())


def test_a_penalty_is_on_the_slope_at_what_is_shown(step_for, pictures_of):
    model = Modular(replace(PLAIN, augmentation="diffaugment", penalty="r1", penalty_weight=4.0), SQUARE)
    model.discriminator = Corner()
    found = model.discriminator_loss(step_for(pictures_of(8, 1, 16, 16))).terms["penalty"]
    torch.testing.assert_close(found, torch.full((8,), 4.0 * 9.0 / 2))


@pytest.mark.parametrize("augmentation", CONSISTENT)
def test_consistency_by_hand(augmentation, step_for, pictures_of):
    """Terms of Corner, 9 times the squared distance of first pixels; with draws in the order codes, T of reals, T of fakes, noise."""
    c = replace(PLAIN, augmentation=augmentation, consistency_weight=2.0, latent_weights=(0.25, 4.0), latent_noise=0.5)
    model, x = Modular(c, SQUARE), pictures_of(8, 1, 16, 16)
    model.discriminator = Corner()
    terms, rng = model.discriminator_loss(step_for(x, seed=3)).terms, step_for(x, seed=3).rng
    z = model.draw(8, rng)
    fake = model.generator(z).detach()
    corner = lambda some: 3 * some[:, 0, 0, 0]
    real_again = consistency.transformed(x, rng)
    expected = {"consistency": 2.0 * (corner(x) - corner(real_again)) ** 2}
    if augmentation != "consistency":
        expected["consistency of fakes"] = 2.0 * (corner(fake) - corner(consistency.transformed(fake, rng))) ** 2
    if augmentation == "improved-consistency":
        near = model.generator(z + 0.5 * rng.normal(8, 4)).detach()
        expected["consistency of codes"] = 0.25 * (corner(fake) - corner(near)) ** 2
    assert terms.keys() == {"value", *expected}
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-3, atol=1e-4)
        assert value.max() > 0
    terms, rng = model.generator_loss(step_for(x, seed=3)).terms, step_for(x, seed=3).rng
    assert ("spread" in terms) == (augmentation == "improved-consistency")
    if "spread" in terms:
        z = model.draw(8, rng)
        apart = model.generator(z) - model.generator(z + 0.5 * rng.normal(8, 4))
        torch.testing.assert_close(terms["spread"], -4.0 * apart.square().flatten(1).mean(1), rtol=1e-3, atol=1e-5)


def test_the_strength_follows_the_signs_about_the_objective_s_middle(step_for, pictures_of):
    """Corner's scores: those of reals above the middle count 1, those below -1; p moves at the fourth update of the discriminator."""
    x = pictures_of(8, 1, 16, 16)
    for objective, middle in (("hinge", 0.0), ("least-squares", 0.5), ("f-kl", 1.0)):
        model = Modular(replace(PLAIN, objective=objective, augmentation="adaptive", adaptive_speed=100.0, adaptive_target=0.0), SQUARE)
        model.discriminator = Corner()
        watch = model.discriminator_loss(step_for(x)).watch
        sign = torch.sign(3 * x[:, 0, 0, 0] - middle).mean()
        torch.testing.assert_close(watch["sign"], sign)
        (stage,) = model.stages()
        for update in range(4):
            model.after_update(stage.phases[1], {}, {})
            assert float(model.adaptive.strength) == 0.0
            model.after_update(stage.phases[0], watch | {"sign": torch.tensor(0.5)}, {})
            assert int(model.adaptive.seen) == (update + 1) % 4
        assert float(model.adaptive.strength) == pytest.approx(4 * 8 / 100)


def test_lecam_s_averages_are_of_the_discriminator_s_updates(step_for, pictures_of):
    model, x = (
        Modular(replace(PLAIN, penalty="lecam", penalty_weight=2.0, lecam_start=1, lecam_decay=0.5), SQUARE),
        pictures_of(8, 1, 16, 16),
    )
    model.discriminator = Corner()
    first = model.discriminator_loss(step_for(x, seed=1))
    assert not first.terms["penalty"].any()
    (stage,) = model.stages()
    model.after_update(stage.phases[0], first.watch, {})
    model.after_update(stage.phases[1], {}, {})
    second, rng = model.discriminator_loss(step_for(x, seed=2)), step_for(x, seed=2).rng
    fake = 3 * model.generator(model.draw(8, rng)).detach()[:, 0, 0, 0]
    by_hand = (3 * x[:, 0, 0, 0] - first.watch["a(G(z))"]) ** 2 + (fake - first.watch["a(x)"]) ** 2
    torch.testing.assert_close(second.terms["penalty"], 2.0 * by_hand, rtol=1e-4, atol=1e-4)
    model.after_update(stage.phases[0], second.watch, {})
    torch.testing.assert_close(model.lecam.fake, (first.watch["a(G(z))"] + second.watch["a(G(z))"]) / 2)


# Every combination


@pytest.mark.parametrize("preset", COMBINATIONS)
def test_the_ten_named_combinations_take_five_steps(preset, pictures_of):
    torch.manual_seed(0)
    model, x = Modular(small(preset), images(3, 12, 12, classes=CLASSES)), pictures_of(8, 3, 12, 12)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trace = play(model, x, 5, labels=Y)
    assert all(math.isfinite(value) for values in trace.values() for value in values)
    assert all(p.isfinite().all() for p in (*model.parameters(), *model.buffers()))
    assert [name for name, p in model.named_parameters() if torch.equal(before[name], p) and p.numel() > 1] == []
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, 3, 12, 12) and sample.abs().max() <= 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_goes_with_every_augmentation_and_penalty(objective, step_for, pictures_of):
    """Each objective with all penalties in turn, beside them augmentations and conditionings in turn; terms have one value a sample."""
    x = pictures_of(8, 1, 8, 8)
    kinds = ("none", "diffaugment", "adaptive", *CONSISTENT)
    at = list(OBJECTIVES).index(objective)
    for place, penalty in enumerate(("none", *SLOPES, "lecam")):
        augmentation = kinds[(at + place) % len(kinds)]
        augmentation = "none" if augmentation == "adaptive" and OBJECTIVES[objective].middle is None else augmentation
        conditioning = ("none", "concat", "projection", "classifier")[(at + place // 2) % 4]
        norms = ("spectral", "none", "layer") if penalty != "none" else ("spectral",)
        c = replace(
            PLAIN,
            objective=objective,
            penalty=penalty,
            augmentation=augmentation,
            conditioning=conditioning,
            normalisation=norms[place % len(norms)],
            lecam_start=0,
        )
        model = Modular(c, images(1, 8, 8, classes=CLASSES))
        for loss in (model.discriminator_loss, model.generator_loss):
            terms = loss(step_for(x, labels=Y)).terms
            assert all(term.shape == (8,) and term.isfinite().all() and term.dtype == torch.float32 for term in terms.values())
            torch.stack([term.mean() for term in terms.values()]).sum().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("conditioning", ["concat", "projection", "classifier"])
@pytest.mark.parametrize("backbone", ["perceptron", "strided", "residual"])
def test_labels_are_asked_for_and_their_samples_differ(backbone, conditioning):
    model = Modular(replace(PLAIN, backbone=backbone, conditioning=conditioning), LABELLED).eval()
    z = model.draw(4, SampleDraws(0))
    one, other = (model.decode(z, condition=Condition(labels=torch.full((4,), label))) for label in (0, 1))
    assert one.shape == (4, 1, 16, 16) and not torch.equal(one, other) and model.conditions(("labels",)) == ("labels",)
    assert model.score(Batch({"images": one, "labels": torch.zeros(4, dtype=torch.int64)})).shape == (4,)


# Contradictions


@pytest.mark.parametrize("penalty", SLOPES)
def test_batch_norm_in_a_discriminator_whose_gradient_is_penalised_is_refused(penalty):
    with pytest.raises(GanvasError, match=f"--config.normalisation batch with --config.penalty {penalty}: batch normalisation mixes"):
        replace(PLAIN, normalisation="batch", penalty=penalty)
    own = {"generator": nn.Sequential(nn.Linear(4, 256), nn.Unflatten(1, (1, 16, 16))), "discriminator": nn.Sequential(nn.BatchNorm2d(1))}
    with pytest.raises(GanvasError, match=f"'discriminator' has batch normalisation, .* --config.penalty {penalty}"):
        Modular(replace(PLAIN, backbone="own", penalty=penalty), SQUARE, own)
    replace(PLAIN, normalisation="batch", penalty="lecam")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": 0.01, "normalisation": "spectral"}, "--config.clip with --config.normalisation spectral: weights are divided"),
        ({"objective": "wasserstein"}, "--config.objective wasserstein has no least value if nothing bounds"),
        ({"objective": "wasserstein", "augmentation": "adaptive", "clip": 0.1}, "--config.augmentation adaptive with --config.objective w"),
        ({"objective": "paired-hinge", "augmentation": "adaptive"}, "the strength follows signs of scores, and this objective knows only"),
        ({"normalisation": "batch", "backbone": "residual"}, "--config.normalisation batch with --config.backbone residual"),
        ({"normalisation": "layer", "backbone": "perceptron"}, "--config.normalisation layer with --config.backbone perceptron"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        ({"conditioning": "projection"}, SQUARE, "--config.conditioning projection needs data with labels, and these have none"),
        ({"conditioning": "classifier"}, SQUARE, "--config.conditioning classifier needs data with labels"),
        ({}, PLANE, "--config.backbone strided is made of convolutions, and points have no neighbours"),
        ({"backbone": "perceptron", "augmentation": "diffaugment"}, PLANE, "--config.augmentation diffaugment moves and paints images"),
        ({"backbone": "perceptron", "augmentation": "consistency"}, PLANE, "--config.augmentation consistency"),
        ({}, DataSpec(kind="tokens", shape=(8,)), "modular takes images or points, not tokens"),
    ],
)
def test_choices_that_the_data_cannot_fulfil_are_refused(change, data, message):
    with pytest.raises(GanvasError, match=message):
        Modular(replace(PLAIN, **change), data)


@pytest.mark.parametrize("change", [{"penalty": "wgan-gp"}, {"clip": 0.01}, {"normalisation": "spectral"}, {"penalty": "lecam"}])
def test_a_bounded_wasserstein_critic_is_taken(change):
    Modular(replace(PLAIN, objective="wasserstein", **change), SQUARE)


def test_labels_are_refused_where_there_is_no_conditioning():
    model = Modular(PLAIN, LABELLED)
    assert model.conditions(("labels",)) == ()
    with pytest.raises(GanvasError, match="modular is not conditional here .* --labels"):
        model.sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# Networks of one's own


class Grower(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 64), nn.Tanh())

    def forward(self, z):
        return self.layers(z).view(-1, 1, 8, 8)


class Judge(nn.Module):
    """Scores of patches (B, 1, 2, 2)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4, stride=2, padding=1))

    def forward(self, x):
        return self.layers(x)


def own():
    torch.manual_seed(11)
    return {"generator": Grower(), "discriminator": Judge()}


OWN = to_json(replace(PLAIN, backbone="own", penalty="r1", augmentation="adaptive", adaptive_speed=50.0, objective="hinge"))


def test_a_run_of_own_networks_trains_saves_and_is_taken_up_exactly(tmp_path):
    given = own()
    first = {name: p.detach().clone() for name, p in given["generator"].named_parameters()}
    options = RunConfig(save_every=32, images=64, threads=1)
    whole = ganvas.train(
        "modular", data="digits", preset="tiny", config=OWN, networks=given, options=options, run=tmp_path / "whole", quiet=True
    )
    assert all(torch.equal(first[name], p) for name, p in given["generator"].named_parameters()), "copies are trained"
    assert whole.sample(3).shape == (3, 8, 8, 1)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for later in sorted((tmp_path / "cut" / "checkpoints").iterdir())[1:]:
        shutil.rmtree(later)
    (tmp_path / "cut" / "report.html").unlink()
    with pytest.raises(GanvasError, match="--config.backbone own means networks of yours, which are in no run directory: pass networks="):
        ganvas.resume(tmp_path / "cut", quiet=True)
    resumed = ganvas.resume(tmp_path / "cut", networks=own(), quiet=True)
    assert resumed.images == whole.images == 64
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    with pytest.raises(GanvasError, match="pass networks="):
        _ = ganvas.load(tmp_path / "whole").model
    loaded = ganvas.load(tmp_path / "whole", networks={"generator": Grower(), "discriminator": Judge()})
    assert (loaded.sample(3) == whole.sample(3)).all()


@pytest.mark.parametrize(
    ("model", "networks", "config", "message"),
    [
        ("gan", own(), {}, "networks: gan has its own; models that take yours: .*modular"),
        ("modular", own(), {}, "--config.backbone strided builds its own; choose --config.backbone own"),
        ("modular", {"generator": Grower()}, OWN, "modular takes 'generator' and 'discriminator', not generator"),
        ("modular", {"generator": Grower(), "discriminator": len}, OWN, "'discriminator' must be a torch.nn.Module, not builtin_function"),
        ("modular", {"generator": Judge(), "discriminator": Judge()}, OWN, r"'generator' fails on \(2, 4\): Expected 3D"),
        ("modular", own(), OWN | {"conditioning": "concat"}, r"'generator' fails on \(2, 4\) and labels \(2,\): .*positional arg"),
        ("modular", None, OWN, "pass networks="),
    ],
)
def test_wrong_networks_are_refused_before_anything_is_written(model, networks, config, message, tmp_path):
    with pytest.raises(GanvasError, match=message):
        ganvas.train(model, data="digits", preset="tiny", config=config, networks=networks, run=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_scores_of_patches_count_as_their_mean(step_for, pictures_of):
    model = Modular(replace(PLAIN, backbone="own"), images(1, 8, 8), own())
    x = pictures_of(8, 1, 8, 8)
    assert model.discriminator_loss(step_for(x)).terms["value"].shape == (8,)
    torch.testing.assert_close(model.score(Batch({"images": x})), model.discriminator(x).flatten(1).mean(1))


# Presets and configuration


def test_the_paper_preset_is_the_study_s_code_for_cifar_10():
    config = PRESETS["paper"]
    model = Modular(config, images(3, 32, 32))
    (stage,) = model.stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 5), ("generator", 1)] and stage.batch == 64
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 2e-4}
    assert (config.objective, config.penalty, config.z) == ("non-saturating", "none", 128) and config == Config()
    counts = [sum(p.numel() for p in network.parameters()) for network in (model.generator, model.discriminator)]
    assert counts == pytest.approx([4.3e6, 1.05e6], rel=0.02)
    assert sum(isinstance(layer, Spectral) for layer in model.discriminator.modules()) == 2 * 3 + 2 * 2 + 1


def test_every_preset_but_tiny_and_paper_is_listed_as_a_combination_or_quick():
    assert set(PRESETS) == {"paper", "quick", "quick-points", "tiny", "tiny-points", *COMBINATIONS}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "hinges"}, "--config.objective must be one of minimax, .*Did you mean 'hinge'"),
        ({"penalty": "gp"}, "--config.penalty must be one of none, r1, r2"),
        ({"backbone": "unet"}, "--config.backbone must be one of perceptron, strided, residual, own"),
        ({"augmentation": "ada"}, "--config.augmentation must be one of none, diffaugment, adaptive"),
        ({"policy": ()}, "--config.policy must be one or more of colour, translation, cutout"),
        ({"operations": ("blit", "noise")}, "--config.operations must be one or more of blit, geometry, colour"),
        ({"adaptive_target": 1.5}, "--config.adaptive_target must be above -1 and at most 1"),
        ({"adaptive_speed": 0.0}, "--config.adaptive_speed must be above 0"),
        ({"lecam_decay": 1.0}, "--config.lecam_decay must be at least 0 and below 1"),
        ({"clip": 0.0}, "--config.clip must be above 0"),
        ({"latent_weights": (1.0, -1.0)}, "--config.latent_weights"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(PLAIN, **change)


def test_every_name_of_a_choice_is_known_to_its_check():
    hints = Config.__annotations__
    assert set(get_args(hints["penalty"])) == {"none", *SLOPES, "lecam"} and set(get_args(hints["objective"])) == set(OBJECTIVES)
    for field in ("penalty", "backbone", "augmentation", "normalisation", "conditioning", "objective"):
        for name in get_args(hints[field]):
            config = replace(PLAIN, **({field: name} | ({"penalty": "lecam"} if field == "objective" else {})))
            assert getattr(config, field) == name


# A short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: Modular(TINY, replace(data, classes=CLASSES)), pictures_of(8, 1, 12, 12), TRACE, labels=Y)
