"""Projection discriminator: the logit and the losses by hand, whose labels go where, the published networks, and a short trace."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.data.open import open_data
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.projection import PRESETS, Config, Projection
from ganvas.parts import labels
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.spectral import Spectral, settle

TINY = PRESETS["tiny"]

TRACE = {
    "discriminator/value": [1.05232, 0.8458, 0.71609, 0.5194, 0.42726],
    "generator/cost": [0.194925, 0.260877, 0.461444, 0.649696, 0.780935],
}


def spec(*shape, classes=3):
    return DataSpec(kind="images", shape=shape, classes=tuple("abcdefghij"[:classes]))


def clock(done=0):
    return Clock(step=done, images=done, budget=1000, stage_step=done, stage_images=done, stage_budget=1000)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# (a) by hand


def test_the_logit_is_the_projection_plus_the_unconditional_part(pictures_of):
    """Equation 3 with normalised weights: e_y . f + w . f, every part computed from what is stored."""
    model, x, y = Projection(TINY, spec(1, 8, 8)), pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 2, 1, 0])
    settle(model, iterations=300)
    head, f = model.discriminator.head, model.discriminator.trunk(x).detach()
    table, row = head.embedding.layer.weight.detach(), head.unconditional.layer.weight.detach()
    table, row = (weight / torch.linalg.svdvals(weight)[0] for weight in (table, row))
    by_hand = torch.stack([table[label] @ features + row[0] @ features for label, features in zip(y.tolist(), f, strict=True)])
    torch.testing.assert_close(model.score(Batch({"images": x, "labels": y})).detach(), by_hand, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.projected(f, y), by_hand - f @ row[0], rtol=1e-4, atol=1e-5)


def test_the_difference_of_two_labels_is_that_of_their_vectors(pictures_of):
    """psi knows no class: a(x, y) - a(x, y') = (e_y - e_y') . f(x)."""
    model, x = Projection(TINY, spec(1, 8, 8)).eval(), pictures_of(6, 1, 8, 8)
    first, second = (model.score(Batch({"images": x, "labels": torch.full((6,), label)})) for label in (0, 2))
    table, f = model.discriminator.head.embedding.weight, model.discriminator.trunk(x)
    torch.testing.assert_close(first - second, f @ (table[0] - table[2]), rtol=1e-4, atol=1e-5)
    assert (first - second).abs().min() > 0


def test_the_losses_are_those_of_fakes_with_the_labels_they_were_made_of(step_for, pictures_of):
    x, y = pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    model = Projection(TINY, spec(1, 8, 8))
    loss, rng = model.discriminator_loss(step_for(x, labels=y, seed=5)), step_for(x, labels=y, seed=5).rng
    z, of = model.draw(6, rng), labels.drawn(6, 3, rng)
    assert not torch.equal(of, y)
    fake = model.generator(z, of).detach()
    real_logits, fake_logits = model.discriminator(x, y), model.discriminator(fake, of)
    torch.testing.assert_close(loss.terms["value"], (1 - real_logits).clamp(min=0) + (1 + fake_logits).clamp(min=0), rtol=1e-4, atol=1e-4)
    part = model.discriminator.head.projected(model.discriminator.trunk(x), y).mean()
    torch.testing.assert_close(loss.watch["e . f of reals"], part.detach(), rtol=1e-4, atol=1e-5)


def test_the_generator_s_cost_is_the_mean_over_its_codes(step_for, pictures_of):
    x, y = pictures_of(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    model = Projection(replace(TINY, codes=2), spec(1, 8, 8))
    cost, rng = model.generator_loss(step_for(x, labels=y, seed=5)).terms["cost"], step_for(x, labels=y, seed=5).rng
    z, of = model.draw(8, rng), labels.drawn(8, 3, rng)
    logits = model.discriminator(model.generator(z, of), of)
    torch.testing.assert_close(cost, -logits.view(4, 2).mean(1), rtol=1e-4, atol=1e-4)


# (b) what only it has


def test_the_table_of_classes_is_normalised_too():
    """Without that it could outgrow everything: here times 100 changes no logit's part."""
    model = Projection(TINY, spec(1, 8, 8, classes=10))
    head = model.discriminator.head
    assert isinstance(head.embedding, Spectral) and isinstance(head.embedding.layer, nn.Embedding)
    settle(model, iterations=300)
    assert float(torch.linalg.svdvals(head.embedding.weight.detach())[0]) == pytest.approx(1.0, rel=1e-3)
    f, y = torch.randn(5, head.unconditional.layer.in_features), torch.arange(5)
    before = head.projected(f, y)
    head.embedding.layer.weight.data *= 100
    torch.testing.assert_close(head.projected(f, y), before)
    assert (before.abs() <= f.norm(dim=1) + 1e-4).all()  # a row is no longer than the largest singular value


def test_the_largest_singular_value_of_every_layer_is_1_after_training():
    model = Projection(TINY, spec(1, 8, 8, classes=10))
    torch.set_num_threads(1)
    plan = Plan(seed=0, budget=10**6, save_every=10**9, log_every=10**9)
    trainer = Trainer(model, open_data("digits", split="train"), plan, Machine(device=torch.device("cpu"), bf16=False, threads=1))
    for _ in range(10):
        trainer.play()
    settle(model, iterations=200)
    layers = [layer for layer in model.discriminator.modules() if isinstance(layer, Spectral)]
    assert len(layers) == 3 * 3 + 2
    for layer in layers:
        assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1.0, rel=0.02)


def test_the_generator_is_told_the_class_by_its_norms_alone():
    """Where all classes have the same gains and shifts, the label changes nothing."""
    model = Projection(TINY, spec(1, 8, 8)).eval()
    norms = [layer for layer in model.generator.modules() if isinstance(layer, ConditionalBatchNorm2d)]
    assert len(norms) == 2 * len(model.generator.layers.blocks) and type(model.generator.layers.norm) is nn.BatchNorm2d
    z = model.draw(4, SampleDraws(0))
    made = lambda label: model.decode(z, condition=Condition(labels=torch.full((4,), label)))
    assert not torch.equal(made(0), made(1))
    for norm in norms:
        for layer in (norm.gain, norm.shift):
            layer.weight.data[:] = layer.weight.data[:, :1].clone()
    assert torch.equal(made(0), made(1))


def test_samples_without_labels_have_labels_drawn_and_codes_without_labels_have_them_in_turn():
    model = Projection(TINY, spec(1, 8, 8)).eval()
    z = model.draw(7, SampleDraws(4))
    turn = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    assert torch.equal(model.decode(z), model.decode(z, condition=Condition(labels=turn)))
    rng = SampleDraws(4)
    _, drawn = model.draw(7, rng), labels.drawn(7, 3, rng)
    torch.testing.assert_close(model.sample(7, rng=SampleDraws(4)), model.decode(z, condition=Condition(labels=drawn)))


def test_vectors_move_with_the_discriminator_s_updates_alone(step_for, pictures_of):
    model, x, y = Projection(TINY, spec(1, 8, 8)), pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    (stage,) = model.stages()
    vectors = lambda: {name: b.clone() for name, b in model.named_buffers() if name.endswith(("_u", "_v"))}
    before = vectors()
    model.discriminator_loss(step_for(x, labels=y))
    model.generator_loss(step_for(x, labels=y))
    model.after_update(stage.phases[1], {}, {})
    assert all(torch.equal(before[name], now) for name, now in vectors().items())
    model.discriminator.head.embedding.layer.weight.data.normal_()
    model.after_update(stage.phases[0], {}, {})
    assert not torch.equal(before["discriminator.head.embedding._u"], vectors()["discriminator.head.embedding._u"])


# Presets and configuration


def test_the_paper_preset_is_the_authors_cifar_10_configuration():
    config = PRESETS["paper"]
    assert config == Config() and (config.codes, config.batch, config.images) == (2, 64, 50_000 * 5 * 64)
    (stage,) = Projection(replace(config, width=2, discriminator_width=2), spec(3, 32, 32)).stages()
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 5), ("generator", 1)]
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.0, 0.9)
        assert phase.optimizer.settings(clock()) == {"lr": 2e-4}
        assert phase.optimizer.settings(clock(250)) == pytest.approx({"lr": 1.5e-4})
    model = Projection(config, spec(3, 32, 32, classes=10))
    assert model.discriminator.head.embedding.layer.weight.shape == (10, 128)
    assert [block.downsample for block in model.discriminator.trunk.blocks] == [True, True, False, False]
    norms = [layer for layer in model.generator.modules() if isinstance(layer, ConditionalBatchNorm2d)]
    assert [layer.gain.weight.shape for layer in norms] == [(256, 10)] * 6


def test_the_imagenet_preset():
    config = replace(PRESETS["paper-128"], width=1, discriminator_width=1)
    (stage,) = Projection(config, spec(3, 128, 128)).stages()
    assert stage.images == 450_000 * 5 * 64
    for phase in stage.phases:
        assert phase.optimizer.settings(clock(800)) == {"lr": 2e-4}
        assert phase.optimizer.settings(clock(950))["lr"] == pytest.approx(2e-4 * 0.05 / (50 / 450))
    model = Projection(config, spec(3, 128, 128))
    assert [block.first.out_channels for block in model.generator.layers.blocks] == [16, 8, 4, 2, 1]
    assert [block.second.layer.out_channels for block in model.discriminator.trunk.blocks] == [1, 2, 4, 8, 16, 16]
    assert PRESETS["paper-128"].width == PRESETS["paper-128"].discriminator_width == 64


@pytest.mark.parametrize("network", ["constant", "doubling"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 13), (1, 28, 28)])
def test_losses_and_samples_of_every_size(network, shape, step_for, pictures_of):
    model = Projection(replace(TINY, network=network), spec(*shape))
    step = step_for(pictures_of(4, *shape), labels=torch.tensor([0, 1, 2, 0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for loss in (model.discriminator_loss(step), model.generator_loss(step)):
            assert all(term.shape == (4,) and term.dtype == torch.float32 and term.isfinite().all() for term in loss.terms.values())
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "wide"}, "--config.network must be one of constant, doubling"),
        ({"codes": 0}, "--config.codes must be a whole number of at least 1, not 0"),
        ({"decay_from": 1.0}, "--config.decay_from must be at least 0 and below 1"),
        ({"lr_generator": 0.0}, "--config.lr_generator must be above 0"),
        ({"betas": (-0.1, 0.9)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_what_it_cannot_learn_from_or_be_asked_for():
    with pytest.raises(GanvasError, match="projection takes images, not points"):
        Projection(TINY, DataSpec(kind="points", shape=(2,), classes=("a", "b")))
    with pytest.raises(GanvasError, match="projection needs data with labels"):
        Projection(TINY, DataSpec(kind="images", shape=(1, 8, 8)))
    with pytest.raises(GanvasError, match="asked for by labels alone"):
        Projection(TINY, spec(1, 8, 8)).sample(1, condition=Condition(text=("a",)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    build = lambda data: Projection(TINY, replace(data, classes=("a", "b")))
    check_trace(build, pictures_of(8, 1, 12, 12), TRACE, labels=torch.arange(8) % 2)
