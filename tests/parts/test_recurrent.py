"""LSTM layers over images: the context of each by gradients, the residual connection, channels, and one pixel after another."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.parts.recurrent import LSTMLayer, step


def layer_of(kind, units=4, channels=1):
    torch.manual_seed(0)
    return LSTMLayer(kind, units, channels)


def seen_by(output, x):
    """1 where a gradient of the output's sum comes from, (H, W), for maps (H, W, B, M)."""
    (found,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
    return (found.abs().sum((2, 3)) > 0).int().tolist()


def test_the_context_of_a_row_lstm_is_a_triangle():
    layer, x = layer_of("row"), torch.randn(4, 7, 1, 8, requires_grad=True)
    wanted = [[0, 1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]
    states = layer.states(x)
    found = seen_by(states[2, 3], x)
    # states look a place to the side at each row up, the input a place to the left at each state
    triangle = [[int(abs(c - 3) <= 2 - r or c - 3 == -(2 - r) - 1) for c in range(7)] if r <= 1 else [0] * 7 for r in range(4)]
    assert found[:2] == triangle[:2] and found[2] == [0, 0, 1, 1, 0, 0, 0] and found[3] == [0] * 7
    assert all(a >= b for row, least in zip(found, wanted, strict=True) for a, b in zip(row, least, strict=True))


def test_the_context_of_a_diagonal_bilstm_is_all_that_comes_before():
    layer, x = layer_of("diagonal"), torch.randn(4, 5, 1, 8, requires_grad=True)
    states = layer.states(x)
    for row in range(4):
        for column in range(5):
            before = [[int((r, c) <= (row, column)) for c in range(5)] for r in range(4)]
            assert seen_by(states[row, column], x) == before, (row, column)


def test_the_run_from_the_right_is_used_a_row_later():
    """Alone, it sees at row r what lies above, at its own column and to the right of it."""
    layer, x = layer_of("diagonal"), torch.randn(3, 4, 1, 8, requires_grad=True)
    with torch.no_grad():
        layer.enter.weight.zero_()
        layer.enter.bias.zero_()
    assert seen_by(layer.states(x)[2, 1], x) == [[0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]


def test_the_input_to_state_convolution_equals_that_of_images():
    for kind in ("row", "diagonal"):
        layer, x = layer_of(kind), torch.randn(3, 5, 2, 8)
        wanted = layer.enter(x.permute(2, 3, 0, 1)).permute(2, 3, 0, 1).flatten(0, 1)
        torch.testing.assert_close(layer._entered(layer.enter, x), wanted)


@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_the_residual_connection(kind):
    layer, x = layer_of(kind), torch.randn(3, 4, 2, 8)
    wanted = x + F.linear(layer.states(x), layer.leave.weight[:, :, 0, 0], layer.leave.bias)
    torch.testing.assert_close(layer(x), wanted)


@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_in_its_own_pixel_a_channel_sees_itself_and_those_before(kind):
    layer, x = layer_of(kind, units=6, channels=3), torch.randn(2, 3, 1, 12, requires_grad=True)
    maps = layer(x)
    for channel in range(3):
        (found,) = torch.autograd.grad(maps[1, 1, 0, channel::3].sum(), x, retain_graph=True)
        reached = [bool(found[1, 1, 0, other::3].abs().sum()) for other in range(3)]
        assert reached == [other <= channel for other in range(3)]


def test_a_step_by_hand():
    gates, cell = torch.tensor([[0.1, -0.2, 0.3, 0.4]]), torch.tensor([[0.5]])
    i, f, o = torch.tensor([0.1, -0.2, 0.3]).sigmoid()
    new = f * 0.5 + i * torch.tensor(0.4).tanh()
    found = step(gates, cell)
    torch.testing.assert_close(found[1][0, 0], new)
    torch.testing.assert_close(found[0][0, 0], o * new.tanh())


@pytest.mark.parametrize("kind", ["row", "diagonal"])
@pytest.mark.parametrize("channels", [1, 3])
def test_walking_equals_the_whole(kind, channels):
    layer, x = layer_of(kind, channels=channels), torch.randn(4, 5, 3, 8)
    with torch.no_grad():
        whole = layer(x)
        begin, at = layer.walk(3, 4, 5)
        for row in range(4):
            begin(row)
            for column in range(5):
                for _ in range(2):  # asked for once in each channel
                    torch.testing.assert_close(at(column, x[row, column]), whole[row, column])
