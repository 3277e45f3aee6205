"""Networks of one activation: which layers there are, and by hand."""

import pytest
import torch
from torch import nn

from ganvas.parts.layered import ACTIVATIONS, Layered


@pytest.mark.parametrize(("activation", "by_hand"), [("tanh", torch.tanh), ("relu", torch.relu), ("sigmoid", torch.sigmoid)])
def test_the_activation_stands_between_layers_and_not_at_the_end(activation, by_hand):
    network, x = Layered((3, 5, 4, 2), activation), torch.randn(6, 3)
    first, second, last = (layer for layer in network.layers if isinstance(layer, nn.Linear))
    torch.testing.assert_close(network(x), last(by_hand(second(by_hand(first(x))))))
    assert sum(isinstance(layer, ACTIVATIONS[activation]) for layer in network.layers) == 2


def test_two_widths_are_one_linear_layer():
    network = Layered((3, 2), "relu")
    x = torch.randn(4, 3)
    assert len(network.layers) == 1
    torch.testing.assert_close(network(x + 1) - network(x), network(torch.ones(1, 3)).expand(4, 2) - network(torch.zeros(1, 3)))
