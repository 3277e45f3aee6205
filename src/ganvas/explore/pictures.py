"""Picture files as the pixels and tensors that models take, and back."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganvas.data.decode import Decoder, channels, check_head, quiet

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = NDArray[np.uint8]


def read_picture(path: Path, depth: int) -> Picture:
    """(H, W, depth) uint8, grey or RGB. Raises `Unusable` for a file that is no picture, `OSError` for one that cannot be read."""
    data = path.read_bytes()
    check_head(data[:64])
    with quiet():
        return channels(Decoder().decode(data).pixels, depth)


def to_tensor(picture: Picture, device: torch.device) -> Tensor:
    """(H, W, C) uint8 to (1, C, H, W) in [-1, 1]."""
    return (torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1).to(device)


def to_picture(image: Tensor) -> Picture:
    """(C, H, W) in [-1, 1] to (H, W, C) uint8, rounded to nearest."""
    picture: Picture = image.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return picture


def to_image(picture: Picture) -> "Image":
    from PIL import Image

    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
