"""SPADE: its losses by hand, label maps told by colour, where a changed region acts, styles, the presets, a short trace."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, one_hot, relu

from ganvas.data.open import open_data
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.spade import PRESETS, SPADE, Block, Config, matched
from ganvas.parts.patch import field
from ganvas.parts.spectral import Spectral

TINY = PRESETS["tiny"]
CPU = torch.device("cpu")
PALETTE = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (255, 255, 255))


def maps_of(height=16, width=16, above=3, palette=PALETTE):
    shape = (len(palette[0]), height, width)
    return DataSpec(
        kind="images", shape=shape, views={"target": (above, height, width)}, domains=("map", "photo"), aligned=True, palette=palette
    )


SPEC = maps_of()


def painted(numbers, palette=PALETTE):
    """Classes (B, H, W) as pictures in [-1, 1]."""
    return (torch.tensor(palette)[numbers] / 127.5 - 1).permute(0, 3, 1, 2)


def numbers_of(*shape, seed=0, classes=4):
    """Squares of 4 x 4 pixels, each of a class."""
    coarse = torch.randint(classes, (shape[0], shape[1] // 4, shape[2] // 4), generator=torch.Generator().manual_seed(seed))
    return coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)


def built(config=TINY, spec=SPEC, seed=0):
    torch.manual_seed(seed)
    return SPADE(config, spec)


@pytest.fixture
def step(step_for, pictures_of):
    made = step_for(pictures_of(4, 3, 16, 16))
    return replace(made, batch=Batch({"images": painted(numbers_of(4, 16, 16)), "target": pictures_of(4, 3, 16, 16)}))


class Opinions(nn.Module):
    """Critics of fixed maps and logits for each call in turn, which remember what they were shown."""

    def __init__(self, *calls):
        super().__init__()
        self.calls, self.shown = list(calls), []

    def forward(self, m, y):
        self.shown.append((m, y))
        values = self.calls[len(self.shown) - 1]
        return [[torch.full((len(m), 2, 3, 3), value), torch.full((len(m), 1, 2, 2), logit)] for value, logit in values]


# (a) by hand


def test_the_generators_loss_by_hand(step):
    """Two scales: fakes have maps of 0.5 and 2 and logits of 0.3 and -0.1, truths maps of 0.1 and 1."""
    model = built(replace(TINY, features=10.0, kl=0.05))
    model.judge = judge = Opinions([(0.5, 0.3), (2.0, -0.1)], [(0.1, 9.0), (1.0, 9.0)])
    terms = model.generator_loss(step).terms
    torch.testing.assert_close(terms["adversarial"], torch.full((4,), -(0.3 - 0.1) / 2))
    torch.testing.assert_close(terms["features"], torch.full((4,), 10 * (0.4 + 1.0) / 2))
    mean, log_variance = model.encoder(step.batch["target"])
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    torch.testing.assert_close(terms["kl"], 0.05 * kl)
    (m, fake), (_, truth) = judge.shown
    assert torch.equal(m.argmax(1), numbers_of(4, 16, 16)) and torch.equal(truth, step.batch["target"])
    assert torch.equal(fake.detach(), step.scratch["fake"]) and fake.requires_grad


def test_the_discriminators_loss_by_hand(step):
    model = built()
    model.generator_loss(step)
    model.judge = judge = Opinions([(0.0, 0.7), (0.0, 1.4)], [(0.0, -0.4), (0.0, -2.0)])
    loss = model.discriminator_loss(step)
    torch.testing.assert_close(loss.terms["pairs"], torch.full((4,), ((0.3 + 0.6) + (0.0 + 0.0)) / 2))
    assert float(loss.watch["D(m, y)"]) == pytest.approx(0.7) and float(loss.watch["D(m, G)"]) == pytest.approx(-0.4)
    (_, truth), (_, fake) = judge.shown
    assert torch.equal(truth, step.batch["target"]) and not fake.requires_grad and not torch.equal(fake, truth)


def test_the_code_is_drawn_from_the_encoders_law(step):
    """z = mean + deviation times the draws of the step."""
    model = built()
    seen = []
    model.generator.register_forward_hook(lambda module, given, made: seen.append(given[1]))
    model.generator_loss(replace(step, rng=StepDraws(5, 0, 1, CPU)))
    mean, log_variance = model.encoder(step.batch["target"])
    torch.testing.assert_close(seen[0], mean + (log_variance / 2).exp() * StepDraws(5, 0, 1, CPU).normal(4, TINY.z))


def test_feature_matching_is_zero_on_equal_images_and_moves_fakes_alone(step):
    model, y = built(), step.batch["target"]
    m = model.classes_of(step.batch.images)
    assert torch.equal(matched(model.judge(m, y), model.judge(m, y)), torch.zeros(4))
    fake, real = y.clone().requires_grad_(), y.flip(0).clone().requires_grad_()
    distance = matched(model.judge(m, fake), model.judge(m, real))
    assert (distance > 0).all()
    distance.sum().backward()
    assert fake.grad.abs().sum() > 0 and real.grad is None


def test_critics_see_the_map_and_two_sizes(step):
    model = built(replace(TINY, scales=2))
    m, y = model.classes_of(step.batch.images), step.batch["target"]
    large, small = model.judge(m, y)
    half = avg_pool2d(torch.cat([m, y], 1), 3, stride=2, padding=1, count_include_pad=False)
    torch.testing.assert_close(small[-1], model.judge.each[1](half)[-1])
    assert large[-1].shape[2] > small[-1].shape[2] and len(large) == len(model.judge.each[0].stages)
    assert not torch.equal(model.judge(m.roll(1, 1), y)[0][-1], large[-1])
    assert len(built(replace(TINY, scales=5), maps_of(4, 4)).judge.each) == 2, "no critic of less than 2 x 2 pixels"


# (b) what only it has


def test_pixels_are_of_the_class_whose_colour_is_nearest():
    model, numbers = built(), numbers_of(2, 16, 16)
    clean, noise = painted(numbers), 0.8 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.4
    wanted = one_hot(numbers, 4).permute(0, 3, 1, 2).float()
    assert torch.equal(model.classes_of(clean), wanted) and torch.equal(model.classes_of(clean + noise), wanted)


def test_index_images_are_read_by_their_numbers():
    palette = tuple((number,) for number in (0, 1, 2, 7))
    model, numbers = built(spec=maps_of(palette=palette)), numbers_of(1, 16, 16)
    assert torch.equal(model.classes_of(painted(numbers, palette)).argmax(1), numbers)


def test_with_a_constant_map_a_block_is_one_of_affine_batch_norms():
    """All values of a block: its norms replaced by BatchNorm2d with the gains and shifts that the map's one class gives."""
    torch.manual_seed(0)
    block, x, m = Block(6, 4, 3, 5).train(), torch.randn(2, 6, 8, 8), torch.zeros(2, 3, 16, 16)
    m[:, 2] = 1
    norms = [block.first_norm, block.second_norm, block.shortcut_norm]
    wanted = block(x, m)
    plain = []
    for norm in norms:
        affine = nn.BatchNorm2d(norm.norm.num_features)
        with torch.no_grad():
            here = relu(norm.shared.weight[:, 2].sum((1, 2)) + norm.shared.bias)
            gain, shift = (norm.both.weight.sum((2, 3)) @ here + norm.both.bias).chunk(2)
            affine.weight.copy_(1 + gain)
            affine.bias.copy_(shift)
        plain.append(affine)

    class Affine(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.norm = norm

        def forward(self, x, m):
            return self.norm(x)

    block.first_norm, block.second_norm, block.shortcut_norm = map(Affine, plain)
    torch.testing.assert_close(block(x, m), wanted)


def test_a_changed_region_changes_the_picture_there_first():
    """Of 8 x 8 pixels of another class, in the middle of 32 x 32, the change is larger inside than in the ring around, and there larger
    than beyond, on the mean over first weights; on a picture of one class, so that nothing else is different."""
    spec, inside = maps_of(32, 32), torch.zeros(32, 32, dtype=torch.bool)
    inside[12:20, 12:20] = True
    near = torch.zeros_like(inside)
    near[6:26, 6:26] = True
    changes = []
    for seed in range(6):
        model = built(replace(TINY, width=4, init=1.0), spec, seed).eval()
        before = torch.zeros(1, 32, 32, dtype=torch.long)
        after = before.masked_fill(inside, 1)
        with torch.no_grad():
            first, second = (model.translate(painted(one), to="photo", rng=SampleDraws(0)) for one in (before, after))
        changes.append((second - first).abs().mean((0, 1)))
    change = torch.stack(changes).mean(0)
    assert float(change[inside].mean()) > 2 * float(change[near & ~inside].mean()) > 2 * float(change[~near].mean())


def test_codes_are_styles_of_the_whole_picture():
    model, images = built(replace(TINY, init=1.0)).eval(), painted(numbers_of(1, 16, 16)).expand(4, -1, -1, -1)
    with torch.no_grad():
        drawn = model.sample(4, condition=Condition(images=images), rng=SampleDraws(3))
        again = model.sample(2, condition=Condition(images=images[:2]), rng=SampleDraws(3, indices=[2, 0]))
        assert len(drawn.unique(dim=0)) == 4
        torch.testing.assert_close(again, drawn[[2, 0]])
        examples = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
        first, second = (model.styled(images, example[None], to="photo", rng=SampleDraws(0)) for example in examples)
        assert len(first.unique(dim=0)) == 1 and not torch.equal(first, second)
        mean = model.encoder(examples[:1])[0]
        torch.testing.assert_close(first[:1], model.generator(model.classes_of(images[:1]), mean))


def test_without_an_encoder_the_map_is_all_that_decides():
    model, images = built(replace(TINY, style=False)).eval(), painted(numbers_of(2, 16, 16))
    assert model.encoder is None and {phase.name for phase in model.stages()[0].phases} == {"generator", "discriminator"}
    one, two = (model.sample(2, condition=Condition(images=images), rng=SampleDraws(seed)) for seed in (0, 1))
    assert torch.equal(one, two)
    with pytest.raises(GanvasError, match="knows no styles"):
        model.styled(images, images[:1], to="photo", rng=SampleDraws(0))


def test_its_generator_reads_the_map_in_every_norm(step):
    model = built()
    norms = [layer for layer in model.generator.modules() if type(layer).__name__ == "SpatialNorm"]
    assert len(norms) == 2 + 2 + 3 * 2, "two of a block, three where widths differ"
    m = model.classes_of(step.batch.images)
    model.generator(m, torch.zeros(4, TINY.z)).sum().backward()
    assert all(norm.shared.weight.grad.abs().sum() > 0 for norm in norms)


# Networks and presets


def test_the_papers_networks_and_rates():
    assert PRESETS["paper"] == Config()
    spec = maps_of(256, 256)
    model = built(replace(Config(), width=2, encoder_width=4, discriminator_width=4, hidden=4), spec)
    g = model.generator
    assert g.maps == (16 * 2, 8, 8) and g.begin.in_features == 256
    assert [block.second.layer.out_channels for block in (g.head, g.middle, *g.up)] == [2 * n for n in (16, 16, 16, 8, 4, 2, 1)]
    assert [len(critic.stages) for critic in model.judge.each] == [5, 5] and field(3) == 70
    assert len(model.encoder.layers) == 3 * 6 and model.encoder.heads.in_features == 8 * 4 * 4 * 4
    (stage,) = model.stages()
    rates = {phase.name: phase.optimizer for phase in stage.phases}
    clock = Clock(step=0, images=0, budget=1000, stage_step=0, stage_images=0, stage_budget=1000)
    assert {name: one.settings(clock)["lr"] for name, one in rates.items()} == {"generator": 1e-4, "discriminator": 4e-4}
    assert all(isinstance(one, Adam) and one.betas == (0.0, 0.9) for one in rates.values())
    assert (stage.batch, Config().features, Config().kl, Config().z, Config().hidden) == (32, 10.0, 0.05, 256, 128)


def test_what_is_spectrally_normalised():
    """Every convolution of a block, the encoder, and D's layers but the first and the last; all with largest singular value 1."""
    model = built()
    wrapped = [layer for layer in model.modules() if isinstance(layer, Spectral)]
    for layer in wrapped:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.02)
    for critic in model.judge.each:
        kinds = [any(isinstance(layer, Spectral) for layer in stage.modules()) for stage in critic.stages]
        assert kinds == [False, *[True] * (len(kinds) - 2), False]


@pytest.mark.parametrize("size", [(4, 4), (9, 6), (28, 28), (13, 40)])
@pytest.mark.parametrize("style", [True, False])
def test_any_size_of_the_data_comes_back(size, style):
    model = built(replace(TINY, style=style), maps_of(*size)).eval()
    x = torch.rand(2, 3, *size) * 2 - 1
    with torch.no_grad():
        made = model.translate(x, to="photo", rng=SampleDraws(0))
    assert made.shape == (2, 3, *size) and made.abs().max() <= 1 and made.dtype == torch.float32


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DataSpec(kind="points", shape=(2,)), "takes images, not points"),
        (replace(SPEC, palette=()), "say maps:SOURCE"),
        (replace(SPEC, aligned=False), "spade needs pairs"),
        (replace(SPEC, views={"target": (3, 16, 8)}), "16 x 16 and 8 x 16"),
        (maps_of(3, 8), "at least 4 x 4 pixels, not 8 x 3"),
        (replace(SPEC, shape=(1, 16, 16)), "1 channels and the colours of their palette 3"),
    ],
)
def test_data_it_cannot_take(spec, message):
    with pytest.raises(GanvasError, match=message):
        SPADE(TINY, spec)


def test_what_samples_need_is_said():
    model = built().eval()
    with pytest.raises(GanvasError, match="makes samples from images"):
        model.sample(2, rng=SampleDraws(0))
    with pytest.raises(GanvasError, match="not conditional on labels"):
        model.sample(2, condition=Condition(labels=torch.zeros(2)), rng=SampleDraws(0))
    with pytest.raises(GanvasError, match="no domain 'map' to translate to, only photo"):
        model.translate(torch.rand(1, 3, 16, 16), to="map", rng=SampleDraws(0))
    with pytest.raises(GanvasError, match="label maps of 16 x 16 pixels, not 8 x 16"):
        model.translate(torch.rand(1, 3, 16, 8), to="photo", rng=SampleDraws(0))


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"patch": "71"}, "patch"),
        ({"scales": 0}, "scales"),
        ({"features": -1.0}, "features"),
        ({"jitter": 0.9}, "jitter"),
        ({"betas": (1.0, 0.9)}, "betas"),
        ({"lr_generator": 0.0}, "lr_generator"),
        ({"ema_half_life": 0.0}, "ema_half_life"),
    ],
)
def test_bad_numbers_name_their_flag(change, flag):
    with pytest.raises(GanvasError, match=rf"--config\.{flag}"):
        replace(TINY, **change)


def test_both_sides_of_a_step_see_the_same_pairs(step):
    model = built(replace(TINY, jitter=1.2, mirror=True))
    model.generator_loss(step)
    m, y = step.scratch["maps"].clone(), step.scratch["truth"].clone()
    model.discriminator_loss(replace(step, rng=StepDraws(99, 0, 1, CPU)))
    assert torch.equal(step.scratch["maps"], m) and torch.equal(step.scratch["truth"], y) and not torch.equal(y, step.batch["target"])
    assert torch.equal(m.sum(1), torch.ones(4, 16, 16)), "jittered maps are one-hot"


def test_it_takes_maps_of_any_source():
    data = open_data("maps:inked-pairs")
    model, batch = built(spec=data.spec).eval(), data.batch(torch.arange(3))
    assert model.translate(batch.images, to="inked", rng=SampleDraws(0)).shape == batch["target"].shape


# (c) a short trace


TRACE = {
    "generator/kl": [4.74161e-05, 0.000101992, 0.000139407, 0.000175761, 0.000162928],
    "generator/adversarial": [0.00522536, -0.0436117, -0.0398958, -0.0478867, -0.107094],
    "generator/features": [3.68239, 4.26935, 4.68656, 6.00702, 6.05649],
    "discriminator/pairs": [2.00219, 1.99915, 1.99398, 1.97937, 1.97643],
}


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(
        lambda _: SPADE(replace(TINY, jitter=1.1, mirror=True), SPEC),
        painted(numbers_of(4, 16, 16)),
        TRACE,
        target=pictures_of(4, 3, 16, 16),
    )
