"""Gated PixelCNN: its loss by hand, the blind spot that is gone, labels, probabilities that sum to one, fast samples, a short trace."""

import itertools
import math
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from torch import nn

from ganvas.engine.contract import Batch, Condition, DataSpec
from ganvas.engine.draws import SampleDraws
from ganvas.engine.optimizers import Adam, RMSProp
from ganvas.errors import GanvasError
from ganvas.models.gated_pixelcnn import PRESETS, GatedPixelCNN
from ganvas.parts.raster import draw

TINY = PRESETS["tiny"]
NAMES = ("zero", "one", "two")

TRACE = {
    "likelihood/nats": [194.434, 190.023, 185.422, 180.765, 176.172],
}


def build(*shape, classes=NAMES, **changes):
    """A model whose weights are large enough to matter."""
    torch.manual_seed(0)
    model = GatedPixelCNN(replace(TINY, **changes), DataSpec(kind="images", shape=shape, classes=classes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def labels(*numbers):
    return torch.tensor(numbers, dtype=torch.int64)


# (a) by hand


def test_the_loss_of_a_network_that_answers_one_distribution(step_for):
    model = build(1, 4, 4)
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0])
    with torch.no_grad():
        nn.init.zeros_(model.network.last.weight)
        model.network.last.bias.copy_(logits)
    images = model.levels.values(torch.arange(16).view(1, 1, 4, 4) % 4)
    by_hand = -4 * logits.log_softmax(0).sum()
    loss = model.loss(step_for(images, labels=labels(1)))
    torch.testing.assert_close(loss.terms["nats"], by_hand.view(1))
    torch.testing.assert_close(loss.watch["bits per dimension"], by_hand / (16 * math.log(2)))


# (b) what each pixel sees


def field(network, size, row, column):
    """1 where a gradient of the logits of one pixel comes from, (size, size)."""
    x = torch.randn(1, 1, size, size, requires_grad=True)
    (found,) = torch.autograd.grad(network(x)[:, :, 0, row, column].sum(), x)
    return (found[0, 0] != 0).int()


def before(size, row, column):
    """All pixels that come before one in raster order."""
    return torch.tensor([[int((r, c) < (row, column)) for c in range(size)] for r in range(size)])


def test_no_blind_spot_where_pixelcnn_has_one():
    """Six layers that look one pixel further each, at the lower middle of a 13 x 13 image."""
    torch.manual_seed(0)
    other = import_module("ganvas.models.pixelcnn")
    spec = DataSpec(kind="images", shape=(1, 13, 13))
    old = other.PixelCNN(replace(other.PRESETS["tiny"], width=16, blocks=6, features=64), spec).network
    new = build(1, 13, 13, classes=(), width=16, layers=6, first_kernel=7, kernel=3, features=64).network
    row, column = 9, 6
    wanted = before(13, row, column)
    gated, plain = field(lambda x: new(x, None), 13, row, column), field(old, 13, row, column)
    assert torch.equal(gated, wanted)
    missed = wanted - plain
    assert (plain <= wanted).all() and missed.sum() > 5
    # the cone to the right above the pixel: as far as the first kernel reaches, the network sees three to the right; then a row up for each
    places = missed.nonzero().tolist()
    assert all(c > column for _, c in places), places
    assert [row - 1, column + 5] in places and [row - 4, column + 3] not in places


@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 3, 4)])
def test_the_jacobian_is_causal(shape):
    """No logit depends on its own sub-pixel or a later one, in raster order with colours inside; the first earlier ones matter."""
    model = build(*shape, width=24, features=96)
    channels, height, width = shape

    def logits(x):
        return model.network(x[None], labels(1))[0].sum(0).permute(1, 2, 0).flatten()

    x = torch.randn(channels, height, width)
    jacobian = torch.autograd.functional.jacobian(logits, x).permute(0, 2, 3, 1).flatten(1)
    later = torch.ones_like(jacobian).triu().bool()
    assert jacobian[later].abs().max() == 0
    for i in range(1, len(jacobian)):
        last = i - 1 if channels > 1 or i % width else i - width  # the left neighbour, the colour before, or the pixel above
        assert jacobian[i, last] != 0, (i, last)


def test_the_probabilities_of_all_small_images_sum_to_one_for_each_label():
    model = build(1, 2, 3, levels=2)
    every = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=6))).view(-1, 1, 2, 3)
    found = []
    for label in range(3):
        batch = Batch({"images": every, "labels": torch.full((len(every),), label)})
        found.append(model.log_probability(batch, SampleDraws(0)).detach().double())
        assert float(found[-1].exp().sum()) == pytest.approx(1, abs=1e-5)
    assert (found[0] - found[1]).abs().max() > 0.1 and model.measured == "exact, given the label, of images binarised at one half"


def test_the_probabilities_of_all_small_colour_images_sum_to_one():
    model = build(3, 1, 2, levels=3, conditional=False)
    every = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=6))).view(-1, 3, 1, 2)
    nats = model.log_probability(Batch({"images": every}), SampleDraws(0))
    assert float(nats.detach().double().exp().sum()) == pytest.approx(1, abs=1e-5)
    assert model.measured == "exact, of images rounded to 3 levels"


def naive(model, given, mask, y, uniform):
    """Sampling by a whole pass of the network for each sub-pixel."""
    images = torch.where(mask > 0, given, torch.zeros_like(given))
    _, channels, height, width = given.shape
    for row, column, channel in itertools.product(range(height), range(width), range(channels)):
        drawn = model.levels.values(draw(model.network(images, y)[:, :, channel, row, column], uniform[:, channel, row, column]))
        kept = mask[:, channel, row, column] > 0
        images[:, channel, row, column] = torch.where(kept, given[:, channel, row, column], drawn)
    return images


@pytest.mark.parametrize("shape", [(1, 7, 9), (3, 5, 4)])
def test_fast_samples_equal_naive_ones(shape):
    model, nothing, y = build(*shape), torch.zeros(3, *shape), labels(2, 0, 1)
    with torch.no_grad():
        fast = model.sample(3, condition=Condition(labels=y), rng=SampleDraws(3))
        torch.testing.assert_close(fast, naive(model, nothing, nothing, y, SampleDraws(3).uniform(3, *shape)))
    assert len(fast.unique()) > 2


def test_frequencies_of_samples_are_the_probabilities():
    """Without a condition labels are equally likely."""
    model = build(1, 2, 2, levels=2)
    every = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4))).view(-1, 1, 2, 2)
    with torch.no_grad():
        of = [model.log_probability(Batch({"images": every, "labels": labels(*[k] * 16)}), SampleDraws(0)).exp() for k in range(3)]
        samples = model.sample(8_000, rng=SampleDraws(0)).flatten(1)
    found = torch.stack([(samples == image.flatten()).all(1).double().mean() for image in every])
    assert (found - torch.stack(of).mean(0)).abs().max() < 0.02


def test_a_completion_keeps_what_is_given_and_follows_it():
    model = build(1, 6, 6, conditional=False)
    given = model.levels.values(torch.randint(4, (5, 1, 6, 6), generator=torch.Generator().manual_seed(1)))
    mask = torch.zeros_like(given)
    mask[:, :, :3] = 1
    with torch.no_grad():
        completed = model.complete(given, mask, rng=SampleDraws(2))
        torch.testing.assert_close(completed, naive(model, given, mask, None, SampleDraws(2).uniform(*given.shape)))
        other = model.complete(-given, mask, rng=SampleDraws(2))
    assert torch.equal(completed[:, :, :3], given[:, :, :3]) and not torch.equal(completed[:, :, 3:], other[:, :, 3:])


def test_the_label_of_a_completion_comes_from_what_is_known():
    """p(y | known) by enumeration of all completions."""
    model = build(1, 2, 3, levels=2)
    known = torch.tensor([1.0, -1.0, 1.0, -1.0])
    ends = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2)))
    images = torch.cat([known.expand(4, 4), ends], 1).view(-1, 1, 2, 3)
    given = images[:1].expand(6_000, 1, 2, 3)
    mask = torch.tensor([1.0, 1, 1, 1, 0, 0]).view(1, 1, 2, 3).expand_as(given)
    with torch.no_grad():
        joint = [model.log_probability(Batch({"images": images, "labels": labels(*[k] * 4)}), SampleDraws(0)).exp().sum() for k in range(3)]
        wanted = torch.stack(joint) / sum(joint)
        found = torch.bincount(model._likely(given, mask, SampleDraws(0)), minlength=3) / 6_000
    assert (found - wanted).abs().max() < 0.02 and wanted.max() - wanted.min() > 0.05
    with torch.no_grad():
        nothing = model._likely(given, torch.zeros_like(given), SampleDraws(1))
    assert (torch.bincount(nothing, minlength=3) / 6_000 - 1 / 3).abs().max() < 0.02


# Presets and configuration


def test_the_network_of_the_paper():
    spec = DataSpec(kind="images", shape=(3, 32, 32), classes=NAMES)
    with torch.device("meta"):
        network = GatedPixelCNN(PRESETS["paper"], spec).network
    first, second = network.layers[0], network.layers[1]
    assert len(network.layers) == 21 and first.vertical.weight.shape == (768, 3, 4, 7) and second.vertical.weight.shape == (768, 384, 3, 5)
    assert second.horizontal.weight.shape == (768, 384, 3) and second.across.weight.shape == (768, 768, 1, 1)
    assert second.label.weight.shape == (3, 4 * 384) and network.last.weight.shape[0] == 3 * 256
    assert not first.residual and second.residual


def test_the_optimizers():
    spec = DataSpec(kind="images", shape=(1, 8, 8))
    (paper,) = GatedPixelCNN(replace(PRESETS["paper"], width=2, layers=1, features=2), spec).stages()
    assert isinstance(paper.phases[0].optimizer, RMSProp) and paper.batch == 128 and paper.images == 25_600_000
    (quick,) = GatedPixelCNN(PRESETS["quick"], spec).stages()
    assert isinstance(quick.phases[0].optimizer, Adam)


def test_labels_are_taken_where_there_are_some_and_the_configuration_wants_them():
    listed = ("labels",)
    assert build(1, 8, 8).conditions(listed) == listed
    for model in (build(1, 8, 8, conditional=False), build(1, 8, 8, classes=())):
        assert model.conditions(listed) == () and all(layer.label is None for layer in model.network.layers)
        with pytest.raises(GanvasError, match="not conditional"):
            model.sample(1, condition=Condition(labels=labels(0)), rng=SampleDraws(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": 1}, "--config.levels must be a whole number of at least 2, not 1"),
        ({"levels": 257}, "--config.levels must be at least 2 and at most 256, not 257"),
        ({"binarise": "draw"}, "--config.binarise draw needs --config.levels 2, not 4"),
        ({"kernel": 4}, "--config.kernel must be odd, not 4"),
        ({"first_kernel": 2}, "--config.first_kernel must be odd, not 2"),
        ({"layers": 0}, "--config.layers"),
    ],
)
def test_bad_numbers_name_their_flag(change, message):
    with pytest.raises(GanvasError) as caught:
        replace(TINY, **change)
    assert message in str(caught.value)


def test_it_refuses_points():
    with pytest.raises(GanvasError, match="gated_pixelcnn takes images, not points"):
        GatedPixelCNN(TINY, DataSpec(kind="points", shape=(2,)))


# (c) a short trace


def test_the_trace_of_five_steps(check_trace, pictures_of):
    def made(data):
        return GatedPixelCNN(TINY, replace(data, classes=NAMES))

    check_trace(made, pictures_of(8, 1, 12, 12), TRACE, labels=torch.arange(8) % 3)
