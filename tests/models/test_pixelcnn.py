"""PixelCNN: its loss by hand, causality, probabilities that sum to one, fast samples that equal naive ones, completion, a short trace."""

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
from ganvas.models.pixelcnn import PRESETS, PixelCNN
from ganvas.parts.raster import draw

TINY = PRESETS["tiny"]

TRACE = {
    "likelihood/nats": [210.231, 200.068, 190.819, 182.38, 174.572],
}


def build(*shape, **changes):
    """A model whose weights are large enough to matter."""
    torch.manual_seed(0)
    model = PixelCNN(replace(TINY, **changes), DataSpec(kind="images", shape=shape)).eval()
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


# (b) causality, and what follows from it


@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 3, 4)])
def test_the_jacobian_is_causal(shape):
    """No logit depends on its own sub-pixel or a later one, in raster order with colours inside; the first earlier ones matter."""
    model = build(*shape, width=12, features=24)
    channels, height, width = shape

    def logits(x):
        return model.network(x[None])[0].sum(0).permute(1, 2, 0).flatten()

    x = torch.randn(channels, height, width)
    jacobian = torch.autograd.functional.jacobian(logits, x).permute(0, 2, 3, 1).flatten(1)
    later = torch.ones_like(jacobian).triu().bool()
    assert jacobian[later].abs().max() == 0
    for i in range(1, len(jacobian)):
        before = i - 1 if channels > 1 or i % width else i - width  # the left neighbour, the colour before, or the pixel above
        assert jacobian[i, before] != 0, (i, before)


def test_the_probabilities_of_all_small_binary_images_sum_to_one():
    model = build(1, 3, 3, levels=2)
    every = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=9))).view(-1, 1, 3, 3)
    nats = model.log_probability(Batch({"images": every}), SampleDraws(0))
    assert float(nats.detach().double().exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(nats.detach().std()) > 0.1


def test_the_probabilities_of_all_small_colour_images_sum_to_one():
    model = build(3, 1, 2, levels=3)
    every = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=6))).view(-1, 3, 1, 2)
    nats = model.log_probability(Batch({"images": every}), SampleDraws(0))
    assert float(nats.detach().double().exp().sum()) == pytest.approx(1, abs=1e-5)


def naive(model, given, mask, rng):
    """Sampling by a whole pass of the network for each sub-pixel."""
    uniform, images = rng.uniform(*given.shape), torch.where(mask > 0, given, torch.zeros_like(given))
    _, channels, height, width = given.shape
    for row, column, channel in itertools.product(range(height), range(width), range(channels)):
        drawn = model.levels.values(draw(model.network(images)[:, :, channel, row, column], uniform[:, channel, row, column]))
        kept = mask[:, channel, row, column] > 0
        images[:, channel, row, column] = torch.where(kept, given[:, channel, row, column], drawn)
    return images


@pytest.mark.parametrize("shape", [(1, 7, 9), (3, 5, 4)])
def test_fast_samples_equal_naive_ones(shape):
    model = build(*shape)
    nothing = torch.zeros(4, *shape)
    with torch.no_grad():
        fast = model.sample(4, rng=SampleDraws(3))
        torch.testing.assert_close(fast, naive(model, nothing, nothing, SampleDraws(3)))
    assert len(fast.unique()) > 2


def test_a_completion_keeps_what_is_given_and_follows_it():
    model = build(1, 6, 6)
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
        network = PixelCNN(PRESETS["paper"], DataSpec(kind="images", shape=(3, 32, 32))).network
    assert network.first.weight.shape == (256, 3, 7, 7) and len(network.blocks) == 15
    assert [layer.weight.shape for layer in network.blocks[0].children()] == [(128, 256, 1, 1), (128, 128, 3, 3), (256, 128, 1, 1)]
    assert network.penultimate.weight.shape[0] == 1024 and network.last.weight.shape[0] == 3 * 256


def test_the_optimizers():
    spec = DataSpec(kind="images", shape=(1, 8, 8))
    (paper,) = PixelCNN(replace(PRESETS["paper"], width=2, blocks=1, features=2), spec).stages()
    assert isinstance(paper.phases[0].optimizer, RMSProp) and paper.batch == 16
    (quick,) = PixelCNN(PRESETS["quick"], spec).stages()
    assert isinstance(quick.phases[0].optimizer, Adam)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 1}, "--config.levels must be a whole number of at least 2, not 1"),
        ({"levels": 257}, "--config.levels must be at least 2 and at most 256, not 257"),
        ({"binarise": "draw"}, "--config.binarise draw needs --config.levels 2, not 4"),
        ({"blocks": 0}, "--config.blocks"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError) as caught:
        replace(TINY, **change)
    assert message in str(caught.value)


def test_it_refuses_points_and_labels():
    with pytest.raises(GanvasError, match="pixelcnn takes images, not points"):
        PixelCNN(TINY, DataSpec(kind="points", shape=(2,)))
    with pytest.raises(GanvasError, match="not conditional"):
        build(1, 8, 8).sample(1, condition=Condition(labels=torch.zeros(1, dtype=torch.int64)), rng=SampleDraws(0))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    check_trace(lambda data: PixelCNN(TINY, data), pictures_of(8, 1, 12, 12), TRACE)
