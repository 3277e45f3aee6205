"""The small classifier whose features the image metrics are taken on, and how it is trained.

There is one per data set, trained on its training split by a fixed recipe on the processor in float32: so a number does not depend on
the device a generator ran on. Private generators make every draw, and the caller's random state is left as it was.
"""

from collections.abc import Callable, Iterator
from typing import final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ganvas.data.examples import Examples
from ganvas.data.progress import Progress

RECIPE = 1
"""Raise it with any change that alters trained weights or features; stored classifiers of another recipe are not used."""

FEATURES = 128
LARGEST = 64
"""Longest side, in pixels, that the network sees; larger images are reduced to it by area averaging."""

_WIDTHS = (16, 32, 64)
_SEED = 20160610
_BATCH = 128
_PEAK = 0.01
_WARM = 0.2
_EPOCHS, _FEWEST, _MOST = 3, 40_000, 300_000
_READ = 500


@final
class Network(nn.Module):
    """Three 3x3 convolutions with batch norm and pooling, then `FEATURES` rectified features and a linear head.

    Images (N, C, H, W) in [-1, 1], any H and W up to `LARGEST`. Sides above 32 are halved by the first convolution; sides below 4 are not
    pooled.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside, (height, width) = channels, size
        for index, outside in enumerate(_WIDTHS):
            stride = 2 if index == 0 and max(height, width) > 32 else 1
            layers += [nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
            height, width = -(-height // stride), -(-width // stride)
            if min(height, width) >= 4:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            inside = outside
        kept = min(4, height), min(4, width)
        layers += [nn.AdaptiveAvgPool2d(kept), nn.Flatten(), nn.Linear(inside * kept[0] * kept[1], FEATURES, bias=False)]
        self.body = nn.Sequential(*layers, nn.BatchNorm1d(FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.head(self.body(images))
        return logits


def reduced_size(height: int, width: int, largest: int) -> tuple[int, int]:
    """The size with the longest side at most `largest`, in the same proportions."""
    scale = min(1.0, largest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def reduce(images: Tensor, largest: int) -> Tensor:
    """Images (N, C, H, W) averaged over areas until the longest side is at most `largest`; smaller ones as they are."""
    size = reduced_size(images.shape[2], images.shape[3], largest)
    return images if size == tuple(images.shape[2:]) else F.interpolate(images, size=size, mode="area")


def build(shape: tuple[int, ...], classes: int) -> Network:
    """A network for images of `shape` (C, H, W), with the recipe's first weights; the caller's random state stays as it is."""
    channels, height, width = shape
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        network = Network(channels, reduced_size(height, width, LARGEST), classes)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def train(network: Network, examples: Examples, rows: Tensor, *, poll: Callable[[], None], progress: Progress) -> None:
    """Train on the examples numbered `rows` (N,) by cross-entropy, images shifted a little; rates and optimizer as in `descend`.

    About three passes, at least 40,000 and at most 300,000 images in all. `poll` is called before every step.
    """
    batch = min(_BATCH, len(rows))
    generator = Generator().manual_seed(_SEED)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for part in order(rows, batch, generator):
            drawn = examples.batch(part)
            yield shifted(reduce(drawn.images.cpu().float(), LARGEST), generator), drawn.labels.cpu()

    descend(network, batches(), budget(len(rows)) // batch, poll=poll, progress=progress)


def descend(
    network: Network,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    *,
    poll: Callable[[], None],
    progress: Progress,
) -> None:
    """Minimise the cross-entropy of (images, labels) for so many steps: AdamW, learning rate up and down once. Leaves the network fixed.

    `poll` is called before every step, `progress` told of every image.
    """
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK, weight_decay=0.01, fused=True)
        network.train()
        for step in range(steps):
            poll()
            done = step / steps
            optimizer.param_groups[0]["lr"] = _PEAK * min(done / _WARM, (1 - done) / (1 - _WARM))
            images, labels = next(batches)
            loss = F.cross_entropy(network(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            progress.advance(len(images))
    network.eval().requires_grad_(False)


def budget(count: int) -> int:
    """Images that `train` sees in all, for `count` examples."""
    batch = min(_BATCH, count)
    return -(-min(max(_EPOCHS * count, _FEWEST), _MOST) // batch) * batch


def accuracy(network: Network, examples: Examples, rows: Tensor, *, poll: Callable[[], None]) -> float:
    """Share of the examples numbered `rows` that a trained network labels rightly."""
    right = 0
    for part in rows.split(_READ):
        poll()
        drawn = examples.batch(part)
        right += int((look(network, drawn.images)[1].argmax(dim=1) == drawn.labels.cpu()).sum())
    return right / len(rows)


@torch.no_grad()
def look(network: Network, images: Tensor) -> tuple[Tensor, Tensor]:
    """Penultimate features (N, 128) and logits (N, K) of images (N, C, H, W) of the size the network was built for."""
    with torch.autocast("cpu", enabled=False):
        features = network.body(reduce(images.cpu().float(), LARGEST).contiguous(memory_format=torch.channels_last))
        return features, network.head(features)


def order(rows: Tensor, batch: int, generator: Generator) -> Iterator[Tensor]:
    """Full batches of row numbers, one random permutation after another; what is left of one begins the next batch."""
    waiting = rows[:0]
    while True:
        while len(waiting) < batch:
            waiting = torch.cat([waiting, rows[torch.randperm(len(rows), generator=generator)]])
        yield waiting[:batch]
        waiting = waiting[batch:]


def shifted(images: Tensor, generator: Generator) -> Tensor:
    """Images (N, C, H, W), each moved by up to a fourteenth of its sides (at least one pixel), the border repeated; channels last."""
    count, _, height, width = images.shape
    rows, columns = (_moved(count, side, generator) for side in (height, width))
    picked = images.permute(0, 2, 3, 1)[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _moved(count: int, side: int, generator: Generator) -> Tensor:
    """(count, side) positions 0 .. side - 1, each row shifted by one draw."""
    furthest = max(1, round(side / 14))
    shift = torch.randint(-furthest, furthest + 1, (count, 1), generator=generator)
    return (torch.arange(side) + shift).clamp(0, side - 1)
