"""Masked convolutions: the masks by hand, what each output can see, and one pixel computed alone."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import GanvasError
from ganvas.parts.masked import MaskedConv2d, causal_mask


def test_masks_of_one_channel_by_hand():
    a, b = (causal_mask(kind, 1, 1, 3, 1)[0, 0].tolist() for kind in ("A", "B"))
    assert a == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert b == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_the_middle_of_three_channels_by_hand():
    a, b = (causal_mask(kind, 3, 6, 1, 3)[:, :, 0, 0].tolist() for kind in ("A", "B"))
    assert a == 2 * [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert b == 2 * [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_an_even_kernel_is_refused():
    with pytest.raises(GanvasError, match="odd side, not 4"):
        causal_mask("A", 1, 1, 4, 1)


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_one_pixel_alone_equals_the_whole(kind, kernel):
    torch.manual_seed(0)
    layer, x = MaskedConv2d(kind, 4, 6, kernel, 2), torch.randn(3, 4, 5, 7)
    whole, p = layer(x), layer.margin
    padded, rows = F.pad(x, (p, p, p, p)).permute(0, 2, 3, 1), layer.rows()
    for row in range(5):
        for column in range(7):
            torch.testing.assert_close(layer.at(padded, row, column, rows), whole[:, :, row, column])


def test_hidden_weights_get_no_gradient():
    layer = MaskedConv2d("A", 3, 3, 3, 3)
    layer(torch.randn(2, 3, 6, 6)).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, layer.mask > 0)
