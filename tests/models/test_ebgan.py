"""EBGAN: energies, the margin of each sample and the pulling-away term by hand, where gradients go, its two stages, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.ebgan import EBGAN, PRESETS, pulling_away
from tests.contract.games import Game

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))

TRACE = {
    "critic/real": [0.789013, 0.787632, 0.785495, 0.783277, 0.780701],
    "critic/fake": [0.976812, 0.982733, 0.987884, 0.990964, 0.99298],
    "generator/energy": [0.0241628, 0.017104, 0.0124987, 0.0089712, 0.007102],
    "generator/pulling-away": [0.0995694, 0.0997099, 0.0997537, 0.0998438, 0.0997935],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def constant_reconstruction(model, values):
    """Make the autoencoder of points answer `values` whatever it sees."""
    last = model.critic.decoder.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor(values))
    return model


def fakes_of(model, step):
    with torch.no_grad():
        return model.generator(model.draw(step.batch.size, step.rng))


# (a) by hand


def test_the_energy_of_points(step_for):
    """Reconstruction (1, -1): the energies of (1, -1), (0, 0) and (3, 0) are 0, (1 + 1) / 2 = 1 and (4 + 1) / 2 = 2.5."""
    model = constant_reconstruction(EBGAN(TINY, PLANE), (1.0, -1.0))
    x = torch.tensor([[1.0, -1.0], [0.0, 0.0], [3.0, 0.0]])
    energies = torch.tensor([0.0, 1.0, 2.5])
    torch.testing.assert_close(model.critic(x)[0], energies)
    torch.testing.assert_close(model.score(Batch({"points": x})), -energies)
    loss = model.real_loss(step_for(x))
    assert loss.terms.keys() == {"real"} and float(loss.watch["D(x)"]) == pytest.approx(3.5 / 3)
    torch.testing.assert_close(loss.terms["real"], energies)


def test_the_margin_is_that_of_each_sample(step_for):
    """max(0, m - D) is taken before the mean: fakes beyond the margin are left alone, and those below still count in full."""
    model, real = constant_reconstruction(EBGAN(TINY, PLANE), (0.0, 0.0)), torch.randn(8, 2)
    fake = fakes_of(model, step_for(real))
    energies = fake.square().mean(1)
    margin = float(energies.mean())  # the mean energy is at the margin: a hinge of the mean would be 0
    model.config = replace(model.config, margin=margin)
    terms = model.critic_loss(step_for(real)).terms
    expected = torch.tensor([max(0.0, margin - float(energy)) for energy in energies])
    torch.testing.assert_close(terms["fake"], expected, rtol=1e-4, atol=1e-6)
    assert 0 < int((terms["fake"] > 0).sum()) < 8 and terms["fake"].mean() > 0
    torch.testing.assert_close(terms["real"], real.square().mean(1))


def test_a_fake_beyond_the_margin_gives_the_autoencoder_no_gradient(step_for):
    model, real = constant_reconstruction(EBGAN(replace(TINY, margin=1e-6), PLANE), (5.0, 5.0)), torch.randn(8, 2)
    term = model.critic_loss(step_for(real)).terms["fake"]
    gradients = torch.autograd.grad(term.sum(), list(model.critic.parameters()), materialize_grads=True, allow_unused=True)
    assert not term.any() and not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("codes", "value"),
    [
        ([[1.0, 0.0], [0.0, 2.0]], 0.0),
        ([[1.0, 1.0], [3.0, 3.0]], 1.0),
        ([[1.0, 0.0], [-2.0, 0.0]], 1.0),  # opposite codes: the square is not driven below 0
        ([[1.0, 0.0], [1.0, 1.0]], 0.5),
        ([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], 1 / 3),  # pairs 1/2, 0 and 1/2
        ([[0.0, 0.0], [1.0, 0.0]], 0.0),
        ([[3.0, 4.0]], 0.0),
    ],
)
def test_the_pulling_away_term(codes, value):
    codes = torch.tensor(codes, requires_grad=True)
    found = pulling_away(codes)
    assert found.shape == () and float(found.detach()) == pytest.approx(value, abs=1e-6)
    (gradient,) = torch.autograd.grad(found, codes)
    assert torch.isfinite(gradient).all()


def test_the_generator_s_loss_is_the_energy_and_the_weighted_term_of_its_codes(step_for):
    model, real = EBGAN(replace(TINY, pulling_away=0.3), PLANE), torch.randn(8, 2)
    with torch.no_grad():
        energies, codes = model.critic(fakes_of(model, step_for(real)))
        unit = codes / codes.norm(dim=1, keepdim=True)
        pairs = [float(unit[i] @ unit[j]) ** 2 for i in range(8) for j in range(8) if i != j]
    loss = model.generator_loss(step_for(real))
    torch.testing.assert_close(loss.terms["energy"], energies)
    assert float(loss.terms["pulling-away"].detach()) == pytest.approx(0.3 * sum(pairs) / 56, rel=1e-5)
    assert float(loss.watch["squared cosine"]) == pytest.approx(sum(pairs) / 56, rel=1e-5)


# (b) what only it has


def test_the_term_pulls_codes_apart_and_stands_in_the_generator_s_loss_alone(step_for):
    model, real = EBGAN(TINY, PLANE), torch.randn(8, 2)
    assert model.critic_loss(step_for(real)).terms.keys() == {"real", "fake"}
    assert model.generator_loss(step_for(real)).terms.keys() == {"energy", "pulling-away"}
    assert EBGAN(replace(TINY, pulling_away=0.0), PLANE).generator_loss(step_for(real)).terms.keys() == {"energy"}
    codes = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    descent = torch.optim.Adam([codes], lr=0.05)
    for _ in range(300):
        descent.zero_grad()
        pulling_away(codes).backward()
        descent.step()
    assert float(pulling_away(codes).detach()) < 1e-4  # four codes of six entries: all at right angles


def test_where_reals_are_the_fakes_the_value_is_the_margin_and_the_critic_has_nothing_to_learn(step_for):
    """Theorem 1: V = m where p_g = p_data; below the margin D(x) + (m - D(x)) has no gradient."""
    model, real = EBGAN(replace(TINY, margin=100.0), PLANE), torch.randn(8, 2)
    real = fakes_of(model, step_for(real))
    terms = model.critic_loss(step_for(real)).terms
    torch.testing.assert_close(terms["real"] + terms["fake"], torch.full((8,), 100.0))
    gradients = torch.autograd.grad((terms["real"] + terms["fake"]).mean(), list(model.critic.parameters()))
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-5


def test_the_generator_s_gradient_passes_the_target_of_the_reconstruction(step_for):
    """Of a constant reconstruction r the gradient by the input is 0, and all of 2 (v - r) / D comes through the target."""
    model = constant_reconstruction(EBGAN(TINY, PLANE), (1.0, -1.0))
    x = torch.tensor([[0.5, 2.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(model.critic(x)[0].sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 3.0]]))


def test_the_generator_s_gradient_equals_finite_differences(step_for, pictures_of):
    """In float64, on the convolutional networks, batch normalisation and the pulling-away term included, entry by entry."""
    torch.manual_seed(0)
    model, real = EBGAN(TINY, images(1, 8, 8)).double(), pictures_of(4, 1, 8, 8)
    z = torch.randn(4, TINY.z, dtype=torch.float64)
    model.draw = lambda n, rng: z

    def cost():
        return torch.stack([term.mean() for term in model.generator_loss(step_for(real)).terms.values()]).sum()

    weight = model.generator.project.weight
    (gradient,) = torch.autograd.grad(cost(), weight)
    for index in range(0, weight.numel(), weight.numel() // 7):
        flat, step = weight.data.view(-1), 1e-6
        before = float(flat[index])
        flat[index] = before + step
        above = float(cost().detach())
        flat[index] = before - step
        below = float(cost().detach())
        flat[index] = before
        assert float(gradient.reshape(-1)[index]) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("data", [images(1, 28, 28), images(3, 20, 44), PLANE], ids=["digits", "wide", "points"])
def test_an_energy_does_not_depend_on_the_batch(pictures_of, data):
    model = EBGAN(TINY, data)
    assert not any("Norm" in type(layer).__name__ for layer in model.critic.modules())
    x = torch.randn(6, 2) if data is PLANE else pictures_of(6, *data.shape)
    for whole, part in zip(model.critic(x), model.critic(x[:2]), strict=True):
        torch.testing.assert_close(whole[:2], part, rtol=1e-4, atol=1e-5)


def test_first_the_autoencoder_learns_alone_and_its_optimizer_goes_on():
    model = EBGAN(TINY, PLANE)
    alone, game = model.stages()
    (autoencoder,), (critic, generator) = alone.phases, game.phases
    assert (alone.images, game.images) == (TINY.images_alone, TINY.images)
    assert autoencoder.trains == critic.trains == (model.critic,) and generator.trains == (model.generator,)
    assert autoencoder.optimizer is critic.optimizer and generator.optimizer is not critic.optimizer
    assert [stage.name for stage in EBGAN(replace(TINY, images_alone=0), PLANE).stages()] == ["game"]
    t = Game("ebgan", "points").trainer()
    while t.stage == 0:
        t.play()
    before = t.step
    for _ in range(3):
        t.play()
    critic, generator = t.stages[1].phases
    counts = {p.name: {int(s["step"]) for s in t.updates.optimizers[p.optimizer].state.values()} for p in (critic, generator)}
    assert before > 0 and counts == {"critic": {before + 3}, "generator": {3}}


# Networks, presets and configuration


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44)])
def test_samples_and_reconstructions_have_the_data_s_size(pictures_of, shape):
    model = EBGAN(TINY, images(*shape)).eval()
    sample = model.sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1
    energies, codes = model.critic(pictures_of(4, *shape))
    assert energies.shape == (4,) and codes.shape == (4, TINY.code) and model.critic.decoder(codes).shape == (4, *shape)


def test_energies_are_computed_in_single_precision(pictures_of):
    model = EBGAN(TINY, images(1, 16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        energies, codes = model.critic(pictures_of(4, 1, 16, 16))
        term = pulling_away(codes)
    assert codes.dtype == torch.bfloat16 and energies.dtype == term.dtype == torch.float32


def test_the_paper_preset():
    config = PRESETS["paper"]
    assert (config.margin, config.pulling_away) == (1.0, 0.1)
    model = EBGAN(config, images(3, 64, 64))
    for stage in model.stages():
        for phase in stage.phases:
            assert isinstance(phase.optimizer, Adam) and phase.optimizer.lr == 1e-3 and phase.optimizer.betas == (0.5, 0.999)
    ups = [layer for layer in model.generator.modules() if isinstance(layer, nn.ConvTranspose2d)]
    downs = [layer for layer in model.critic.encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in ups] == [512, 256, 128, 3]
    assert [layer.out_channels for layer in downs] == [64, 128, 256, 512]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 0.0}, "--config.margin must be above 0, not 0.0"),
        ({"pulling_away": -0.1}, "--config.pulling_away must be at least 0, not -0.1"),
        ({"images_alone": -1}, "--config.images_alone must be a whole number of at least 0, not -1"),
        ({"code": 0}, "--config.code must be a whole number of at least 1, not 0"),
        ({"lr_generator": math.nan}, "--config.lr_generator must be above 0"),
        ({"betas": (1.0, 0.9)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="ebgan takes images or points, not tokens"):
        EBGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="ebgan is not conditional"):
        EBGAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: EBGAN(replace(TINY, images_alone=0), data), pictures_of(8, 1, 12, 12), TRACE)
