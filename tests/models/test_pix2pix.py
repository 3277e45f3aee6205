"""pix2pix: its losses by hand, L1 alone, the noise at test time, pairs jittered alike, the presets, a short trace."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from ganvas.data.open import open_data
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.pix2pix import PRESETS, Config, Pix2Pix

TINY = PRESETS["tiny"]
CPU = torch.device("cpu")


def pairs(*shape, target=None):
    return DataSpec(kind="images", shape=shape, views={"target": target or shape}, domains=("plan", "photo"), aligned=True)


SPEC = pairs(1, 12, 12, target=(3, 12, 12))


@pytest.fixture
def step(step_for, pictures_of):
    """Pairs, grey to colour."""
    made = step_for(pictures_of(4, 1, 12, 12))
    return replace(made, batch=Batch({"images": pictures_of(4, 1, 12, 12), "target": pictures_of(9, 3, 12, 12)[5:]}))


class Opinion(nn.Module):
    """A judge of one opinion of each patch, which remembers what it was shown."""

    def __init__(self, *values):
        super().__init__()
        self.values, self.shown = list(values), []

    def forward(self, *images):
        self.shown.append(images)
        return torch.full((len(images[0]), 1, 3, 3), self.values[min(len(self.shown), len(self.values)) - 1])


# (a) by hand


def test_the_discriminators_loss_by_hand(step):
    model = Pix2Pix(TINY, SPEC)
    model.judge = Opinion(0.7, -0.4)
    (term,) = model.discriminator_loss(step).terms.values()
    wanted = 0.5 * (softplus(torch.tensor(-0.7)) + softplus(torch.tensor(-0.4)))
    torch.testing.assert_close(term, wanted.expand(4))


def test_the_generators_loss_by_hand(step):
    model = Pix2Pix(replace(TINY, adversarial=0.5, l1=30.0, dropout=0.0), SPEC)
    model.judge = Opinion(-0.4)
    terms = model.generator_loss(step).terms
    torch.testing.assert_close(terms["adversarial"], 0.5 * softplus(torch.tensor(0.4)).expand(4))
    fake = model.generator(step.batch.images, SampleDraws(0))
    torch.testing.assert_close(terms["l1"], 30 * (fake - step.batch["target"]).abs().mean((1, 2, 3)))


def test_the_judge_sees_input_and_output_of_a_pair(step):
    model = Pix2Pix(TINY, SPEC)
    model.judge = judge = Opinion(0.0)
    model.discriminator_loss(step)
    (true_input, truth), (false_input, fake) = judge.shown
    assert torch.equal(true_input, step.batch.images) and torch.equal(truth, step.batch["target"])
    assert torch.equal(false_input, step.batch.images) and fake.shape == truth.shape and fake.abs().max() <= 1
    assert not fake.requires_grad
    alone = Pix2Pix(replace(TINY, conditional=False), SPEC)
    alone.judge = judge = Opinion(0.0)
    alone.discriminator_loss(step)
    assert [len(images) for images in judge.shown] == [1, 1] and torch.equal(judge.shown[0][0], step.batch["target"])


def test_a_pair_that_does_not_belong_together_changes_the_conditional_judge_alone(step):
    other = replace(step, batch=Batch({"images": -step.batch.images, "target": step.batch["target"]}), scratch={})
    for conditional in (True, False):
        torch.manual_seed(0)
        model = Pix2Pix(replace(TINY, conditional=conditional), SPEC)
        first, second = (model._logits(one.batch.images, one.batch["target"]) for one in (step, other))
        assert torch.equal(first, second) != conditional


# (b) L1 alone, and the noise


def test_without_adversarial_weight_it_is_l1_regression(step):
    """Three steps move the generator as Adam does on the mean absolute error, to the bit; there is nothing else to train."""
    config = replace(TINY, adversarial=0.0, l1=100.0)
    torch.manual_seed(0)
    model, twin = Pix2Pix(config, SPEC), Pix2Pix(config, SPEC)
    twin.load_state_dict(model.state_dict())
    (stage,) = model.stages()
    (phase,) = stage.phases
    assert model.judge is None and phase.trains == (model.generator,)
    clock = step.clock
    ours, plain = (
        phase.optimizer.build(list(model.parameters())),
        torch.optim.Adam(twin.generator.parameters(), betas=config.betas, fused=True),
    )
    for number in range(3):
        loss = model.generator_loss(replace(step, rng=StepDraws(number, 0, 1, CPU), scratch={}))
        assert set(loss.terms) == {"l1"}
        y = twin.generator(step.batch.images, StepDraws(number, 0, 1, CPU))
        regression = 100 * (y - step.batch["target"]).abs().mean((1, 2, 3)).mean()
        for optimizer, value in ((ours, loss.terms["l1"].mean()), (plain, regression)):
            optimizer.param_groups[0]["lr"] = phase.optimizer.settings(clock)["lr"]
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name


def test_the_gradient_is_that_of_both_terms_by_their_weights(step):
    torch.manual_seed(0)
    model = Pix2Pix(replace(TINY, dropout=0.0), SPEC)
    fake = model.generator(step.batch.images, step.rng)
    l1 = (fake - step.batch["target"]).abs().mean()
    adversarial = softplus(-model.judge(step.batch.images, fake)).mean()
    wanted = torch.autograd.grad(3 * adversarial + 7 * l1, list(model.generator.parameters()))
    model.config = replace(model.config, adversarial=3.0, l1=7.0)
    terms = model.generator_loss(step).terms
    found = torch.autograd.grad(sum(term.mean() for term in terms.values()), list(model.generator.parameters()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_dropout_is_the_noise_and_stays_on_when_sampling():
    """Sample i of a seed is a function of the seed and i: the same in any batch, another for another seed, and torch's own generator is
    left alone. Without dropout the output is a function of the input."""
    torch.manual_seed(0)
    model, x = Pix2Pix(TINY, SPEC).eval(), torch.rand(1, 1, 12, 12).expand(4, -1, -1, -1)
    before = torch.get_rng_state()
    first = model.sample(4, condition=Condition(images=x), rng=SampleDraws(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert len(first.unique(dim=0)) == 4, "one input has several outputs"
    again = model.sample(2, condition=Condition(images=x[:2]), rng=SampleDraws(3, indices=[2, 0]))
    torch.testing.assert_close(again, first[[2, 0]])
    assert not torch.equal(model.sample(4, condition=Condition(images=x), rng=SampleDraws(4)), first)
    still = Pix2Pix(replace(TINY, dropout=0.0), SPEC).eval()
    assert len(still.sample(4, condition=Condition(images=x), rng=SampleDraws(3)).unique(dim=0)) == 1


# Jitter (see tests/parts/test_jitter.py)


def test_both_networks_of_a_step_see_the_same_pairs(step):
    model = Pix2Pix(replace(TINY, jitter=1.2, mirror=True), SPEC)
    model.judge = judge = Opinion(0.0)
    model.discriminator_loss(step)
    model.generator_loss(replace(step, rng=StepDraws(99, 0, 1, CPU)))
    assert torch.equal(judge.shown[0][0], judge.shown[2][0]) and not torch.equal(judge.shown[0][0], step.batch.images)


# Networks and presets


def test_the_paper_s_networks_and_rates():
    assert PRESETS["paper"] == Config()
    with torch.device("meta"):
        model = Pix2Pix(Config(), pairs(3, 256, 256))
    assert [layer.out_channels for layer in model.generator.down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert model.judge.layers[0].in_channels == 6
    (stage,) = model.stages()
    assert stage.batch == 1 and stage.images == 80_000 and [phase.name for phase in stage.phases] == ["discriminator", "generator"]
    clock = Clock(step=0, images=0, budget=1000, stage_step=0, stage_images=900, stage_budget=1000)
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock)["lr"] == 2e-4
    assert (Config().l1, Config().adversarial, Config().dropout, Config().jitter) == (100.0, 1.0, 0.5, 286 / 256)


def test_first_weights_are_the_papers():
    torch.manual_seed(0)
    model = Pix2Pix(replace(TINY, width=16), pairs(3, 32, 32))
    weights = torch.cat([layer.weight.detach().flatten() for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)])
    gains = torch.cat([layer.weight.detach().flatten() for layer in model.modules() if isinstance(layer, nn.InstanceNorm2d)])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    assert float(gains.mean()) == pytest.approx(1, abs=0.01) and 0.01 < float(gains.std()) < 0.03


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (9, 6), (28, 28)])
def test_any_size_comes_back(size):
    model = Pix2Pix(TINY, pairs(1, *size, target=(3, *size))).eval()
    for other in (size, (size[0] + 7, size[1] + 3), (1, 1), (3, 40)):
        y = model.translate(torch.rand(2, 1, *other), to="photo", rng=SampleDraws(0))
        assert y.shape == (2, 3, *other) and y.abs().max() <= 1 and y.dtype == torch.float32
    assert model.targets == ("photo",) and model.multiple == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DataSpec(kind="images", shape=(3, 8, 8)), "pix2pix needs pairs"),
        (replace(pairs(3, 8, 8), aligned=False), "pix2pix needs pairs"),
        (pairs(3, 8, 8, target=(3, 8, 9)), "8 x 8 and 9 x 8"),
        (pairs(3, 3, 8), "at least 4 x 4 pixels, not 8 x 3"),
        (DataSpec(kind="points", shape=(2,)), "takes images, not points"),
    ],
)
def test_data_it_cannot_take(spec, message):
    with pytest.raises(GanvasError, match=message):
        Pix2Pix(TINY, spec)


def test_what_samples_need_is_said():
    model = Pix2Pix(TINY, SPEC).eval()
    with pytest.raises(GanvasError, match="makes samples from images"):
        model.sample(2, rng=SampleDraws(0))
    with pytest.raises(GanvasError, match="not conditional on labels"):
        model.sample(2, condition=Condition(labels=torch.zeros(2)), rng=SampleDraws(0))
    with pytest.raises(GanvasError, match="no domain 'plan' to translate to, only photo"):
        model.translate(torch.rand(1, 1, 12, 12), to="plan", rng=SampleDraws(0))


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"levels": 1}, "levels"),
        ({"patch": "71"}, "patch"),
        ({"dropout": 1.0}, "dropout"),
        ({"jitter": 0.9}, "jitter"),
        ({"adversarial": -1.0}, "adversarial"),
        ({"adversarial": 0.0, "l1": 0.0}, "l1"),
    ],
)
def test_bad_numbers_name_their_flag(change, flag):
    with pytest.raises(GanvasError, match=rf"--config\.{flag}"):
        replace(TINY, **change)


def test_the_preset_for_mending_shows_pairs_as_they_are(step):
    """Enlarged noise is smooth, and an enlarged mosaic is none."""
    model = Pix2Pix(replace(PRESETS["quick-restore"], width=4, discriminator_width=4), SPEC)
    x, y = model._pairs(step)
    assert torch.equal(x, step.batch.images) and torch.equal(y, step.batch["target"]) and model.generator.dropout == 0


def test_it_takes_pairs_made_on_the_fly():
    data = open_data("task:inpaint-centre:digits")
    model = Pix2Pix(TINY, data.spec)
    batch = data.batch(torch.arange(3))
    assert model.translate(batch.images, to="whole", rng=SampleDraws(0)).shape == batch["target"].shape


# (c) a short trace


TRACE = {
    "discriminator/pairs": [0.696585, 0.685346, 0.684722, 0.677263, 0.660363],
    "generator/adversarial": [0.695781, 0.69948, 0.705544, 0.711518, 0.731717],
    "generator/l1": [80.6001, 80.3069, 80.2079, 80.2764, 80.0903],
}


def test_the_trace_of_five_steps(check_trace, pictures_of):
    target = pictures_of(12, 3, 12, 12)[4:]
    check_trace(lambda _: Pix2Pix(replace(TINY, jitter=1.1, mirror=True), SPEC), pictures_of(8, 1, 12, 12), TRACE, target=target)
