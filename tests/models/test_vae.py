"""VAE: the bound by hand, the bound against an exact likelihood, what its numbers mean, presets, and a short trace."""

import math
from dataclasses import replace

import pytest
import torch

from ganvas.engine.clock import Clock
from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.optimizers import Adagrad, Adam
from ganvas.errors import GanvasError
from ganvas.models.vae import PRESETS, VAE, Config

TINY = PRESETS["tiny"]
DIGITS = DataSpec(kind="images", shape=(1, 8, 8))
PLANE = DataSpec(kind="points", shape=(2,))

TRACE = {
    "bound/reconstruction": [45.7193, 45.192, 45.049, 44.5971, 44.4479],
    "bound/kl": [0.163486, 0.0947607, 0.0812665, 0.110403, 0.134725],
}


def images(x):
    return Batch({"images": x})


def rng(seed=0):
    return StepDraws(seed, 0, 1, torch.device("cpu"))


def linear_gaussian(perfect):
    """p(z) = N(0, I_2), p(x|z) = N(W z + b, s^2 I_3) with orthogonal columns in W, so that the exact posterior is diagonal.

    Returns a model whose encoder is that posterior (or a wrong one), and the exact log-likelihood of its data.
    """
    torch.manual_seed(0)
    sigma = 0.5
    config = replace(TINY, z=2, hidden=(), likelihood="gaussian", sigma=sigma)
    model = VAE(config, DataSpec(kind="points", shape=(3,))).double()
    w = torch.tensor([[1.2, 0.0], [0.0, 0.7], [0.0, 0.7]], dtype=torch.float64)
    b = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    precision = 1 + (w**2).sum(0) / sigma**2  # of the posterior, equation of a linear-Gaussian model
    mean = (w / sigma**2 / precision).T
    with torch.no_grad():
        decoder, encoder = model.decoder.layers[0], model.encoder.layers[0]
        decoder.weight.copy_(w)
        decoder.bias.copy_(b)
        encoder.weight.copy_(torch.cat([mean, torch.zeros(2, 3)]))
        encoder.bias.copy_(torch.cat([-mean @ b, -precision.log()]))
        if not perfect:
            encoder.weight.mul_(0.8)
            encoder.bias[2:] += 0.5
    exact = torch.distributions.MultivariateNormal(b, w @ w.T + sigma**2 * torch.eye(3, dtype=torch.float64))
    return model, exact


# (a) by hand


def test_the_loss_of_a_decoder_that_answers_one_probability(step_for, pictures_of):
    """Every pixel has y = sigma(a); the reconstruction is summed over the 64 pixels, not averaged."""
    a, model = 0.4, VAE(TINY, DIGITS)
    torch.nn.init.zeros_(model.decoder.layers[-1].weight)
    torch.nn.init.constant_(model.decoder.layers[-1].bias, a)
    picture = pictures_of(8, 1, 8, 8)
    x = (picture.flatten(1) + 1) / 2
    y = 1 / (1 + math.exp(-a))
    by_hand = -(x * math.log(y) + (1 - x) * math.log(1 - y)).sum(1)
    terms = model.loss(step_for(picture)).terms
    torch.testing.assert_close(terms["reconstruction"], by_hand)
    mean, log_variance = model.encoder(x).chunk(2, 1)
    torch.testing.assert_close(terms["kl"], 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1))


def test_kl_is_summed_over_the_code(step_for, pictures_of):
    """Twice the code entries, each with the same posterior: twice the KL."""
    values = []
    for z in (2, 4):
        model = VAE(replace(TINY, z=z, hidden=()), DIGITS)
        torch.nn.init.zeros_(model.encoder.layers[0].weight)
        torch.nn.init.constant_(model.encoder.layers[0].bias, 0.5)
        values.append(model.loss(step_for(pictures_of(8, 1, 8, 8))).terms["kl"])
    torch.testing.assert_close(values[1], 2 * values[0])


# (b) what only it has


def test_at_the_exact_posterior_the_bound_is_the_likelihood():
    model, exact = linear_gaussian(perfect=True)
    x = exact.sample((50,))
    bound = model.log_probability(Batch({"points": x}), rng())
    torch.testing.assert_close(bound, exact.log_prob(x), rtol=1e-9, atol=1e-9)


def test_with_any_other_posterior_it_is_lower_and_more_draws_tighten_it():
    model, exact = linear_gaussian(perfect=False)
    x = exact.sample((4,)).repeat_interleave(10_000, 0)
    elbo = model.log_probability(Batch({"points": x}), rng(1)).view(4, -1).mean(1)
    likelihood = exact.log_prob(x).view(4, -1)[:, 0]
    assert (elbo < likelihood - 0.05).all()
    model, _ = linear_gaussian(perfect=False)
    model.config = replace(model.config, bound_samples=8)
    tighter = model.log_probability(Batch({"points": x}), rng(2)).view(4, -1).mean(1)
    assert (tighter > elbo + 0.03).all() and (tighter < likelihood + 0.01).all()


class Cubature:
    """Draws +-sqrt(Z) e_j in turn: their mean over 2 Z rows is the exact expectation of anything quadratic in eps ~ N(0, I)."""

    def normal(self, n, size):
        points = math.sqrt(size) * torch.cat([torch.eye(size), -torch.eye(size)]).double()
        return points.repeat(n // len(points), 1)


def exact_bound(model, x, step_for):
    """The ELBO (N,) of x by the model's own loss, without noise: log p(x|z) of a linear decoder is quadratic in eps."""
    step = replace(step_for(x.repeat_interleave(4, 0)), rng=Cubature())
    terms = model.loss(step).terms
    return -(terms["reconstruction"] + terms["kl"]).view(len(x), 4).mean(1)


def test_the_bound_falls_short_by_the_distance_of_the_encoder_from_the_posterior(step_for):
    """log p(x) - ELBO = KL(q(z|x) || p(z|x)), whatever the encoder: never below 0, and 0 for the exact posterior."""
    model, exact = linear_gaussian(perfect=True)
    x = exact.sample((6,))
    posterior = torch.distributions.Normal(*_of(model, x))
    torch.testing.assert_close(exact_bound(model, x, step_for), exact.log_prob(x), rtol=1e-12, atol=1e-12)
    generator = torch.Generator().manual_seed(0)
    for size in (0.01, 0.1, 0.5, 1.0):
        other, _ = linear_gaussian(perfect=True)
        with torch.no_grad():
            for parameter in other.encoder.parameters():
                parameter += size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        gap = exact.log_prob(x) - exact_bound(other, x, step_for)
        distance = torch.distributions.kl_divergence(torch.distributions.Normal(*_of(other, x)), posterior).sum(1)
        assert (gap > 0).all()
        torch.testing.assert_close(gap, distance, rtol=1e-9, atol=1e-12)


def _of(model, x):
    """Mean and deviation of q(z|x), detached."""
    mean, log_variance = model.encoder(x).detach().chunk(2, 1)
    return mean, (0.5 * log_variance).exp()


def test_an_encoder_that_is_trained_reaches_the_likelihood(step_for):
    """Only the encoder moves, from far away: the bound climbs to log p(x) and no further."""
    model, exact = linear_gaussian(perfect=False)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(0.1)
    x = exact.sample((64,))
    target, optimizer, before = exact.log_prob(x).mean(), torch.optim.Adam(model.encoder.parameters(), lr=0.05), math.inf
    for _ in range(400):
        gap = target - exact_bound(model, x, step_for).mean()
        assert gap > -1e-9
        optimizer.zero_grad()
        gap.backward()
        optimizer.step()
        before = min(before, float(gap.detach()))
    assert before < 1e-3


def test_more_draws_come_nearer_to_the_likelihood_from_below():
    """The importance-weighted bounds L_1 <= L_5 <= L_50 <= log p(x) (Burda et al. 2015, theorem 1)."""
    model, exact = linear_gaussian(perfect=False)
    x = exact.sample((1,)).expand(4000, -1)
    bounds = []
    for draws in (1, 5, 50):
        model.config = replace(model.config, bound_samples=draws)
        bounds.append(float(model.log_probability(Batch({"points": x}), rng(draws)).mean().detach()))
    likelihood = float(exact.log_prob(x[0]))
    assert bounds[0] < bounds[1] < bounds[2] < likelihood + 1e-3
    assert likelihood - bounds[2] < 0.1 * (likelihood - bounds[0])


def test_the_loss_is_minus_the_bound_with_the_kl_in_closed_form(step_for):
    model, exact = linear_gaussian(perfect=False)
    x = exact.sample((3,)).repeat_interleave(40_000, 0)
    loss = model.loss(step_for(x))
    by_closed_form = -(loss.terms["reconstruction"] + loss.terms["kl"]).view(3, -1).mean(1)
    by_draws = model.log_probability(Batch({"points": x}), rng(3)).view(3, -1).mean(1)
    torch.testing.assert_close(by_closed_form, by_draws, rtol=0, atol=0.03)
    torch.testing.assert_close(loss.watch["elbo"], by_closed_form.mean())


def test_the_likelihood_of_binary_images_sums_to_one():
    """Over all 2^4 images of 2 x 2 pixels: the many-draw bound is a probability, of the image binarised at one half."""
    torch.manual_seed(3)
    model = VAE(replace(TINY, bound_samples=1000, init=0.25), DataSpec(kind="images", shape=(1, 2, 2)))
    bits = torch.tensor([[(i >> k) & 1 for k in range(4)] for i in range(16)]).float().view(16, 1, 2, 2)
    with torch.no_grad():
        log_p = model.log_probability(images(2 * bits - 1), rng())
        grey = model.log_probability(images(bits - 0.5), rng())  # pixels of +-1/2 are binarised to the same images
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=0.01)
    torch.testing.assert_close(grey, log_p)


@pytest.mark.parametrize("binarise", ["no", "threshold", "draw"])
def test_targets_of_a_bernoulli_decoder(step_for, pictures_of, binarise):
    """With decoder logits of 0 every target costs log 2; with a logit a, each unit of target mass is worth a."""
    model = VAE(replace(TINY, binarise=binarise), DIGITS)
    torch.nn.init.zeros_(model.decoder.layers[-1].weight)
    torch.nn.init.ones_(model.decoder.layers[-1].bias)
    picture = pictures_of(8, 1, 8, 8) * 0.5  # probabilities between 1/4 and 3/4
    mass = 64 * math.log(1 + math.e) - model.loss(step_for(picture)).terms["reconstruction"]
    x = ((picture + 1) / 2).flatten(1)
    if binarise == "draw":
        assert torch.allclose(mass, mass.round(), atol=1e-3) and not torch.allclose(mass, (x > 0.5).sum(1).float())
        many = model.loss(step_for(picture[:1].expand(2000, -1, -1, -1))).terms["reconstruction"]
        assert float((64 * math.log(1 + math.e) - many.detach()).mean()) == pytest.approx(float(x[0].sum()), abs=0.5)
    else:
        torch.testing.assert_close(mass, x.sum(1) if binarise == "no" else (x > 0.5).sum(1).float(), rtol=1e-4, atol=1e-4)


def test_images_are_means_and_points_are_draws():
    pictures = VAE(TINY, DIGITS).eval()
    z = pictures.draw(5, SampleDraws(0))
    torch.testing.assert_close(pictures.sample(5, rng=SampleDraws(0)), pictures.decode(z))
    torch.testing.assert_close(pictures.decode(z).flatten(1), 2 * pictures.decoder(z).sigmoid() - 1)
    points, exact = linear_gaussian(perfect=True)
    drawn = points.float().sample(4000, rng=rng())
    torch.testing.assert_close(torch.cov(drawn.T).double(), exact.covariance_matrix, rtol=0, atol=0.12)


def test_a_learned_variance_has_a_floor(step_for):
    """A pixel that never changes would have unbounded density."""
    model = VAE(replace(TINY, likelihood="gaussian"), DIGITS)
    torch.nn.init.zeros_(model.decoder.layers[-1].weight)
    torch.nn.init.constant_(model.decoder.layers[-1].bias, 0.0)
    model.decoder.layers[-1].bias.data[64:] = -1000.0
    reconstruction = model.loss(step_for(torch.zeros(8, 1, 8, 8))).terms["reconstruction"]
    torch.testing.assert_close(reconstruction, torch.full((8,), 64 * 0.5 * (math.log(2 * math.pi) - 10.0)))


def test_the_warm_up_weighs_the_kl_term_alone(step_for, pictures_of):
    picture = pictures_of(8, 1, 8, 8)
    torch.manual_seed(0)
    model = VAE(replace(TINY, kl_warmup=0.5), DIGITS)
    full = model.loss(step_for(picture, step=100, budget=800))  # the whole run is over: weight 1
    half = model.loss(step_for(picture, step=25, budget=800))  # a quarter of the run, half of the warm-up
    torch.testing.assert_close(half.terms["kl"], 0.5 * full.terms["kl"])
    torch.testing.assert_close(half.terms["reconstruction"], full.terms["reconstruction"])
    torch.testing.assert_close(half.watch["elbo"], full.watch["elbo"])


def test_beta_weighs_the_kl_term_alone(step_for, pictures_of):
    picture, found = pictures_of(8, 1, 8, 8), []
    for beta in (1.0, 4.0, 0.0):
        torch.manual_seed(0)
        found.append(VAE(replace(TINY, beta=beta, kl_warmup=0.5), DIGITS).loss(step_for(picture, step=25, budget=800)))
    torch.testing.assert_close(found[1].terms["kl"], 4 * found[0].terms["kl"])
    assert not found[2].terms["kl"].any()
    for other in found[1:]:
        torch.testing.assert_close(other.terms["reconstruction"], found[0].terms["reconstruction"])
        torch.testing.assert_close(other.watch["elbo"], found[0].watch["elbo"])  # the bound itself has no weight


def test_the_bound_is_of_images_binarised_as_the_configuration_says():
    """A decoder that answers y = sigma(1) everywhere: log p(x) = (white pixels) 1 - 64 log(1 + e), whatever the code."""
    for how in ("threshold", "draw"):
        model = VAE(replace(TINY, bound_binarise=how, bound_samples=4), DIGITS)
        torch.nn.init.zeros_(model.decoder.layers[-1].weight)
        torch.nn.init.ones_(model.decoder.layers[-1].bias)
        torch.nn.init.zeros_(model.encoder.layers[-1].weight)
        torch.nn.init.zeros_(model.encoder.layers[-1].bias)
        grey = torch.full((2000, 1, 8, 8), -0.5)  # probability 1/4 of white, and below one half
        white = model.log_probability(images(grey), rng()).detach() + 64 * math.log(1 + math.e)
        torch.testing.assert_close(white, white.round(), rtol=0, atol=1e-3)
        assert float(white.mean()) == pytest.approx(16.0 if how == "draw" else 0.0, abs=0.3)
        assert model.measured.endswith("at random" if how == "draw" else "at one half")


def test_encoding_gives_the_posterior_mean(pictures_of):
    model = VAE(TINY, DIGITS)
    picture = pictures_of(6, 1, 8, 8)
    torch.testing.assert_close(model.encode(images(picture)), model.encoder((picture.flatten(1) + 1) / 2)[:, :2])


# Presets and configuration


def test_the_paper_preset_is_section_5():
    model = VAE(PRESETS["paper"], DataSpec(kind="images", shape=(1, 28, 28)))
    shapes = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(784, 500), (500, 40), (20, 500), (500, 784)]
    assert float(model.encoder.layers[0].weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    (stage,) = model.stages()
    (phase,) = stage.phases
    clock = Clock(step=9, images=900, budget=1000, stage_step=9, stage_images=900, stage_budget=1000)
    assert isinstance(phase.optimizer, Adagrad) and phase.optimizer.settings(clock) == {"lr": 0.02}
    assert phase.optimizer.weight_decay == pytest.approx(1 / 60_000) and stage.batch == 100


def test_betas_ask_for_adam():
    (stage,) = VAE(replace(TINY, betas=(0.9, 0.999)), DIGITS).stages()
    assert isinstance(stage.phases[0].optimizer, Adam) and stage.phases[0].optimizer.betas == (0.9, 0.999)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": 0}, "--config.z must be a whole number of at least 1, not 0"),
        ({"sigma": 0.0}, "--config.sigma must be above 0, not 0.0"),
        ({"beta": -1.0}, "--config.beta must be at least 0, not -1.0"),
        ({"kl_warmup": 1.5}, "--config.kl_warmup must be at least 0 and at most 1, not 1.5"),
        ({"bound_samples": 0}, "--config.bound_samples must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError, match=message):
        replace(TINY, **change)


def test_it_refuses_what_has_no_meaning():
    with pytest.raises(GanvasError, match=r"--config\.likelihood bernoulli is for images"):
        VAE(Config(likelihood="bernoulli"), PLANE)
    with pytest.raises(GanvasError, match="vae takes images or points, not tokens"):
        VAE(TINY, DataSpec(kind="tokens", shape=(8,)))
    with pytest.raises(GanvasError, match="not conditional"):
        VAE(TINY, DIGITS).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: VAE(TINY, data), pictures_of(8, 1, 8, 8), TRACE)
