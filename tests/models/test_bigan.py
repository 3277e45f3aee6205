"""BiGAN: the losses by hand, symmetry of the two kinds of pairs, an encoder that inverts the generator, presets, and a short trace."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.bigan import PRESETS, BiGAN, Config
from ganvas.parts.objectives import NON_SATURATING
from tests.models.conftest import make_step

TINY = PRESETS["tiny"]
DIGITS = DataSpec(kind="images", shape=(1, 8, 8))
LINE = DataSpec(kind="points", shape=(1,))

TRACE = {
    "discriminator/value": [1.38763, 1.38714, 1.38381, 1.38491, 1.38217],
    "inverse/encoder": [0.698977, 0.695524, 0.695799, 0.696998, 0.699054],
    "inverse/generator": [0.691878, 0.692788, 0.694188, 0.695853, 0.696515],
}


def softplus(t):
    return math.log1p(math.exp(t))


# (a) by hand


def test_the_terms_of_both_losses(step_for, pictures_of):
    """A discriminator that answers a = 0.7 whatever it sees."""
    a, model, images = 0.7, BiGAN(TINY, DIGITS), pictures_of(8, 1, 8, 8)
    nn.init.zeros_(model.discriminator.join[-1].weight)
    nn.init.constant_(model.discriminator.join[-1].bias, a)
    loss = model.discriminator_loss(step_for(images))
    torch.testing.assert_close(loss.terms["value"], torch.full((8,), softplus(-a) + softplus(a)))
    torch.testing.assert_close(loss.watch["D(x, E(x))"], torch.tensor(1 / (1 + math.exp(-a))))
    terms = model.inverse_loss(step_for(images)).terms
    torch.testing.assert_close(terms["encoder"], torch.full((8,), softplus(a)))
    torch.testing.assert_close(terms["generator"], torch.full((8,), softplus(-a)))


# (b) what only it has


def test_exchanging_the_pairs_and_their_labels_changes_nothing(step_for, pictures_of):
    """D' = 1 - D: what the other players pay is what a discriminator of opposite answers pays on the same pairs."""
    model, images = BiGAN(replace(TINY, init=0.2), DIGITS), pictures_of(8, 1, 8, 8)
    other = sum(term for term in model.inverse_loss(step_for(images)).terms.values()).detach()
    value = model.discriminator_loss(step_for(images)).terms["value"]
    assert not torch.allclose(value, other)
    with torch.no_grad():
        model.discriminator.join[-1].weight.neg_()
        model.discriminator.join[-1].bias.neg_()
    torch.testing.assert_close(model.discriminator_loss(step_for(images)).terms["value"], other)
    torch.testing.assert_close(sum(term for term in model.inverse_loss(step_for(images)).terms.values()).detach(), value)


def test_the_discriminator_judges_pairs(pictures_of):
    """The same images with codes of others get other logits; the same codes with other images, too."""
    model, images, z = BiGAN(replace(TINY, init=0.3), DIGITS).eval(), pictures_of(6, 1, 8, 8), torch.randn(6, 4)
    logits = model.discriminator(images, z)
    assert (model.discriminator(images, z.roll(1, 0)) - logits).abs().min() > 1e-6
    assert (model.discriminator(images.roll(1, 0), z) - logits).abs().min() > 1e-6


def test_each_player_learns_from_its_own_pairs_alone(step_for, pictures_of):
    model, images = BiGAN(replace(TINY, init=0.2), DIGITS), pictures_of(8, 1, 8, 8)
    for term, own, other in (("encoder", model.encoder, model.generator), ("generator", model.generator, model.encoder)):
        model.zero_grad()
        model.inverse_loss(step_for(images)).terms[term].mean().backward()
        assert any(p.grad.any() for p in own.parameters())
        assert all(p.grad is None or not p.grad.any() for p in other.parameters())


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_a_bounded_encoder_answers_in_the_scale_of_the_prior(pictures_of, prior):
    """However large its weights: within [-1, 1], or of mean 0 and deviation 1; without, the scales differ and the pairs come apart."""
    images = pictures_of(64, 1, 8, 8)
    for bound in (True, False):
        torch.manual_seed(0)
        model = BiGAN(replace(TINY, prior=prior, bound=bound, init=1.0), DIGITS).train()
        codes = model.encoder(images).detach()
        if not bound:
            assert codes.abs().max() > 2 and float(codes.std(0).max()) > 2
        elif prior == "uniform":
            assert codes.abs().max() <= 1
        else:
            torch.testing.assert_close(codes.mean(0), torch.zeros(4), rtol=0, atol=1e-4)
            torch.testing.assert_close(codes.std(0, correction=0), torch.ones(4), rtol=1e-3, atol=0)


def test_only_inverse_functions_reach_the_least_value():
    """Theorem 2 on three samples and three codes, all equally likely: of all 27 x 27 pairs of functions, V for the best discriminator
    is -log 4 exactly where E undoes G, and larger everywhere else."""
    functions = list(itertools.product(range(3), repeat=3))
    for generator, encoder in itertools.product(functions, functions):
        real, fake = torch.zeros(3, 3), torch.zeros(3, 3)  # laws of the pairs (x, z)
        for i in range(3):
            real[i, encoder[i]] += 1 / 3
            fake[generator[i], i] += 1 / 3
        real, fake = real.flatten(), fake.flatten()
        logits = (real.clamp(min=1e-12) / fake.clamp(min=1e-12)).log()
        value = -float(real @ NON_SATURATING.g(logits) + fake @ NON_SATURATING.g(-logits))
        inverse = all(encoder[generator[z]] == z for z in range(3))
        assert value == pytest.approx(-math.log(4), abs=1e-6) if inverse else value > -math.log(4) + 0.1


class Line(nn.Module):
    """A player that does not learn: x = 2 z + 1, or the way back."""

    def __init__(self, slope, offset):
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, at):
        return self.slope * at + self.offset


@pytest.mark.parametrize("learner", ["encoder", "generator"])
def test_the_player_that_learns_inverts_the_one_that_stands_still(learner):
    """Points x = 2 z + 1 with z from U[-1, 1): the game alone, with no loss of likeness, teaches the one the other's inverse."""
    torch.manual_seed(0)
    config = Config(images=1, batch=128, z=1, hidden=32, discriminator_norm=False, init=None, lr=2e-3, betas=(0.5, 0.9), weight_decay=0.0)
    model = BiGAN(config, LINE).train()
    still = "generator" if learner == "encoder" else "encoder"
    setattr(model, still, Line(2.0, 1.0) if still == "generator" else Line(0.5, -0.5))
    (stage,) = model.stages()
    moved = (model.discriminator, getattr(model, learner))
    optimizers = [phase.optimizer.build(list(module.parameters())) for phase, module in zip(stage.phases, moved, strict=True)]
    for update in range(500):
        points = 4 * torch.rand(128, 1, generator=torch.Generator().manual_seed(update)) - 1
        for number, (phase, optimizer) in enumerate(zip(stage.phases, optimizers, strict=True)):
            step = make_step(points, seed=2 * update + number, step=update, budget=500 * 128)
            optimizer.param_groups[0].update(phase.optimizer.settings(step.clock))
            optimizer.zero_grad()
            torch.stack([term.mean() for term in phase.loss(step).terms.values()]).sum().backward()
            optimizer.step()
    model.eval()
    z = torch.linspace(-0.9, 0.9, 50)[:, None]
    back = model.encode(Batch({"points": model.decode(z)})).detach()
    assert float((back - z).abs().mean()) < 0.1


# Presets and configuration


def test_the_paper_preset_is_the_permutation_invariant_network():
    model = BiGAN(PRESETS["paper"], DataSpec(kind="images", shape=(1, 28, 28)))
    shapes = lambda network: [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert shapes(model.generator) == [(50, 1024), (1074, 1024), (1024, 784)]  # the code is shown to the second layer again
    assert shapes(model.encoder) == [(784, 1024), (1024, 1024), (1024, 50)]
    assert shapes(model.discriminator) == [(784, 1024), (1074, 1024), (1024, 1)]
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert len(norms) == 4 and not any(layer.affine for layer in norms)
    assert {layer.negative_slope for layer in model.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert float(model.encoder.layers[1].weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    z = model.draw(4000, SampleDraws(0))
    assert z.min() >= -1 and z.max() < 1 and float(z.var()) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize(("done", "rate"), [(0.0, 2e-4), (0.5, 2e-4), (0.75, 2e-5), (1.0, 2e-6)])
def test_the_paper_preset_s_optimizers(done, rate):
    config = PRESETS["paper"]
    (stage,) = BiGAN(config, DIGITS).stages()
    clock = Clock(step=9, images=900, budget=900, stage_step=9, stage_images=int(1000 * done), stage_budget=1000)
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.weight_decay == 2.5e-5
        assert phase.optimizer.settings(clock) == {"lr": pytest.approx(rate)}
    assert (stage.batch, stage.images) == (128, 24_000_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": 0}, "--config.z must be a whole number of at least 1, not 0"),
        ({"batch": 1}, "--config.batch must be a whole number of at least 2, not 1"),
        ({"decay_from": 1.0}, "--config.decay_from must be at least 0 and below 1, not 1.0"),
        ({"prior": "gauss"}, "--config.prior must be one of normal, uniform, not 'gauss'"),
        ({"betas": (0.5, 1.0)}, "--config.betas holds numbers"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="bigan takes images or points, not tokens"):
        BiGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="not conditional"):
        BiGAN(TINY, DIGITS).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: BiGAN(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
