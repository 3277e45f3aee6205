"""What tests of the model of ablations start from."""

from dataclasses import replace

import torch

from ganvas.engine.contract import DataSpec
from ganvas.models.modular import PRESETS

CLASSES = tuple("0123456789")
PLAIN = replace(
    PRESETS["tiny"],
    objective="non-saturating",
    normalisation="none",
    conditioning="none",
    augmentation="none",
    discriminator_steps=1,
    init=None,
)
"""Nothing but the plain game."""
Y = torch.tensor([0, 3, 1, 4, 9, 2, 6, 5])


def images(*shape, classes=()):
    return DataSpec(kind="images", shape=shape, classes=classes)


PLANE = DataSpec(kind="points", shape=(2,))
SQUARE = images(1, 16, 16)
LABELLED = images(1, 16, 16, classes=CLASSES)


def small(preset):
    return replace(PRESETS[preset], batch=8, z=4, width=4, discriminator_width=4)


def buffers(model):
    return {name: value.clone() for name, value in model.named_buffers()}
