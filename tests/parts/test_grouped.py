"""Grouped residual blocks: convolutions that are differentiated twice, first weights, bilinear resampling, and the networks' shapes."""

import math

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from ganvas.parts.canvas import Canvas
from ganvas.parts.grouped import GAIN, Down, GroupedBlock, GroupedGenerator, GroupedTrunk, Pointwise, Up, convolve, variance, widths_of

CASES = [((4, 4, 3, 3), 1, 1, 1), ((8, 2, 3, 3), 1, 1, 2), ((4, 1, 4, 4), 2, 1, 4)]  # weight, stride, padding, groups


@pytest.mark.parametrize(("shape", "stride", "padding", "groups"), CASES)
def test_two_derivatives_are_those_of_the_library_s_convolution(shape, stride, padding, groups):
    torch.manual_seed(0)
    x, w = torch.randn(3, 4, 6, 8, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    found = []
    for layer in (
        lambda x, w: convolve(x, w, stride=stride, padding=padding, groups=groups),
        lambda x, w: conv2d(x, w, None, stride, padding, 1, groups),
    ):
        a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = layer(torch.tanh(a), b).tanh()
        (slope,) = torch.autograd.grad(y.sum(), a, create_graph=True)
        (y.square().sum() + slope.square().sum()).backward()
        found.append((y.detach(), slope.detach(), a.grad, b.grad))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_third_player_is_refused_and_not_answered_wrongly():
    """The gradient by the weight has no derivative of its own here."""
    x, w = torch.randn(2, 4, 6, 6), torch.randn(4, 2, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(convolve(x, w, padding=1, groups=2).square().sum(), w, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_the_block_by_hand():
    torch.manual_seed(0)
    block, x = GroupedBlock(4, expansion=2, group=4, blocks=3), torch.randn(2, 4, 5, 6)
    torch.nn.init.normal_(block.last.weight)
    torch.nn.init.normal_(block.first.bias)
    torch.nn.init.normal_(block.middle_bias)
    leaky = lambda t: torch.where(t > 0, t, 0.2 * t)
    y = leaky(conv2d(x, block.first.weight[:, :, None, None], block.first.bias))
    y = leaky(
        torch.cat([conv2d(half, w, padding=1) for half, w in zip(y.chunk(2, 1), block.middle.chunk(2), strict=True)], 1)
        + block.middle_bias[:, None, None]
    )
    torch.testing.assert_close(block(x), x + conv2d(y, block.last.weight[:, :, None, None]), rtol=1e-4, atol=1e-5)


def test_first_weights_have_the_paper_s_spread_and_the_last_layer_is_0():
    """Standard deviation sqrt(2 / 1.04) L^(-1/4) / sqrt(fan_in) with L = 16, so half of He's."""
    torch.manual_seed(0)
    block = GroupedBlock(128, expansion=2, group=16, blocks=16)
    assert pytest.approx(math.sqrt(2 / 1.04)) == GAIN
    assert float(block.first.weight.detach().std()) == pytest.approx(GAIN / 2 / math.sqrt(128), rel=0.03)
    assert block.middle.shape == (256, 16, 3, 3)
    assert float(block.middle.detach().std()) == pytest.approx(GAIN / 2 / math.sqrt(16 * 9), rel=0.03)
    assert not block.last.weight.any() and not block.first.bias.any() and not block.middle_bias.any()
    assert block.last.bias is None
    assert float(variance(torch.empty(100, 400), 3.0).detach().std()) == pytest.approx(3 / 20, rel=0.03)


def test_both_networks_count_all_their_blocks():
    """L is 2 blocks for each of 3 stages, and the first layer of every block has the deviation gain L^(-1/4) / sqrt(maps)."""
    torch.manual_seed(0)
    canvas = Canvas.fit(16, 16, base=4)
    for network in (
        GroupedGenerator(5, canvas, 1, (64, 64, 64), depth=2, group=16),
        GroupedTrunk(1, canvas, (64, 64, 64), depth=2, group=16),
    ):
        firsts = [block.first.weight for stage in network.stages for block in stage]
        assert len(firsts) == 6
        for weight in firsts:
            assert float(weight.detach().std()) == pytest.approx(GAIN * 6 ** (-1 / 4) / 8, rel=0.03)


def test_fewer_maps_than_a_group_holds_are_one_group():
    assert GroupedBlock(4, expansion=2, group=16, blocks=1).groups == 1


def test_doubling_is_bilinear_within_and_knows_only_zeros_beyond():
    x = torch.randn(2, 3, 5, 6)
    y = Up(3, 3)(x)
    torch.testing.assert_close(y[:, :, 1:-1, 1:-1], interpolate(x, scale_factor=2.0, mode="bilinear")[:, :, 1:-1, 1:-1])
    torch.testing.assert_close(y[:, :, 0, 0], 0.75**2 * x[:, :, 0, 0])


def test_halving_is_a_quarter_of_its_transpose():
    x, y = torch.randn(2, 3, 8, 10), torch.randn(2, 3, 4, 5)
    torch.testing.assert_close((Down(3, 3)(x) * y).sum(), (x * Up(3, 3)(y)).sum() / 4)
    torch.testing.assert_close(Down(1, 1)(torch.ones(1, 1, 8, 8))[0, 0, 1:-1, 1:-1], torch.ones(2, 2))


def test_other_numbers_of_maps_take_a_layer_and_the_same_number_none():
    assert isinstance(Down(4, 8).change, Pointwise) and isinstance(Up(8, 4).change, Pointwise)
    assert not list(Down(4, 4).parameters()) and not list(Up(4, 4).parameters())
    assert Down(4, 8)(torch.randn(1, 4, 6, 6)).shape == (1, 8, 3, 3) and Up(8, 4)(torch.randn(1, 8, 3, 3)).shape == (1, 4, 6, 6)


def test_maps_are_doubled_up_to_the_most():
    assert widths_of(96, 768, 6) == (96, 192, 384, 768, 768, 768, 768)
    assert widths_of(768, 768, 3) == (768,) * 4


def test_the_networks_mirror_each_other():
    torch.manual_seed(0)
    canvas, widths = Canvas.fit(11, 13), (4, 8, 8)
    generator, trunk = GroupedGenerator(3, canvas, 2, widths, depth=2, group=4), GroupedTrunk(2, canvas, widths, depth=2, group=4)
    made = generator(torch.randn(5, 3))
    assert made.shape == (5, 2, 11, 13) and trunk(made).shape == (5, trunk.features) == (5, 8)
    assert [stage[0].first.weight.shape[1] for stage in generator.stages] == [8, 8, 4]
    assert [stage[0].first.weight.shape[1] for stage in trunk.stages] == [4, 8, 8]


def test_the_generator_starts_from_a_picture_for_each_map_times_what_the_code_says():
    torch.manual_seed(0)
    canvas = Canvas(height=4, width=4, base=(4, 4), levels=0)
    generator, z = GroupedGenerator(3, canvas, 2, (4,), depth=1, group=4), torch.randn(5, 3)
    start = torch.einsum("bz,mz,mhw->bmhw", z, generator.weight, generator.basis)
    torch.testing.assert_close(generator(z), conv2d(start, generator.last.weight[:, :, None, None]), rtol=1e-4, atol=1e-5)
    assert float(GroupedGenerator(64, canvas, 1, (512,), depth=1, group=4).basis.detach().std()) == pytest.approx(1, rel=0.03)


def test_the_trunk_ends_in_a_picture_for_each_map():
    torch.manual_seed(0)
    canvas = Canvas(height=4, width=4, base=(4, 4), levels=0)
    trunk, x = GroupedTrunk(2, canvas, (4,), depth=1, group=4), torch.randn(5, 2, 4, 4)
    expected = torch.einsum("bchw,mc,mhw->bm", x, trunk.first.weight, trunk.basis)
    torch.testing.assert_close(trunk(x), expected, rtol=1e-4, atol=1e-5)
