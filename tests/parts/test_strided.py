"""Strided convolutions: sizes double and halve exactly, whatever the kernel."""

import pytest
import torch

from ganvas.parts.strided import double, doubled, halve


@pytest.mark.parametrize("kernel", [2, 3, 4, 5, 6, 7])
def test_a_stride_doubles_and_halves_exactly(kernel):
    for side in (1, 3, 4, 7):
        x = torch.randn(1, 2, side, side + 1)
        large = double(2, 3, kernel, bias=True)(x)
        assert large.shape == (1, 3, 2 * side, 2 * side + 2)
        assert halve(3, 2, kernel, bias=True)(large).shape == x.shape


def test_maps_double_down_to_the_smallest():
    assert doubled(16, 2) == (32, 64) and doubled(16, 3) == (16, 32, 64) and doubled(16, 5) == (16, 32, 64, 128, 128)
