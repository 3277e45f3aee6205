"""Historical averaging: the mean of all values by hand, and the pull towards it."""

import torch
from torch import nn

from ganvas.parts.history import History


def test_the_mean_of_all_values_and_the_squared_distance_by_hand():
    """Weight and bias go from (1, 0) to (4, 3) to (7, 0): means (2.5, 1.5), then (4, 1)."""
    network = nn.Linear(1, 1)
    values = [(1.0, 0.0), (4.0, 3.0), (7.0, 0.0)]

    def be(weight, bias):
        with torch.no_grad():
            network.weight.fill_(weight)
            network.bias.fill_(bias)

    be(*values[0])
    history = History(network)
    assert float(history.distance(network).detach()) == 0.0
    be(*values[1])
    assert float(history.distance(network).detach()) == 9.0 + 9.0
    history.remember(network)
    torch.testing.assert_close(history.mean, torch.tensor([2.5, 1.5]))
    be(*values[2])
    history.remember(network)
    torch.testing.assert_close(history.mean, torch.tensor([4.0, 1.0]))
    assert float(history.count) == 3.0
    distance = history.distance(network)
    assert float(distance.detach()) == 9.0 + 1.0
    distance.backward()
    assert float(network.weight.grad) == 6.0 and float(network.bias.grad) == -2.0


def test_it_is_state_and_trains_nothing():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    history = History(network)
    assert not list(history.parameters()) and set(history.state_dict()) == {"mean", "count"}
    assert history.mean.numel() == sum(p.numel() for p in network.parameters())
    kept = history.mean.data_ptr()
    history.remember(network)
    assert history.mean.data_ptr() == kept
