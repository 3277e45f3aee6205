"""AC-GAN: the losses and the running recall by hand, presets, and a short trace."""

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
from ganvas.models.acgan import ACGAN, KEPT, PRESETS, classified, recognised
from ganvas.parts import labels

TINY = PRESETS["tiny"]

TRACE = {
    "discriminator/value": [1.4026, 1.34419, 1.28036, 1.21452, 1.16305],
    "discriminator/class of reals": [0.690263, 0.579074, 0.492561, 0.428066, 0.371724],
    "generator/cost": [0.682607, 0.680553, 0.688117, 0.728847, 0.768858],
    "generator/class": [0.345323, 0.331593, 0.323483, 0.314886, 0.298186],
}


def spec(*shape, classes=3):
    return DataSpec(kind="images", shape=shape, classes=tuple("abcdefghijklmnopqrst"[:classes]))


def constant(model, logit, classes):
    """Make the discriminator answer one logit and the same class logits whatever it sees."""
    d = model.discriminator
    for layer, answer in ((d.score, [logit]), (d.classify, classes)):
        nn.init.zeros_(layer.weight)
        layer.bias.data.copy_(torch.tensor(answer))
    return model


def sp(t):
    return math.log(1 + math.exp(t))


# (a) by hand


def test_the_losses_of_a_discriminator_that_always_says_the_same(step_for, pictures_of):
    a, told, w_d, w_g = 0.8, [1.0, 0.0, -1.0], 0.5, 0.1
    config = replace(TINY, class_weight_discriminator=w_d, class_weight_generator=w_g, classify_fakes=True)
    model = constant(ACGAN(config, spec(1, 8, 8)), a, told)
    x, y = pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    total = math.log(math.exp(1) + 1 + math.exp(-1))
    nats = torch.tensor([total - 1, total, total + 1])  # -log p(c) of the three classes
    loss, rng = model.discriminator_loss(step_for(x, labels=y)), step_for(x, labels=y).rng
    _, of = model.draw(6, rng), labels.drawn(6, 3, rng)
    torch.testing.assert_close(loss.terms["value"], torch.full((6,), sp(-a) + sp(a)))
    torch.testing.assert_close(loss.terms["class of reals"], w_d * nats[y])
    torch.testing.assert_close(loss.terms["class of fakes"], w_d * nats[of])
    assert float(loss.watch["accuracy"]) == pytest.approx(2 / 6)
    cost = model.generator_loss(step_for(x, labels=y)).terms
    torch.testing.assert_close(cost["cost"], torch.full((6,), sp(-a)))
    torch.testing.assert_close(cost["class"], w_g * nats[of])


def test_a_classifier_of_even_opinion_costs_log_k():
    torch.testing.assert_close(classified(torch.zeros(4, 10), torch.tensor([0, 3, 9, 9])), torch.full((4,), math.log(10)))
    assert classified(torch.zeros(4, 10, dtype=torch.bfloat16), torch.arange(4)).dtype == torch.float32


def test_the_classifier_learns_from_fakes_only_where_asked(step_for, pictures_of):
    step = step_for(pictures_of(6, 1, 8, 8), labels=torch.tensor([0, 1, 2, 0, 1, 2]))
    for fakes in (True, False):
        model = ACGAN(replace(TINY, classify_fakes=fakes), spec(1, 8, 8))
        assert ("class of fakes" in model.discriminator_loss(step).terms) == fakes


# (b) what only it has


def test_both_players_want_the_class_to_be_right(step_for, pictures_of):
    """Both losses fall as the logit of the right class rises."""
    step = step_for(pictures_of(6, 1, 8, 8), labels=torch.zeros(6, dtype=torch.int64))
    model = ACGAN(replace(TINY, classify_fakes=True), spec(1, 8, 8, classes=1 + 1))
    rng = step.rng
    _, of = model.draw(6, rng), labels.drawn(6, 2, rng)
    for loss, right in ((model.discriminator_loss, of * 0), (model.generator_loss, of)):
        values = []
        for lean in (0.0, 1.0):  # towards class 0
            constant(model, 0.0, [lean, 0.0])
            terms = loss(step_for(step.batch.images, labels=step.batch.labels)).terms
            values.append(terms["class of reals" if "class of reals" in terms else "class"])
        assert torch.equal(values[1] < values[0], right == 0)


def test_samples_are_what_they_were_asked_to_be_after_a_short_training():
    """A real run on the embedded digits; the judge is the commonest label of the five training images nearest to a sample."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training = open_data("digits")
    model = ACGAN(replace(TINY, width=16, discriminator_width=16, z=16, batch=32, lr_generator=1e-3, lr_discriminator=1e-3), training.spec)
    plan = Plan(seed=0, budget=32 * 150, save_every=10**9, log_every=10**9)
    trainer = Trainer(model, training, plan, Machine(device=torch.device("cpu"), bf16=False, threads=1))
    while not trainer.done:
        trainer.play()
    everything, asked = training.batch(torch.arange(len(training))), torch.arange(100) % 10
    with torch.no_grad():
        samples = model.eval().sample(100, condition=Condition(labels=asked), rng=SampleDraws(0))
    nearest = torch.cdist(samples.flatten(1), everything.images.flatten(1)).topk(5, largest=False).indices
    assert (everything.labels[nearest].mode(1).values == asked).float().mean() > 0.85
    assert model.recall.min() > 0.5


def test_shares_of_what_was_recognised():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    found = recognised(logits, torch.tensor([0, 0, 1, 1]))  # asked for: half and half; taken for it: both of 0, one of 1
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5], [0.5, 0.25]]))


def test_the_running_recall_starts_at_chance_and_follows_its_class(step_for, pictures_of):
    """A classifier that always says class 0 has recall 1 there and 0 elsewhere: after n updates 1 - KEPT^n (1 - 1/K) and KEPT^n / K."""
    model = constant(ACGAN(TINY, spec(1, 8, 8)), 0.0, [1.0, 0.0, 0.0])
    torch.testing.assert_close(model.recall, torch.full((3,), 1 / 3))
    phase = model.stages()[0].phases[1]
    even = torch.full((3,), 1 / 3)
    for _ in range(10):
        model.after_update(phase, {}, {"tally": torch.stack([even, even * torch.tensor([1.0, 0, 0])])[None]})
    kept = KEPT**10
    torch.testing.assert_close(model.recall, torch.tensor([1 - kept * 2 / 3, kept / 3, kept / 3]))
    step = step_for(pictures_of(6, 1, 8, 8), labels=torch.zeros(6, dtype=torch.int64))
    watch = model.generator_loss(step).watch
    assert float(watch["worst recall"]) == pytest.approx(kept / 3) and float(watch["recall of a"]) == pytest.approx(1 - kept * 2 / 3)
    before = model.tally.clone()
    model.after_update(model.stages()[0].phases[0], {}, {})
    assert torch.equal(model.tally, before), "the discriminator's updates do not count"


def test_micro_batches_move_the_recall_as_one_batch_does(step_for, pictures_of):
    torch.manual_seed(0)
    whole, parts = (ACGAN(TINY, spec(1, 8, 8)) for _ in range(2))
    tallies = [recognised(torch.randn(4, 3), torch.tensor([0, 1, 2, at])) for at in (0, 1)]
    whole.after_update(whole.stages()[0].phases[1], {}, {"tally": torch.stack(tallies).mean(0)[None]})
    parts.after_update(parts.stages()[0].phases[1], {}, {"tally": torch.stack(tallies)})
    assert not torch.equal(whole.tally, ACGAN(TINY, spec(1, 8, 8)).tally)
    torch.testing.assert_close(whole.tally, parts.tally)


def test_many_classes_have_no_curves_of_their_own(step_for, pictures_of):
    for classes, curves in ((12, 13), (13, 1)):
        model = ACGAN(TINY, spec(1, 8, 8, classes=classes))
        step = step_for(pictures_of(4, 1, 8, 8), labels=torch.arange(4))
        assert len(model.generator_loss(step).watch) == curves


def test_the_label_changes_the_sample_and_not_the_judgement(pictures_of):
    model = ACGAN(TINY, spec(1, 8, 8)).eval()
    z = model.draw(7, SampleDraws(0))
    first, second = (model.decode(z, condition=Condition(labels=torch.full((7,), label))) for label in (0, 1))
    assert not torch.equal(first, second)
    turn = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    assert torch.equal(model.decode(z), model.decode(z, condition=Condition(labels=turn)))
    x = pictures_of(6, 1, 8, 8)
    scores = [model.score(Batch({"images": x, "labels": torch.full((6,), label)})) for label in (0, 1)]
    assert torch.equal(*scores) and scores[0].shape == (6,)
    assert model.classify(Batch({"images": x})).shape == (6, 3)


@pytest.mark.parametrize("trunk", ["alternating", "strided"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 13), (1, 28, 28)])
def test_losses_and_samples_of_every_size(trunk, shape, step_for, pictures_of):
    model = ACGAN(replace(TINY, trunk=trunk), spec(*shape))
    step = step_for(pictures_of(4, *shape), labels=torch.tensor([0, 1, 2, 0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for loss in (model.discriminator_loss(step), model.generator_loss(step)):
            assert all(term.shape == (4,) and term.dtype == torch.float32 and term.isfinite().all() for term in loss.terms.values())
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


# Presets and configuration


def test_the_paper_preset_is_the_cifar_network_of_appendix_a():
    model = ACGAN(PRESETS["paper"], spec(3, 32, 32, classes=10))
    downs = [layer for layer in model.discriminator.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.stride[0], layer.kernel_size[0]) for layer in downs] == [
        (16, 2, 3), (32, 1, 3), (64, 2, 3), (128, 1, 3), (256, 2, 3), (512, 1, 3),
    ]  # fmt: skip
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in model.discriminator.modules()) == 5
    assert [layer.p for layer in model.discriminator.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 6
    ups = [layer for layer in model.generator.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size) for layer in ups] == [
        (384, 192, (5, 5)), (192, 96, (5, 5)), (96, 3, (5, 5)),
    ]  # fmt: skip
    assert model.generator.layers.project.in_features == 110
    c = PRESETS["paper"]
    assert (c.class_weight_discriminator, c.class_weight_generator, c.classify_fakes) == (1.0, 1.0, True)
    (stage,) = model.stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert (stage.images, stage.batch) == (5_000_000, 100)
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 2e-4} and phase.repeat == 1


def test_the_guards():
    """`guarded` has the weights of the code of arXiv:1704.00028 and is the paper's in all else; `quick` lets the generator hear more."""
    c = PRESETS["guarded"]
    assert (c.class_weight_discriminator, c.class_weight_generator, c.classify_fakes) == (1.0, 0.1, False)
    assert replace(c, class_weight_generator=1.0, classify_fakes=True) == PRESETS["paper"]
    c = PRESETS["quick"]
    assert (c.class_weight_discriminator, c.class_weight_generator, c.classify_fakes) == (1.0, 0.5, False)


def test_the_guarded_losses_by_hand(step_for, pictures_of):
    a, told = 0.8, [1.0, 0.0, -1.0]
    c = PRESETS["guarded"]
    guard = {name: getattr(c, name) for name in ("class_weight_discriminator", "class_weight_generator", "classify_fakes")}
    model = constant(ACGAN(replace(TINY, **guard), spec(1, 8, 8)), a, told)
    x, y = pictures_of(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    total = math.log(math.exp(1) + 1 + math.exp(-1))
    discriminator, generator = (loss(step_for(x, labels=y)).terms for loss in (model.discriminator_loss, model.generator_loss))
    assert set(discriminator) == {"value", "class of reals"}
    mean = float(sum(term.detach().mean() for term in discriminator.values()))
    assert mean == pytest.approx(sp(-a) + sp(a) + total)  # the mean class logit is 0
    nats = torch.tensor([total - 1, total, total + 1])
    rng = step_for(x, labels=y).rng
    _, of = model.draw(6, rng), labels.drawn(6, 3, rng)
    torch.testing.assert_close(generator["class"], 0.1 * nats[of])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_weight_discriminator": 1.5}, "--config.class_weight_discriminator must be at least 0 and at most 1, not 1.5"),
        ({"class_weight_generator": -0.1}, "--config.class_weight_generator must be at least 0"),
        ({"trunk": "other"}, "--config.trunk must be one of alternating, strided, not 'other'"),
        ({"dropout": 1.0}, "--config.dropout must be at least 0 and below 1"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_what_it_cannot_learn_from_or_be_asked_for():
    with pytest.raises(GanvasError, match="acgan takes images, not points"):
        ACGAN(TINY, DataSpec(kind="points", shape=(2,), classes=("a", "b")))
    with pytest.raises(GanvasError, match="acgan needs data with labels"):
        ACGAN(TINY, DataSpec(kind="images", shape=(1, 8, 8)))
    with pytest.raises(GanvasError, match="asked for by labels alone"):
        ACGAN(TINY, spec(1, 8, 8)).sample(1, condition=Condition(text=("a",)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: ACGAN(TINY, replace(data, classes=("a", "b"))), pictures_of(8, 1, 12, 12), TRACE, labels=torch.arange(8) % 2)
