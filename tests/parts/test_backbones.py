"""The lent networks: sizes, ranges, where normalisation stands, one border for reals and fakes, labels as maps."""

import pytest
import torch
from torch import nn

from ganvas.engine.contract import DataSpec
from ganvas.parts.backbones import Critic, Perceptron, generator_for, label_maps, trunk_for

POINTS = DataSpec(kind="points", shape=(2,))


def images(*shape):
    return DataSpec(kind="images", shape=shape)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 20, 44), (3, 32, 32)])
def test_images_of_the_data_s_size_in_range_and_one_score_each(shape):
    generator = generator_for(images(*shape), 5, width=4)
    critic = Critic(trunk_for(images(*shape), width=4))
    x = generator(torch.randn(3, 5))
    assert x.shape == (3, *shape) and x.abs().max() <= 1
    assert critic(x).shape == (3,)


def test_points_through_three_hidden_layers():
    generator, trunk = generator_for(POINTS, 5, width=7), trunk_for(POINTS, width=7)
    assert generator(torch.randn(3, 5)).shape == (3, 2) and Critic(trunk)(torch.randn(3, 2)).shape == (3,)
    for network, ends in ((generator, (5, 2)), (trunk, (2, 7))):
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        assert [layer.out_features for layer in linear][:3] == [7, 7, 7]
        assert (linear[0].in_features, linear[-1].out_features) == ends


def test_the_first_layer_of_a_trunk_and_the_last_of_a_generator_are_not_normalised():
    """DCGAN, section 3: batch normalisation everywhere but at the pixels; biases where none follows."""
    generator, trunk = generator_for(images(1, 32, 32), 5, width=4), trunk_for(images(1, 32, 32), width=4)
    strided = nn.Conv2d | nn.ConvTranspose2d
    for network, expected in ((generator, [True, True, False]), (trunk, [False, True, True])):
        layers = list(network.layers)
        followed = [isinstance(layers[i + 1], nn.BatchNorm2d) for i, layer in enumerate(layers) if isinstance(layer, strided)]
        assert followed == expected
        assert [layer.bias is None for layer in layers if isinstance(layer, strided)] == expected


def test_without_normalisation_each_sample_is_seen_alone():
    critic = Critic(trunk_for(images(1, 12, 12), width=4, norm=None))
    assert not any("Norm" in type(layer).__name__ for layer in critic.modules())
    x = torch.randn(6, 1, 12, 12)
    torch.testing.assert_close(critic(x)[:2], critic(x[:2]))


def test_the_border_beyond_an_image_is_that_of_its_edge():
    """28 pixels on a canvas of 32: two images that are equal have equal scores, whoever made them, as the border is always repeated."""
    critic = Critic(trunk_for(images(1, 28, 28), width=2, norm=None))
    x = torch.randn(2, 1, 28, 28)
    assert critic.trunk.canvas.size == (32, 32)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    by_hand = critic.trunk.layers(padded).permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(critic(x), critic.score(by_hand).squeeze(1))


def test_more_inputs_and_dropout():
    trunk = trunk_for(images(1, 8, 8), width=4, inputs=3, dropout=0.5)
    assert trunk(torch.randn(2, 3, 8, 8)).shape == (2, trunk.features)
    assert sum(isinstance(layer, nn.Dropout) for layer in trunk.modules()) == 2


def test_a_perceptron_with_a_slope_and_outputs():
    network = Perceptron(3, (4, 5), 2, slope=0.2)
    assert network.features == 2 and Perceptron(3, (4, 5)).features == 5
    x = torch.randn(6, 3)
    first, _, second, _, last = network.layers
    h = nn.functional.leaky_relu(second(nn.functional.leaky_relu(first(x), 0.2)), 0.2)
    torch.testing.assert_close(network(x), last(h))


def test_labels_as_maps_and_coordinates():
    labels = torch.tensor([2, 0])
    maps = label_maps(labels, 3, torch.full((2, 1, 2, 2), 0.5))
    assert maps.shape == (2, 4, 2, 2) and bool((maps[:, 0] == 0.5).all())
    assert maps[0, 1:, 0, 0].tolist() == [0, 0, 1] and maps[1, 1:, 1, 1].tolist() == [1, 0, 0]
    assert label_maps(labels, 3, torch.zeros(2, 2)).tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
