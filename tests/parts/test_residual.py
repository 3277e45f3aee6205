"""Residual blocks by their definition, widths of the published networks, sizes, and the projection head by hand."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, relu

from ganvas.parts.attention import SelfAttention
from ganvas.parts.canvas import Canvas
from ganvas.parts.conditional_norm import ConditionalBatchNorm2d
from ganvas.parts.residual import (
    DiscriminatorBlock,
    GeneratorBlock,
    ProjectionHead,
    ResidualGenerator,
    ResidualTrunk,
    glorot,
    level_of,
    widths_down,
    widths_up,
)
from ganvas.parts.spectral import Spectral, settle, spectral


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("upsample", [True, False])
@pytest.mark.parametrize("above", [4, 6])
def test_a_generator_s_block_is_its_formula(upsample, above):
    """As published, with the repetition before the shortcut's convolution; here it comes after, which is the same."""
    block, x = GeneratorBlock(4, above, norm=nn.BatchNorm2d, upsample=upsample), torch.randn(3, 4, 5, 3)
    larger = lambda maps: interpolate(maps, scale_factor=2.0, mode="nearest") if upsample else maps
    hidden = conv2d(larger(relu(block.first_norm(x))), block.first.weight, padding=1)
    way = conv2d(relu(block.second_norm(hidden)), block.second.weight, padding=1)
    around = conv2d(larger(x), block.shortcut.weight) if upsample or above != 4 else x
    found = block(x)
    assert found.shape == ((3, above, 10, 6) if upsample else (3, above, 5, 3))
    torch.testing.assert_close(found, way + around, rtol=1e-4, atol=1e-5)
    assert not any("bias" in name and "norm" not in name for name, _ in block.named_parameters())


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("downsample", [True, False])
@pytest.mark.parametrize(("above", "hidden"), [(4, None), (6, None), (6, 5)])
def test_a_discriminator_s_block_is_its_formula(first, downsample, above, hidden):
    block, x = DiscriminatorBlock(4, above, downsample=downsample, first=first, hidden=hidden), torch.randn(3, 4, 8, 6)
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.bias)
    smaller = lambda maps: avg_pool2d(maps, 2) if downsample else maps
    inner = conv2d(x if first else relu(x), block.first.weight, block.first.bias, padding=1)
    assert inner.shape[1] == (hidden or (above if first else 4))
    way = smaller(conv2d(relu(inner), block.second.weight, block.second.bias, padding=1))
    around = smaller(conv2d(x, block.shortcut.weight, block.shortcut.bias)) if downsample or above != 4 else x
    torch.testing.assert_close(block(x), way + around, rtol=1e-4, atol=1e-5)


def test_the_shortcut_is_linear_and_a_block_of_zero_weights_is_its_shortcut():
    block = DiscriminatorBlock(3, 3, downsample=False)
    for layer in (block.first, block.second):
        nn.init.zeros_(layer.weight)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(block(x), x)


def test_a_number_added_to_a_map_is_taken_away():
    """Why a generator's blocks need no biases: on the way by the next norm, around by the last."""
    blocks = nn.ModuleList([GeneratorBlock(4, 4, norm=nn.BatchNorm2d), GeneratorBlock(4, 4, norm=nn.BatchNorm2d)])
    last, x, added = nn.BatchNorm2d(4), torch.randn(3, 4, 4, 4), torch.randn(4, 1, 1)
    torch.testing.assert_close(last(blocks[1](blocks[0](x) + added)), last(blocks[1](blocks[0](x))), rtol=1e-3, atol=1e-4)


def test_conditions_reach_both_norms():
    block = GeneratorBlock(4, 6, norm=lambda maps: ConditionalBatchNorm2d(maps, 2))
    x, c = torch.randn(2, 4, 4, 4), torch.eye(2)
    before = block(x, c)
    for norm in (block.first_norm, block.second_norm):
        kept = norm.shift.weight.data.clone()
        norm.shift.weight.data += torch.tensor([0.0, 1.0])
        changed = block(x, c)
        norm.shift.weight.data = kept
        assert not torch.allclose(changed[1], before[1])


def test_first_weights():
    block = DiscriminatorBlock(64, 64)
    for layer, gain, fan in ((block.first, math.sqrt(2), 9 * 128), (block.shortcut, 1.0, 128)):
        assert float(layer.weight.detach().std()) == pytest.approx(gain * math.sqrt(2 / fan), rel=0.05)
        assert float(layer.weight.detach().abs().max()) <= gain * math.sqrt(6 / fan)
        assert not layer.bias.detach().any()
    assert float(glorot(nn.Embedding(100, 300)).weight.detach().std()) == pytest.approx(math.sqrt(2 / 400), rel=0.05)


@pytest.mark.parametrize(
    ("shape", "size", "base", "up", "down"),
    [
        ("constant", 32, 4, (1, 1, 1, 1), ((1, True), (1, True), (1, False), (1, False))),
        ("doubling", 48, 6, (8, 4, 2, 1), ((1, True), (2, True), (4, True), (8, True), (16, False))),
        ("doubling", 32, 4, (8, 4, 2, 1), ((1, True), (2, True), (4, True), (8, False))),
        ("doubling", 128, 4, (16, 16, 8, 4, 2, 1), ((1, True), (2, True), (4, True), (8, True), (16, True), (16, False))),
        ("doubling", 8, 4, (4, 2, 1), ((1, True), (2, True), (4, False))),
        ("constant", 8, 4, (1, 1, 1), ((1, True), (1, False), (1, False))),
    ],
)
def test_widths_of_the_published_networks(shape, size, base, up, down):
    canvas = Canvas.fit(size, size, base=base)
    assert widths_up(shape, 3, canvas.levels) == tuple(3 * share for share in up)
    assert widths_down(shape, 3, canvas) == tuple((3 * share, halves) for share, halves in down)


def test_the_place_of_attention():
    """32 x 32 maps of 128 x 128; on smaller canvases the largest maps below the canvas; never the first ones."""
    assert [level_of(Canvas.fit(128, 128), side) for side in (2, 8, 16, 32, 64, 500)] == [1, 1, 2, 3, 4, 4]
    assert [level_of(Canvas.fit(32, 32), side) for side in (8, 16, 32)] == [1, 2, 2]
    assert level_of(Canvas.fit(8, 8), 32) == 1
    canvas, seen = Canvas.fit(64, 64), []
    mark = lambda maps: SelfAttention(maps)
    generator = ResidualGenerator(3, canvas, 1, widths_up("doubling", 2, 4), attention=mark, attended=16)
    trunk = ResidualTrunk(1, canvas, widths_down("doubling", 2, canvas), attention=mark, attended=16)
    for network, given in ((generator, torch.randn(2, 3)), (trunk, torch.randn(2, 1, 64, 64))):
        network.attention.register_forward_hook(lambda block, args, out: seen.append(tuple(args[0].shape)))
        network(given)
    assert seen == [(2, 8, 16, 16), (2, 4, 16, 16)]


@pytest.mark.parametrize("shape", ["constant", "doubling"])
@pytest.mark.parametrize("size", [(1, 8, 8), (3, 11, 13), (1, 28, 28), (2, 9, 6), (3, 20, 44), (3, 24, 24)])
def test_any_size(shape, size):
    channels, height, side = size
    canvas = Canvas.fit(height, side)
    generator = ResidualGenerator(5, canvas, channels, widths_up(shape, 2, canvas.levels))
    trunk = ResidualTrunk(channels, canvas, widths_down(shape, 2, canvas))
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, *size) and images.abs().max() <= 1
    assert trunk(images).shape == (3, trunk.features)


def test_features_are_sums_over_places_in_single_precision():
    canvas = Canvas.fit(16, 16)
    trunk, x = ResidualTrunk(1, canvas, widths_down("constant", 4, canvas)), torch.randn(3, 1, 16, 16)
    maps = x
    for block in trunk.blocks:
        maps = block(maps)
    assert maps.shape == (3, 4, 8, 8)
    torch.testing.assert_close(trunk(x), maps.clamp(min=0).sum((2, 3)))
    torch.testing.assert_close(trunk(x)[:1], trunk(x[:1]), rtol=1e-4, atol=1e-4)  # no example knows another
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert trunk(x).dtype == torch.float32


@pytest.mark.parametrize("wide", [True, False])
def test_wide_blocks(wide):
    canvas = Canvas.fit(32, 32)
    trunk = ResidualTrunk(3, canvas, widths_down("doubling", 2, canvas), wide=wide)
    assert [block.first.out_channels for block in trunk.blocks] == ([2, 4, 8, 16] if wide else [2, 2, 4, 8])


def test_wrapped_networks_have_no_layer_left_out():
    canvas = Canvas.fit(16, 16)
    generator = ResidualGenerator(3, canvas, 1, widths_up("doubling", 2, 2), wrap=spectral, attention=lambda maps: SelfAttention(maps))
    trunk = ResidualTrunk(1, canvas, widths_down("doubling", 2, canvas), wrap=spectral)
    for network in (generator, trunk):
        bare = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        assert bare and all(name.endswith(".layer") or name.startswith("attention") for name in bare)


# The slope of the networks: what spectral normalisation is for


@pytest.mark.parametrize("size", [8, 16])
def test_a_normalised_trunk_changes_no_faster_than_its_layers_allow(size):
    """A 3 x 3 convolution stretches at most 3 times as much as its reshaped kernel, so a block by at most 1 + 3 * 3, and the sum over p
    places by sqrt(p). Weights of fifty times the size, without normalisation, would go beyond that at once."""
    canvas = Canvas.fit(size, size)
    trunk = ResidualTrunk(1, canvas, widths_down("doubling", 4, canvas), wrap=spectral)
    settle(trunk, iterations=200)
    with torch.no_grad():
        for layer in trunk.modules():
            if isinstance(layer, Spectral):
                layer.layer.weight *= 50.0  # of no effect
        x, y = torch.randn(50, 1, size, size), torch.randn(50, 1, size, size)
        moved, apart = (trunk(x) - trunk(y)).norm(dim=1), (x - y).flatten(1).norm(dim=1)
    blocks = len(widths_down("doubling", 4, canvas))
    assert float((moved / apart).max()) <= 10**blocks * math.sqrt(math.prod(canvas.base))


def test_the_projection_head_by_hand():
    """e = (1, 2) and (3, 5), psi = (10, 100): features (1, -1) get 10 - 100 and 1 - 2 or 3 - 5 more."""
    head = ProjectionHead(2, 2)
    head.embedding.weight.data.copy_(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
    head.unconditional.weight.data.copy_(torch.tensor([[10.0, 100.0]]))
    f, y = torch.tensor([[1.0, -1.0], [1.0, -1.0]]), torch.tensor([0, 1])
    assert head(f, y).tolist() == [-91.0, -92.0] and head.projected(f, y).tolist() == [-1.0, -2.0]
    assert sum(p.numel() for p in head.parameters()) == 6  # no biases


def test_a_chain_of_blocks_has_a_gradient_for_every_weight():
    canvas = Canvas.fit(16, 16)
    trunk = ResidualTrunk(3, canvas, widths_down("constant", 3, canvas))
    trunk(torch.randn(4, 3, 16, 16)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trunk.parameters())
    assert all(below[0] == above[0] for below, above in pairwise(widths_down("constant", 3, canvas)))
