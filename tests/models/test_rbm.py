"""RBM: free energy and updates by hand, everything about a 6 x 4 machine by enumeration, chains as state, clamped pixels, a short trace."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.engine.optimizers import SGD, Adam, at
from ganvas.errors import GanvasError
from ganvas.models.rbm import PRESETS, RBM

TINY = PRESETS["tiny"]
CPU = torch.device("cpu")
EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))

TRACE = {
    "energy/free energies": [0.000481129, -0.0935388, 0.0626015, -0.259645, 0.0199523],
    "energy/decay": [4.06453e-06, 5.21752e-06, 8.23832e-06, 1.16499e-05, 1.72727e-05],
}


def build(*shape, scale=1.0, seed=0, **changes):
    """A model with weights and biases of a size that matters."""
    torch.manual_seed(seed)
    model = RBM(replace(TINY, **changes), DataSpec(kind="images", shape=shape)).eval()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.normal_(0, scale)
    return model


def small(**changes):
    """Six visible units and four hidden ones."""
    return build(1, 2, 3, hidden=4, **changes)


def exact_log_z(model):
    """log of the sum of exp(-E) over all 2^10 states of both layers."""
    w, a, b = (p.detach().double() for p in (model.network.weight, model.network.visible, model.network.hidden))
    hidden = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double()
    v = EVERY.double()
    energy = -(v @ a)[:, None] - (hidden @ b)[None] - v @ w @ hidden.T
    return float((-energy).flatten().logsumexp(0))


def images_of(v):
    return (2 * v - 1).view(-1, 1, 2, 3)


# (a) by hand


def test_the_free_energy_of_one_image_by_hand():
    model = small()
    w, a, b = model.network.weight, model.network.visible, model.network.hidden
    v = torch.tensor([1.0, 0, 0, 1, 1, 0])
    on = v.bool()
    by_hand = -a[on].sum() - sum((1 + (b[j] + w[on, j].sum()).exp()).log() for j in range(4))
    torch.testing.assert_close(model.network.free_energy(v[None])[0], by_hand)


def test_the_update_of_cd_1_by_hand(step_for):
    """<v h> of the data less <v h> of one reconstruction, by the numbers that the step draws."""
    model = small(chain="data", batch=3, weight_decay=0.25, binarise="threshold")
    v = EVERY[[13, 40, 62]]
    step = step_for(images_of(v))
    loss = model.loss(step)
    torch.stack([term.mean() for term in loss.terms.values()]).sum().backward()
    network, uniform = model.network, StepDraws(0, 0, 1, CPU).uniform(3, 1, 10)[:, 0]
    with torch.no_grad():
        p = (network.hidden + v @ network.weight).sigmoid()
        h = (uniform[:, :4] < p).float()
        ends = (uniform[:, 4:] < (network.visible + h @ network.weight.T).sigmoid()).float()
        q = (network.hidden + ends @ network.weight).sigmoid()
        torch.testing.assert_close(network.weight.grad, -(v.T @ p - ends.T @ q) / 3 + 0.25 * network.weight)
        torch.testing.assert_close(network.visible.grad, -(v - ends).mean(0))
        torch.testing.assert_close(network.hidden.grad, -(p - q).mean(0))
    torch.testing.assert_close(loss.terms["decay"], 0.125 * network.weight.square().sum())
    assert len(model.chains) == 0 and "ends" not in step.scratch and model.rank_buffers() == ()


def test_pixels_become_units():
    model = small(binarise="threshold")
    grey = torch.tensor([0.0, 0.2, 0.49, 0.51, 0.8, 1.0]).view(1, 1, 2, 3)
    assert model.states(2 * grey - 1, SampleDraws(0)).tolist() == [[0, 0, 0, 1, 1, 1]]
    drawn = small(binarise="draw").states((2 * grey - 1).expand(4000, 1, 2, 3), SampleDraws(0))
    torch.testing.assert_close(drawn.mean(0), grey.flatten(), atol=0.03, rtol=0)


def test_visible_biases_start_at_the_log_odds_of_the_batch():
    model = small()
    with torch.no_grad():
        model.enter(Batch({"images": images_of(EVERY[:8])}), True)  # the last three units count to eight, the first three are black
    white = torch.tensor([1, 1, 1, 5, 5, 5]) / 10
    torch.testing.assert_close(model.network.visible.detach(), white.logit())
    with torch.no_grad():
        model.network.visible.zero_()
        model.enter(Batch({"images": images_of(EVERY[:8])}), False)
    assert model.network.visible.abs().max() == 0, "a resumed run keeps what it has learned"
    torch.testing.assert_close(model.base, white.logit())


# (b) everything about a 6 x 4 machine


def test_the_probabilities_of_all_images_sum_to_one():
    model = small()
    logs = -model.network.free_energy(EVERY).double() - exact_log_z(model)
    assert float(logs.detach().exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_ais_agrees_with_the_exact_partition_function(seed):
    model = small(seed=seed, chains=500, temperatures=1000)
    with torch.no_grad():
        model.base.normal_()
    value, error = model.log_partition(SampleDraws(seed))
    assert 0 < error < 0.05 and abs(value - exact_log_z(model)) < 4 * error


def test_ais_is_exact_without_weights():
    model = small()
    with torch.no_grad():
        model.network.weight.zero_()
        model.base.copy_(model.network.visible)
        model.network.hidden.zero_()
    value, error = model.log_partition(SampleDraws(0))
    assert value == pytest.approx(exact_log_z(model), abs=1e-4) and error < 1e-5


def test_log_probability_is_energy_and_constant():
    model = small(binarise="threshold", chains=500, temperatures=500)
    batch = Batch({"images": images_of(EVERY)})
    found = model.log_probability(batch, SampleDraws(0)).detach()
    assert float(found.double().exp().sum()) == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(model.energy(batch, SampleDraws(0)), model.network.free_energy(EVERY))


def gradient(model, images, step_for, **steps):
    model.zero_grad()
    loss = model.loss(step_for(images, **steps))
    loss.terms["free energies"].mean().backward()
    return torch.cat([p.grad.flatten() for p in model.network.parameters()])


def exact_gradient(model, images):
    """That of -log p, with Z by enumeration."""
    model.zero_grad()
    v = (images.flatten(1) + 1) / 2
    (model.network.free_energy(v).mean() + (-model.network.free_energy(EVERY)).logsumexp(0)).backward()
    return torch.cat([p.grad.flatten() for p in model.network.parameters()])


def test_the_gradient_of_long_chains_is_the_exact_one(step_for):
    """CD-1 is biased: it stays away from it by more than chance."""
    images = images_of(EVERY[[13, 40, 62, 5]].repeat(2_000, 1))
    model = small(chain="data", binarise="threshold", scale=1.5)
    exact = exact_gradient(model, images)
    model = small(chain="data", steps=100, binarise="threshold", scale=1.5)
    assert (gradient(model, images, step_for) - exact).abs().max() < 0.03
    model = small(chain="data", steps=1, binarise="threshold", scale=1.5)
    assert (gradient(model, images, step_for) - exact).abs().max() > 0.06


def test_persistent_chains_come_to_the_models_distribution(step_for):
    """With weights that stand still the chains go on from step to step, and are samples in the end, whatever the data."""
    images = images_of(EVERY[[63]].repeat(4_000, 1))
    model = small(chain="persistent", batch=4_000, steps=1, binarise="threshold")
    (stage,) = model.stages()
    for number in range(60):
        step = step_for(images, seed=number)
        model.loss(step)
        with torch.no_grad():
            model.after_update(stage.phases[0], {}, step.scratch)
    found = torch.stack([(model.chains == v).all(1).float().mean() for v in EVERY])
    wanted = (-model.network.free_energy(EVERY) - exact_log_z(model)).exp().detach()
    assert (found - wanted).abs().max() < 0.03
    exact = exact_gradient(model, images)
    assert (gradient(model, images, step_for, seed=99) - exact).abs().max() < 0.05


def test_chains_go_on_from_where_they_stopped_each_at_its_place():
    """A part of the batch moves the chains of its own rows and no others."""
    model = build(1, 2, 3, hidden=4, batch=8)
    (stage,) = model.stages()
    assert model.rank_buffers() == ("chains",) and model.chains.shape == (8, 6)
    from tests.models.conftest import make_step

    step = replace(make_step(images_of(EVERY[:4])), rng=StepDraws(0, 1, 2, CPU))
    before = model.chains.clone()
    model.loss(step)
    assert torch.equal(model.chains, before) and step.scratch["rows"].tolist() == [4, 5, 6, 7]
    model.after_update(stage.phases[0], {}, step.scratch)
    assert torch.equal(model.chains[:4], before[:4]) and torch.equal(model.chains[4:], step.scratch["ends"])
    rng = StepDraws(0, 1, 2, CPU)
    model.states(images_of(EVERY[:4]), rng)
    again, _ = model.network.gibbs(before[4:], rng.uniform(4, 1, 10))
    assert torch.equal(again, step.scratch["ends"])


@pytest.mark.parametrize("chain", ["data", "persistent"])
def test_samples_have_the_models_frequencies(chain):
    model = small(chain=chain, gibbs=60, show="states")
    with torch.no_grad():
        samples = (model.sample(4_000, rng=SampleDraws(0)).flatten(1) + 1) / 2
    wanted = (-model.network.free_energy(EVERY) - exact_log_z(model)).exp().detach()
    found = torch.stack([(samples == v).all(1).float().mean() for v in EVERY])
    assert (found - wanted).abs().max() < 0.03


def test_completions_are_conditional_samples():
    model = small(gibbs=60, show="states", binarise="threshold")
    known = torch.tensor([1.0, 0, 1, 0, 0, 0])
    mask = torch.tensor([1.0, 1, 1, 0, 0, 0])
    given, masks = images_of(known.expand(4_000, 6)), mask.expand(4_000, 6).reshape(-1, 1, 2, 3)
    with torch.no_grad():
        found = (model.complete(given, masks, rng=SampleDraws(0)).flatten(1) + 1) / 2
        assert torch.equal(found[:, :3], known[:3].expand(4_000, 3))
        fits = EVERY[(EVERY[:, :3] == known[:3]).all(1)]
        wanted = (-model.network.free_energy(fits)).softmax(0)
    frequencies = torch.stack([(found == v).all(1).float().mean() for v in fits])
    assert (frequencies - wanted).abs().max() < 0.03


def test_shown_probabilities_are_those_of_the_last_hidden_states():
    states, shown = small(gibbs=7, show="states"), small(gibbs=7)
    with torch.no_grad():
        drawn = states.sample(3_000, rng=SampleDraws(0)).mean(0)
        likely = shown.sample(3_000, rng=SampleDraws(0))
    assert ((likely > -1) & (likely < 1)).all() and (likely.mean(0) - drawn).abs().max() < 0.06


def test_codes_are_hidden_probabilities():
    model = small()
    found = model.encode(Batch({"images": images_of(EVERY)}))
    torch.testing.assert_close(found, (model.network.hidden + EVERY @ model.network.weight).sigmoid())


# Presets and configuration


def test_the_presets():
    spec = DataSpec(kind="images", shape=(1, 28, 28))
    paper = RBM(PRESETS["paper"], spec)
    (stage,) = paper.stages()
    assert paper.network.weight.shape == (784, 500) and len(paper.chains) == 0 and stage.batch == 100
    assert 0.0095 < float(paper.network.weight.detach().std()) < 0.0105
    optimizer = stage.phases[0].optimizer
    assert isinstance(optimizer, SGD)
    clocks = [replace_clock(fraction) for fraction in (0.0, 0.05, 0.2, 1.0)]
    assert [at(optimizer.momentum, clock) for clock in clocks] == [0.5, 0.5, 0.9, 0.9]
    assert at(optimizer.lr, clocks[-1]) == 0.05
    quick = RBM(PRESETS["quick"], spec)
    assert quick.network.weight.shape == (784, 256) and quick.chains.shape == (PRESETS["quick"].batch, 784)
    adam = RBM(replace(TINY, momentum=None, betas=(0.5, 0.9)), spec)
    assert isinstance(adam.stages()[0].phases[0].optimizer, Adam)


def replace_clock(fraction):
    from ganvas.engine.clock import Clock

    images = int(1000 * fraction)
    return Clock(step=images, images=images, budget=1000, stage_step=images, stage_images=images, stage_budget=1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--config.steps must be a whole number of at least 1, not 0"),
        ({"chains": 1}, "--config.chains must be a whole number of at least 2, not 1"),
        ({"chain": "dat"}, "--config.chain must be one of data, persistent, not 'dat'. Did you mean 'data'?"),
        ({"betas": (0.5, 0.9)}, "give one of them and set the other to None"),
        ({"momentum": (0.5, 1.0)}, "--config.momentum and --config.betas hold numbers of at least 0 and below 1, not 1.0"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError) as caught:
        replace(TINY, **change)
    assert message in str(caught.value)


def test_what_is_measured_is_said():
    said = "log Z estimated by annealed importance sampling, 10 runs of 20 steps, of images binarised at"
    assert small(binarise="draw").measured == f"{said} random" and small(binarise="threshold").measured == f"{said} one half"


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="rbm takes images, not points"):
        RBM(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        small().sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: RBM(TINY, data), pictures_of(8, 1, 8, 8), TRACE)


def test_an_estimate_that_is_too_sure_is_not_hidden():
    """Far fewer temperatures than the model needs widen the error."""
    short, long = (small(scale=3.0, chains=200, temperatures=steps) for steps in (2, 2000))
    assert short.log_partition(SampleDraws(0))[1] > 5 * long.log_partition(SampleDraws(0))[1]
    assert math.isfinite(short.log_partition(SampleDraws(0))[0])
