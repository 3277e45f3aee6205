"""ProGAN: the losses and the fade by hand, what alpha 0 and 1 leave out, growth and resume inside a fade, presets, a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn, tensor
from torch.nn.functional import leaky_relu

from ganvas.data.open import open_data
from ganvas.engine.checkpoints import Checkpoints
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.loop import Plan, Trainer, stage_ends
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.progan import PRESETS, ProGAN, enlarged, halved
from ganvas.parts.equalised import EqualConv2d, EqualLinear, pixel_norm
from ganvas.parts.penalties import gradient_penalty
from tests.engine.toys import assert_equal, tensors

TINY = PRESETS["tiny"]
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 20, 44)]

TRACE = {
    "critic/distance": [-0.0856562, -0.0827128, -0.0945297, -0.0855598, -0.0696453],
    "critic/penalty": [7.39618, 7.36847, 7.87858, 7.69334, 7.18406],
    "critic/drift": [2.63371e-05, 2.72472e-05, 2.87822e-05, 2.96823e-05, 3.07061e-05],
    "generator/cost": [-0.00526317, -0.00428472, -0.0124518, -0.026499, -0.0145669],
}


def images(*shape):
    return DataSpec(kind="images", shape=shape)


def grown(*shape, **changes):
    """A model whose biases are not zero, so that nothing is equal by accident."""
    torch.manual_seed(0)
    model = ProGAN(replace(TINY, **changes), images(*shape))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return model


def trainer(folder, budget=400):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = open_data("digits", split="train")
    plan = Plan(seed=0, budget=budget, save_every=10**12, log_every=1)
    machine = Machine(device=torch.device("cpu"), bf16=False, threads=1)
    return Trainer(ProGAN(TINY, data.spec), data, plan, machine, checkpoints=Checkpoints(folder))


def play_to(t, stage, step):
    while (t.stage, t.stage_step) != (stage, step):
        t.play()
    return t


# (a) by hand


@pytest.mark.parametrize(("index", "level"), [(0, 0), (1, 1), (4, 2)])
def test_the_losses_of_a_critic_that_answers_one_score(step_for, pictures_of, index, level):
    """f = 1.5 everywhere: no distance, slope 0, so a penalty of (0 - 1)^2, and a drift of 1.5^2."""
    a, model = 1.5, grown(1, 8, 8, penalty_weight=10.0, drift_weight=1e-3)
    nn.init.zeros_(model.critic.blocks[0].score.weight)
    nn.init.constant_(model.critic.blocks[0].score.bias, a)
    critic, generator = model.stages()[index].phases
    loss = critic.loss(step_for(pictures_of(4, 1, 8, 8), step=50))
    torch.testing.assert_close(loss.terms["distance"], torch.zeros(4))
    torch.testing.assert_close(loss.terms["penalty"], torch.full((4,), 10.0))
    torch.testing.assert_close(loss.terms["drift"], torch.full((4,), 1e-3 * a**2))
    assert float(loss.watch["level"]) == level and float(loss.watch["wasserstein"]) == 0
    torch.testing.assert_close(generator.loss(step_for(pictures_of(4, 1, 8, 8))).terms["cost"], torch.full((4,), -a))


def test_the_wasserstein_loss_in_the_middle_of_a_fade(step_for, pictures_of):
    model, real = grown(1, 8, 8), pictures_of(4, 1, 8, 8)
    critic, generator = model.stages()[1].phases
    step = step_for(real, step=100)  # 400 of 1000 images
    terms, watch = critic.loss(step).terms, critic.loss(step_for(real, step=100)).watch
    alpha, rng = tensor(0.4), StepDraws(0, 0, 1, torch.device("cpu"))
    with torch.no_grad():
        fake = model.generator(model.draw(4, rng), 1, alpha)
        shown = model.shrunk(real, 1, alpha)
        fake_score, real_score = model.critic(fake, 1, alpha), model.critic(shown, 1, alpha)
    torch.testing.assert_close(terms["distance"], fake_score - real_score)
    torch.testing.assert_close(terms["drift"], 1e-3 * real_score**2)
    torch.testing.assert_close(terms["penalty"], 10 * gradient_penalty(lambda u: model.critic(u, 1, alpha), shown, fake, rng))
    assert float(watch["alpha"]) == pytest.approx(0.4) and float(watch["wasserstein"]) == pytest.approx(
        float((real_score - fake_score).mean())
    )
    torch.testing.assert_close(generator.loss(step_for(real, step=100)).terms["cost"], -fake_score)


def test_reals_are_blended_with_their_half_resolution(pictures_of):
    """2 x 2 blocks 0, 4, 8, 12 have the mean 6: at alpha 1/4 they are 6 + (x - 6) / 4."""
    model = ProGAN(TINY, images(1, 4, 4))
    assert model.canvas.levels == 2 and model.canvas.base == (1, 1)
    x = tensor([[0.0, 4.0, 0.0, 0.0], [8.0, 12.0, 0.0, 0.0], [1.0, 1.0, 0.0, 2.0], [1.0, 1.0, 4.0, 6.0]]).view(1, 1, 4, 4)
    by_hand = tensor([[4.5, 5.5, 0.0, 0.0], [6.5, 7.5, 0.0, 0.0], [1.0, 1.0, 2.25, 2.75], [1.0, 1.0, 3.25, 3.75]]).view(1, 1, 4, 4)
    torch.testing.assert_close(model.shrunk(x, 2, tensor(0.25)), by_hand)
    torch.testing.assert_close(model.shrunk(x, 1), tensor([[6.0, 0.0], [1.0, 3.0]]).view(1, 1, 2, 2))
    torch.testing.assert_close(model.shrunk(x, 1, tensor(0.5)), tensor([[4.25, 1.25], [1.75, 2.75]]).view(1, 1, 2, 2))
    assert torch.equal(model.shrunk(x, 2), x)
    assert torch.equal(model.shrunk(x, 2, tensor(0.0)), enlarged(model.shrunk(x, 1))) and torch.equal(model.shrunk(x, 2, tensor(1.0)), x)


def test_the_fade_of_both_networks_by_hand():
    model, alpha = grown(3, 8, 8), 0.3
    g, f, z, x = model.generator, model.critic, torch.randn(4, TINY.z), torch.randn(4, 3, 8, 8)
    small = g.blocks[1](g.blocks[0](pixel_norm(z)))
    new, old = g.to_rgb[2](g.blocks[2](small)), g.to_rgb[1](small).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(g(z, 2, tensor(alpha)), (1 - alpha) * old + alpha * new)
    means = x.view(4, 3, 4, 2, 4, 2).mean((3, 5))
    old, new = leaky_relu(f.from_rgb[1](means), 0.2), f.blocks[2](leaky_relu(f.from_rgb[2](x), 0.2))
    torch.testing.assert_close(f(x, 2, tensor(alpha)), f.blocks[0](f.blocks[1]((1 - alpha) * old + alpha * new)))


# (b) what only it has


@pytest.mark.parametrize("shape", SHAPES)
def test_at_alpha_0_the_grown_networks_are_the_small_ones(shape):
    model, none = grown(*shape), tensor(0.0)
    for level in range(1, model.canvas.levels + 1):
        z = torch.randn(4, TINY.z)
        small = model.generator(z, level - 1)
        assert torch.equal(model.generator(z, level, none), enlarged(small))
        x = torch.randn(4, shape[0], *(side * 2**level for side in model.canvas.base))
        assert torch.equal(model.critic(x, level, none), model.critic(halved(x), level - 1))


@pytest.mark.parametrize(("alpha", "unused", "used"), [(1.0, 0, 1), (0.0, 1, 0)])
def test_at_alpha_1_the_old_path_is_unused(alpha, unused, used):
    model, x = grown(1, 8, 8), torch.randn(4, 1, 4, 4)
    z = torch.randn(4, TINY.z)
    fake = model.generator(z, 1, tensor(alpha))
    score = model.critic(x, 1, tensor(alpha))
    if alpha == 1.0:
        assert torch.equal(fake, model.generator(z, 1)) and torch.equal(score, model.critic(x, 1))
    (fake.square().sum() + score.sum()).backward()
    for paths in (model.generator.to_rgb, model.critic.from_rgb):
        assert not paths[unused].weight.grad.any() and not paths[unused].bias.grad.any()
        assert paths[used].weight.grad.any()
    assert bool(model.generator.blocks[1].second.weight.grad.any()) == bool(alpha)


def test_a_level_begins_where_the_one_before_it_ended():
    """A sample of the first step of a fade is that of the last step before it, in the data's size."""
    model = grown(1, 28, 28).eval()
    for level in range(1, 4):
        z = torch.randn(2, TINY.z)
        model.level.fill_(level - 1), model.alpha.fill_(1.0)
        before = model.decode(z)
        model.level.fill_(level), model.alpha.fill_(0.0)
        assert before.shape == (2, 1, 28, 28) and torch.equal(model.decode(z), before)
    model.alpha.fill_(0.5)
    assert not torch.equal(model.decode(z), before)


def test_samples_are_enlarged_while_the_networks_are_small():
    model = grown(1, 16, 16).eval()  # 4 x 4 doubled twice
    for level in range(3):
        model.level.fill_(level)
        sample, side = model.sample(3, rng=SampleDraws(0)), 2 ** (2 - level)
        blocks = sample.unfold(2, side, side).unfold(3, side, side).flatten(-2)
        assert sample.shape == (3, 1, 16, 16) and torch.equal(blocks, blocks[..., :1].expand_as(blocks))
        assert sample.std() > 0


def test_the_generator_normalises_codes_and_pixels():
    model, seen = grown(1, 28, 28), []
    for block in model.generator.blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    z = torch.randn(4, TINY.z)
    torch.testing.assert_close(model.generator(5 * z, 3), model.generator(z, 3))  # a code's length says nothing
    for maps in seen:
        torch.testing.assert_close(maps.square().mean(1), torch.ones_like(maps[:, 0]), rtol=1e-3, atol=1e-3)
    assert len(seen) == 8


def test_every_weight_is_equalised():
    torch.manual_seed(0)
    model = ProGAN(replace(TINY, channels=(32, 32, 16), z=32), images(1, 28, 28))
    layers = [layer for layer in model.modules() if next(layer.parameters(recurse=False), None) is not None]
    assert {type(layer) for layer in layers if not isinstance(layer, type(model.generator.blocks[0]))} == {EqualConv2d, EqualLinear}
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.numel() > 1000:
            assert float(parameter.detach().std()) == pytest.approx(1.0, rel=0.1), name
        assert not name.endswith("bias") or not parameter.detach().any()
    gains = {name: layer.scale * math.sqrt(layer.weight[0].numel()) for name, layer in model.named_modules() if layer in layers[1:]}
    linear = {name: gain for name, gain in gains.items() if gain != pytest.approx(math.sqrt(2))}
    ones = {f"generator.to_rgb.{level}" for level in range(4)} | {"critic.blocks.0.score"}
    assert linear.keys() == ones | {"generator.blocks.0.project"} and all(linear[name] == pytest.approx(1.0) for name in ones)
    assert linear["generator.blocks.0.project"] == pytest.approx(math.sqrt(2) / 4)


def test_the_critic_sees_how_much_a_group_varies_and_nothing_else_of_the_batch():
    model = grown(1, 8, 8, group=4)
    x = torch.randn(8, 1, 8, 8)
    scores = model.critic(x, 2)
    torch.testing.assert_close(model.critic(x[[2, 0, 3, 1, 5, 4, 7, 6]], 2), scores[[2, 0, 3, 1, 5, 4, 7, 6]])
    torch.testing.assert_close(torch.cat([model.critic(half, 2) for half in x.chunk(2)]), scores)
    alike = torch.cat([x[:1].expand(4, -1, -1, -1), x[4:]])
    assert not torch.allclose(model.critic(alike, 2)[0], scores[0]) and torch.allclose(model.critic(alike, 2)[4:], scores[4:])


def test_reals_and_fakes_are_never_in_one_group(step_for, pictures_of):
    """6 examples and groups of at most 4: the scores of reals must not depend on the fakes."""
    model, real = grown(1, 8, 8, group=4), pictures_of(6, 1, 8, 8)
    loss = model.stages()[0].phases[0].loss
    first, second = (loss(step_for(real, seed=seed)).terms["drift"] for seed in (1, 2))
    assert torch.equal(first, second)


# Growth


def test_stages_grow_by_images():
    model = ProGAN(replace(TINY, images=1000, phase_images=100, batch=(16, 8, 4)), images(1, 28, 28))
    stages = model.stages()
    names = ["4x4", "fade 8x8", "8x8", "fade 16x16", "16x16", "fade 32x32", "32x32"]
    assert [stage.name for stage in stages] == names
    assert [stage.images for stage in stages] == [100] * 6 + [400]
    assert [stage.batch for stage in stages] == [16, 8, 8, 4, 4, 4, 4]
    assert stage_ends(stages, 500) == [50, 100, 150, 200, 250, 300, 500]  # another budget scales them alike
    long = ProGAN(replace(TINY, images=500, phase_images=100), images(1, 28, 28)).stages()
    assert [stage.images for stage in long] == [100] * 7  # the last resolution is never shorter than the others


def test_every_stage_has_optimizers_of_its_own():
    stages = ProGAN(TINY, images(1, 8, 8)).stages()
    optimizers = [phase.optimizer for stage in stages for phase in stage.phases]
    assert len({id(optimizer) for optimizer in optimizers}) == len(optimizers) == 10
    assert all(isinstance(optimizer, Adam) and (optimizer.betas, optimizer.eps) == ((0.0, 0.99), 1e-8) for optimizer in optimizers)


def test_adam_starts_anew_at_each_level(tmp_path):
    t = play_to(trainer(tmp_path), 1, 0)
    assert {int(state["step"]) for optimizer in t.updates.optimizers.values() for state in optimizer.state.values()} == {10}
    t.play()
    assert {int(state["step"]) for optimizer in t.updates.optimizers.values() for state in optimizer.state.values()} == {1}


def test_a_level_trains_only_what_it_shows():
    model = ProGAN(TINY, images(1, 8, 8))
    for stage, level, fading in zip(model.stages(), [0, 1, 1, 2, 2], [False, True, False, True, False], strict=True):
        names = {name for name, module in model.named_modules() for phase in stage.phases if any(module is m for m in phase.trains)}
        kept = range(level - fading, level + 1)
        expected = {f"{network}.blocks.{i}" for network in ("generator", "critic") for i in range(level + 1)}
        assert names == expected | {f"generator.to_rgb.{i}" for i in kept} | {f"critic.from_rgb.{i}" for i in kept}


def test_samples_follow_the_fade_on_the_averaged_weights(tmp_path):
    t = trainer(tmp_path)
    assert (int(t.averaged.model.level), float(t.averaged.model.alpha)) == (0, 1.0)
    play_to(t, 1, 11)
    assert t.averaged.model.level is t.model.level and t.averaged.model.alpha is t.model.alpha
    assert int(t.averaged.model.level) == 1 and float(t.averaged.model.alpha) == pytest.approx(
        10 * 4 / 80
    )  # of the stage, at the last step played
    play_to(t, 2, 1)
    assert (int(t.model.level), float(t.model.alpha)) == (1, 1.0)


@pytest.mark.parametrize("stage", [1, 3])
def test_a_run_resumed_inside_a_fade_changes_no_bit(tmp_path, stage):
    t = play_to(trainer(tmp_path), stage, 7)
    t.save()
    again = trainer(tmp_path)
    assert again.restore() and (again.stage, again.stage_step) == (stage, 7)
    assert_equal(tensors(t), tensors(again))
    assert 0 < float(again.model.alpha) < 1
    before, after = (run.averaged.model.sample(3, rng=SampleDraws(0)) for run in (t, again))
    assert torch.equal(before, after)
    for run in (t, again):
        play_to(run, stage + 1, 3)  # over the end of the fade
    assert_equal(tensors(t), tensors(again))


# Any size, scores, presets and configuration


@pytest.mark.parametrize("shape", SHAPES)
def test_every_stage_takes_data_of_any_size(step_for, pictures_of, shape):
    model = ProGAN(TINY, images(*shape))
    real = pictures_of(4, *shape)
    for stage in model.stages():
        critic, generator = (phase.loss(step_for(real, step=100)) for phase in stage.phases)
        assert all(term.shape == (4,) for term in (*critic.terms.values(), *generator.terms.values()))
    model.level.fill_(model.canvas.levels)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.dtype == torch.float32 and sample.abs().max() <= 1


@pytest.mark.parametrize("n", [1, 4, 5])
def test_scores_of_any_number_of_examples(step_for, pictures_of, n):
    model, real = grown(1, 8, 8), pictures_of(n, 1, 8, 8)
    batch = step_for(real).batch
    assert torch.equal(model.score(batch), model.critic(halved(real, 2), 0))
    model.level.fill_(2), model.alpha.fill_(0.25)
    assert model.score(batch).shape == (n,) and model.score(batch).requires_grad
    torch.testing.assert_close(model.score(batch), model.critic(model.shrunk(real, 2, tensor(0.25)), 2, tensor(0.25)))


def test_the_paper_preset_is_table_2():
    with torch.device("meta"):
        model = ProGAN(PRESETS["paper"], images(3, 1024, 1024))
    for network in (model.generator, model.critic):
        assert sum(p.numel() for p in network.parameters()) == pytest.approx(23.1e6, rel=0.005)
    stages = model.stages()
    assert [stage.name for stage in stages][::2] == [f"{side}x{side}" for side in (4, 8, 16, 32, 64, 128, 256, 512, 1024)]
    assert [stage.images for stage in stages] == [600_000] * 16 + [2_400_000]
    assert [stage.batch for stage in stages][::2] == [128, 128, 128, 64, 32, 16, 8, 4, 4]
    config = model.config
    assert (config.penalty_weight, config.drift_weight, config.lr_generator, config.lr_critic) == (10.0, 1e-3, 1e-3, 1e-3)
    average = model.average()
    assert average.decay == 0.999 and average.modules == (model.generator,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phase_images": 0}, "--config.phase_images must be a whole number of at least 1, not 0"),
        ({"batch": (8, 0)}, "--config.batch must be whole numbers of at least 1"),
        ({"channels": ()}, "--config.channels needs a number for the smallest resolution"),
        ({"ema_decay": 1.0}, "--config.ema_decay must be above 0 and below 1, not 1.0"),
        ({"betas": (0.0, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="progan takes images, not points"):
        ProGAN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        ProGAN(TINY, images(1, 8, 8)).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


class Fade:
    """The fade to the last level as a game of its own, for the trace."""

    def __init__(self, model):
        self.after_update, self.stage = model.after_update, model.stages()[-2]

    def stages(self):
        return [self.stage]

    def train(self):
        return self

    def children(self):
        return [module for phase in self.stage.phases for module in phase.trains]


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: Fade(ProGAN(TINY, data)), pictures_of(8, 1, 12, 12), TRACE)
