"""Discriminators of patches: what a logit sees, by gradients."""

import pytest
import torch
from torch import nn

from ganvas.parts.patch import PatchCritic, field, strides_for


def seen(patch, side, at):
    """First and last row of the image (side, side) that the logit in row `at` of the map sees. Without normalisation, which looks at means
    of whole maps, and with positive weights, so that nothing cancels."""
    critic = PatchCritic([1], side, side, patch=patch, maps=2)
    layers = [layer for layer in critic.layers if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    logits = nn.Sequential(*layers)(x)
    at = logits.shape[2] // 2 if at is None else at
    logits[0, 0, at, at].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert torch.equal(rows, x.grad[0, 0].abs().sum(0).nonzero().flatten())
    return int(rows[0]), int(rows[-1])


@pytest.mark.parametrize(("patch", "size"), [("pixel", 1), ("16", 16), ("34", 34), ("70", 70)])
def test_a_logit_sees_its_patch(patch, size):
    first, last = seen(patch, 256, None)
    assert last - first + 1 == size


def test_a_logit_of_image_sees_the_image():
    """286 pixels at 256 x 256: of the logits in the middle one sees all but the first row, its neighbour all but the last."""
    assert strides_for("image", 256, 256) == 5 and field(5) == 286
    assert seen("image", 256, 2) == (0, 254) and seen("image", 256, 3) == (1, 255)
    assert seen("image", 63, 2) == (0, 62)


def test_a_map_of_patches():
    """At 256 x 256 the paper's 70 x 70 discriminator gives 30 x 30 logits; a pixel one for each pixel."""
    x = torch.rand(1, 3, 256, 256)
    assert PatchCritic([3], 256, 256, patch="70", maps=2)(x).shape == (1, 1, 30, 30)
    assert PatchCritic([3], 256, 256, patch="pixel", maps=2)(x).shape == (1, 1, 256, 256)


def test_the_layers_of_the_appendix():
    with torch.device("meta"):
        critics = {patch: PatchCritic([3, 3], 256, 256, patch=patch, maps=64) for patch in ("pixel", "16", "70", "image")}
    convolutions = {
        patch: [(layer.out_channels, layer.stride[0]) for layer in critic.layers if isinstance(layer, nn.Conv2d)]
        for patch, critic in critics.items()
    }
    assert convolutions["pixel"] == [(64, 1), (128, 1), (1, 1)]
    assert convolutions["16"] == [(64, 2), (128, 1), (1, 1)]
    assert convolutions["70"] == [(64, 2), (128, 2), (256, 2), (512, 1), (1, 1)]
    assert convolutions["image"] == [(64, 2), (128, 2), (256, 2), (512, 2), (512, 2), (512, 1), (1, 1)]
    norms = [layer.num_features for layer in critics["70"].layers if isinstance(layer, nn.InstanceNorm2d)]
    assert norms == [128, 256, 512], "the first layer is not normalised"
    slopes = {layer.negative_slope for layer in critics["70"].layers if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.2} and critics["70"].layers[0].in_channels == 6


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (8, 8), (11, 13), (40, 6)])
def test_small_images_leave_a_map(size):
    for patch in ("pixel", "16", "34", "70", "image"):
        logits = PatchCritic([1, 3], *size, patch=patch, maps=2)(torch.rand(2, 1, *size), torch.rand(2, 3, *size))
        assert logits.shape[:2] == (2, 1) and min(logits.shape[2:]) >= 1 and torch.isfinite(logits).all()


def test_images_are_joined_on_their_channels():
    critic = PatchCritic([1, 2], 8, 8, patch="16", maps=2)
    x, y = torch.rand(2, 1, 8, 8), torch.rand(2, 2, 8, 8)
    assert torch.equal(critic(x, y), critic(torch.cat([x, y], dim=1)))
