"""BigGAN: the losses by hand, a code that enters level by level, the average's start, truncation with standing statistics, and a trace."""

import math
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
from ganvas.models.biggan import PRESETS, BigGAN, Config
from ganvas.parts import labels, latent
from ganvas.parts.attention import SelfAttention
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.spectral import Spectral, settle

TINY = PRESETS["tiny"]
THRESHOLDS = (math.inf, 2.0, 1.0, 0.5, 0.25, 0.04)

TRACE = {
    "discriminator/value": [2.902, 2.24513, 1.9566, 1.50242, 1.07163],
    "generator/cost": [0.205294, -0.0929835, 0.174671, 0.0634254, 0.272697],
    "generator/orthogonal": [0.00148711, 0.00148553, 0.00148475, 0.00148264, 0.00148177],
}


def spec(*shape, classes=3):
    return DataSpec(kind="images", shape=shape, classes=tuple("abcdefghij"[:classes]))


def clock(done=0):
    return Clock(step=done, images=done, budget=1000, stage_step=done, stage_images=done, stage_budget=1000)


def trained(updates):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plan = Plan(seed=0, budget=10**6, save_every=10**9, log_every=10**9)
    machine = Machine(device=torch.device("cpu"), bf16=False, threads=1)
    trainer = Trainer(BigGAN(TINY, spec(1, 8, 8, classes=10)), open_data("digits", split="train"), plan, machine)
    for _ in range(updates):
        trainer.play()
    return trainer


def matrices(network, *kinds):
    """Weights of layers of some kinds, as matrices, without their normalisation."""
    return [layer.weight.detach().flatten(1) for layer in network.modules() if isinstance(layer, kinds)]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def model():
    """Averaged weights after 80 updates: enough for the smallest maps to have a picture of their own, which codes vary."""
    return trained(80).averaged.model


# (a) by hand


def test_the_losses_are_those_of_fakes_with_the_labels_they_were_made_of(step_for, pictures_of):
    x, y = pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    model = BigGAN(TINY, spec(1, 8, 8))
    loss, rng = model.discriminator_loss(step_for(x, labels=y, seed=5)), step_for(x, labels=y, seed=5).rng
    z, of = model.draw(6, rng), labels.drawn(6, 3, rng)
    fake = model.generator(z, of).detach()
    real_logits, fake_logits = model.discriminator(x, y), model.discriminator(fake, of)
    torch.testing.assert_close(loss.terms["value"], (1 - real_logits).clamp(min=0) + (1 + fake_logits).clamp(min=0), rtol=1e-4, atol=1e-4)
    terms = model.generator_loss(step_for(x, labels=y, seed=5)).terms
    torch.testing.assert_close(terms["cost"], -model.discriminator(model.generator(z, of), of), rtol=1e-4, atol=1e-4)


def test_the_penalty_by_hand(step_for, pictures_of):
    """beta times the sum over layers, gains and shifts among them and the table not, of squared products of different rows."""
    x, y = pictures_of(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    model = BigGAN(replace(TINY, orthogonal=0.5), spec(1, 8, 8))
    for p in model.generator.parameters():
        p.data += 0.1 * torch.randn_like(p)
    wanted = 0.0
    for matrix in matrices(model.generator, nn.Linear, nn.Conv2d):
        products = matrix @ matrix.t()
        wanted += float(sum(products[i, j] ** 2 for i in range(len(matrix)) for j in range(len(matrix)) if i != j))
    assert float(model.generator_loss(step_for(x, labels=y)).terms["orthogonal"].detach()) == pytest.approx(0.5 * wanted, rel=1e-4)
    off = BigGAN(replace(TINY, orthogonal=0.0), spec(1, 8, 8)).generator_loss(step_for(x, labels=y))
    assert off.terms.keys() == {"cost"}


def test_the_logit_is_the_projection_plus_the_unconditional_part(pictures_of):
    model, x, y = BigGAN(TINY, spec(1, 8, 8)), pictures_of(3, 1, 8, 8), torch.tensor([2, 0, 1])
    head, f = model.discriminator.head, model.discriminator.trunk(x)
    by_hand = (head.embedding.weight[y] * f).sum(1) + f @ head.unconditional.weight[0]
    torch.testing.assert_close(model.score(Batch({"images": x, "labels": y})), by_hand, rtol=1e-4, atol=1e-5)


# (b) what only it has


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_a_changed_chunk_changes_nothing_before_its_block(shape):
    model = BigGAN(TINY, spec(*shape)).eval()
    blocks, y = model.generator.layers.blocks, torch.tensor([0, 1])
    z = model.draw(2, SampleDraws(0))
    assert z.shape == (2, TINY.chunk * (len(blocks) + 1))

    def outputs(z):
        seen = []
        handles = [block.register_forward_hook(lambda block, given, out: seen.append((given[0], out))) for block in blocks]
        image = model.generator(z, y)
        for handle in handles:
            handle.remove()
        return seen, image

    first, image = outputs(z)
    for chunk in range(len(blocks) + 1):
        other = z.clone()
        other[:, chunk * TINY.chunk : (chunk + 1) * TINY.chunk] += 1.0
        found, changed = outputs(other)
        assert not torch.equal(changed, image)
        for block, ((x, out), (old_x, old_out)) in enumerate(zip(found, first, strict=True), 1):
            assert torch.equal(x, old_x) == (block <= chunk), (chunk, block)
            assert torch.equal(out, old_out) == (block < chunk), (chunk, block)


def test_all_blocks_read_one_table_of_classes():
    model = BigGAN(TINY, spec(1, 8, 8)).eval()
    assert [tuple(w.shape) for w in matrices(model.generator, nn.Embedding)] == [(3, TINY.shared)]
    norms = [module for module in model.generator.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert len(norms) == 2 * len(model.generator.layers.blocks)
    assert {norm.gain.layer.in_features for norm in norms} == {TINY.chunk + TINY.shared}
    z, told = model.draw(2, SampleDraws(0)), []
    for norm in norms:
        norm.register_forward_pre_hook(lambda norm, given: told.append(given[1]))
    model.generator(z, torch.tensor([2, 1]))
    for block in range(len(norms) // 2):
        chunk = z[:, (block + 1) * TINY.chunk : (block + 2) * TINY.chunk]
        wanted = torch.cat([chunk, model.generator.table.weight[[2, 1]]], 1)
        assert all(torch.equal(c, wanted) for c in told[2 * block : 2 * block + 2])


def test_first_weights_are_orthogonal_and_normalised_layers_know_it():
    model = BigGAN(TINY, spec(1, 8, 8))
    for matrix in matrices(model, nn.Linear, nn.Conv2d, nn.Embedding):
        small = matrix @ matrix.t() if matrix.shape[0] <= matrix.shape[1] else matrix.t() @ matrix
        torch.testing.assert_close(small, torch.eye(len(small)), rtol=1e-5, atol=1e-5)
    for layer in model.modules():
        if isinstance(layer, Spectral):
            assert float(layer.scale.detach()) == pytest.approx(1.0, abs=1e-5)


def test_both_networks_are_normalised_and_the_shared_table_is_not():
    model = BigGAN(TINY, spec(1, 8, 8))
    bare = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding) and not name.endswith(".layer")
    ]
    assert bare == ["generator.table"]
    normalised = trained(10).model
    settle(normalised, iterations=200)
    for layer in normalised.modules():
        if isinstance(layer, Spectral):
            assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1.0, rel=0.02)


def test_attention_stands_where_it_is_asked_for_and_begins_as_nothing():
    model = BigGAN(TINY, spec(1, 8, 8))
    found = [module for module in model.modules() if isinstance(module, SelfAttention)]
    assert len(found) == 2 and all(float(block.gamma.detach()) == 0 for block in found)
    without = BigGAN(replace(TINY, attended=None), spec(1, 8, 8))
    assert not any(isinstance(module, SelfAttention) for module in without.modules())


def test_the_average_starts_at_the_stated_image():
    trainer = trained(0)
    drawn = TINY.batch * TINY.discriminator_steps
    live, mean = trainer.model.generator.parameters, trainer.averaged.model.generator.parameters
    weights = []
    for _ in range(4):
        trainer.play()
        weights.append([p.detach().clone() for p in live()])
        same = all(torch.equal(p, q) for p, q in zip(live(), mean(), strict=True))
        assert same == (trainer.images <= TINY.ema_start), trainer.images
    assert TINY.ema_start == 2 * drawn
    for second, third, fourth, p in zip(*weights[1:], mean(), strict=True):
        kept = TINY.ema_decay
        torch.testing.assert_close(p.detach(), kept**2 * second + kept * (1 - kept) * third + (1 - kept) * fourth, rtol=1e-4, atol=1e-5)


def test_truncation_lowers_the_variance_of_samples_monotonically(model):
    """Of one class, at every place: among samples whose codes are cut off nearer and nearer to 0."""
    for label in (0, 7):
        asked = Condition(labels=torch.full((128,), label))
        with torch.no_grad():
            samples = [model.truncated(t, SampleDraws(1)).sample(128, condition=asked, rng=SampleDraws(0)) for t in THRESHOLDS]
        variances = [float(x.var(0).mean()) for x in samples]
        assert variances == sorted(variances, reverse=True) and variances[-1] < 0.2 * variances[0], variances


def test_standing_statistics_are_those_of_all_batches_joined(model):
    """Of the first norm, whose inputs no norm has changed: the statistics of the codes' smallest maps, all passes in one batch."""
    found = model.truncated(0.5, SampleDraws(1))
    rng, c = SampleDraws(1), model.config
    codes = []
    for _ in range(c.standing):
        codes.append(latent.truncated(rng.normal(c.batch, model.generator.z), 0.5))
        labels.drawn(c.batch, 10, rng)
    layers, first = model.generator.layers, found.generator.layers.blocks[0].first_norm.norm
    maps = layers.project(torch.cat(codes)[:, : c.chunk]).view(-1, *layers.maps).flatten(0, 2)
    assert len(maps) == c.standing * c.batch * math.prod(layers.maps[:2])
    torch.testing.assert_close(first.running_mean, maps.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.running_var, maps.var(0, correction=0), rtol=1e-4, atol=1e-6)
    old = model.generator.layers.blocks[0].first_norm.norm
    assert not torch.allclose(old.running_var, first.running_var, rtol=0.1)


def test_a_truncated_model_is_a_copy_whose_codes_are_the_same_moved_inwards(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    small, again, whole = (model.truncated(t, SampleDraws(1)) for t in (0.5, 0.5, math.inf))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items()) and model.threshold == math.inf
    z = model.draw(4, SampleDraws(3))
    assert torch.equal(small.draw(4, SampleDraws(3)), latent.truncated(z, 0.5)) and torch.equal(whole.draw(4, SampleDraws(3)), z)
    with torch.no_grad():
        assert torch.equal(small.sample(4, rng=SampleDraws(3)), again.sample(4, rng=SampleDraws(3)))
    for (name, p), q in zip(small.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(p, q) and (p is q) == name.startswith("discriminator"), name


# Presets and configuration


def test_the_paper_s_rates_and_networks():
    config = PRESETS["paper"]
    assert config == Config() and (config.batch, config.width, config.shared) == (2048, 96, 128)
    model = BigGAN(replace(config, width=1, discriminator_width=1), spec(3, 128, 128))
    (stage,) = model.stages()
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("discriminator", 2), ("generator", 1)]
    assert [phase.optimizer.settings(clock(900)) for phase in stage.phases] == [{"lr": 2e-4}, {"lr": 5e-5}]
    assert all(isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.0, 0.999) for phase in stage.phases)
    assert model.generator.z == 120 and model.generator.layers.project.layer.in_features == 20
    assert [block.second.layer.out_channels for block in model.generator.layers.blocks] == [16, 8, 4, 2, 1]
    assert [block.first.layer.out_channels for block in model.discriminator.trunk.blocks] == [1, 2, 4, 8, 16, 16]
    # Attention on 64 x 64 maps: after the fourth block of five, and after the first.
    assert (model.generator.layers.place, model.discriminator.trunk.place) == (4, 1)
    average = model.average()
    assert (average.decay, average.start) == (0.9999, 20_000 * stage.batch * 2) and config.orthogonal == 1e-4


def test_the_authors_numbers_for_32_x_32():
    config = PRESETS["paper-32"]
    assert (config.batch, config.discriminator_steps, config.images) == (50, 4, 500 * 50_000)
    assert config.lr_generator == config.lr_discriminator == 2e-4 and config.ema_start == 1000 * 4 * 50
    model = BigGAN(replace(config, width=2, discriminator_width=2), spec(3, 32, 32))
    assert [block.second.layer.out_channels for block in model.generator.layers.blocks] == [2, 2, 2]
    assert [block.downsample for block in model.discriminator.trunk.blocks] == [True, True, False, False]
    assert not any(isinstance(module, SelfAttention) for module in model.modules())


def test_every_preset_has_two_updates_of_the_discriminator_or_the_script_s_four():
    assert {name: config.discriminator_steps for name, config in PRESETS.items()} == {"paper": 2, "paper-32": 4, "quick": 2, "tiny": 2}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 13), (1, 28, 28), (2, 9, 6)])
def test_losses_and_samples_of_every_size(shape, step_for, pictures_of):
    model = BigGAN(TINY, spec(*shape))
    step = step_for(pictures_of(4, *shape), labels=torch.tensor([0, 1, 2, 0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for loss in (model.discriminator_loss(step), model.generator_loss(step)):
            for name, term in loss.terms.items():
                assert term.shape == (() if name == "orthogonal" else (4,)) and term.dtype == torch.float32 and term.isfinite().all()
    for made in (model.eval(), model.eval().truncated(0.5, SampleDraws(2))):
        sample = made.sample(3, rng=SampleDraws(1))
        assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attended": 0}, "--config.attended must be a whole number of at least 1, not 0"),
        ({"chunk": 0}, "--config.chunk must be a whole number of at least 1, not 0"),
        ({"standing": 0}, "--config.standing must be a whole number of at least 1, not 0"),
        ({"ema_start": -1}, "--config.ema_start must be a whole number of at least 0, not -1"),
        ({"ema_decay": 1.0}, "--config.ema_decay must be above 0 and below 1"),
        ({"orthogonal": -1.0}, "--config.orthogonal must be at least 0"),
        ({"network": "narrow"}, "--config.network must be one of constant, doubling"),
        ({"betas": (0.0, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_what_it_cannot_learn_from_or_be_asked_for():
    with pytest.raises(GanvasError, match="biggan takes images, not points"):
        BigGAN(TINY, DataSpec(kind="points", shape=(2,), classes=("a", "b")))
    with pytest.raises(GanvasError, match="biggan needs data with labels"):
        BigGAN(TINY, DataSpec(kind="images", shape=(1, 8, 8)))
    with pytest.raises(GanvasError, match="asked for by labels alone"):
        BigGAN(TINY, spec(1, 8, 8)).sample(1, condition=Condition(text=("a",)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    build = lambda data: BigGAN(TINY, replace(data, classes=("a", "b")))
    check_trace(build, pictures_of(8, 1, 12, 12), TRACE, labels=torch.arange(8) % 2)
