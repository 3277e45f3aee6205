"""Triple-GAN: the three players' losses by hand, who pays for which pair, the settings of the authors' script, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softplus

from ganvas.engine.capabilities import Classify
from ganvas.engine.clock import Clock
from ganvas.engine.contract import Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam
from ganvas.errors import GanvasError
from ganvas.models.triplegan import PRESETS, TripleGAN

TINY = PRESETS["tiny"]
GAME = replace(TINY, pretrain_images=0)  # the game alone
K = 3


def few(*shape):
    return DataSpec(kind="images", shape=shape, classes=("a", "b", "c"), views={"labelled": shape, "labelled_classes": (K,)})


IMAGES = few(1, 8, 8)

TRACE = {
    "discriminator/real": [0.647633, 0.637555, 0.63346, 0.608963, 0.584305],
    "discriminator/classified": [0.36612, 0.373391, 0.345742, 0.350071, 0.357256],
    "discriminator/made": [0.363393, 0.356102, 0.370435, 0.363834, 0.384408],
    "generator/cost": [0.334694, 0.340774, 0.329401, 0.329017, 0.330414],
    "classifier/pairs": [0.137672, 0.13633, 0.131657, 0.141137, 0.136744],
    "classifier/labelled": [1.2337, 1.14874, 1.05673, 1.0797, 1.06315],
    "classifier/entropy": [0.318058, 0.314074, 0.31603, 0.316613, 0.317561],
    "classifier/balance": [0.0011341, 0.00114974, 0.00114197, 0.00113986, 0.00113433],
    "classifier/pseudo": [0.104949, 0.125313, 0.119116, 0.111661, 0.0991418],
}


def at(fraction, budget=1000):
    images = round(fraction * budget)
    return Clock(step=9, images=images, budget=budget, stage_step=9, stage_images=images, stage_budget=budget)


def known(pictures, n=4):
    """n labelled pictures, as a batch has them."""
    return {"labelled": pictures(n + 9, 1, 8, 8)[9:], "labelled_classes": torch.eye(K)[torch.arange(n) % K]}


class Table(nn.Module):
    """A discriminator that looks at the class alone: one logit for each."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x, y):
        return self.logits[y]


class Says(nn.Module):
    """A classifier with the same logits for every image."""

    def __init__(self, probabilities):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probabilities).log())

    def forward(self, x):
        return self.logits.expand(len(x), -1)


P, A = (0.2, 0.5, 0.3), (0.3, -1.0, 2.0)


def by_hand(**changes):
    """A game whose classifier says P of every image, and whose discriminator says A of the classes."""
    model = TripleGAN(replace(GAME, **changes), IMAGES)
    model.classifier, model.discriminator = Says(P), Table(A)
    return model


def sp(t):
    return math.log1p(math.exp(t))


# (a) by hand


@pytest.mark.parametrize(("pairs", "classified"), [("argmax", sp(A[1])), ("integrate", sum(p * sp(a) for p, a in zip(P, A, strict=True)))])
def test_the_discriminator_s_loss(step_for, pictures_of, pairs, classified):
    """The four labelled images are a, b, c, a; every unlabelled one is b, the likeliest."""
    model = by_hand(pairs=pairs, alpha=0.25, labelled_share=0.1)
    step = step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))
    loss = model.discriminator_loss(step)
    over_labels = (2 * sp(-A[0]) + sp(-A[1]) + sp(-A[2])) / 4
    assert loss.terms.keys() == {"real", "classified", "made"}
    assert float(loss.terms["real"].detach()) == pytest.approx(0.1 * over_labels + 0.9 * sp(-A[1]), rel=1e-5)
    assert float(loss.terms["classified"].detach()) == pytest.approx(0.25 * classified, rel=1e-5)
    y = step_for(pictures_of(4, 1, 8, 8)).rng.integers(4, K)  # the first draw of the step
    torch.testing.assert_close(loss.terms["made"], 0.75 * softplus(torch.tensor(A)[y]))
    assert float(loss.watch["D(x, C(x))"]) == pytest.approx(1 / (1 + math.exp(-A[1])), rel=1e-5)


@pytest.mark.parametrize(
    ("pairs", "value"), [("argmax", P[1] * sp(-A[1])), ("integrate", sum(p * sp(-a) for p, a in zip(P, A, strict=True)))]
)
def test_the_classifier_s_loss(step_for, pictures_of, pairs, value):
    model = by_hand(pairs=pairs, alpha=0.25, entropy_weight=2.0, balance_weight=3.0, pseudo_weight=0.5)
    terms = model.classifier_loss(step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))).terms
    assert terms.keys() == {"pairs", "labelled", "entropy", "balance", "pseudo"}
    y = step_for(pictures_of(4, 1, 8, 8)).rng.integers(4, K)
    expected = {
        "pairs": torch.full((4,), 0.25 * value),
        "labelled": -torch.tensor([P[0], P[1], P[2], P[0]]).log(),
        "entropy": torch.full((4,), -2.0 * sum(p * math.log(p) for p in P)),
        "balance": torch.tensor(-3.0 * sum(math.log(p) for p in P) / K),
        "pseudo": -0.5 * torch.tensor(P)[y].log(),
    }
    for name, values in expected.items():
        torch.testing.assert_close(terms[name], values, msg=lambda said, name=name: f"{name}: {said}")


def test_the_generator_s_loss(step_for, pictures_of):
    model = by_hand(alpha=0.25)
    cost = model.generator_loss(step_for(pictures_of(4, 1, 8, 8))).terms["cost"]
    y = step_for(pictures_of(4, 1, 8, 8)).rng.integers(4, K)
    torch.testing.assert_close(cost, 0.75 * softplus(-torch.tensor(A)[y]))


def test_the_classifier_alone_learns_labels_and_sure_and_balanced_answers(step_for, pictures_of):
    model = by_hand(entropy_weight=2.0, balance_weight=3.0, pretrain_balance_weight=5.0)
    terms = model.pretraining_loss(step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))).terms
    assert terms.keys() == {"labelled", "entropy", "balance"}
    assert float(terms["balance"].detach()) == pytest.approx(-5.0 * sum(math.log(p) for p in P) / K, rel=1e-5)


# (b) what only it has


def test_the_classifier_moves_towards_the_class_of_the_better_pair(step_for, pictures_of):
    """By `integrate` the gradient by the logits is p_k (c_k - mean c) for costs c = sp(-a): down where the pair convinces."""
    model = by_hand(pairs="integrate", alpha=1.0)
    pairs = model.classifier_loss(step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))).terms["pairs"].mean()
    (gradient,) = torch.autograd.grad(pairs, model.classifier.logits)
    p, cost = torch.tensor(P), softplus(-torch.tensor(A))
    torch.testing.assert_close(gradient, p * (cost - (p * cost).sum()))
    assert float(gradient[2]) < 0 < float(gradient[1])  # class c has the highest logit, b the lowest


def test_only_the_probability_carries_the_gradient_of_the_likeliest_pair(step_for, pictures_of):
    model = by_hand(pairs="argmax", alpha=1.0)
    pairs = model.classifier_loss(step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))).terms["pairs"].mean()
    (gradient,) = torch.autograd.grad(pairs, model.classifier.logits)
    p = torch.tensor(P)
    torch.testing.assert_close(gradient, sp(-A[1]) * p[1] * (torch.eye(K)[1] - p))


def test_the_pseudo_discriminative_loss_begins_late_and_trains_the_classifier_alone(step_for, pictures_of):
    model = TripleGAN(replace(GAME, pseudo_from=0.5), IMAGES)
    step = step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))
    assert "pseudo" not in model.classifier_loss(replace(step, clock=at(0.49))).terms
    late = model.classifier_loss(replace(step, clock=at(0.5))).terms["pseudo"]
    moved = torch.autograd.grad(late.mean(), list(model.parameters()), allow_unused=True)
    own = {id(p) for p in model.classifier.parameters()}
    assert all((gradient is not None) == (id(p) in own) for p, gradient in zip(model.parameters(), moved, strict=True))
    assert "pseudo" not in TripleGAN(replace(GAME, pseudo_weight=0.0), IMAGES).classifier_loss(step).terms


def test_no_image_is_a_real_pair_and_a_judged_one_at_once(step_for, pictures_of):
    seen = []

    class Notes(Table):
        def forward(self, x, y):
            seen.append(x)
            return super().forward(x, y)

    model = by_hand()
    model.discriminator, pictures = Notes(A), pictures_of(6, 1, 8, 8)
    model.discriminator_loss(step_for(pictures, **known(pictures_of, 6)))
    labelled, real, made, judged = seen
    assert torch.equal(real, pictures[:3]) and torch.equal(judged, pictures[3:]) and len(labelled) == len(made) == 6


def test_images_are_never_paired_with_the_classes_of_the_few(step_for, pictures_of):
    """Another order of the labelled pairs changes nothing of what is said of the unlabelled images."""
    torch.manual_seed(0)
    model = TripleGAN(replace(GAME, labelled_share=0.0, entropy_weight=0.0), IMAGES).eval()
    one, pictures = known(pictures_of), pictures_of(4, 1, 8, 8)
    other = {"labelled": one["labelled"].flip(0), "labelled_classes": one["labelled_classes"].flip(0)}
    first, second = (model.discriminator_loss(step_for(pictures, **views)).terms for views in (one, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    mean, turned = (model.classifier_loss(step_for(pictures, **views)).terms["labelled"].mean() for views in (one, other))
    torch.testing.assert_close(mean, turned)


def test_samples_follow_their_labels_and_classes_are_drawn_evenly():
    model = TripleGAN(TINY, IMAGES).eval()
    asked = Condition(labels=torch.tensor([2, 0, 2, 0]))
    sample = model.sample(4, condition=asked, rng=SampleDraws(0))
    z = model.draw(4, SampleDraws(0))
    torch.testing.assert_close(sample, model.generator(z, asked.labels))
    assert not torch.equal(model.generator(z, torch.zeros(4, dtype=torch.int64)), model.generator(z, torch.ones(4, dtype=torch.int64)))
    with pytest.raises(GanvasError, match="triplegan: 4 samples take as many labels"):
        model.sample(4, condition=Condition(labels=torch.zeros(3, dtype=torch.int64)), rng=SampleDraws(0))


def test_it_classifies_without_a_look_at_labels(step_for, pictures_of):
    model, step = TripleGAN(TINY, IMAGES).eval(), step_for(pictures_of(5, 1, 8, 8))
    assert isinstance(model, Classify) and model.classify(step.batch).shape == (5, K)
    torch.testing.assert_close(model.classify(step.batch)[:2], model.classify(step_for(pictures_of(2, 1, 8, 8)).batch))


@pytest.mark.parametrize("network", ["dense", "strided"])
@pytest.mark.parametrize("pairs", ["argmax", "integrate"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 11, 13), (2, 9, 6)])
def test_images_of_every_size(network, pairs, shape, step_for, pictures_of):
    config = replace(GAME, network=network, pairs=pairs, generator_widths=(6,), discriminator_widths=(6, 5))
    model = TripleGAN(config, few(*shape))
    step = step_for(pictures_of(4, *shape), labelled=pictures_of(4, *shape), labelled_classes=torch.eye(K)[[0, 1, 2, 0]])
    (stage,) = model.stages()
    for phase in stage.phases:
        assert all(torch.isfinite(term).all() for term in phase.loss(step).terms.values())
    sample = model.eval().sample(3, rng=SampleDraws(1))
    assert sample.shape == (3, *shape) and sample.abs().max() <= 1


# Presets and configuration


def test_the_paper_preset_is_the_authors_script():
    config = PRESETS["paper"]
    model = TripleGAN(config, few(1, 28, 28))
    assert [layer.weight.shape for layer in model.discriminator.trunk.layers] == [
        (1000, 784 + K), (500, 1000 + K), (250, 500 + K), (250, 250 + K), (250, 250 + K),
    ]  # fmt: skip
    assert [layer.weight.shape for layer in model.generator.layers.layers] == [(500, 100 + K), (500, 500 + K)]
    convolutions = [layer for layer in model.classifier.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.kernel_size[0]) for layer in convolutions] == [(32, 5), (64, 3), (64, 3), (128, 3), (128, 3)]
    assert [layer.p for layer in model.classifier.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    alone, game = model.stages()
    assert (alone.images, game.images, alone.batch, game.batch) == (1_800_000, 60_000_000, 100, 100)
    (first,) = alone.phases
    assert first.optimizer.betas == (0.9, 0.999) and first.optimizer.settings(at(0.9)) == {"lr": 3e-4}
    assert [phase.name for phase in game.phases] == ["discriminator", "generator", "classifier"]
    for phase in game.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert [phase.optimizer.settings(at(share))["lr"] for share in (0.0, 0.3)] == [1e-3, 1e-3]
        assert phase.optimizer.settings(at(0.65))["lr"] == pytest.approx(1e-3 * 0.995**350)
        assert phase.optimizer.settings(at(1.0))["lr"] == pytest.approx(1e-3 * 0.995**700)
    assert (config.alpha, config.pseudo_weight, config.pseudo_from, config.entropy_weight) == (0.5, 0.1, 0.3, 0.3)
    assert (config.balance_weight, config.pretrain_balance_weight, config.labelled_share) == (1e-3, 0.3, 1 / 401)
    assert 0.5 ** (100 / model.average().half_life) == pytest.approx(0.99)


def test_averages_are_of_what_is_used_afterwards():
    model = TripleGAN(TINY, IMAGES)
    assert model.average().modules == (model.generator, model.classifier)
    assert TripleGAN(replace(TINY, ema_half_life=None), IMAGES).average() is None
    assert TripleGAN(replace(TINY, decay_from=None), IMAGES).stages()[1].phases[0].optimizer.settings(at(1.0)) == {"lr": 2e-3}


def test_the_cross_entropies_are_torch_s(step_for, pictures_of):
    model, step = TripleGAN(GAME, IMAGES).eval(), step_for(pictures_of(4, 1, 8, 8), **known(pictures_of))
    expected = cross_entropy(model.classifier(step.batch["labelled"]), step.batch["labelled_classes"].argmax(1), reduction="none")
    torch.testing.assert_close(model.classifier_loss(step).terms["labelled"], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 1}, "--config.batch must be a whole number of at least 2, not 1"),
        ({"alpha": 1.5}, "--config.alpha must be at least 0 and at most 1, not 1.5"),
        ({"pairs": "both"}, "--config.pairs must be one of argmax, integrate"),
        ({"pseudo_from": 1.0}, "--config.pseudo_from must be at least 0 and below 1, not 1.0"),
        ({"decay_to": 0.0}, "--config.decay_to must be above 0 and at most 1, not 0.0"),
        ({"pretrain_images": -1}, "--config.pretrain_images must be a whole number of at least 0, not -1"),
        ({"lr": math.inf}, "--config.lr must be above 0"),
        ({"betas_pretrain": (0.9, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_and_data_without_few_labels():
    with pytest.raises(GanvasError, match="triplegan takes images, not points"):
        TripleGAN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="triplegan needs data with few labels: few:100:SOURCE"):
        TripleGAN(TINY, DataSpec(kind="images", shape=(1, 8, 8), classes=("a", "b")))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: TripleGAN(GAME, few(*data.shape)), pictures_of(8, 1, 8, 8), TRACE, **known(pictures_of, 8))
