"""BSGAN: weights, partition and gradient by hand and against exact expectations, black and white images, presets, a short trace."""

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
from ganvas.models.bsgan import BSGAN, PRESETS, Config, cost_of, weighted_target, weights_of

TINY = PRESETS["tiny"]
EIGHT = DataSpec(kind="images", shape=(1, 8, 8))

TRACE = {
    "discriminator/value": [1.38093, 1.38152, 1.37936, 1.3766, 1.37051],
    "generator/cost": [41.2516, 42.9252, 41.6669, 41.2879, 41.1305],
}

# Two pixels: all four images x, the generator's logits, and the discriminator's logit of each image.
IMAGES = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
OUTPUTS = torch.tensor([0.4, -1.1], dtype=torch.float64)
ODDS = torch.tensor([-1.0, 0.5, 2.0, -0.3], dtype=torch.float64)


def law_of(outputs):
    """g(x) of the four images."""
    p = outputs.sigmoid()
    return (IMAGES * p + (1 - IMAGES) * (1 - p)).prod(1)


def exact_gradient():
    """d KL(p~ || g) / d outputs with p~ = w g / Z held fixed, written out: -sum_x p~(x) (x - p)."""
    target = law_of(OUTPUTS) * ODDS.exp()
    target = target / target.sum()
    return -(target[:, None] * (IMAGES - OUTPUTS.sigmoid())).sum(0)


# (a) by hand


def test_weights_and_partition_by_hand():
    logits = torch.tensor([[math.log(1.0), math.log(3.0)], [math.log(0.5), math.log(0.5)]])
    weights, log_z = weights_of(logits)
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    torch.testing.assert_close(log_z, torch.tensor([math.log(2.0), math.log(0.5)]))
    weights, log_z = weights_of(torch.tensor([[900.0, -900.0]]))
    assert weights.tolist() == [[1.0, 0.0]] and float(log_z) == pytest.approx(900 - math.log(2))


def test_the_gradient_of_given_samples_by_hand():
    """x_1 = (1, 0) and x_2 = (1, 1) of weights 1/4 and 3/4: -(sum w x - p) = p - (1, 3/4)."""
    outputs = torch.tensor([[0.4, -1.1]], requires_grad=True)
    drawn, weights = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]]), torch.tensor([[0.25, 0.75]])
    p = outputs.detach().sigmoid()
    (found,) = torch.autograd.grad(cost_of(outputs, weighted_target(drawn, weights)).sum(), outputs)
    torch.testing.assert_close(found, p - torch.tensor([[1.0, 0.75]]))
    by_terms = sum(w * cost_of(outputs, x) for w, x in zip(weights[0], drawn[0][:, None], strict=True))
    torch.testing.assert_close(cost_of(outputs, weighted_target(drawn, weights)), by_terms)
    (found,) = torch.autograd.grad(cost_of(outputs, weighted_target(drawn, weights, p)).sum(), outputs)
    # with the control variate: -sum (w - 1/2) x = (0, -(3/4 - 1/2))
    torch.testing.assert_close(found, torch.tensor([[0.0, -0.25]]), rtol=1e-5, atol=1e-6)


def test_the_weighted_samples_of_all_images_give_the_exact_expectation():
    """Where every image is drawn in its own share, which 10,000 rows do here to four digits, the estimate is the exact gradient of the
    divergence and the mean weight the exact partition."""
    counts = (law_of(OUTPUTS) * 10_000).round().long()
    drawn, logits = IMAGES.repeat_interleave(counts, 0)[None], ODDS.repeat_interleave(counts)[None]
    weights, log_z = weights_of(logits)
    assert float(log_z) == pytest.approx(math.log(float((law_of(OUTPUTS) * ODDS.exp()).sum())), abs=1e-3)
    for probability in (None, OUTPUTS.sigmoid()[None]):
        outputs = OUTPUTS[None].clone().requires_grad_()
        (found,) = torch.autograd.grad(cost_of(outputs, weighted_target(drawn, weights, probability)).sum(), outputs)
        torch.testing.assert_close(found[0], exact_gradient(), rtol=0, atol=1e-3)


# (b) what only it has


def test_at_the_best_discriminator_one_step_s_target_is_the_data():
    """Theorem 1: with D = p / (p + g) the weighted law w g / Z is p, and Z is 1."""
    data = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    law = law_of(OUTPUTS)
    best = (data / law).log()  # the logit of p / (p + g)
    torch.testing.assert_close(best.exp() * law, data)
    counts = (law * 100_000).round().long()
    weights, log_z = weights_of(best.repeat_interleave(counts)[None])
    mean = weighted_target(IMAGES.repeat_interleave(counts, 0)[None], weights)
    torch.testing.assert_close(mean[0], (data[:, None] * IMAGES).sum(0), rtol=0, atol=1e-4)
    assert float(log_z) == pytest.approx(0, abs=1e-4)


def test_the_control_variate_changes_no_mean_and_takes_away_variance():
    generator = torch.Generator().manual_seed(0)
    p = OUTPUTS.sigmoid()
    drawn = (torch.rand(20_000, 5, 2, generator=generator, dtype=torch.float64) < p).double()
    index = (drawn[..., 0] * 2 + drawn[..., 1]).long()
    weights, _ = weights_of(ODDS[index])
    plain, controlled = p - weighted_target(drawn, weights), p - weighted_target(drawn, weights, p.expand(20_000, 2))
    error = (plain - controlled).std(0) / 20_000**0.5
    assert bool(((plain.mean(0) - controlled.mean(0)).abs() < 4 * error).all())
    # with equal odds every weight is 1 / M: nothing is to be learned, and only the control variate says so
    even, _ = weights_of(torch.zeros(20_000, 5, dtype=torch.float64))
    assert float((p - weighted_target(drawn, even, p.expand(20_000, 2))).abs().max()) < 1e-12
    assert float((p - weighted_target(drawn, even)).var(0).min()) > 0.01


def test_more_samples_come_nearer_to_the_exact_gradient():
    """Weights that are normalised over M samples are biased by the order of 1 / M."""
    generator, p, distances = torch.Generator().manual_seed(0), OUTPUTS.sigmoid(), []
    for samples in (2, 8, 64):
        drawn = (torch.rand(40_000, samples, 2, generator=generator, dtype=torch.float64) < p).double()
        weights, _ = weights_of(ODDS[(drawn[..., 0] * 2 + drawn[..., 1]).long()])
        found = (p - weighted_target(drawn, weights)).mean(0)
        distances.append(float((found - exact_gradient()).norm()))
    assert distances[0] > 2 * distances[1] > 4 * distances[2]


def test_a_generator_learns_a_law_of_pixels_by_the_odds_alone():
    """Gradient descent on exact odds: the marginals of the data are reached, though no gradient passes through an image."""
    data = torch.tensor([0.06, 0.24, 0.14, 0.56], dtype=torch.float64)  # pixels 0.7 and 0.8, independent
    outputs, generator = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True), torch.Generator().manual_seed(0)
    for _ in range(300):
        law, p = law_of(outputs.detach()[0]), outputs.detach().sigmoid()
        drawn = (torch.rand(1, 200, 2, generator=generator, dtype=torch.float64) < p[:, None]).double()
        weights, _ = weights_of((data / law).log()[(drawn[..., 0] * 2 + drawn[..., 1]).long()])
        (slope,) = torch.autograd.grad(cost_of(outputs, weighted_target(drawn, weights, p)).sum(), outputs)
        outputs = (outputs - 0.5 * slope).detach().requires_grad_()
    torch.testing.assert_close(outputs.detach().sigmoid(), torch.tensor([[0.7, 0.8]], dtype=torch.float64), rtol=0, atol=0.04)


def test_no_gradient_passes_through_weights_or_images(step_for, pictures_of):
    """The gradient by the generator's last bias is the mean over codes of the sum over pixels of p - target."""
    model, images = BSGAN(TINY, EIGHT), pictures_of(8, 1, 8, 8)
    bias = model.generator.layers[-1].bias
    (found,) = torch.autograd.grad(model.generator_loss(step_for(images)).terms["cost"].mean(), bias)
    with torch.no_grad():
        rng = step_for(images).rng
        p = model.generator(model.draw(8, rng)).sigmoid()
        drawn = (rng.uniform(8, 3, 1, 8, 8) < p[:, None]).float()
        logits = torch.stack([model.discriminator(2 * drawn[:, m] - 1) for m in range(3)], 1)
        target = (logits.softmax(1)[:, :, None, None, None] * drawn).sum(1)
    torch.testing.assert_close(found[0], (p - target).sum((1, 2, 3)).mean(), rtol=1e-4, atol=1e-4)


def test_the_watch_says_how_many_samples_count(step_for, pictures_of):
    model = BSGAN(TINY, EIGHT)
    nn.init.zeros_(model.discriminator[1].weight)
    nn.init.constant_(model.discriminator[1].bias, 0.7)
    watch = model.generator_loss(step_for(pictures_of(8, 1, 8, 8))).watch
    assert float(watch["effective"]) == pytest.approx(3) and float(watch["log Z"]) == pytest.approx(0.7)


def test_samples_are_black_and_white_and_drawn_with_the_pixels_probabilities():
    model = BSGAN(TINY, EIGHT).eval()
    nn.init.zeros_(model.generator.layers[-1].weight)
    nn.init.constant_(model.generator.layers[-1].bias, math.log(3.0))
    samples = model.sample(400, rng=SampleDraws(0))
    assert set(samples.unique().tolist()) == {-1.0, 1.0}
    assert float((samples > 0).float().mean()) == pytest.approx(0.75, abs=0.01)
    assert bool((model.decode(model.draw(4, SampleDraws(0))) == 1).all())


def test_the_discriminator_is_shown_black_and_white_data(step_for):
    grey = torch.full((6, 1, 8, 8), 0.5)  # 3/4 of the way to white

    class Keeps(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.flatten(1).mean(1)

    for binarise, share in (("threshold", 1.0), ("draw", 0.75)):
        seen = []
        model = BSGAN(replace(TINY, binarise=binarise), EIGHT)
        model.discriminator = Keeps()
        model.discriminator_loss(step_for(grey))
        assert all(set(x.unique().tolist()) <= {-1.0, 1.0} for x in seen) and len(seen) == 2
        assert float((seen[0] > 0).float().mean()) == pytest.approx(share, abs=0.07)


def test_the_continuous_version_goes_to_where_the_discriminator_cannot_decide(step_for, pictures_of):
    """(log D - log(1 - D))^2 is the squared logit, and grey images pass as they are."""
    model = BSGAN(replace(TINY, version="continuous"), EIGHT)
    images = pictures_of(8, 1, 8, 8)
    nn.init.zeros_(model.discriminator[1].weight)
    nn.init.constant_(model.discriminator[1].bias, -1.5)
    d = torch.tensor(-1.5).sigmoid()
    loss = model.generator_loss(step_for(images))
    torch.testing.assert_close(loss.terms["cost"], ((d.log() - (1 - d).log()) ** 2).expand(8))
    samples = model.eval().sample(4, rng=SampleDraws(0))
    assert len(samples.unique()) > 50 and torch.equal(samples, model.decode(model.draw(4, SampleDraws(0))))


def test_the_discriminator_sees_each_image_alone(pictures_of):
    """Weights are compared between samples, so no normalisation may mix them."""
    model, x = BSGAN(TINY, EIGHT), pictures_of(6, 1, 8, 8)
    assert not any("Norm" in type(layer).__name__ for layer in model.discriminator.modules())
    torch.testing.assert_close(model.discriminator(x)[:2], model.discriminator(x[:2]))
    assert model.score(Batch({"images": x})).shape == (6,)


# Presets and configuration


def test_the_paper_preset_is_the_authors_code():
    model = BSGAN(Config(), DataSpec(kind="images", shape=(1, 28, 28)))
    (stage,) = model.stages()
    assert (stage.batch, Config().samples, Config().z, Config().control) == (64, 20, 64, False)
    clock = Clock(step=0, images=0, budget=1000, stage_step=0, stage_images=0, stage_budget=1000)
    for phase in stage.phases:
        assert isinstance(phase.optimizer, Adam) and phase.optimizer.betas == (0.5, 0.999)
        assert phase.optimizer.settings(clock) == {"lr": 1e-4}
    sizes = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(64, 1024), (1024, 6272), (6272, 1024), (1024, 1)]
    kernels = {layer.kernel_size for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)}
    assert kernels == {(5, 5)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "grey"}, "--config.version must be one of discrete, continuous, not 'grey'"),
        ({"samples": 1}, "--config.samples must be a whole number of at least 2, not 1"),
        ({"binarise": "no"}, "--config.binarise must be one of threshold, draw, not 'no'"),
        ({"batch": 0}, "--config.batch must be a whole number of at least 2, not 0"),
        ({"betas": (0.5, 1.0)}, "--config.betas"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="bsgan takes images, not points"):
        BSGAN(TINY, DataSpec(kind="points", shape=(2,)))
    condition = Condition(labels=torch.zeros(1, dtype=torch.int64))
    for refuses in (
        lambda m: m.sample(1, condition=condition, rng=SampleDraws(0)),
        lambda m: m.decode(torch.zeros(1, 4), condition=condition),
    ):
        with pytest.raises(GanvasError, match="not conditional"):
            refuses(BSGAN(TINY, EIGHT).eval())


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: BSGAN(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
