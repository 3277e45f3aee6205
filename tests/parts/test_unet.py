"""The U-Net: its widths and sizes, its skips, where it is normalised, and dropout from the generator it is handed."""

import pytest
import torch
from torch import nn

from ganvas.engine.draws import Draws, SampleDraws, StepDraws
from ganvas.parts.unet import UNet, hidden, levels_for

CPU = torch.device("cpu")


def net(**changes):
    torch.manual_seed(0)
    return UNet(2, 3, **{"width": 4, "levels": 3, "dropout": 0.5} | changes)


def test_the_layers_of_the_appendix():
    with torch.device("meta"):
        unet = UNet(3, 3, width=64, levels=8, dropout=0.5)
    assert [layer.out_channels for layer in unet.down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [(layer.in_channels, layer.out_channels) for layer in unet.up] == [
        (512, 512),
        (1024, 512),
        (1024, 512),
        (1024, 512),
        (1024, 256),
        (512, 128),
        (256, 64),
    ]
    assert (unet.last.in_channels, unet.last.out_channels) == (128, 3)
    assert [isinstance(one, nn.InstanceNorm2d) for one in unet.down_norms] == [False, *[True] * 6, False]
    assert all(isinstance(one, nn.InstanceNorm2d) and one.affine for one in unet.up_norms)
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in [*unet.down, *unet.up, unet.last])


@pytest.mark.parametrize(
    ("size", "most", "levels"), [((256, 256), 8, 8), ((256, 512), 8, 8), ((28, 28), 8, 5), ((8, 8), 8, 3), ((9, 6), 8, 3), ((4, 4), 8, 2)]
)
def test_levels_lead_to_one_pixel(size, most, levels):
    assert levels_for(*size, most) == levels
    assert levels_for(*size, 2) == 2


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (11, 13), (2, 40), (24, 16)])
def test_any_size_comes_back_in_range(size):
    for skips in (True, False):
        y = net(skips=skips)(torch.rand(2, 2, *size) * 2 - 1, SampleDraws(0))
        assert y.shape == (2, 3, *size) and y.abs().max() <= 1 and torch.isfinite(y).all()


def test_padding_repeats_the_edge():
    x = torch.rand(1, 2, 6, 5)
    wide = torch.cat([x, x[..., -1:].expand(-1, -1, -1, 3)], dim=3)
    whole = torch.cat([wide, wide[:, :, -1:].expand(-1, -1, 2, -1)], dim=2)
    unet = net(dropout=0.0)
    torch.testing.assert_close(unet(x, SampleDraws(0)), unet(whole, SampleDraws(0))[:, :, :6, :5])


def test_the_smallest_maps_are_not_lost_to_normalisation():
    """One pixel normalised is 0 for every image; what the innermost layer says must reach the output."""
    unet = net(dropout=0.0)
    x = torch.rand(1, 2, 8, 8)
    before = unet(x, SampleDraws(0))
    with torch.no_grad():
        unet.down[-1].weight.mul_(2)
        unet.down[-1].bias.add_(0.5)
    assert not torch.allclose(before, unet(x, SampleDraws(0)))


def test_fine_detail_passes_by_the_skips_alone():
    """With the encoder's deeper layers silent, single pixels still move the output through the outermost skip, and without skips they do
    not."""
    for skips in (True, False):
        unet = net(skips=skips, dropout=0.0)
        with torch.no_grad():
            unet.down[1].weight.zero_()
        x = torch.rand(1, 2, 8, 8, requires_grad=True)
        unet(x, SampleDraws(0)).sum().backward()
        assert bool(x.grad.any()) == skips


def test_dropout_by_its_definition():
    x = torch.ones(200, 3, 4, 4)
    y = hidden(x, 0.25, SampleDraws(0))
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((y == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(hidden(x, 0.0, SampleDraws(0)), x)


def test_dropout_follows_the_draws_and_nothing_else():
    unet, x = net(), torch.rand(4, 2, 8, 8)
    torch.manual_seed(1)
    first = unet.train()(x, SampleDraws(3))
    torch.manual_seed(2)
    assert torch.equal(first, unet.eval()(x, SampleDraws(3)))
    assert not torch.equal(first, unet(x, SampleDraws(4)))
    torch.testing.assert_close(unet(x[[2, 0]], SampleDraws(3, indices=[2, 0])), first[[2, 0]])
    still = net(dropout=0.0)
    assert torch.equal(still(x, SampleDraws(3)), still(x, SampleDraws(4)))


@pytest.mark.parametrize(("levels", "noisy"), [(2, 1), (3, 2), (4, 3), (6, 3)])
def test_the_three_innermost_layers_of_the_decoder_have_dropout(levels, noisy):
    """As many draws are taken, each of the size of its layer's maps, the smallest first."""
    shapes = []

    class Noting(Draws):
        def _rows(self, n, shape, fill):
            shapes.append(shape)
            return torch.ones(n, *shape)

        def places(self, n):
            return torch.arange(n)

    net(levels=levels)(torch.rand(1, 2, 64, 64), Noting())
    smallest = 64 // 2**levels
    assert [shape[1] for shape in shapes] == [smallest * 2 ** (index + 1) for index in range(noisy)]


def test_two_parts_of_a_batch_draw_what_the_whole_draws():
    unet, x = net(), torch.rand(4, 2, 8, 8)
    whole = unet(x, StepDraws(7, 0, 1, CPU))
    parts = [unet(x[2 * part : 2 * part + 2], StepDraws(7, part, 2, CPU)) for part in (0, 1)]
    torch.testing.assert_close(torch.cat(parts), whole)
