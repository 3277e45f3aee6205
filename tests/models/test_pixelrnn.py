"""PixelRNN: its loss by hand, causality and context, probabilities that sum to one, fast samples that equal naive ones, a short trace."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam, RMSProp
from ganvas.errors import GanvasError
from ganvas.models.pixelrnn import PRESETS, PixelRNN
from ganvas.parts.raster import draw

TINY = PRESETS["tiny"]
CONTEXTS = ("row", "diagonal")

TRACE = {
    "likelihood/nats": [210.072, 204.295, 198.718, 193.21, 187.714],
}


def build(*shape, **changes):
    """A model whose weights are large enough to matter."""
    torch.manual_seed(0)
    model = PixelRNN(replace(TINY, **changes), DataSpec(kind="images", shape=shape)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


# (a) by hand


def test_the_loss_of_a_network_that_answers_one_distribution(step_for):
    model = build(1, 4, 4)
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0])
    with torch.no_grad():
        nn.init.zeros_(model.network.last.weight)
        model.network.last.bias.copy_(logits)
    images = model.levels.values(torch.arange(16).view(1, 1, 4, 4) % 4)
    by_hand = -4 * logits.log_softmax(0).sum()
    loss = model.loss(step_for(images))
    torch.testing.assert_close(loss.terms["nats"], by_hand.view(1))
    torch.testing.assert_close(loss.watch["bits per dimension"], by_hand / (16 * math.log(2)))


# (b) causality and context


def jacobian_of(model, shape):
    """(D, D) over sub-pixels in raster order with colours inside: rows are logits, columns inputs."""

    def logits(x):
        return model.network(x[None])[0].sum(0).permute(1, 2, 0).flatten()

    return torch.autograd.functional.jacobian(logits, torch.randn(*shape)).permute(0, 2, 3, 1).flatten(1)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 3, 4)])
def test_the_jacobian_is_causal(context, shape):
    """No logit depends on its own sub-pixel or a later one; the ones just before matter."""
    jacobian = jacobian_of(build(*shape, context=context, width=12, features=24), shape)
    channels, _, width = shape
    assert jacobian[torch.ones_like(jacobian).triu().bool()].abs().max() == 0
    for i in range(1, len(jacobian)):
        last = i - 1 if channels > 1 or i % width else i - width  # the left neighbour, the colour before, or the pixel above
        assert jacobian[i, last] != 0, (i, last)


def field(model, row, column):
    """Whether a gradient of the logits of one pixel comes from each pixel (12, 12), of any of eight images."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.div_(2.0)  # as built: saturated gates let no gradient through
    x = torch.randn(8, 1, 12, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (found,) = torch.autograd.grad(model.network(x)[:, :, 0, row, column].sum(), x)
    return (found != 0).any(0)[0]


def test_one_diagonal_layer_sees_all_that_comes_before_but_one_pixel():
    """The last pixel of the row above is in no map of that row, as mask A leaves a pixel out of its own; the first convolution of the row
    below reaches it from three columns away."""
    for row, column in ((0, 5), (6, 0), (6, 11), (11, 6)):
        model = build(1, 12, 12, context="diagonal", layers=1, width=12, features=48)
        wanted = torch.tensor([[(r, c) < (row, column) for c in range(12)] for r in range(12)])
        wanted[row - 1, 11] = row > 0 and column >= 8
        assert torch.equal(field(model, row, column), wanted), (row, column)


def test_one_row_layer_sees_a_triangle():
    """m rows up, states lie up to m - 1 columns to the right, and the first convolution reaches three further."""
    model = build(1, 12, 12, context="row", layers=1, width=12, features=48)
    row, column = 11, 2
    seen = field(model, row, column)
    for up in range(1, 12):
        assert seen[row - up].tolist() == [c <= column + up + 2 for c in range(12)], up
    assert seen[row].tolist() == [c < column for c in range(12)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_probabilities_of_all_small_images_sum_to_one(context):
    model = build(1, 3, 3, levels=2, context=context)
    every = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=9))).view(-1, 1, 3, 3)
    nats = model.log_probability(Batch({"images": every}), SampleDraws(0)).detach()
    assert float(nats.double().exp().sum()) == pytest.approx(1, abs=1e-5) and float(nats.std()) > 0.05


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_probabilities_of_all_small_colour_images_sum_to_one(context):
    model = build(3, 1, 2, levels=3, context=context)
    every = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=6))).view(-1, 3, 1, 2)
    nats = model.log_probability(Batch({"images": every}), SampleDraws(0)).detach()
    assert float(nats.double().exp().sum()) == pytest.approx(1, abs=1e-5)


def naive(model, given, mask, rng):
    """Sampling by a whole pass of the network for each sub-pixel."""
    uniform, images = rng.uniform(*given.shape), torch.where(mask > 0, given, torch.zeros_like(given))
    _, channels, height, width = given.shape
    for row, column, channel in itertools.product(range(height), range(width), range(channels)):
        drawn = model.levels.values(draw(model.network(images)[:, :, channel, row, column], uniform[:, channel, row, column]))
        kept = mask[:, channel, row, column] > 0
        images[:, channel, row, column] = torch.where(kept, given[:, channel, row, column], drawn)
    return images


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("shape", [(1, 7, 9), (3, 5, 4)])
def test_fast_samples_equal_naive_ones(context, shape):
    model, nothing = build(*shape, context=context), torch.zeros(4, *shape)
    with torch.no_grad():
        fast = model.sample(4, rng=SampleDraws(3))
        torch.testing.assert_close(fast, naive(model, nothing, nothing, SampleDraws(3)))
    assert len(fast.unique()) > 2


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_completion_keeps_what_is_given_and_follows_it(context):
    model = build(1, 6, 6, context=context)
    given = model.levels.values(torch.randint(4, (5, 1, 6, 6), generator=torch.Generator().manual_seed(1)))
    mask = torch.zeros_like(given)
    mask[:, :, :3] = 1
    with torch.no_grad():
        completed = model.complete(given, mask, rng=SampleDraws(2))
        torch.testing.assert_close(completed, naive(model, given, mask, SampleDraws(2)))
        other = model.complete(-given, mask, rng=SampleDraws(2))
    assert torch.equal(completed[:, :, :3], given[:, :, :3]) and not torch.equal(completed[:, :, 3:], other[:, :, 3:])


def test_frequencies_of_samples_are_the_probabilities():
    model = build(1, 2, 2, levels=2)
    every = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4))).view(-1, 1, 2, 2)
    with torch.no_grad():
        wanted = model.log_probability(Batch({"images": every}), SampleDraws(0)).exp()
        samples = model.sample(8_000, rng=SampleDraws(0)).flatten(1)
    found = torch.stack([(samples == image.flatten()).all(1).double().mean() for image in every])
    assert (found - wanted).abs().max() < 0.02


# Presets and configuration


def test_the_network_of_the_paper():
    with torch.device("meta"):
        network = PixelRNN(PRESETS["paper"], DataSpec(kind="images", shape=(3, 32, 32))).network
    layer = network.layers[0]
    assert network.first.weight.shape == (256, 3, 7, 7) and len(network.layers) == 12
    assert layer.kind == "diagonal" and layer.enter.weight.shape == (512, 256, 1) and layer.state.shape == (2, 2, 128, 512)
    assert layer.leave.weight.shape == (256, 128, 1, 1)
    assert network.penultimate.weight.shape[0] == 1024 and network.last.weight.shape[0] == 3 * 256
    with torch.device("meta"):
        row = PixelRNN(replace(PRESETS["paper"], context="row"), DataSpec(kind="images", shape=(3, 32, 32))).network.layers[0]
    assert row.enter.weight.shape == (512, 256, 2) and row.state.shape == (1, 3, 128, 512)


def test_the_optimizers():
    spec = DataSpec(kind="images", shape=(1, 8, 8))
    (paper,) = PixelRNN(replace(PRESETS["paper"], width=2, layers=1, features=2), spec).stages()
    assert isinstance(paper.phases[0].optimizer, RMSProp) and paper.batch == 16
    (quick,) = PixelRNN(PRESETS["quick"], spec).stages()
    assert isinstance(quick.phases[0].optimizer, Adam)


def test_what_is_measured_is_said():
    assert build(1, 8, 8).measured == "exact, of images rounded to 4 levels"
    assert build(1, 8, 8, levels=2, binarise="draw").measured == "exact, of images binarised at random"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 1}, "--config.levels must be a whole number of at least 2, not 1"),
        ({"levels": 257}, "--config.levels must be at least 2 and at most 256, not 257"),
        ({"binarise": "draw"}, "--config.binarise draw needs --config.levels 2, not 4"),
        ({"context": "rows"}, "--config.context must be one of row, diagonal, not 'rows'. Did you mean 'row'?"),
        ({"layers": 0}, "--config.layers"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError) as caught:
        replace(TINY, **change)
    assert message in str(caught.value)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="pixelrnn takes images, not points"):
        PixelRNN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        build(1, 8, 8).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: PixelRNN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
