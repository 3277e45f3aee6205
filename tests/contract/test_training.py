"""How a game is played: what its phases move and what they do not, where gradients go, and what may change while it trains."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.engine.checkpoints import load
from ganvas.engine.contract import GenerativeModel, Step
from ganvas.engine.draws import StepDraws
from tests.contract.games import CPU, STEPS, begin, buffers_of, midway, parameters_of
from tests.engine.toys import assert_equal, tensors
from tests.walk import facts, unsaved

# Buffers that layers of torch change while they compute: batch norm's statistics and spectral norm's power iteration.
BY_LAYERS = ("running_mean", "running_var", "num_batches_tracked", "_u", "_v")


def batch_of(t, stage):
    return t.examples.batch(torch.arange(stage.batch) % len(t.examples))


def played(t, index):
    """Each phase of a stage once, by itself: (phase, parameters before, parameters after)."""
    stage, scratch = begin(t, index), [{}]
    for position, phase in enumerate(stage.phases):
        before = parameters_of(t.model)
        t.updates.apply(phase, position, midway(t, index), [batch_of(t, stage)], scratch)
        yield phase, before, parameters_of(t.model)


def trained_by(phase, model):
    owned = {id(p) for module in phase.trains for p in module.parameters()}
    return {name for name, p in model.named_parameters() if id(p) in owned}


def test_the_game_is_well_formed(game):
    model = game.model()
    stages = model.stages()
    modules, buffers = {id(module) for module in model.modules()}, dict(model.named_buffers())
    assert stages and len({stage.name for stage in stages}) == len(stages)
    for stage in stages:
        assert stage.images > 0 and stage.batch > 0
        assert stage.phases and len({phase.name for phase in stage.phases}) == len(stage.phases)
        for phase in stage.phases:
            assert phase.loss.__self__ is model and phase.every >= 1 and trained_by(phase, model), phase.name
            assert all(id(module) in modules for module in phase.trains)
            assert phase.when is None or isinstance(phase.when(), bool)
    average = model.average()
    if average is not None:
        assert all(id(module) in modules for module in average.modules)
        assert (average.decay is None) != (average.half_life is None)
        assert average.decay is None or 0 < average.decay < 1
    assert all(name in buffers for name in model.rank_buffers())
    assert isinstance(model, GenerativeModel)


def test_each_phase_moves_its_own_parameters_and_no_others(game):
    t = game.trainer()
    for index in range(len(t.stages)):
        for phase, before, after in played(t, index):
            own = trained_by(phase, t.model)
            for name in before.keys() - own:
                assert torch.equal(before[name], after[name]), f"phase {phase.name} moves {name}"
            for module in phase.trains:
                names = [name for name, p in t.model.named_parameters() if any(p is q for q in module.parameters())]
                assert any(not torch.equal(before[name], after[name]) for name in names), (
                    f"phase {phase.name} leaves {names} where they are"
                )


def test_every_trained_parameter_receives_a_finite_gradient(game):
    t = game.trainer()
    for index in range(len(t.stages)):
        reached, wanted = set(), set()
        for phase, _, _ in played(t, index):
            own = trained_by(phase, t.model)
            wanted |= own
            gradients = {name: p.grad for name, p in t.model.named_parameters() if name in own and p.grad is not None}
            assert all(torch.isfinite(gradient).all() for gradient in gradients.values()), phase.name
            assert any(gradient.any() for gradient in gradients.values()), phase.name
            reached |= gradients.keys()
        assert wanted == reached, f"stage {t.stages[index].name}: no gradient reaches {sorted(wanted - reached)}"


def test_losses_change_no_state_and_give_terms_of_the_batch(game):
    model = game.model().train()
    t = game.trainer()
    for index, stage in enumerate(model.stages()):
        batch, scratch = batch_of(t, stage), {}
        if stage.enter is not None:
            with torch.no_grad():
                stage.enter(batch, True)
        for position, phase in enumerate(stage.phases):
            before, held = parameters_of(model) | buffers_of(model), facts(model)
            step = Step(batch=batch, rng=StepDraws(position, 0, 1, CPU), clock=midway(t, index), mean=lambda x: x, scratch=scratch)
            loss = phase.loss(step)
            after = parameters_of(model) | buffers_of(model)
            for name in before:
                assert torch.equal(before[name], after[name]) or name.endswith(BY_LAYERS), f"{phase.name}: its loss changes {name}"
            assert facts(model) == held
            assert loss.terms and not loss.terms.keys() & loss.watch.keys()
            for name, term in loss.terms.items():
                assert term.shape in ((), (batch.size,)), f"{phase.name}: {name} has shape {tuple(term.shape)}"
                assert torch.isfinite(term).all(), f"{phase.name}: {name}"
            assert all(not tensor.requires_grad for tensor in scratch.values()), f"{phase.name} leaves a graph in scratch"


def test_a_judge_s_batch_normalisation_sees_reals_and_fakes_apart(game):
    """Joined in one batch they would share its mean, and the discriminator be another one than that which the generator meets."""
    t = game.trainer()
    judges = [getattr(t.model, name) for name in ("discriminator", "critic") if isinstance(getattr(t.model, name, None), nn.Module)]
    normed = [layer for judge in judges for layer in judge.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    seen = []
    for layer in normed:
        layer.register_forward_pre_hook(lambda _, arguments: seen.append(len(arguments[0])))
    for index, stage in enumerate(t.stages):
        begin(t, index)
        scratch = {}
        for position, phase in enumerate(stage.phases):
            rng = StepDraws(position, 0, 1, CPU)
            phase.loss(Step(batch=batch_of(t, stage), rng=rng, clock=midway(t, index), mean=lambda x: x, scratch=scratch))
        assert max(seen, default=0) <= stage.batch, f"stage {stage.name}: batch normalisation sees {max(seen)} of batches of {stage.batch}"


def test_two_runs_of_one_seed_are_equal_bit_for_bit(game):
    def run():
        t = game.trainer()
        for step in range(STEPS):
            torch.manual_seed(next(entropy))
            random.seed(next(entropy))
            np.random.seed(next(entropy))
            t.play()
            assert t.step == step + 1
        return tensors(t)

    entropy = iter(range(100))
    assert_equal(run(), run())


def test_state_is_buffers(game):
    """Nothing of a model changes in training but its parameters and buffers, and those stay where they are stored."""
    t = game.trainer(budget=10**9)
    built = facts(t.model)
    t.enter()
    before = facts(t.model)
    assert before == built or t.stages[0].enter is not None
    for _ in range(3):
        t.play()
    after = facts(t.model)
    for name in before.keys() | after.keys():
        assert before.get(name) == after.get(name), f"{name} changes in training and is neither parameter nor buffer (or was replaced)"


def test_everything_that_outlives_a_step_is_in_the_checkpoint(game, tmp_path):
    t = game.trainer(folder=tmp_path)
    t.play()
    t.save()
    saved = load(t.checkpoints.paths()[0]).tensors
    assert unsaved(t, saved) == []
    named = dict(t.model.named_buffers())
    persistent = {name for named_tensors in saved.values() for name in named_tensors}
    assert named.keys() <= persistent, "every buffer is saved: register it with persistent=True"


@pytest.mark.filterwarnings("error")
def test_one_step_in_reduced_precision_is_finite(game):
    t = game.trainer(bf16=True)
    row = t.play()
    assert all(np.isfinite(value) for value in row.values() if isinstance(value, float)), row
    for name, value in tensors(t).items():
        assert torch.isfinite(value).all() and value.dtype not in (torch.bfloat16, torch.float16), name
