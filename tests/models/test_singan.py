"""SinGAN: the pyramid and the losses by hand, what one output sees, codes that return the image, sizes, edits, a short trace."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.data.open import open_data
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.devices import Machine
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.loop import Plan, Trainer
from ganvas.errors import GanvasError
from ganvas.models import singan
from ganvas.models.singan import PRESETS, REACH, SinGAN, ratio, resized

TINY = PRESETS["tiny"]
CPU = torch.device("cpu")

TRACE = {
    "critic/distance": [-0.024953, -0.0568107, -0.0874697, -0.0690865, -0.15078],
    "critic/penalty": [0.0701974, 0.0653273, 0.065924, 0.0705484, 0.0594287],
    "generator/cost": [-0.0626546, -0.0905964, -0.0349633, -0.0840418, -0.0654467],
    "generator/reconstruction": [7.23497, 6.12765, 4.82847, 4.36741, 3.03049],
}


def one(*shape):
    return DataSpec(kind="images", shape=shape, single=True)


def grown(*shape, level=None, **changes):
    """A model as if all scales up to `level` had been learnt: biases and amplitudes that are not those of the start."""
    torch.manual_seed(0)
    model = SinGAN(replace(TINY, **({"init": 0.3} | changes)), one(*shape))
    for name, tensor in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(tensor, std=0.1)
    model.amplitudes[1:] = torch.linspace(0.3, 0.1, model.steps)
    model.level.fill_(model.steps if level is None else level)
    return model


def phases(model, scale):
    return {phase.name: phase.loss for phase in model.stages()[scale].phases}


# (a) by hand


@pytest.mark.parametrize(("side", "coarsest", "steps"), [(188, 25, 7), (25, 25, 0), (12, 25, 0), (26, 25, 1), (250, 25, 8)])
def test_sizes_grow_by_the_factor_nearest_to_the_one_aimed_at(side, coarsest, steps):
    found, share = ratio(side, coarsest, 0.75)
    assert found == steps
    if steps:
        assert side * share**steps == pytest.approx(coarsest)
        apart = [abs(math.log(coarsest / side) / n - math.log(0.75)) for n in range(1, 20)]
        assert steps == 1 + min(range(19), key=lambda i: abs(math.log(coarsest / side) / math.log(0.75) - (i + 1)))
        assert apart[steps - 1] <= 1.5 * min(apart)


def test_the_pyramid_of_a_photograph():
    model = SinGAN(PRESETS["paper"], one(3, 188, 250))
    assert len(model.sizes) == len(model.stages()) == 8 and model.sizes[0] == (25, 33) and model.sizes[-1] == (188, 250)
    for (height, width), (above, beyond) in zip(model.sizes, model.sizes[1:], strict=False):
        assert above / height == pytest.approx(4 / 3, rel=0.03) and beyond / width == pytest.approx(4 / 3, rel=0.03)
    maps = [generator.patches[-1].in_channels for generator in model.generators]
    assert maps == [32] * 4 + [64] * 4
    assert [critic[-1].in_channels for critic in model.critics] == maps
    assert [(stage.images, stage.batch) for stage in model.stages()] == [(6_000, 1)] * 8
    for stage in model.stages():
        assert [(phase.name, phase.repeat) for phase in stage.phases] == [("critic", 3), ("generator", 3)]
        assert all(phase.optimizer.betas == (0.5, 0.999) for phase in stage.phases)
    assert len({id(phase.optimizer) for stage in model.stages() for phase in stage.phases}) == 16


@pytest.mark.parametrize("scale", [0, 1])
def test_the_losses_of_a_critic_that_answers_one_score(step_for, pictures_of, scale):
    """Equal scores leave no distance; no slope at any pixel is a penalty of lambda (0 - 1)^2."""
    model = grown(3, 16, 20, penalty_weight=0.1)
    nn.init.zeros_(model.critics[scale][-1].weight)
    nn.init.constant_(model.critics[scale][-1].bias, 1.5)
    loss, real = phases(model, scale), pictures_of(4, 3, 16, 20)
    found = loss["critic"](step_for(real))
    torch.testing.assert_close(found.terms["distance"], torch.zeros(4))
    torch.testing.assert_close(found.terms["penalty"], torch.full((4,), 0.1))
    assert float(found.watch["wasserstein"]) == 0 and float(found.watch["slope"]) == 0
    torch.testing.assert_close(loss["generator"](step_for(real)).terms["cost"], torch.full((4,), -1.5))


def test_the_penalty_holds_the_slope_of_every_pixel(step_for, pictures_of):
    """The slope of the summed map by one pixel, by differences in double precision."""
    model = grown(2, 14, 17, level=0, penalty_weight=3.0).eval()
    real, rng, critic = pictures_of(2, 2, 14, 17), StepDraws(0, 0, 1, CPU), deepcopy(model.critics[0]).double()
    with torch.no_grad():
        assert model.sizes[0] == (11, 13)
        x = resized(real, model.sizes[0])
        fake = model.generators[0](torch.zeros_like(x), model.noises(2, model.sizes[:1], rng)[0])
        u = (x + rng.uniform(2).view(2, 1, 1, 1) * (fake - x)).double()
        slopes = torch.zeros(2, 11, 13, dtype=torch.float64)
        for channel, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(11), torch.arange(13)).tolist():
            apart = torch.zeros_like(u)
            apart[:, channel, row, column] = 1e-6
            slope = (critic(u + apart) - critic(u - apart)).flatten(1).sum(1) / 2e-6
            slopes[:, row, column] += slope.square()
    by_hand = 3 * (slopes.sqrt() - 1).square().flatten(1).mean(1)
    torch.testing.assert_close(phases(model, 0)["critic"](step_for(real)).terms["penalty"].double(), by_hand, rtol=1e-4, atol=1e-6)


def test_the_reconstruction_of_generators_that_add_nothing(step_for, pictures_of):
    """y is 0 at every scale, so the error is the image's own mean square."""
    model = grown(3, 16, 20, reconstruction_weight=10.0)
    for generator in model.generators:
        nn.init.zeros_(generator.patches[-1].weight), nn.init.zeros_(generator.patches[-1].bias)
    real = pictures_of(4, 3, 16, 20)
    for scale in (0, 1):
        terms = phases(model, scale)["generator"](step_for(real)).terms
        torch.testing.assert_close(terms["reconstruction"], 10 * resized(real, model.sizes[scale]).square().mean((1, 2, 3)))
    assert not model.eval().reconstruct().any() and not model.sample(2, rng=SampleDraws(0)).any()


def test_a_sample_of_two_scales_by_hand(step_for, pictures_of):
    model, rng = grown(3, 16, 20).eval(), SampleDraws(0)
    assert model.sizes == [(11, 14), (16, 20)]
    with torch.no_grad():
        z = [rng.normal(2, 1, 11, 14).expand(2, 3, 11, 14), rng.normal(2, 3, 16, 20)]
        first, second = model.generators

        def added(generator, v):
            return generator.patches(nn.functional.pad(v, (5, 5, 5, 5))).tanh()

        coarse = added(first, z[0])
        y = nn.functional.interpolate(coarse, size=(16, 20), mode="bicubic", antialias=True)
        torch.testing.assert_close(
            model.sample(2, rng=SampleDraws(0)), (y + added(second, y + model.amplitudes[1] * z[1])).clamp(-1, 1), rtol=1e-5, atol=1e-5
        )
        star = added(first, model.z_star.expand(1, 3, 11, 14))
        y = nn.functional.interpolate(star, size=(16, 20), mode="bicubic", antialias=True)
        torch.testing.assert_close(model.reconstruct(), y + added(second, y), rtol=1e-5, atol=1e-5)


# (b) what only it has


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_an_output_sees_eleven_pixels_at_every_scale(scale):
    """But for the mean and the variance of the maps it is normalised by, which are left out here."""
    model = grown(1, 21, 33, width=3).eval()
    assert model.steps == 2
    for network in (model.generators[scale].patches, model.critics[scale]):
        for place, layer in enumerate(network):
            network[place] = nn.Identity() if isinstance(layer, nn.InstanceNorm2d) else layer
    x = torch.randn(1, 1, 31, 33, requires_grad=True)
    for network, centre in ((model.generators[scale], (15, 16)), (model.critics[scale], (10, 11))):
        out = network(torch.zeros_like(x), x) if network is model.generators[scale] else network(x)
        (gradient,) = torch.autograd.grad(out[0, 0, centre[0], centre[1]], x)
        rows, columns = gradient[0, 0].any(1).nonzero().flatten(), gradient[0, 0].any(0).nonzero().flatten()
        assert (rows.min(), rows.max()) == (10, 20) and (columns.min(), columns.max()) == (11, 21)
    assert REACH == 11


def test_a_scale_begins_with_the_weights_and_the_errors_of_the_one_below(pictures_of):
    model, real = grown(3, 16, 40, noise=0.5, widest=4), pictures_of(2, 3, 16, 40)
    stage = model.stages()[1]
    stage.enter(Batch({"images": real}), False)  # a resumed run keeps what it has
    assert int(model.level) == 1 and float(model.amplitudes[1]) == pytest.approx(0.3)
    assert not torch.equal(model.generators[1].patches[-1].weight, model.generators[0].patches[-1].weight)
    stage.enter(Batch({"images": real}), True)
    for networks in (model.generators, model.critics):
        for name, tensor in networks[0].state_dict().items():
            assert torch.equal(networks[1].state_dict()[name], tensor), name
    model.level.fill_(0)
    with torch.no_grad():
        error = resized(model.eval().reconstruct(), (16, 40)) - real[:1]
    assert float(model.amplitudes[1]) == pytest.approx(0.5 * float(error.square().mean().sqrt()), rel=1e-5)


def test_wider_networks_begin_anew(pictures_of):
    model = grown(3, 16, 20)  # 4 maps, then 6
    before = {name: tensor.clone() for name, tensor in model.generators[1].state_dict().items()}
    model.stages()[1].enter(Batch({"images": pictures_of(1, 3, 16, 20)}), True)
    assert all(torch.equal(model.generators[1].state_dict()[name], tensor) for name, tensor in before.items())


def test_use_is_training_without_noise_in_the_numbers(pictures_of):
    """Normalisation is by each image alone: the same in both modes, and whatever else is in the batch."""
    model, x = grown(3, 16, 20), pictures_of(3, 3, 16, 20)
    with torch.no_grad():
        training = model.train().reconstruct(), model.score(Batch({"images": x}))
        use = model.eval().reconstruct(), model.score(Batch({"images": x}))
        alone = torch.cat([model.score(Batch({"images": one[None]})) for one in x])
    assert torch.equal(training[0], use[0]) and torch.equal(training[1], use[1])
    torch.testing.assert_close(alone, use[1], rtol=1e-4, atol=1e-5)
    assert not any(name.endswith("running_mean") for name, _ in model.named_buffers())


def test_one_code_returns_the_image_and_others_do_not():
    """A short run on a photograph of 32 x 21 pixels; what the pictures look like is for longer ones."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = open_data("flower", resolution=32)
    config = replace(TINY, batch=1, updates=1, width=12, widest=12, images=80, lr=5e-3, noise=0.5)
    plan = Plan(seed=0, budget=240, save_every=10**12, log_every=100)
    t = Trainer(SinGAN(config, data.spec), data, plan, Machine(device=CPU, bf16=False, threads=1))
    while not t.done:
        t.play()
    model, image = t.averaged.model, data.batch(torch.zeros(1, dtype=torch.int64)).images
    assert int(model.level) == model.steps == 2
    with torch.no_grad():
        back, samples = model.reconstruct(), model.sample(4, rng=SampleDraws(0))
    errors = [float((x - image).square().mean()) for x in (back, samples[:1], torch.zeros_like(image))]
    assert errors[0] < 0.6 * min(errors[1:]), errors
    assert float((samples[0] - samples[1]).square().mean()) > errors[0]


# Sizes, edits, scores, configuration


@pytest.mark.parametrize("size", [(16, 20), (7, 60), (1, 1), (40, 9)])
def test_samples_of_any_size(size):
    model = grown(3, 16, 20).eval()
    with torch.no_grad():
        samples = model.sample_sized(3, *size, rng=SampleDraws(0))
        assert samples.shape == (3, 3, *size) and samples.abs().max() <= 1
        if size == (16, 20):
            assert torch.equal(samples, model.sample(3, rng=SampleDraws(0)))
        model.level.fill_(0)
        assert model.sample_sized(3, *size, rng=SampleDraws(0)).shape == (3, 3, *size)


def test_many_samples_are_drawn_in_parts(monkeypatch):
    model = grown(3, 16, 20).eval()
    with torch.no_grad():
        whole, film = model.sample(5, rng=SampleDraws(0)), model.animate(5, start=0, rng=SampleDraws(0))
        monkeypatch.setattr(singan, "AT_ONCE", 2 * 16 * 20)
        torch.testing.assert_close(model.sample(5, rng=SampleDraws(0)), whole)
        torch.testing.assert_close(model.animate(5, start=0, rng=SampleDraws(0)), film, rtol=1e-4, atol=1e-4)


def test_edits_keep_the_layout_below_their_scale(pictures_of):
    """Without noise an edit depends on nothing but the image reduced to the scale below its start."""
    model, image = grown(3, 21, 30, noise=0.0).eval(), pictures_of(1, 3, 21, 30)[0]
    model.amplitudes[1:] = 0.0
    with torch.no_grad():
        for start in (1, 2):
            below = model.sizes[start - 1]
            smooth = resized(resized(image[None], below), (21, 30))
            made = model.edit(image, mask=None, start=start, rng=SampleDraws(0))
            x = resized(image[None], below)
            for scale in range(start, 3):
                x = resized(x, model.sizes[scale])
                x = model.generators[scale](x, torch.zeros_like(x))
            torch.testing.assert_close(made, x.clamp(-1, 1))
            assert not torch.allclose(made, model.edit(smooth[0].flip(2), mask=None, start=start, rng=SampleDraws(0)))
        assert torch.equal(
            model.edit(image, mask=None, start=None, rng=SampleDraws(0)), model.edit(image, mask=None, start=1, rng=SampleDraws(0))
        )


def test_outside_its_mask_an_edit_changes_nothing(pictures_of):
    model, image, mask = grown(3, 21, 30).eval(), pictures_of(1, 3, 21, 30)[0], torch.zeros(21, 30)
    mask[5:12, 8:20] = 1
    mask[12, 8:20] = 0.25
    with torch.no_grad():
        free = model.edit(image, mask=None, start=1, rng=SampleDraws(0))[0]
        made = model.edit(image, mask=mask, start=1, rng=SampleDraws(0))[0]
        assert torch.equal(made[:, mask == 0], image[:, mask == 0])
        torch.testing.assert_close(made[:, mask == 1], free[:, mask == 1])
        torch.testing.assert_close(made[:, 12, 8:20], 0.75 * image[:, 12, 8:20] + 0.25 * free[:, 12, 8:20])
        other = model.edit(image, mask=mask, start=None, rng=SampleDraws(0))[0]
        assert torch.equal(other, model.edit(image, mask=mask, start=1, rng=SampleDraws(0))[0])  # the middle of 0, 1, 2


@pytest.mark.parametrize("factor", [1.1, 2.0, 3.7])
def test_enlarging_plays_the_finest_network_again(pictures_of, factor):
    model, image = grown(3, 21, 30).eval(), pictures_of(1, 3, 21, 30)[0]
    calls = []
    for scale, generator in enumerate(model.generators):
        generator.register_forward_hook(lambda module, inputs, output, scale=scale: calls.append((scale, tuple(output.shape[2:]))))
    with torch.no_grad():
        large = model.enlarge(image, factor=factor, rng=SampleDraws(0))
    assert large.shape == (1, 3, round(21 * factor), round(30 * factor)) and large.abs().max() <= 1
    assert {scale for scale, _ in calls} == {2} and len(calls) == max(1, round(math.log(factor) / -math.log(model.ratio)))
    with pytest.raises(GanvasError, match="--factor 1: must be above 1"):
        model.enlarge(image, factor=1.0, rng=SampleDraws(0))


def test_a_walk_begins_near_the_image_and_moves_only_from_its_scale_on():
    model = grown(3, 21, 30).eval()
    with torch.no_grad():
        still = model.reconstruct().clamp(-1, 1)
        calm, free = (model.animate(6, start=start, rng=SampleDraws(0)) for start in (2, 0))
    assert calm.shape == free.shape == (6, 3, 21, 30)
    steps = (free[1:] - free[:-1]).square().mean((1, 2, 3))
    assert (steps > 0).all() and (calm[1:] - calm[:-1]).square().mean() < steps.mean()
    assert (calm - still).square().mean() < (free - still).square().mean()


def test_only_scales_that_were_learnt_can_be_started_from(pictures_of):
    model, image = grown(3, 21, 30, level=1).eval(), pictures_of(1, 3, 21, 30)[0]
    for start in (0, 2):
        with pytest.raises(GanvasError, match=f"--start {start}: this model has been trained to scale 1, of which 1 is the first"):
            model.edit(image, mask=None, start=start, rng=SampleDraws(0))
    with pytest.raises(GanvasError, match="--start 2"):
        model.animate(2, start=2, rng=SampleDraws(0))


def test_scores_are_means_of_patches(pictures_of):
    model, x = grown(3, 16, 20).eval(), pictures_of(3, 3, 16, 20)
    torch.testing.assert_close(model.score(Batch({"images": x})), model.critics[1](x).mean((1, 2, 3)))
    model.level.fill_(0)
    torch.testing.assert_close(model.score(Batch({"images": x})), model.critics[0](resized(x, (11, 14))).mean((1, 2, 3)))


def test_the_learning_rate_falls_at_the_end_of_each_scale(step_for, pictures_of):
    (phase, _) = SinGAN(PRESETS["paper"], one(3, 30, 30)).stages()[0].phases
    rates = [phase.optimizer.settings(step_for(pictures_of(1, 3, 30, 30), step=step).clock)["lr"] for step in (0, 799, 800, 999)]
    assert rates == pytest.approx([5e-4, 5e-4, 5e-5, 5e-5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coarsest": 10}, "--config.coarsest must be a whole number of at least 11, not 10"),
        ({"factor": 1.0}, "--config.factor must be above 0 and below 1, not 1.0"),
        ({"updates": 0}, "--config.updates must be a whole number of at least 1"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_labels_and_images_smaller_than_a_patch():
    with pytest.raises(GanvasError, match="singan takes images, not points"):
        SinGAN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="at least 11 x 11 pixels, not 40 x 10: raise --resolution"):
        SinGAN(TINY, one(3, 10, 40))
    with pytest.raises(GanvasError, match="not conditional"):
        SinGAN(TINY, one(1, 12, 12)).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


class Scale:
    """The second scale as a game of its own, for the trace."""

    def __init__(self, model, samples):
        self.after_update, self.stage = model.after_update, model.stages()[1]
        self.stage.enter(Batch({"images": samples}), True)

    def stages(self):
        return [self.stage]

    def train(self):
        return self

    def children(self):
        return [module for phase in self.stage.phases for module in phase.trains]


def test_the_trace_of_five_steps(check_trace, pictures_of):
    samples = pictures_of(1, 3, 16, 20).expand(2, -1, -1, -1)
    check_trace(lambda data: Scale(SinGAN(TINY, data), samples), samples, TRACE)
