"""Modular GAN: its own terms by hand, every combination, contradictions, and a trace.

That it equals the named models when given their parts is in tests/contract/test_ablations.py.
"""

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.modular import CONSISTENT, PRESETS, Config, Modular
from ganvas.parts import consistency
from ganvas.parts.adaptive import Adaptive
from ganvas.parts.choices import OBJECTIVES, SLOPES
from ganvas.parts.diff_augment import diff_augment
from ganvas.parts.spectral import Spectral
from tests.ablations import CLASSES, LABELLED, PLAIN, PLANE, SQUARE, Y, images, small
from tests.models.conftest import play

TINY = PRESETS["tiny"]
COMBINATIONS = (
    *("dcgan", "lsgan", "wgan-gp", "hinge-spectral", "relativistic-r1"),
    *("projection", "lecam", "diffaugment", "adaptive", "consistency"),
)

TRACE = {
    "discriminator/value": [1.53278, 1.09487, 1.1907, 1.16321, 1.11602],
    "generator/cost": [-0.0524121, -0.102213, -0.107684, -0.146238, -0.201549],
}


class Corner(nn.Module):
    """A discriminator that says three times what the first pixel is."""

    def forward(self, x):
        return 3 * x[:, 0, 0, 0]


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


class OfClass(nn.Module):
    """A discriminator that says (1 + y) times what the first pixel is."""

    def forward(self, x, y):
        return (1 + y) * x[:, 0, 0, 0]


def test_reals_are_augmented_for_the_generator_too_where_it_is_compared_with_them(step_for, pictures_of):
    model, x = Modular(replace(PLAIN, augmentation="diffaugment", objective="paired-logistic"), SQUARE), pictures_of(8, 1, 16, 16)
    model.discriminator = Corner()
    found, rng = model.generator_loss(step_for(x, seed=3)).terms["cost"], step_for(x, seed=3).rng
    real = diff_augment(x, rng)[:, 0, 0, 0]
    fake = diff_augment(model.generator(model.draw(8, rng)), rng)[:, 0, 0, 0]
    torch.testing.assert_close(found, nn.functional.softplus(3 * (real - fake)), rtol=1e-4, atol=1e-4)
    assert not torch.equal(real, x[:, 0, 0, 0])


def test_reals_and_fakes_are_asked_about_with_their_own_labels(step_for, pictures_of):
    """The slope of OfClass is 1 + y: by labels of the batch for r1, by drawn ones for r2 and for the consistency of fakes."""
    x, c = pictures_of(8, 1, 16, 16), replace(PLAIN, conditioning="projection", penalty_weight=2.0)
    drawn, rng = [], step_for(x, seed=3).rng
    for penalty in ("r1", "r2"):
        model = Modular(replace(c, penalty=penalty), LABELLED)
        model.discriminator = OfClass()
        found, rng = model.discriminator_loss(step_for(x, seed=3, labels=Y)).terms["penalty"], step_for(x, seed=3).rng
        z, drawn = model._drawn(8, rng)
        torch.testing.assert_close(found, (1.0 + (Y if penalty == "r1" else drawn)) ** 2)
    assert not torch.equal(drawn, Y)
    model = Modular(replace(c, augmentation="balanced-consistency", consistency_weight=1.0), LABELLED)
    model.discriminator = OfClass()
    terms, rng = model.discriminator_loss(step_for(x, seed=3, labels=Y)).terms, step_for(x, seed=3).rng
    z, drawn = model._drawn(8, rng)
    fake = model.generator(z, drawn).detach()
    for name, some, y in (("consistency", x, Y), ("consistency of fakes", fake, drawn)):
        apart = (some - consistency.transformed(some, rng))[:, 0, 0, 0]
        torch.testing.assert_close(terms[name], ((1 + y) * apart) ** 2, rtol=1e-3, atol=1e-4)


def test_what_an_augmentation_does_is_as_chosen(step_for, pictures_of):
    x = pictures_of(8, 1, 16, 16)
    shown = Modular(replace(PLAIN, augmentation="diffaugment", policy=("colour",)), SQUARE)._shown(x, step_for(x).rng)
    torch.testing.assert_close(shown, diff_augment(x, step_for(x).rng, ("colour",)))
    model = Modular(replace(PLAIN, augmentation="adaptive", operations=("blit",)), SQUARE)
    model.adaptive.strength.fill_(1.0)
    blits = Adaptive(groups=("blit",))
    blits.strength.fill_(1.0)
    torch.testing.assert_close(model._shown(x, step_for(x).rng), blits.augment(x, step_for(x).rng))
    model = Modular(replace(PLAIN, augmentation="consistency", consistency_weight=1.0, mirror=False), SQUARE)
    model.discriminator = Corner()
    terms, rng = model.discriminator_loss(step_for(x, seed=3)).terms, step_for(x, seed=3).rng
    model.draw(8, rng)
    apart = 3 * (x - consistency.transformed(x, rng, mirror=False))[:, 0, 0, 0]
    torch.testing.assert_close(terms["consistency"], apart**2, rtol=1e-3, atol=1e-4)


def test_rates_fall_the_generator_is_averaged_and_labels_are_drawn():
    model = Modular(replace(PLAIN, conditioning="concat", decay_from=0.5, lr_generator=0.2, ema_half_life=100.0), LABELLED)
    (stage,) = model.stages()
    at = Clock(step=0, images=0, budget=100, stage_step=0, stage_images=75, stage_budget=100)
    assert stage.phases[1].optimizer.settings(at)["lr"] == pytest.approx(0.1)
    assert model.average().modules == (model.generator,)
    asked = []
    model._made = lambda z, y: asked.append(y) or z
    model.sample(400, rng=SampleDraws(0))
    counts = torch.bincount(asked[0], minlength=10)
    assert counts.min() >= 20 and not (counts == 40).all() and not torch.equal(asked[0], torch.arange(400) % 10)


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


def test_scores_of_patches_count_as_their_mean(step_for, pictures_of):
    class Patches(nn.Conv2d):
        def forward(self, x):
            return x[:, :, ::4, ::4]

    generator = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))
    model = Modular(replace(PLAIN, backbone="own"), images(1, 8, 8), {"generator": generator, "discriminator": Patches(1, 1, 1)})
    x = pictures_of(8, 1, 8, 8)
    assert model.discriminator_loss(step_for(x)).terms["value"].shape == (8,)
    torch.testing.assert_close(model.score(Batch({"images": x})), x[:, 0, ::4, ::4].mean((1, 2)))


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
