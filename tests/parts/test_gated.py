"""Causal row convolutions and the layer of two stacks: against a whole kernel, what each pixel sees, and one pixel alone."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.parts.gated import GatedLayer, RowConv, gate
from ganvas.parts.masked import causal_mask


def test_the_gate_by_hand():
    x = torch.tensor([[0.5, -1.0, 2.0, 0.0]])
    torch.testing.assert_close(gate(x), torch.tensor([[0.5, -1.0]]).tanh() * torch.tensor([[2.0, 0.0]]).sigmoid())


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_row_convolution_is_the_middle_row_of_a_masked_kernel(kind, kernel):
    torch.manual_seed(0)
    layer, x = RowConv(kind, 4, 6, kernel, 2, gates=3), torch.randn(2, 4, 3, 7)
    full = torch.zeros(18, 4, kernel, kernel)
    full[:, :, kernel // 2, : kernel // 2 + 1] = layer.weight.detach()
    masked = full * causal_mask(kind, 4, 6, kernel, 2).repeat(3, 1, 1, 1)
    torch.testing.assert_close(layer(x), F.conv2d(x, masked, layer.bias, padding=kernel // 2))


def test_gates_of_a_unit_belong_to_its_channel():
    mask = RowConv("B", 3, 3, 1, 3, gates=2).mask[:, :, 0].tolist()
    assert mask == 2 * [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_one_pixel_of_a_row_alone_equals_the_whole():
    torch.manual_seed(0)
    layer, x = RowConv("B", 4, 6, 5, 2, gates=2), torch.randn(3, 4, 1, 7)
    padded, rows = F.pad(x[:, :, 0], (2, 0)).transpose(1, 2), layer.rows()
    for column in range(7):
        torch.testing.assert_close(layer.at(padded, column, rows), layer(x)[:, :, 0, column])


def seen_by(output, x):
    """1 where a gradient of the output's sum comes from, (H, W)."""
    (found,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
    return (found.abs().sum((0, 1)) > 0).int().tolist()


@pytest.mark.parametrize("kind", ["A", "B"])
def test_what_both_stacks_of_one_layer_see(kind):
    """Kernel 3 at row 2, column 2 of a 4 x 5 image."""
    torch.manual_seed(0)
    layer = GatedLayer(kind, 3, 4, 3, 1) if kind == "A" else GatedLayer(kind, 4, 4, 3, 1)
    x = torch.randn(1, 3 if kind == "A" else 4, 4, 5, requires_grad=True)
    v, h = layer(x, x, None)
    assert seen_by(v[:, :, 2, 2], x) == [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    own = 0 if kind == "A" else 1
    assert seen_by(h[:, :, 2, 2], x) == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, own, 0, 0], [0, 0, 0, 0, 0]]


def test_the_residual_connection_is_of_the_horizontal_stack_alone():
    torch.manual_seed(0)
    layer, x = GatedLayer("B", 4, 4, 3, 1), torch.randn(2, 4, 3, 3)
    with torch.no_grad():
        layer.leave.weight.zero_()
        layer.leave.bias.zero_()
    v, h = layer(x, x, None)
    assert torch.equal(h, x) and v.abs().max() < 1


def test_labels_move_all_gates_by_an_embedding():
    """A label that adds what the biases lack gives the layer with those biases."""
    torch.manual_seed(0)
    layer, x = GatedLayer("B", 4, 4, 3, 1, classes=3), torch.randn(2, 4, 3, 3)
    assert layer.label is not None and layer.label.weight.shape == (3, 16)
    found = layer(x, x, torch.tensor([2, 2]))
    with torch.no_grad():
        vertical, horizontal = layer.label.weight[2].clone().chunk(2)
        layer.label.weight.zero_()
        layer.vertical.bias += vertical
        layer.horizontal.bias += horizontal
    # the horizontal stack is handed what the vertical one made of its label, but not above the first row
    v, h = layer(x, x, torch.tensor([0, 1]))
    torch.testing.assert_close(found[0], v)
    torch.testing.assert_close(found[1], h)


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_walking_equals_the_whole(kind, kernel):
    torch.manual_seed(0)
    layer, x, y = GatedLayer(kind, 4, 4, kernel, 2, classes=2), torch.randn(3, 4, 5, 6), torch.tensor([0, 1, 1])
    v, h = layer(x, x, y)
    with torch.no_grad():
        row, at = layer.walk(3, 5, 6, y)
        for r in range(5):
            if r:
                torch.testing.assert_close(row(r - 1, x[:, :, r - 1]), v[:, :, r - 1])
            for c in range(6):
                for _ in range(2):  # asked for once in each channel
                    torch.testing.assert_close(at(c, x[:, :, r, c], None), h[:, :, r, c])


def test_walking_takes_the_pixel_before_as_it_was_drawn():
    torch.manual_seed(0)
    layer, x = GatedLayer("A", 2, 4, 5, 2), torch.randn(3, 2, 1, 6)
    _, h = layer(x, x, None)
    with torch.no_grad():
        _, at = layer.walk(3, 1, 6, None)
        for c in range(6):
            unknown = torch.zeros(3, 2)
            found = at(c, unknown, x[:, :, 0, c - 1])
            known_of_second = torch.stack([x[:, 0, 0, c], unknown[:, 1]], 1)
            torch.testing.assert_close(found[:, ::2], h[:, ::2, 0, c])  # the first channel sees nothing of its own pixel
            torch.testing.assert_close(at(c, known_of_second, x[:, :, 0, c - 1]), h[:, :, 0, c])
