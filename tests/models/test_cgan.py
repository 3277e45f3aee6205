"""cGAN: the losses by hand, what labels do to both players, presets, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from ganvas.data.open import open_data
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.optimizers import SGD, Adam
from ganvas.errors import GanvasError
from ganvas.models.cgan import CGAN, PRESETS, Config
from ganvas.parts import labels

TINY = PRESETS["tiny"]
MLP = replace(
    PRESETS["paper"],
    z=4,
    code_units=6,
    code_label_units=5,
    generator_widths=(8,),
    image_units=7,
    image_label_units=3,
    discriminator_widths=(6,),
)
KERAS = replace(PRESETS["textbook"], z=4, generator_widths=(8, 8), discriminator_widths=(8, 8))
SEPARATE = replace(TINY, heads="separate", mismatched=0.0)
FORMS = {
    "strided": TINY,
    "strided, separate": SEPARATE,
    "strided, multiplied": replace(TINY, join="multiply"),
    "mlp": MLP,
    "mlp, separate": replace(MLP, heads="separate"),
    "mlp, multiplied": KERAS,
}

TRACE = {
    "discriminator/value": [0.969991, 0.869683, 0.798151, 0.725418, 0.64733],
    "discriminator/mismatched": [0.361197, 0.348496, 0.338459, 0.331873, 0.324634],
    "generator/cost": [1.13192, 1.25733, 1.33375, 1.40531, 1.37983],
}


def spec(*shape, classes=3):
    return DataSpec(kind="images", shape=shape, classes=tuple("abcdefghij"[:classes]))


def at(step=0, images=0, budget=1000):
    return Clock(step=step, images=images, budget=budget, stage_step=step, stage_images=images, stage_budget=budget)


def constant_logits(model, *logits):
    """Make the discriminator answer these logits whatever it sees, one a head."""
    d = model.discriminator
    lasts = (d.score,) if len(logits) == 1 else (d.score, d.match.layers[-1])
    for last, logit in zip(lasts, logits, strict=True):
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, logit)
    return model


def sp(t):
    return math.log(1 + math.exp(t))


# (a) by hand


def test_the_losses_of_a_joint_head_that_always_says_the_same(step_for, pictures_of):
    a, m, x, y = 0.8, 0.25, pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    model = constant_logits(CGAN(replace(TINY, mismatched=m), spec(1, 8, 8)), a)
    terms = model.discriminator_loss(step_for(x, labels=y)).terms
    both = sp(-a) + sp(a)
    torch.testing.assert_close(terms["value"], torch.full((6,), (1 - m) * both))
    torch.testing.assert_close(terms["mismatched"], torch.full((6,), m * both))
    torch.testing.assert_close(model.generator_loss(step_for(x, labels=y)).terms["cost"], torch.full((6,), sp(-a)))
    alone = constant_logits(CGAN(replace(TINY, mismatched=0.0), spec(1, 8, 8)), a).discriminator_loss(step_for(x, labels=y))
    assert set(alone.terms) == {"value"} and set(alone.watch) == {"D(x)", "D(G(z))"}
    torch.testing.assert_close(alone.terms["value"], torch.full((6,), both))


def test_the_losses_of_two_heads(step_for, pictures_of):
    r, t, w, x, y = 0.8, -0.3, 0.5, pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    model = constant_logits(CGAN(replace(SEPARATE, match_weight=w), spec(1, 8, 8)), r, t)
    loss = model.discriminator_loss(step_for(x, labels=y))
    torch.testing.assert_close(loss.terms["value"], torch.full((6,), sp(-r) + sp(r)))
    torch.testing.assert_close(loss.terms["match"], torch.full((6,), w * (sp(-t) + sp(t))))
    assert float(loss.watch["D(x)"]) == pytest.approx(1 / (1 + math.exp(-r)), rel=1e-5)
    assert float(loss.watch["match, wrong"]) == pytest.approx(1 / (1 + math.exp(-t)), rel=1e-5)
    cost = model.generator_loss(step_for(x, labels=y)).terms
    torch.testing.assert_close(cost["cost"], torch.full((6,), sp(-r)))
    torch.testing.assert_close(cost["match"], torch.full((6,), w * sp(-t)))


def test_the_value_is_that_of_the_right_pairs_fakes_of_their_own_labels_and_wrong_pairs(step_for, pictures_of):
    """The same sums with the draws made by hand: codes, labels of fakes, then wrong labels."""
    m, x, y = 0.25, pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    model = CGAN(replace(TINY, mismatched=m), spec(1, 8, 8))
    loss, rng = model.discriminator_loss(step_for(x, labels=y, seed=5)), step_for(x, labels=y, seed=5).rng
    z, of = model.draw(6, rng), labels.drawn(6, 3, rng)
    other = labels.wrong(y, 3, rng)
    fake = model.generator(z, of).detach()
    real, made, wrong = (model.discriminator(*pair)[:, 0] for pair in ((x, y), (fake, of), (x, other)))
    torch.testing.assert_close(loss.terms["value"], (1 - m) * (softplus(-real) + softplus(made)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss.terms["mismatched"], m * (softplus(-real) + softplus(wrong)), rtol=1e-4, atol=1e-5)


# (b) what only it has


@pytest.mark.parametrize("form", FORMS)
def test_the_label_changes_the_sample_and_the_judgement(form, pictures_of):
    torch.manual_seed(0)
    model = CGAN(FORMS[form], spec(1, 8, 8)).eval()
    z = model.draw(6, SampleDraws(0))
    first, second = (model.decode(z, condition=Condition(labels=torch.full((6,), label))) for label in (0, 1))
    assert first.shape == (6, 1, 8, 8) and not torch.equal(first, second)
    x = pictures_of(6, 1, 8, 8)
    scores = [model.score(Batch({"images": x, "labels": torch.full((6,), label)})) for label in (0, 1)]
    assert scores[0].shape == (6,) and (scores[0] - scores[1]).abs().min() > 0


@pytest.mark.parametrize("form", ["strided, separate", "mlp, separate"])
def test_of_two_heads_the_first_sees_no_label(form, pictures_of):
    model, x = CGAN(FORMS[form], spec(1, 8, 8)).eval(), pictures_of(6, 1, 8, 8)
    first, second = (model.discriminator(x, torch.full((6,), label)) for label in (0, 1))
    assert first.shape == (6, 2)
    assert torch.equal(first[:, 0], second[:, 0]) and not torch.equal(first[:, 1], second[:, 1])


def test_samples_without_labels_have_labels_drawn_and_codes_without_labels_have_them_in_turn():
    model = CGAN(TINY, spec(1, 8, 8)).eval()
    z = model.draw(7, SampleDraws(4))
    turn = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    assert torch.equal(model.decode(z), model.decode(z, condition=Condition(labels=turn)))
    rng = SampleDraws(4)
    _, drawn = model.draw(7, rng), labels.drawn(7, 3, rng)
    torch.testing.assert_close(model.sample(7, rng=SampleDraws(4)), model.decode(z, condition=Condition(labels=drawn)))
    assert len(set(drawn.tolist())) > 1


def test_a_multiplied_label_scales_what_it_meets():
    """Keras' embedding: entries in [-0.05, 0.05], one factor for each entry of the code and each pixel."""
    model = CGAN(KERAS, spec(1, 8, 8))
    for network, size in ((model.generator, 4), (model.discriminator, 64)):
        weight = network.meet.embedding.weight
        assert weight.shape == (3, size) and 0.04 < float(weight.detach().abs().max()) <= 0.05
        v, y = torch.randn(5, size), torch.tensor([0, 2, 1, 0, 2])
        torch.testing.assert_close(network.meet(v, y), v * weight[y])


def test_label_maps_reach_the_first_layer_of_a_joint_discriminator_only():
    for config, maps in ((TINY, 1 + 3), (SEPARATE, 1), (replace(TINY, join="multiply"), 1)):
        model = CGAN(config, spec(1, 8, 8))
        assert next(layer for layer in model.discriminator.trunk.modules() if isinstance(layer, nn.Conv2d)).in_channels == maps
    assert CGAN(TINY, spec(1, 8, 8)).generator.layers.project.in_features == TINY.z + 3


def test_maxout_units_before_and_after_image_and_label_meet():
    model = CGAN(MLP, spec(1, 8, 8)).eval()
    meeting = model.discriminator.meet
    x, y = torch.randn(5, 64), torch.tensor([0, 1, 2, 0, 1])
    image = meeting.vector.linear(x).view(5, 7, 5).amax(2)
    label = meeting.label.linear(nn.functional.one_hot(y, 3).float()).view(5, 3, 5).amax(2)
    torch.testing.assert_close(meeting(x, y), torch.cat([image, label], 1))
    joint = model.discriminator.layers[0]
    torch.testing.assert_close(joint(meeting(x, y)), joint.linear(meeting(x, y)).view(5, 6, 4).amax(2))


@pytest.mark.parametrize("heads", ["joint", "separate"])
def test_mismatched_pairs_score_lower_after_a_short_training(heads):
    """A real run on the embedded digits; held-out images with their labels against the same images with wrong ones."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training, test = open_data("digits", split="train"), open_data("digits", split="test")
    config = replace(SEPARATE if heads == "separate" else TINY, width=16, discriminator_width=16, z=16, init=0.02, batch=32)
    model = CGAN(config, training.spec)
    plan = Plan(seed=0, budget=32 * 120, save_every=10**9, log_every=10**9)
    trainer = Trainer(model, training, plan, Machine(device=torch.device("cpu"), bf16=False, threads=1))
    while not trainer.done:
        trainer.play()
    batch = test.batch(torch.arange(len(test)))
    wrong = labels.wrong(batch.labels, 10, SampleDraws(0))
    with torch.no_grad():
        right, mismatched = (model.eval().score(Batch({"images": batch.images, "labels": y})) for y in (batch.labels, wrong))
    assert (right > mismatched).float().mean() > 0.8
    assert right.mean() - mismatched.mean() > 0.3


# Presets and configuration


def test_the_paper_preset_is_section_4_1():
    model = CGAN(PRESETS["paper"], spec(1, 28, 28, classes=10))
    linear = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert linear == [
        (100, 200), (10, 1000), (1200, 1200), (1200, 784), (784, 240 * 5), (10, 50 * 5), (290, 240 * 4), (240, 1),
    ]  # fmt: skip
    assert {layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)} == {0.5}
    assert Config().mismatched == 0 and Config().heads == "joint"
    (stage,) = model.stages()
    assert stage.batch == 100 and [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 1), ("generator", 1)]
    for phase in stage.phases:
        assert isinstance(phase.optimizer, SGD)
        assert phase.optimizer.settings(at()) == {"lr": 0.1, "momentum": 0.5}
        assert phase.optimizer.settings(at(step=1000, images=500)) == pytest.approx({"lr": 0.1 / 1.00004**1000, "momentum": 0.6})
        assert phase.optimizer.settings(at(step=10**6, images=1000)) == pytest.approx({"lr": 1e-6, "momentum": 0.7})


def test_the_paper_preset_ends_where_its_rate_stands_still():
    updates = PRESETS["paper"].images // PRESETS["paper"].batch
    assert 0.1 / 1.00004**updates <= 1e-6 < 0.1 / 1.00004 ** (updates - 1)


def test_the_textbook_preset_is_the_keras_chapter():
    model = CGAN(PRESETS["textbook"], spec(1, 28, 28, classes=10))
    linear = [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert linear == [256, 512, 1024, 784, 512, 512, 512, 1]
    embeddings = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, nn.Embedding)]
    assert embeddings == [(10, 100), (10, 784)]
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert [(norm.num_features, norm.eps) for norm in norms] == [(256, 1e-3), (512, 1e-3), (1024, 1e-3)]
    assert all(norm.momentum == pytest.approx(0.2) for norm in norms)
    assert [layer.p for layer in model.discriminator.modules() if isinstance(layer, nn.Dropout)] == [0.4, 0.4]
    (stage,) = model.stages()
    assert (stage.images, stage.batch) == (320_000, 32)
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(at(step=100, images=900)) == {"lr": 2e-4}


def test_rates_fall_linearly_at_the_end_of_quick():
    (stage,) = CGAN(PRESETS["quick"], spec(1, 28, 28, classes=10)).stages()
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(at(images=700)) == {"lr": 1e-3}
        assert phase.optimizer.settings(at(images=900)) == pytest.approx({"lr": 5e-4})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 13), (1, 28, 28)])
def test_losses_and_samples_of_every_form_and_size(form, shape, step_for, pictures_of):
    model = CGAN(FORMS[form], spec(*shape))
    step = step_for(pictures_of(4, *shape), labels=torch.tensor([0, 1, 2, 0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for loss in (model.discriminator_loss(step), model.generator_loss(step)):
            assert all(term.shape == (4,) and term.dtype == torch.float32 and term.isfinite().all() for term in loss.terms.values())
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": "three"}, "--config.heads must be one of joint, separate, not 'three'"),
        ({"join": "add"}, "--config.join must be one of concatenate, multiply"),
        ({"mismatched": 1.0}, "--config.mismatched must be at least 0 and below 1, not 1.0"),
        ({"heads": "separate"}, "--config.mismatched is of a joint head"),
        ({"heads": "separate", "mismatched": 0.0, "join": "multiply"}, "--config.heads separate"),
        ({"match_weight": -1.0}, "--config.match_weight must be at least 0"),
        ({"pieces": (5, 0)}, "--config.pieces must be whole numbers of at least 1"),
        ({"lr_divisor": 0.9}, "--config.lr_divisor must be at least 1"),
        ({"betas": None}, "--config.momentum .* and --config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_what_it_cannot_learn_from_or_be_asked_for():
    with pytest.raises(GanvasError, match="cgan takes images, not points"):
        CGAN(TINY, DataSpec(kind="points", shape=(2,), classes=("a", "b")))
    with pytest.raises(GanvasError, match="labels of at least 1 classes, and these have 0"):
        CGAN(replace(TINY, mismatched=0.0), DataSpec(kind="images", shape=(1, 8, 8)))
    with pytest.raises(GanvasError, match="labels of at least 2 classes, and these have 1"):
        CGAN(TINY, spec(1, 8, 8, classes=1))
    with pytest.raises(GanvasError, match="asked for by labels alone"):
        CGAN(TINY, spec(1, 8, 8)).sample(1, condition=Condition(text=("a",)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: CGAN(TINY, replace(data, classes=("a", "b"))), pictures_of(8, 1, 12, 12), TRACE, labels=torch.arange(8) % 2)
