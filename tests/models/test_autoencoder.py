"""Autoencoder: the loss by hand, the codes' moments and their units, the principal subspace, presets, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.autoencoder import PRESETS, Autoencoder
from tests.models.conftest import play

TINY = PRESETS["tiny"]
DIGITS = DataSpec(kind="images", shape=(1, 8, 8))
SPACE = DataSpec(kind="points", shape=(3,))

TRACE = {
    "reconstruction/reconstruction": [44.957, 44.8105, 44.7012, 44.5759, 44.4296],
}


def images(x):
    return Batch({"images": x})


# (a) by hand


def test_the_loss_of_a_decoder_that_answers_one_probability(step_for, pictures_of):
    """Every pixel has y = sigma(a); the cross-entropy is summed over the 64 pixels."""
    a, model = 0.4, Autoencoder(TINY, DIGITS)
    torch.nn.init.zeros_(model.decoder.layers[-1].weight)
    torch.nn.init.constant_(model.decoder.layers[-1].bias, a)
    picture = pictures_of(8, 1, 8, 8)
    x, y = (picture.flatten(1) + 1) / 2, 1 / (1 + math.exp(-a))
    by_hand = -(x * math.log(y) + (1 - x) * math.log(1 - y)).sum(1)
    torch.testing.assert_close(model.loss(step_for(picture)).terms["reconstruction"], by_hand)


def test_the_loss_of_points_is_the_squared_distance(step_for):
    model, points = Autoencoder(TINY, SPACE), torch.randn(8, 3)
    torch.nn.init.zeros_(model.decoder.layers[-1].weight)
    model.decoder.layers[-1].bias.data = torch.tensor([1.0, 2.0, 3.0])
    by_hand = (points - torch.tensor([1.0, 2.0, 3.0])).square().sum(1)
    torch.testing.assert_close(model.loss(step_for(points)).terms["reconstruction"], by_hand)


# (b) what only it has


def test_a_linear_one_finds_the_principal_plane():
    """Baldi & Hornik 1989: the best linear autoencoder loses the smallest eigenvalue of the covariance and nothing else."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(3, 3, generator=generator)).Q
    points = torch.randn(400, 3, generator=generator) * torch.tensor([2.0, 1.0, 0.3]) @ basis.T
    points = points - points.mean(0)
    least = float(torch.linalg.eigvalsh(torch.cov(points.T, correction=0))[0])
    torch.manual_seed(0)
    model = Autoencoder(replace(TINY, z=2, hidden=(), lr=2e-2, decay_from=None), SPACE)
    trace = play(model, points, 300)["reconstruction/reconstruction"]
    assert trace[-1] == pytest.approx(least, rel=0.02) and trace[0] > 10 * least
    back = model.decode(model.encode(Batch({"points": points})))
    lost = torch.linalg.eigh(torch.cov(points.T))[1][:, 0]
    torch.testing.assert_close((points - back).detach(), points @ lost[:, None] * lost, rtol=0, atol=0.1)


def test_codes_are_handed_out_in_units_of_their_own_deviation(pictures_of):
    """After updates on one batch, that batch's codes have mean 0 and deviation 1, whatever the encoder's scale; codes go back exactly."""
    torch.manual_seed(1)
    model, picture = Autoencoder(replace(TINY, lr=1e-12), DIGITS), pictures_of(8, 1, 8, 8)
    with torch.no_grad():
        model.encoder.layers[-1].weight.mul_(50.0)
        model.encoder.layers[-1].bias.add_(7.0)
    play(model, picture, 3)
    z = model.encode(images(picture))
    torch.testing.assert_close(z.mean(0), torch.zeros(2), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(2), rtol=1e-3, atol=0)
    plain = 2 * model.decoder(model.encoder((picture.flatten(1) + 1) / 2)).sigmoid() - 1
    torch.testing.assert_close(model.decode(z).flatten(1), plain, rtol=1e-3, atol=1e-4)


def test_the_remembered_moments_forget_half_in_their_half_life():
    """The first update sets them; after a half-life of other codes they are an even mixture of old and new."""
    model = Autoencoder(replace(TINY, batch=10, code_half_life=100.0), DIGITS)
    (stage,) = model.stages()
    first = {"mean": torch.tensor([[1.0, -1.0]]), "square": torch.tensor([[5.0, 2.0]])}
    model.after_update(stage.phases[0], {}, first)
    torch.testing.assert_close(model.code_mean, torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(model._deviation, torch.tensor([2.0, 1.0]))
    for _ in range(200):
        model.after_update(stage.phases[0], {}, first)
    for _ in range(10):
        model.after_update(stage.phases[0], {}, {"mean": torch.tensor([[3.0, -1.0]]), "square": torch.tensor([[5.0, 2.0]])})
    torch.testing.assert_close(model.code_mean, torch.tensor([2.0, -1.0]), rtol=1e-4, atol=1e-4)


def test_micro_batches_leave_the_moments_of_the_whole_batch(step_for, pictures_of):
    model, picture = Autoencoder(TINY, DIGITS), pictures_of(8, 1, 8, 8)
    whole, halves = step_for(picture), [step_for(picture[:4]), step_for(picture[4:])]
    for step in (whole, *halves):
        model.loss(step)
    for name in ("mean", "square"):
        joined = torch.cat([half.scratch[name] for half in halves])
        torch.testing.assert_close(joined.mean(0), whole.scratch[name].mean(0))


def test_an_entry_of_the_code_that_never_changes_is_no_division_by_zero(pictures_of):
    model, picture = Autoencoder(TINY, DIGITS), pictures_of(8, 1, 8, 8)
    with torch.no_grad():
        model.encoder.layers[-1].weight[0].zero_()
    play(model, picture, 1)
    model.code_square[0] = model.code_mean[0] ** 2
    assert torch.isfinite(model.encode(images(picture))).all() and torch.isfinite(model.sample(4, rng=SampleDraws(0))).all()


def test_samples_are_of_normal_codes_with_the_remembered_moments():
    model = Autoencoder(TINY, DIGITS)
    model.code_mean.copy_(torch.tensor([3.0, -2.0]))
    model.code_square.copy_(torch.tensor([3.0**2 + 0.25, 2.0**2 + 4.0]))
    z = SampleDraws(0).normal(5, 2)
    by_hand = 2 * model.decoder(torch.tensor([3.0, -2.0]) + torch.tensor([0.5, 2.0]) * z).sigmoid() - 1
    torch.testing.assert_close(model.sample(5, rng=SampleDraws(0)).flatten(1), by_hand)


# Presets and configuration


def test_the_paper_preset_is_the_network_for_mnist():
    model = Autoencoder(PRESETS["paper"], DataSpec(kind="images", shape=(1, 28, 28)))
    shapes = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(784, 1000), (1000, 500), (500, 250), (250, 30), (30, 250), (250, 500), (500, 1000), (1000, 784)]
    assert sum(isinstance(layer, torch.nn.Sigmoid) for layer in model.modules()) == 6  # the code and the output are linear
    (stage,) = model.stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert isinstance(stage.phases[0].optimizer, Adam) and stage.phases[0].optimizer.settings(clock) == {"lr": 1e-3}
    assert (stage.batch, stage.images) == (1000, 12_000_000)


def test_the_quick_preset_has_the_networks_of_the_vae_s():
    """784-500-500-20: only the layer before the code differs, which there gives a mean and a variance."""
    model = Autoencoder(PRESETS["quick"], DataSpec(kind="images", shape=(1, 28, 28)))
    shapes = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(784, 500), (500, 500), (500, 20), (20, 500), (500, 500), (500, 784)]
    (stage,) = model.stages()
    clock = Clock(step=9, images=750, budget=1000, stage_step=9, stage_images=750, stage_budget=1000)
    assert stage.phases[0].optimizer.settings(clock) == {"lr": pytest.approx(5e-4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": 0}, "--config.z must be a whole number of at least 1, not 0"),
        ({"code_half_life": 0.0}, "--config.code_half_life must be above 0, not 0.0"),
        ({"activation": "relux"}, "--config.activation must be one of tanh, relu, sigmoid, not 'relux'. Did you mean 'relu'"),
        ({"betas": (0.9, 1.0)}, "--config.betas holds numbers"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="autoencoder takes images or points, not tokens"):
        Autoencoder(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="not conditional"):
        Autoencoder(TINY, DIGITS).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: Autoencoder(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
