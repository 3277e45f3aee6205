"""Relativistic GAN: the four games by hand, what reals do in the generator's loss, presets, and a short trace."""

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
from ganvas.models.relativistic import GAMES, PRESETS, Config, RelativisticGAN

TINY = PRESETS["tiny"]
PLANE = DataSpec(kind="points", shape=(2,))
every = pytest.mark.parametrize("game", GAMES)

TRACE = {
    "critic/comparison": [0.921773, 0.850019, 0.679688, 0.81925, 0.713174],
    "generator/cost": [0.972273, 0.964046, 1.12853, 0.99258, 1.00302],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


class First(nn.Module):
    """The score of a point is its first coordinate, plus a constant."""

    def __init__(self, constant=0.0):
        super().__init__()
        self.constant = constant

    def forward(self, x):
        return x[:, 0] + self.constant


class Fixed(nn.Module):
    """The same fakes whatever the code."""

    def __init__(self, fakes):
        super().__init__()
        self.fakes = nn.Parameter(torch.stack([torch.tensor(fakes), torch.zeros(len(fakes))], 1))

    def forward(self, z):
        return self.fakes


def known(game, fakes, constant=0.0):
    """A model of points whose scores are first coordinates."""
    model = RelativisticGAN(replace(TINY, game=game), PLANE)
    model.critic, model.generator = First(constant), Fixed(fakes)
    return model


def reals(*scores):
    return torch.stack([torch.tensor(scores), torch.zeros(len(scores))], 1)


# (a) by hand: scores of reals 0 and 1 (mean 1/2), of fakes 1/2 and -1 (mean -1/4)
# leads of reals over their fakes -1/2 and 2; over the mean of fakes 1/4 and 5/4; of the mean of reals over the fakes 0 and 3/2


@pytest.mark.parametrize(
    ("game", "comparison", "cost"),
    [
        ("RSGAN", [0.974077, 0.126928], [0.474077, 2.126928]),  # sp(1/2), sp(-2); sp(-1/2), sp(2)
        ("RaSGAN", [0.634543, 0.226671], [0.759543, 1.601671]),  # (sp(-1/4) + sp(0)) / 2, (sp(-5/4) + sp(-3/2)) / 2; signs turned
        ("RaLSGAN", [0.78125, 0.15625], [1.28125, 5.65625]),  # (9/16 + 1) / 2, (1/16 + 1/4) / 2; (1 + 25/16) / 2, (25/4 + 81/16) / 2
        ("RaHinge", [0.875, 0.0], [1.125, 2.375]),  # (3/4 + 1) / 2, (0 + 0) / 2; (1 + 5/4) / 2, (5/2 + 9/4) / 2
    ],
)
def test_each_game_by_hand(step_for, game, comparison, cost):
    model, step = known(game, [0.5, -1.0]), step_for(reals(0.0, 1.0))
    loss = model.critic_loss(step)
    torch.testing.assert_close(loss.terms["comparison"], torch.tensor(comparison), rtol=1e-5, atol=1e-6)
    assert float(loss.watch["lead"]) == 0.75
    torch.testing.assert_close(model.generator_loss(step).terms["cost"], torch.tensor(cost), rtol=1e-5, atol=1e-6)


# (b) what only it has


@every
def test_a_constant_added_to_all_scores_changes_nothing(step_for, game):
    step = step_for(reals(0.3, -0.8, 1.1))
    plain, moved = (known(game, [0.2, 0.9, -0.4], constant) for constant in (0.0, 5.0))
    torch.testing.assert_close(moved.critic_loss(step).terms["comparison"], plain.critic_loss(step).terms["comparison"])
    torch.testing.assert_close(moved.generator_loss(step).terms["cost"], plain.generator_loss(step).terms["cost"])


@every
def test_the_generator_s_loss_is_larger_the_more_realistic_the_reals_are(step_for, game):
    model = known(game, [0.2, -0.4])
    costs = [float(model.generator_loss(step_for(reals(a, a + 1))).terms["cost"].detach().mean()) for a in (0.0, 1.0, 2.0)]
    assert costs[0] < costs[1] < costs[2]


@every
def test_the_generator_s_gradient_goes_through_the_fakes_alone(step_for, game):
    """Reals are held: the gradient is that of finite differences in the fakes, and none reaches reals or the critic's view of them."""
    real = reals(0.3, -0.8, 1.1).requires_grad_()
    model = known(game, [0.2, 0.9, -0.4])
    cost = lambda: model.generator_loss(step_for(real)).terms["cost"].mean()
    cost().backward()
    assert real.grad is None
    step = 1e-2
    for index in range(3):
        with torch.no_grad():
            found = []
            for sign in (1, -1):
                model.generator.fakes[index, 0] += sign * step
                found.append(float(cost().detach()))
                model.generator.fakes[index, 0] -= sign * step
        assert float(model.generator.fakes.grad[index, 0]) == pytest.approx((found[0] - found[1]) / (2 * step), abs=2e-3)


def test_the_critic_pulls_both_sides_apart_also_through_the_means(step_for):
    """RaLSGAN at equal scores 0: d/da_r = -1/B and d/da_f = 1/B from each sample's own term, and as much from the means."""
    model = known("RaLSGAN", [0.0, 0.0])
    real = reals(0.0, 0.0).requires_grad_()
    model.critic_loss(step_for(real)).terms["comparison"].mean().backward()
    torch.testing.assert_close(real.grad[:, 0], torch.tensor([-1.0, -1.0]))


@every
def test_means_are_those_of_the_batch_at_hand(step_for, game):
    """Two micro-batches are two games: an averaged form does not see the other's scores."""
    real, fakes = reals(0.3, -0.8, 1.1, 2.0), [0.2, 0.9, -0.4, -3.0]
    whole = known(game, fakes).critic_loss(step_for(real)).terms["comparison"]
    halves = [known(game, fakes[at : at + 2]).critic_loss(step_for(real[at : at + 2])).terms["comparison"] for at in (0, 2)]
    assert torch.equal(torch.cat(halves), whole) == (game == "RSGAN")


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44)])
def test_samples_have_the_data_s_size(step_for, pictures_of, shape):
    model = RelativisticGAN(TINY, images(*shape))
    step = step_for(pictures_of(4, *shape))
    assert model.critic_loss(step).terms["comparison"].shape == model.generator_loss(step).terms["cost"].shape == (4,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


@every
def test_losses_are_in_single_precision_under_autocast(step_for, pictures_of, game):
    model = RelativisticGAN(replace(TINY, game=game), images(1, 16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = [model.critic_loss(step_for(pictures_of(4, 1, 16, 16))).terms["comparison"]]
        terms.append(model.generator_loss(step_for(pictures_of(4, 1, 16, 16))).terms["cost"])
    assert all(term.dtype == torch.float32 for term in terms)


# Presets and configuration


def test_the_paper_s_numbers():
    config = PRESETS["paper"]
    assert config == Config() and (config.batch, config.z, config.game) == (32, 128, "RaSGAN")
    assert config.images == 100_000 * config.batch
    (stage,) = RelativisticGAN(replace(config, width=8, critic_width=8), images(3, 32, 32)).stages()
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert [(phase.name, phase.repeat) for phase in stage.phases] == [("critic", 1), ("generator", 1)]
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 2e-4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"game": "RaLSGANs"}, "--config.game must be one of RSGAN, RaSGAN, RaLSGAN, RaHinge, not 'RaLSGANs'. Did you mean 'RaLSGAN'"),
        ({"critic_width": 0}, "--config.critic_width must be a whole number of at least 1, not 0"),
        ({"lr_critic": math.nan}, "--config.lr_critic must be above 0, not nan"),
        ({"decay_from": 1.0}, "--config.decay_from must be at least 0 and below 1, not 1.0"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="relativistic takes images or points, not tokens"):
        RelativisticGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="relativistic is not conditional"):
        RelativisticGAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: RelativisticGAN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
