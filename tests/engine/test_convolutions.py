"""Convolutions as matrix products: the library's values and gradients, and who gets them."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from ganvas.engine.convolutions import Convolution, Geometry, Products, patches, single_channel, weight_gradient
from ganvas.engine.devices import Machine
from ganvas.engine.ranks import Ranks
from ganvas.engine.updates import Updates
from tests.engine.toys import Toy

CASES = [  # kernel, stride, padding, output padding
    (4, 2, 1, 0),
    (5, 2, 2, 1),
    (3, 2, 1, 1),
    ((3, 5), (2, 3), (1, 0), (0, 2)),
]


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def tensors(transposed, kernel, size=(9, 12), dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(3, 6, *size, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    shape = (6, 5, *pair(kernel)) if transposed else (5, 6, *pair(kernel))
    return x, torch.randn(shape, dtype=dtype).requires_grad_()


def test_patches_by_hand():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    rows = patches(x, (2, 2), (2, 2), (1, 1), (2, 2))
    assert rows.tolist() == [[0, 0, 0, 0], [0, 0, 1, 2], [0, 3, 0, 6], [4, 5, 7, 8]]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding", "more"), CASES)
def test_values_and_gradients_are_the_librarys(transposed, kernel, stride, padding, more):
    x, weight = tensors(transposed, kernel)
    how = Geometry(stride=pair(stride), padding=pair(padding), output_padding=pair(more) if transposed else (0, 0), transposed=transposed)
    mine = Convolution.apply(x, weight, how)
    theirs = F.conv_transpose2d(x, weight, None, stride, padding, more) if transposed else F.conv2d(x, weight, None, stride, padding)
    towards = torch.randn_like(theirs)
    torch.testing.assert_close(mine, theirs)
    for got, wanted in zip(torch.autograd.grad(mine, (x, weight), towards), torch.autograd.grad(theirs, (x, weight), towards), strict=True):
        torch.testing.assert_close(got, wanted)
    large, small = (towards, x) if transposed else (x, towards)
    product = weight_gradient(large.detach(), small.detach(), pair(kernel), how.stride, how.padding)
    torch.testing.assert_close(product, torch.autograd.grad(Convolution.apply(x, weight, how), weight, towards)[0])


@pytest.mark.parametrize("transposed", [False, True])
def test_second_derivatives_are_exact(transposed):
    x, weight = tensors(transposed, 4, size=(4, 4))
    how = Geometry(stride=(2, 2), padding=(1, 1), transposed=transposed)
    assert torch.autograd.gradgradcheck(
        lambda a, b: Convolution.apply(a, b, how), (x[:1, :2].detach().requires_grad_(), weight[:2] if transposed else weight[:, :2])
    )


@pytest.mark.parametrize(("kernel", "stride", "padding", "more"), CASES)
def test_one_channel_is_added_up_from_columns(kernel, stride, padding, more):
    x, weight = tensors(True, kernel)
    weight = weight[:, :1]
    how = Geometry(stride=pair(stride), padding=pair(padding), output_padding=pair(more), transposed=True)
    torch.testing.assert_close(single_channel(x, weight, how), F.conv_transpose2d(x, weight, None, stride, padding, more))


def played(layer, x, *, autocast=True):
    """The layer's output and its weight's gradient under the mode, and the names of what backward calls."""
    weight = layer.weight
    with Products(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast, cache_enabled=False):
        y = layer(x)
    names, seen = [], [y.grad_fn]
    while seen:
        node = seen.pop()
        names.append(node.name())
        seen += [after for after, _ in node.next_functions if after is not None]
    (gradient,) = torch.autograd.grad(y.float().square().sum(), weight)
    return y, gradient, names


SMALL = torch.nn.Conv2d(64, 64, 4, 2, 1), torch.randn(4, 64, 8, 8)
UP = torch.nn.ConvTranspose2d(64, 32, 4, 2, 1), torch.randn(4, 64, 4, 4)
GREY = torch.nn.ConvTranspose2d(8, 1, 4, 2, 1), torch.randn(4, 8, 16, 16)


@pytest.mark.parametrize(("layer", "x"), [SMALL, UP, GREY], ids=["down", "up", "grey"])
def test_networks_under_autocast_take_products(layer, x):
    y, gradient, names = played(layer, x)
    assert not any(name.startswith("ConvolutionBackward0") for name in names)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = layer(x)
    assert y.dtype == wanted.dtype == torch.bfloat16
    torch.testing.assert_close(y, wanted, rtol=2e-2, atol=2e-2)
    exact = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    assert (gradient - exact).norm() < 0.01 * exact.norm() and gradient.dtype == torch.float32


@pytest.mark.parametrize(
    ("layer", "x", "autocast"),
    [
        (*SMALL, False),
        (*GREY, False),
        (torch.nn.Conv2d(64, 64, 4, 2, 1), torch.randn(4, 64, 16, 16), True),
        (torch.nn.Conv2d(64, 64, 3, 1, 1), torch.randn(4, 64, 4, 4), True),
        (torch.nn.Conv2d(64, 64, 4, 2, 1, groups=2), torch.randn(4, 64, 8, 8), True),
    ],
    ids=["full precision", "grey in full precision", "large maps", "stride 1", "groups"],
)
def test_all_else_is_left_to_the_library(layer, x, autocast):
    _, _, names = played(layer, x, autocast=autocast)
    assert any(name.startswith("ConvolutionBackward0") for name in names)


def test_the_engine_enters_the_mode_in_bfloat16_only():
    model = Toy()
    for bf16, compiled, kind in [(True, False, Products), (False, False, nullcontext), (True, True, nullcontext)]:
        updates = Updates(model, model.stages(), Machine(device=torch.device("cpu"), bf16=bf16, threads=1), Ranks(), 1, compiled=compiled)
        assert type(updates._products) is kind
