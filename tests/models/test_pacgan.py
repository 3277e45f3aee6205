"""PacGAN: packs and losses by hand, m = 1 as the plain game, why packs see collapse, presets, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.pacgan import PRESETS, Config, PacGAN, packed
from ganvas.parts.objectives import NON_SATURATING

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))
EIGHT = DataSpec(kind="images", shape=(1, 8, 8))

TRACE = {
    "discriminator/value": [1.36051, 1.29406, 1.26636, 1.21774, 1.17883],
    "generator/cost": [0.68192, 0.684503, 0.68603, 0.718246, 0.726239],
}


def settings(preset, data=PLANE):
    (stage,) = PacGAN(preset, data).stages()
    clock = Clock(step=0, images=0, budget=1000, stage_step=0, stage_images=0, stage_budget=1000)
    return stage, [(phase.optimizer.betas, phase.optimizer.settings(clock)["lr"]) for phase in stage.phases]


# (a) by hand


def test_neighbours_are_packed_on_channels_and_coordinates():
    points = torch.arange(12.0).view(6, 2)
    assert packed(points, 3).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    images = torch.arange(4 * 2 * 9.0).view(4, 2, 3, 3)
    assert torch.equal(packed(images, 2)[1], torch.cat([images[2], images[3]]))
    assert torch.equal(packed(images, 1), images)


def test_the_losses_of_a_discriminator_of_sums(step_for):
    """a(x_1, x_2) is the sum of all coordinates: 3 and -1.5 for the packs of reals."""
    model = PacGAN(TINY, PLANE)
    model.discriminator = Sums()
    real = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, -1.0], [0.5, 0.0]])
    with torch.no_grad():
        fake = model.generator(model.draw(4, step_for(real).rng)).sum(1)
    sp = lambda t: math.log1p(math.exp(t))
    first, second = float(fake[0] + fake[1]), float(fake[2] + fake[3])
    loss = model.discriminator_loss(step_for(real))
    assert float(loss.terms["value"]) == pytest.approx((sp(-3) + sp(1.5) + sp(first) + sp(second)) / 2, rel=1e-4)
    assert float(model.generator_loss(step_for(real)).terms["cost"].detach()) == pytest.approx((sp(-first) + sp(-second)) / 2, rel=1e-4)


class Sums(nn.Module):
    def forward(self, x):
        return x.flatten(1).sum(1)


# (b) what only it has


@pytest.mark.parametrize("data", [EIGHT, PLANE], ids=["images", "points"])
def test_packs_of_one_are_the_plain_game(step_for, pictures_of, data):
    torch.manual_seed(0)
    model = PacGAN(replace(TINY, packing=1), data)
    x = pictures_of(8, 1, 8, 8) if data is EIGHT else torch.randn(8, 2)
    with torch.no_grad():
        fake = model.generator(model.draw(8, step_for(x).rng))
    real_logits, fake_logits = model.discriminator(x), model.discriminator(fake)
    loss = model.discriminator_loss(step_for(x))
    torch.testing.assert_close(loss.terms["value"], NON_SATURATING.d(real_logits, fake_logits).mean())
    cost = model.generator_loss(step_for(x)).terms["cost"]
    torch.testing.assert_close(cost, NON_SATURATING.g(fake_logits).mean())


@pytest.mark.parametrize("data", [EIGHT, PLANE], ids=["images", "points"])
@pytest.mark.parametrize("packing", [2, 3, 4])
def test_only_the_first_layer_of_the_discriminator_is_wider(data, packing):
    def sizes(m):
        return {name: tuple(p.shape) for name, p in PacGAN(replace(TINY, batch=12, packing=m), data).named_parameters()}

    one, several = sizes(1), sizes(packing)
    assert one.keys() == several.keys()
    (wider,) = [name for name in one if one[name] != several[name]]
    assert wider in ("discriminator.trunk.layers.0.weight", "discriminator.hidden.0.weight")
    assert several[wider][1] == packing * one[wider][1] and several[wider][0] == one[wider][0]


def test_whole_packs_may_be_reordered_and_samples_may_not_change_packs(step_for):
    torch.manual_seed(0)
    model = PacGAN(replace(TINY, packing=2), PLANE)
    x = torch.randn(8, 2)
    by_packs = x.view(4, 2, 2)[[2, 0, 3, 1]].flatten(0, 1)
    torch.testing.assert_close(model.judged(by_packs), model.judged(x)[[2, 0, 3, 1]])
    assert not torch.allclose(model.judged(x[[0, 2, 1, 3, 4, 5, 6, 7]])[:2], model.judged(x)[:2])


def test_packs_tell_a_lost_mode_from_an_uneven_one():
    """Section 3.1: a law that leaves out a fifth of a uniform one, and a law that is only uneven, are equally far from it as single
    samples; in pairs the first is further (0.36 and 0.24), and in larger packs more so."""

    def variation(p, q, m):
        outcomes = torch.cartesian_prod(*[torch.arange(len(p))] * m).view(-1, m)
        return float((p[outcomes].prod(1) - q[outcomes].prod(1)).abs().sum()) / 2

    data = torch.full((10,), 0.1, dtype=torch.float64)
    lost = torch.tensor([0.0] * 2 + [0.125] * 8, dtype=torch.float64)
    uneven = torch.tensor([0.06] * 5 + [0.14] * 5, dtype=torch.float64)
    assert [variation(data, lost, m) for m in (1, 2, 3, 4)] == pytest.approx([1 - 0.8**m for m in (1, 2, 3, 4)])
    assert [variation(data, uneven, m) for m in (1, 2)] == pytest.approx([0.2, 0.24])
    gaps = [variation(data, lost, m) - variation(data, uneven, m) for m in (1, 2, 3, 4)]
    assert gaps[0] == pytest.approx(0, abs=1e-12) and gaps == sorted(gaps)


@pytest.mark.parametrize("preset", ["paper", "paper-points", "quick", "quick-points", "tiny"])
def test_every_preset_survives_two_parts_of_a_batch(preset):
    assert PRESETS[preset].batch % (2 * PRESETS[preset].packing) == 0


def test_parts_of_a_batch_that_hold_no_whole_packs_are_refused(step_for):
    model = PacGAN(replace(TINY, batch=6, packing=2), PLANE)
    with pytest.raises(GanvasError, match="3 examples cannot be put in packs of 2: .*--config.batch"):
        model.discriminator_loss(step_for(torch.randn(3, 2)))


def test_a_gain_makes_first_samples_of_points_lie_wider():
    def first(gain):
        torch.manual_seed(0)
        return PacGAN(replace(TINY, output_gain=gain), PLANE).generator

    one, eight = first(1.0), first(8.0)
    for (name, a), (_, b) in zip(one.named_parameters(), eight.named_parameters(), strict=True):
        assert torch.equal(a * 8 if name == "layers.6.weight" else a, b), name


# Presets and configuration


def test_the_points_preset_is_the_authors_2d_script():
    model = PacGAN(PRESETS["paper-points"], PLANE)
    generator = [(layer.in_features, layer.out_features) for layer in model.generator.modules() if isinstance(layer, nn.Linear)]
    assert generator == [(2, 400), (400, 400), (400, 400), (400, 400), (400, 2)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in model.generator.modules()) == 4
    judge = [(layer.in_features, layer.out_features) for layer in model.discriminator.modules() if isinstance(layer, nn.Linear)]
    assert judge == [(4, 1000), (200, 1000), (200, 1000), (200, 1)]
    assert float(model.discriminator.hidden[1].weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    stage, found = settings(PRESETS["paper-points"])
    assert found == [((0.8, 0.999), 1e-4)] * 2
    assert (stage.batch // 2, stage.images // 2) == (100, 400 * 100_000)  # a place of the pack


def test_the_paper_preset_is_the_authors_stacked_mnist():
    stage, found = settings(Config(), DataSpec(kind="images", shape=(3, 28, 28)))
    assert found == [((0.5, 0.999), 2e-4)] * 2 and Config().packing == 2
    assert (stage.batch // 2, stage.images // 2) == (64, 50 * 128_000)
    assert all(isinstance(phase.optimizer, Adam) for phase in stage.phases)
    model = PacGAN(Config(), DataSpec(kind="images", shape=(3, 28, 28)))
    assert model.discriminator.trunk.layers[0].in_channels == 6 and model.discriminator.trunk.layers[0].out_channels == 64


def test_a_maxout_unit_is_the_largest_of_its_pieces():
    judge = PacGAN(replace(TINY, discriminator_units=(3,), pieces=4), PLANE).discriminator
    x = torch.randn(5, 4)
    h = judge.hidden[0](x).view(5, 3, 4).amax(2)
    torch.testing.assert_close(judge(x), judge.score(h).squeeze(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packing": 3}, "--config.batch must be a multiple of --config.packing 3, not 8"),
        ({"packing": 0}, "--config.packing must be a whole number of at least 1, not 0"),
        ({"pieces": 1}, "--config.pieces must be a whole number of at least 2, not 1"),
        ({"generator_units": (8, 0)}, "--config.generator_units must be whole numbers of at least 1"),
        ({"betas": (1.0, 0.5)}, "--config.betas"),
        ({"lr_generator": 0.0}, "--config.lr_generator must be above 0, not 0.0"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="pacgan takes images or points, not tokens"):
        PacGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="not conditional"):
        PacGAN(TINY, PLANE).eval().sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: PacGAN(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
