"""Improved GAN: every loss and every remedy by hand, the K + 1 classes, the settings of the authors' script, and short traces."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ganvas.engine.capabilities import Classify
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.improved_gan import PRESETS, Config, Discriminator, ImprovedGAN, realness
from ganvas.parts.minibatch import MinibatchDiscrimination
from ganvas.parts.virtual_norm import VirtualNorm

TINY = PRESETS["tiny"]
PLAIN = replace(TINY, generator_norm="none", kernels=0, history_weight=0.0, real_target=1.0)  # without any remedy
PLANE = DataSpec(kind="points", shape=(2,))
IMAGES = DataSpec(kind="images", shape=(1, 8, 8))
K = 3

TRACE = {
    "discriminator/real": [0.183703, 0.186038, 0.188072, 0.189932, 0.191855],
    "discriminator/fake": [0.803402, 0.797428, 0.787508, 0.786184, 0.77285],
    "discriminator/labelled": [1.28373, 1.21616, 1.15722, 1.1067, 1.05718],
    "discriminator/history": [0, 2.78794e-06, 9.11942e-06, 1.83576e-05, 3.02805e-05],
    "generator/cost": [0.232175, 0.237004, 0.238317, 0.240446, 0.246297],
    "generator/history": [0, 2.48021e-06, 5.21588e-06, 9.69536e-06, 1.47588e-05],
}


def few(data):
    """The data with three classes of which few images are known."""
    return replace(data, classes=("a", "b", "c"), views={"labelled": data.shape, "labelled_classes": (K,)})


def known(pictures, n=4):
    """n labelled pictures, as a batch has them."""
    return {"labelled": pictures(n + 9, 1, 8, 8)[9:], "labelled_classes": torch.eye(K)[torch.arange(n) % K]}


def says(model, logits):
    """Make the discriminator answer the same logits whatever it sees."""
    last = model.discriminator.head[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor(logits))
    return model


# (a) by hand


def test_d_is_z_over_z_plus_1():
    logits = torch.tensor([[math.log(2.0), math.log(1.0), math.log(0.5)], [-50.0, -60.0, -70.0], [80.0, 0.0, 0.0]])
    d = realness(logits).sigmoid()
    torch.testing.assert_close(d[0], torch.tensor(3.5 / 4.5))
    assert 0.0 <= float(d[1]) < 1e-20 and float(d[2]) == 1.0 and torch.isfinite(realness(logits)).all()
    extended = torch.cat([logits, torch.zeros(3, 1)], 1)  # the K + 1 classes, of which the last has logit 0
    torch.testing.assert_close(d, 1 - extended.softmax(1)[:, -1])


def test_the_losses_with_few_labels(step_for, pictures_of):
    """Logits log 2, 0, log 1/2: Z = 3.5, D = 7/9; of the classes a, b, c, a the probabilities are 2, 1, 1/2, 2 over 3.5."""
    model = says(ImprovedGAN(replace(PLAIN, unlabelled_weight=0.25, real_target=0.9), few(IMAGES)), [math.log(2.0), 0.0, math.log(0.5)])
    step = step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))
    loss = model.discriminator_loss(step)
    d = 7 / 9
    expected = {
        "real": [-0.25 * (0.9 * math.log(d) + 0.1 * math.log(1 - d))] * 4,
        "fake": [-0.25 * math.log(1 - d)] * 4,
        "labelled": [-math.log(p / 3.5) for p in (2.0, 1.0, 0.5, 2.0)],
    }
    assert loss.terms.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(loss.terms[name], torch.tensor(values))
    assert float(loss.watch["D(x)"]) == pytest.approx(d) and float(loss.watch["right"]) == 0.5
    cost = model.generator_loss(step).terms["cost"]
    torch.testing.assert_close(cost, torch.full((4,), -math.log(d)))


def test_the_term_with_labels_is_the_cross_entropy(step_for, pictures_of):
    model, step = ImprovedGAN(PLAIN, few(IMAGES)), step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))
    term = model.discriminator_loss(step).terms["labelled"]
    logits, labels = model.discriminator(step.batch["labelled"]), step.batch["labelled_classes"].argmax(1)
    torch.testing.assert_close(term, cross_entropy(logits, labels, reduction="none"))


def test_without_labels_it_is_the_ordinary_game(step_for, pictures_of):
    """K = 1: a is the logit itself, and terms have weight 1 whatever `unlabelled_weight` says."""
    model = says(ImprovedGAN(replace(PLAIN, unlabelled_weight=0.1), IMAGES), [0.0])
    loss = model.discriminator_loss(step_for(pictures_of(4, 1, 8, 8)))
    assert loss.terms.keys() == {"real", "fake"}
    torch.testing.assert_close(sum(loss.terms.values()), torch.full((4,), math.log(4)))


def test_one_sided_smoothing_moves_the_best_answer_on_reals_to_nine_tenths_and_leaves_fakes(step_for, pictures_of):
    step = step_for(pictures_of(4, 1, 8, 8))
    for logit, sign in ((math.log(9.0) + 0.1, 1), (math.log(9.0), 0), (math.log(9.0) - 0.1, -1)):
        model = says(ImprovedGAN(replace(PLAIN, real_target=0.9), IMAGES), [logit])
        terms = model.discriminator_loss(step).terms
        (slope,) = torch.autograd.grad(terms["real"].mean(), model.discriminator.head[-1].bias, retain_graph=True)
        assert abs(float(slope)) < 1e-6 if sign == 0 else float(slope) * sign > 0.005
        torch.testing.assert_close(terms["fake"], torch.full((4,), math.log1p(math.exp(logit))))


def test_feature_matching_is_the_squared_distance_of_means(step_for):
    """Features made the input itself, so that means can be taken by hand: reals have mean (1, 2), fakes that of the step's draw."""
    model = ImprovedGAN(replace(PLAIN, generator_cost="feature-matching"), PLANE)
    model.discriminator.trunk = nn.Identity()
    real = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
    with torch.no_grad():
        fake = model.generator(model.draw(2, step_for(real).rng))
    terms = model.generator_loss(step_for(real)).terms
    expected = (fake[:, 0].mean() - 1) ** 2 + (fake[:, 1].mean() - 2) ** 2
    assert terms.keys() == {"features"} and terms["features"].shape == ()
    torch.testing.assert_close(terms["features"], expected)


def test_equal_features_end_feature_matching_whatever_the_head_says(step_for, pictures_of):
    model, real = ImprovedGAN(replace(PLAIN, generator_cost="feature-matching"), IMAGES), pictures_of(4, 1, 8, 8)
    model.generator = _Gives(real)
    says(model, [-7.0])
    assert float(model.generator_loss(step_for(real)).terms["features"].detach()) < 1e-10


class _Gives(nn.Module):
    """A generator of given samples."""

    def __init__(self, samples):
        super().__init__()
        self.samples = nn.Parameter(samples)

    def forward(self, z):
        return self.samples


def test_historical_averaging_pulls_each_player_to_its_past(step_for, pictures_of):
    """All parameters of a player moved by 1 / 4 from where they began: w (P / 16), then P (1 / 8)^2 w from the mean of both."""
    model = ImprovedGAN(replace(TINY, history_weight=0.5), IMAGES)
    step = step_for(pictures_of(4, 1, 8, 8))
    (stage,) = model.stages()
    for phase, network in zip(stage.phases, (model.discriminator, model.generator), strict=True):
        count = sum(p.numel() for p in network.parameters())
        assert float(phase.loss(step).terms["history"].detach()) == 0.0
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.25)
        assert float(phase.loss(step).terms["history"].detach()) == pytest.approx(0.5 * count / 16, rel=1e-4)
        with torch.no_grad():
            model.after_update(phase, {}, {})
        assert float(phase.loss(step).terms["history"].detach()) == pytest.approx(0.5 * count / 64, rel=1e-4)
    assert float(model.generator_history.count) == float(model.discriminator_history.count) == 2.0


# (b) what only it has


def test_a_sample_is_normalised_by_the_reference_and_itself_also_while_training():
    model = ImprovedGAN(TINY, IMAGES).train()
    z = model.draw(6, SampleDraws(0))
    assert any(isinstance(layer, VirtualNorm) for layer in model.generator.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.generator.modules())
    torch.testing.assert_close(model.made(z)[3:4], model.made(z[3:4]))
    before = model.made(z)
    model.reference.add_(1.0)
    assert not torch.allclose(model.made(z), before)


def test_the_reference_is_drawn_with_the_first_weights_and_never_moves(step_for, pictures_of):
    def built():
        torch.manual_seed(5)
        return ImprovedGAN(TINY, IMAGES)

    model = built()
    assert torch.equal(model.reference, built().reference) and model.reference.shape == (4, 4) and "reference" in model.state_dict()
    assert len(ImprovedGAN(PLAIN, IMAGES).reference) == 0


def test_the_discriminator_sees_collapse_by_minibatch_discrimination(pictures_of):
    """Equal images get another logit together than alone; without kernels they do not."""
    torch.manual_seed(0)
    image = pictures_of(1, 1, 8, 8)
    for kernels, sees in ((5, True), (0, False)):
        discriminator = Discriminator(replace(PLAIN, kernels=kernels), IMAGES, 1)
        alone, crowd = discriminator(image), discriminator(image.expand(6, -1, -1, -1))
        assert torch.allclose(alone.expand(6, 1), crowd, atol=1e-6) is not sees
        assert any(isinstance(layer, MinibatchDiscrimination) for layer in discriminator.modules()) is sees


def test_reals_and_fakes_are_compared_among_themselves(step_for, pictures_of):
    """Section 3.2: the kernels of a real image do not know the samples."""
    model, step = ImprovedGAN(replace(TINY, real_target=1.0), IMAGES), step_for(pictures_of(4, 1, 8, 8))
    logits = realness(model.discriminator(step.batch.images))
    torch.testing.assert_close(model.discriminator_loss(step).terms["real"], nn.functional.softplus(-logits))


def test_with_few_labels_it_classifies_and_without_it_says_so(pictures_of, step_for):
    batch = step_for(pictures_of(5, 1, 8, 8)).batch
    model = ImprovedGAN(TINY, few(IMAGES)).eval()
    assert isinstance(model, Classify) and model.classify(batch).shape == (5, K) and model.classify(batch).dtype == torch.float32
    with pytest.raises(GanvasError, match="improved_gan: this run had no labels to learn classes from; train on few:100:SOURCE"):
        ImprovedGAN(TINY, IMAGES).classify(batch)
    labelled = replace(IMAGES, classes=("a", "b", "c"))  # all labels known, which is another game: they are not looked at
    assert ImprovedGAN(TINY, labelled).classes == 0


def test_the_classifier_learns_from_few_labels_while_the_game_goes_on(step_for, pictures_of):
    torch.manual_seed(0)
    model = ImprovedGAN(replace(PLAIN, lr_discriminator=5e-3), few(IMAGES))
    (stage,) = model.stages()
    optimizers = [Adam(lr=5e-3, betas=(0.5, 0.999)).build(list(phase.trains[0].parameters())) for phase in stage.phases]
    for step in range(40):
        at = step_for(pictures_of(8, 1, 8, 8), seed=step, **known(pictures_of, 8))
        for phase, optimizer in zip(stage.phases, optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = 5e-3
            optimizer.zero_grad()
            sum(term.mean() for term in phase.loss(at).terms.values()).backward()
            optimizer.step()
    watch = model.discriminator_loss(at).watch
    assert float(watch["right"]) == 1.0


def test_the_average_holds_the_classifier_where_there_is_one():
    assert ImprovedGAN(TINY, few(IMAGES)).average().modules[1].__class__ is Discriminator
    assert len(ImprovedGAN(TINY, IMAGES).average().modules) == 1
    assert ImprovedGAN(replace(TINY, ema_half_life=None), IMAGES).average() is None


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 11, 13)])
@pytest.mark.parametrize("network", ["dense", "strided"])
@pytest.mark.parametrize("norm", ["batch", "virtual", "none"])
def test_samples_have_the_data_s_size(shape, network, norm, step_for, pictures_of):
    config = replace(TINY, network=network, generator_norm=norm, generator_widths=(6,), discriminator_widths=(6, 5))
    model = ImprovedGAN(config, DataSpec(kind="images", shape=shape))
    assert model.discriminator_loss(step_for(pictures_of(4, *shape))).terms["real"].shape == (4,)
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


# Presets and configuration


def test_the_paper_preset_is_the_authors_script():
    config = PRESETS["paper"]
    model = ImprovedGAN(config, few(DataSpec(kind="images", shape=(1, 28, 28))))
    layers = [layer.weight.shape for layer in model.discriminator.trunk.layers]
    assert layers == [(1000, 784), (500, 1000), (250, 500), (250, 250), (250, 250)]
    assert [noise.sigma for noise in model.discriminator.trunk.noises] == [0.6, 0.5, 0.5, 0.5, 0.5]
    assert model.discriminator.head[0].sigma == 0.5 and model.discriminator.head[1].weight.shape == (K, 250)
    assert [layer.weight.shape for layer in model.generator.layers] == [(500, 100), (500, 500)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in model.generator.modules()) == 2
    (stage,) = model.stages()
    assert (stage.images, stage.batch) == (18_000_000, 100)
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 3e-3}
    assert config.generator_cost == "feature-matching" and config.kernels == 0 and config.unlabelled_weight == 0.5
    assert 0.5 ** (100 / model.average().half_life) == pytest.approx(1 - 1e-4, abs=1e-9)


def test_quick_uses_the_remedies_for_pictures():
    config = PRESETS["quick"]
    assert (config.generator_norm, config.real_target, config.generator_cost) == ("virtual", 0.9, "non-saturating")
    assert config.kernels > 0 and config.images == 600_000
    assert PRESETS["quick-few"] == replace(Config(), images=600_000, decay_from=0.5, ema_half_life=20_000.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "--config.batch must be a whole number of at least 1, not 0"),
        ({"reference": 1}, "--config.reference must be a whole number of at least 2, not 1"),
        ({"kernels": -1}, "--config.kernels must be a whole number of at least 0, not -1"),
        ({"real_target": 0.0}, "--config.real_target must be above 0 and at most 1, not 0.0"),
        ({"real_target": 1.1}, "--config.real_target must be above 0 and at most 1, not 1.1"),
        ({"history_weight": -1.0}, "--config.history_weight must be at least 0"),
        ({"generator_norm": "virtuel"}, "--config.generator_norm must be one of batch, virtual, none.*Did you mean 'virtual'"),
        ({"lr_generator": math.nan}, "--config.lr_generator must be above 0, not nan"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_tokens_and_labels():
    with pytest.raises(GanvasError, match="improved_gan takes images or points, not tokens"):
        ImprovedGAN(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="not conditional"):
        ImprovedGAN(TINY, PLANE).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace: all remedies, few labels


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: ImprovedGAN(TINY, few(data)), pictures_of(8, 1, 8, 8), TRACE, **known(pictures_of, 8))
