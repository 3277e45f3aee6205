"""The suite itself: a sound game passes every check, and for every check there is a fault that fails it."""

import random
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.engine.card import Card
from ganvas.engine.contract import Loss
from ganvas.errors import require
from tests.contract import test_samples as samples
from tests.contract import test_training as training
from tests.contract.games import Game
from tests.engine.toys import Toy


class Sound(Toy):
    """A game without a fault."""

    def sample(self, n, *, condition=None, rng):
        require(condition is None, "the toy is not conditional")
        return super().sample(n, rng=rng)


@dataclass(frozen=True)
class Played(Game):
    """A toy in the place of a catalog entry."""

    toy: type[Toy] = Sound

    @property
    def entry(self):
        card = Card(title="Toy", year=2026, paper="", family="", teaches="", data=("points",))
        return catalog.Entry("toy", card, dict, {}, self.toy)

    @property
    def config(self):
        return {}

    def model(self):
        return self.toy()


class MovesAnother(Sound):
    def after_update(self, phase, watch, scratch):
        super().after_update(phase, watch, scratch)
        (self.generator if phase.name == "critic" else self.critic)[0].bias.add_(1.0)


class MovesNothing(Sound):
    def lazy_loss(self, step):
        return Loss({"decay": 0.0 * self.critic[0].weight.sum()})

    def stages(self):
        (stage,) = super().stages()
        return [type(stage)(name="s", phases=stage.phases[1:2], images=stage.images, batch=stage.batch)]


class LeavesOneOut(Sound):
    def __init__(self):
        super().__init__()
        self.generator.spare = nn.Linear(2, 2)
        self.generator.forward = lambda x: nn.Sequential(*list(self.generator)[:4])(x)


class LossCounts(Sound):
    def generator_loss(self, step):
        self.control.add_(1.0)
        return super().generator_loss(step)


class TermPerEntry(Sound):
    def generator_loss(self, step):
        return Loss({"score": -self.critic(self.fake(step.batch.size, step.rng))})


class WatchesItsTerm(Sound):
    def generator_loss(self, step):
        loss = super().generator_loss(step)
        return Loss(loss.terms, {"score": torch.zeros(())})


class LeavesAGraph(Sound):
    def generator_loss(self, step):
        step.scratch["graph"] = self.fake(step.batch.size, step.rng)
        return super().generator_loss(step)


class DrawsByItself(Sound):
    def generator_loss(self, step):
        return Loss({"score": (1 + random.random()) * super().generator_loss(step).terms["score"]})


class Counts(Sound):
    calls = 0

    def after_update(self, phase, watch, scratch):
        super().after_update(phase, watch, scratch)
        self.calls += 1


class Replaces(Sound):
    def after_update(self, phase, watch, scratch):
        self.control = self.control + 1.0


class Hides(Sound):
    def after_update(self, phase, watch, scratch):
        super().after_update(phase, watch, scratch)
        if "fake" in scratch:
            self.generator.last = scratch["fake"]


class Forgets(Sound):
    def __init__(self):
        super().__init__()
        self.register_buffer("passing", torch.zeros(3), persistent=False)


class Overflows(Sound):
    def generator_loss(self, step):
        return Loss({"score": super().generator_loss(step).terms["score"] * 1e38 * 1e38})


class Mixes(Sound):
    def sample(self, n, *, condition=None, rng):
        drawn = super().sample(n, condition=condition, rng=rng)
        return drawn - drawn.mean(0)


class Remembers(Sound):
    def sample(self, n, *, condition=None, rng):
        self.control.add_(1.0)
        return super().sample(n, condition=condition, rng=rng)


class Improvises(Sound):
    def sample(self, n, *, condition=None, rng):
        return super().sample(n, condition=condition, rng=rng) + torch.rand(n, 2)


class Repeats(Sound):
    def sample(self, n, *, condition=None, rng):
        return super().sample(n, condition=condition, rng=rng)[:1].expand(n, 2)


class Shrinks(Sound):
    def sample(self, n, *, condition=None, rng):
        return super().sample(n, condition=condition, rng=rng)[:, :1]


class Bad(Sound):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.generator[3].bias, float("nan"))


class JudgesTogether(Sound):
    """Its critic is normalised, and is shown reals and fakes as one batch."""

    def __init__(self):
        super().__init__()
        self.critic.append(nn.BatchNorm1d(1))

    def critic_loss(self, step):
        fake = self.fake(step.batch.size, step.rng)
        real, fake = self.critic(torch.cat([step.batch["points"], fake])).squeeze(1).chunk(2)
        return Loss({"value": fake - real})


FAULTS = [
    (JudgesTogether, training.test_a_judge_s_batch_normalisation_sees_reals_and_fakes_apart),
    (Bad, samples.test_builds),
    (Bad, samples.test_samples_have_form_and_range_before_and_after_steps),
    (Shrinks, samples.test_samples_have_form_and_range_before_and_after_steps),
    (Remembers, samples.test_sampling_mutates_nothing),
    (Mixes, samples.test_a_sample_does_not_depend_on_its_batch),
    (Improvises, samples.test_samples_follow_their_seed),
    (Repeats, samples.test_samples_follow_their_seed),
    (Toy, samples.test_labels_matter_or_are_refused),
    (MovesAnother, training.test_each_phase_moves_its_own_parameters_and_no_others),
    (MovesNothing, training.test_each_phase_moves_its_own_parameters_and_no_others),
    (LeavesOneOut, training.test_every_trained_parameter_receives_a_finite_gradient),
    (LossCounts, training.test_losses_change_no_state_and_give_terms_of_the_batch),
    (TermPerEntry, training.test_losses_change_no_state_and_give_terms_of_the_batch),
    (WatchesItsTerm, training.test_losses_change_no_state_and_give_terms_of_the_batch),
    (LeavesAGraph, training.test_losses_change_no_state_and_give_terms_of_the_batch),
    (DrawsByItself, training.test_two_runs_of_one_seed_are_equal_bit_for_bit),
    (Counts, training.test_state_is_buffers),
    (Replaces, training.test_state_is_buffers),
    (Hides, training.test_state_is_buffers),
    (Hides, training.test_everything_that_outlives_a_step_is_in_the_checkpoint),
    (Forgets, training.test_everything_that_outlives_a_step_is_in_the_checkpoint),
    (Overflows, training.test_one_step_in_reduced_precision_is_finite),
]
OTHER_DATA = (samples.test_data_of_another_kind_is_refused, samples.test_samples_have_the_native_size)  # the toy has a fixed size
CHECKS = [
    check for module in (samples, training) for name, check in vars(module).items() if name.startswith("test_") and check not in OTHER_DATA
]


def applied(check, toy, folder):
    arguments = {"game": Played("toy", "points", toy), "tmp_path": folder}
    wanted = check.__code__.co_varnames[: check.__code__.co_argcount]
    check(**{name: arguments[name] for name in wanted})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_game_passes(check, tmp_path):
    applied(check, Sound, tmp_path)


@pytest.mark.parametrize(("toy", "check"), FAULTS, ids=lambda thing: thing.__name__)
def test_a_fault_is_found(toy, check, tmp_path):
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        applied(check, toy, tmp_path)
