"""SAGAN: the losses by hand, attention that starts as nothing, normalisation of both networks, rates, and a short trace."""

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
from ganvas.models.sagan import PRESETS, SAGAN, Config
from ganvas.parts import labels
from ganvas.parts.attention import SelfAttention
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.spectral import Spectral, settle

TINY = PRESETS["tiny"]

TRACE = {
    "discriminator/value": [1.87871, 1.69114, 1.77982, 1.66958, 1.63865],
    "generator/cost": [-0.258597, -0.120387, -0.217016, -0.113976, -0.128279],
}


def spec(*shape, classes=3):
    return DataSpec(kind="images", shape=shape, classes=tuple("abcdefghij"[:classes]))


def clock(done=0):
    return Clock(step=done, images=done, budget=1000, stage_step=done, stage_images=done, stage_budget=1000)


def blocks(model):
    """The attention of the generator and of the discriminator."""
    return [module for module in model.modules() if isinstance(module, SelfAttention)]


def trained(model, updates):
    torch.set_num_threads(1)
    plan = Plan(seed=0, budget=10**6, save_every=10**9, log_every=10**9)
    trainer = Trainer(model, open_data("digits", split="train"), plan, Machine(device=torch.device("cpu"), bf16=False, threads=1))
    for _ in range(updates):
        trainer.play()
    return trainer


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# (a) by hand


def test_the_losses_are_those_of_fakes_with_the_labels_they_were_made_of(step_for, pictures_of):
    x, y = pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    model = SAGAN(TINY, spec(1, 8, 8))
    loss, rng = model.discriminator_loss(step_for(x, labels=y, seed=5)), step_for(x, labels=y, seed=5).rng
    z, of = model.draw(6, rng), labels.drawn(6, 3, rng)
    fake = model.generator(z, of).detach()
    real_logits, fake_logits = model.discriminator(x, y), model.discriminator(fake, of)
    torch.testing.assert_close(loss.terms["value"], (1 - real_logits).clamp(min=0) + (1 + fake_logits).clamp(min=0), rtol=1e-4, atol=1e-4)
    assert float(loss.watch["gamma of D"]) == float(loss.watch["gamma of G"]) == 0
    cost = model.generator_loss(step_for(x, labels=y, seed=5)).terms["cost"]
    torch.testing.assert_close(cost, -model.discriminator(model.generator(z, of), of), rtol=1e-4, atol=1e-4)


def test_the_logit_is_the_projection_plus_the_unconditional_part(pictures_of):
    model, x, y = SAGAN(TINY, spec(1, 8, 8)), pictures_of(3, 1, 8, 8), torch.tensor([2, 0, 1])
    head, f = model.discriminator.head, model.discriminator.trunk(x)
    by_hand = (head.embedding.weight[y] * f).sum(1) + f @ head.unconditional.weight[0]
    torch.testing.assert_close(model.score(Batch({"images": x, "labels": y})), by_hand, rtol=1e-4, atol=1e-5)


# (b) what only it has


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28)])
def test_at_step_0_attention_is_the_identity_in_both_networks(shape, pictures_of):
    model, seen = SAGAN(TINY, spec(*shape)), []
    assert len(blocks(model)) == 2
    for block in blocks(model):
        assert float(block.gamma.detach()) == 0
        block.register_forward_hook(lambda block, given, out: seen.append(torch.equal(given[0], out)))
    model.discriminator(model.generator(model.draw(3, SampleDraws(0)), torch.tensor([0, 1, 2])), torch.tensor([0, 1, 2]))
    assert seen == [True, True]


def test_rows_of_attention_sum_to_1_after_training_and_gamma_moves(pictures_of):
    model = trained(SAGAN(TINY, spec(1, 8, 8, classes=10)), 6).model
    seen = []
    for block in blocks(model):
        assert float(block.gamma.detach()) != 0
        block.register_forward_hook(lambda block, given, out: seen.append(block.attention(given[0])))
    model.discriminator(model.generator(model.draw(4, SampleDraws(0)), torch.arange(4)), torch.arange(4))
    assert [rows.shape for rows in seen] == [(4, 16, 4), (4, 16, 4)]  # every place of 4 x 4 asks, every 2 x 2 answers
    for rows in seen:
        torch.testing.assert_close(rows.sum(2), torch.ones(4, 16))


def test_with_attention_a_place_depends_on_all_others():
    """Of the generator's block: a change in one corner of its maps reaches the opposite one only through attention."""
    block = blocks(SAGAN(TINY, spec(1, 28, 28)))[0]
    x = torch.randn(1, block.out.layer.out_channels, 8, 8)
    other = x.clone()
    other[0, :, 0, 0] += 5.0
    assert torch.equal(block(x)[:, :, 7, 7], block(other)[:, :, 7, 7])
    block.gamma.data.fill_(1.0)
    assert not torch.allclose(block(x)[:, :, 7, 7], block(other)[:, :, 7, 7])


def test_both_networks_are_normalised_and_norms_are_not():
    model = SAGAN(TINY, spec(1, 8, 8))
    for network in (model.generator, model.discriminator):
        bare = [
            name
            for name, layer in network.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding) and not name.endswith(".layer")
        ]
        assert all(name.endswith((".gain", ".shift")) for name in bare)
        assert bool(bare) == (network is model.generator)
    assert sum(isinstance(layer, ConditionalBatchNorm2d) for layer in model.generator.modules()) == 4


def test_the_largest_singular_value_of_every_layer_is_1_in_both_networks():
    model = trained(SAGAN(TINY, spec(1, 8, 8, classes=10)), 10).model
    settle(model, iterations=200)
    layers = [layer for layer in model.modules() if isinstance(layer, Spectral)]
    assert len(layers) == (1 + 2 * 3 + 4 + 1) + (3 * 3 + 4 + 2)
    for layer in layers:
        assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1.0, rel=0.02)


def test_each_network_s_vectors_move_with_its_own_updates():
    model = SAGAN(TINY, spec(1, 8, 8))
    (stage,) = model.stages()
    for layer in model.modules():
        if isinstance(layer, Spectral):
            layer.layer.weight.data.normal_()
    for phase, own, other in zip(stage.phases, ("discriminator", "generator"), ("generator", "discriminator"), strict=True):
        before = {name: b.clone() for name, b in model.named_buffers()}
        model.after_update(phase, {}, {})
        moved = {name.split(".")[0] for name, b in model.named_buffers() if not torch.equal(before[name], b)}
        assert moved == {own} and other not in moved


def test_averaged_weights_are_normalised_by_vectors_that_are_near():
    """The average shares the vectors of the weights in training; its own scale is within 10 % after a short run."""
    trainer = trained(SAGAN(TINY, spec(1, 8, 8, classes=10)), 20)
    averaged = trainer.averaged.model
    assert any(not torch.equal(p, q) for p, q in zip(averaged.generator.parameters(), trainer.model.generator.parameters(), strict=True))
    for layer in averaged.generator.modules():
        if isinstance(layer, Spectral):
            exact = float(torch.linalg.svdvals(layer.layer.weight.detach().flatten(1))[0])
            assert float(layer.scale.detach()) == pytest.approx(exact, rel=0.1)


# Presets and configuration


def test_the_paper_s_rates_and_networks():
    config = PRESETS["paper"]
    assert config == Config() and config.batch == 256
    small = replace(config, width=1, discriminator_width=1)
    model = SAGAN(small, spec(3, 128, 128))
    (stage,) = model.stages()
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 1), ("generator", 1)]
    assert [phase.optimizer.settings(clock(900)) for phase in stage.phases] == [{"lr": 4e-4}, {"lr": 1e-4}]
    assert all(isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.0, 0.9) for phase in stage.phases)
    assert [block.second.layer.out_channels for block in model.generator.layers.blocks] == [16, 8, 4, 2, 1]
    assert [block.first.layer.out_channels for block in model.discriminator.trunk.blocks] == [1, 2, 4, 8, 16, 16]
    assert (config.width, config.discriminator_width, config.z) == (64, 64, 128)
    # Attention on 32 x 32 maps: after the third block of five, and after the second.
    assert (model.generator.layers.place, model.discriminator.trunk.place) == (3, 2)


def test_quick_keeps_the_faster_discriminator():
    quick = PRESETS["quick"]
    (stage,) = SAGAN(quick, spec(3, 32, 32)).stages()
    assert quick.lr_discriminator > quick.lr_generator
    for phase in stage.phases:
        assert phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock(900))["lr"] == pytest.approx(phase.optimizer.settings(clock())["lr"] / 2)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 13), (1, 28, 28), (2, 9, 6)])
def test_losses_and_samples_of_every_size(shape, step_for, pictures_of):
    model = SAGAN(TINY, spec(*shape))
    for block in blocks(model):
        block.gamma.data.fill_(0.5)
    step = step_for(pictures_of(4, *shape), labels=torch.tensor([0, 1, 2, 0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for loss in (model.discriminator_loss(step), model.generator_loss(step)):
            assert all(term.shape == (4,) and term.dtype == torch.float32 and term.isfinite().all() for term in loss.terms.values())
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attended": 0}, "--config.attended must be a whole number of at least 1, not 0"),
        ({"discriminator_steps": 0}, "--config.discriminator_steps must be a whole number of at least 1, not 0"),
        ({"lr_discriminator": -1.0}, "--config.lr_discriminator must be above 0"),
        ({"betas": (0.0, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_what_it_cannot_learn_from_or_be_asked_for():
    with pytest.raises(GanvasError, match="sagan takes images, not points"):
        SAGAN(TINY, DataSpec(kind="points", shape=(2,), classes=("a", "b")))
    with pytest.raises(GanvasError, match="sagan needs data with labels"):
        SAGAN(TINY, DataSpec(kind="images", shape=(1, 8, 8)))
    with pytest.raises(GanvasError, match="asked for by labels alone"):
        SAGAN(TINY, spec(1, 8, 8)).sample(1, condition=Condition(text=("a",)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    build = lambda data: SAGAN(TINY, replace(data, classes=("a", "b")))
    check_trace(build, pictures_of(8, 1, 12, 12), TRACE, labels=torch.arange(8) % 2)
