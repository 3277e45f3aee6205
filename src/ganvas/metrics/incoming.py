"""The samples that come in to be measured: chosen, checked, rounded, and made to fit the data they are compared with."""

from collections.abc import Callable, Iterable, Iterator
from typing import final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ganvas.errors import require

BATCH = 250
"""Images handed on at once."""

_GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


@final
class Incoming:
    """At most `wanted` of the samples: tensors (N, C, H, W) or batches of them, which are drawn only as far as needed.

    Of a larger tensor random ones are taken, chosen by `seed`; of a stream the first. Each is rounded to 8 bits. Samples of another shape
    than `shape` (C, H, W) are an error unless `convert`; with `any_size` only channels have to be equal.
    """

    def __init__(
        self,
        samples: Tensor | Iterable[Tensor],
        wanted: int,
        shape: tuple[int, ...],
        *,
        seed: int,
        convert: bool,
        any_size: bool = False,
    ) -> None:
        self._batches, self._wanted, self._shape = _batches(samples, wanted, seed), wanted, shape
        self._convert, self._any_size = convert, any_size
        self.count = 0
        self.changes = ["rounded to 8 bits"]

    def parts(self, poll: Callable[[], None]) -> Iterator[Tensor]:
        """The samples in batches of at most 250; `count` and `changes` grow with them. `GanvasError` if there are none."""
        while self.count < self._wanted:
            poll()
            batch = next(self._batches, None)
            if batch is None:
                break
            checked = checked_images(batch[: self._wanted - self.count], self.count)
            shape = (*self._shape[:1], *checked.shape[2:]) if self._any_size else self._shape
            images, changed = fitted(checked, shape, self._convert)
            self.changes += [change for change in changed if change not in self.changes]
            for part in images.split(BATCH):
                poll()
                yield part
            self.count += len(images)
        require(self.count > 0, "there are no samples to evaluate")


def choice(available: int, wanted: int, seed: int) -> Tensor:
    """Row numbers of `wanted` out of `available`, ascending: all, or random ones. The choice of fewer is a part of the choice of more."""
    if wanted >= available:
        return torch.arange(available)
    return torch.randperm(available, generator=Generator().manual_seed(seed))[:wanted].sort().values


def _batches(samples: Tensor | Iterable[Tensor], wanted: int, seed: int) -> Iterator[Tensor]:
    """Batches of sampled images."""
    if isinstance(samples, Tensor):
        require(samples.dim() == 4, f"samples: images (N, C, H, W) are wanted, not {tuple(samples.shape)}")
        yield from (samples[rows] for rows in choice(len(samples), wanted, seed).split(BATCH))
    else:
        yield from samples


def checked_images(images: Tensor, first: int) -> Tensor:
    """Finite images in [-1, 1] as float32 on the processor, rounded to the 256 values that a file can hold."""
    require(images.dim() != 2, "the samples are points and the reference holds images: compare them with points (--data)")
    require(images.dim() == 4, f"samples: images (N, C, H, W) are wanted, not {tuple(images.shape)}")
    require(images.is_floating_point(), f"samples: numbers in [-1, 1] are wanted, not {images.dtype}; map bytes x to x / 127.5 - 1")
    exact = images.detach().cpu().float()
    if exact.numel():
        bad = (~exact.flatten(1).isfinite().all(dim=1)).nonzero().flatten()
        require(len(bad) == 0, f"sample {first + int(bad[0]) if len(bad) else 0} holds NaN or infinity: the generator has diverged")
        low, high = float(exact.min()), float(exact.max())
        require(low >= -1.001 and high <= 1.001, f"samples: values in [-1, 1] are wanted, these reach from {low:g} to {high:g}")
    return exact.add(1).mul_(127.5).round_().clamp_(0, 255).div_(127.5).sub_(1)


def fitted(images: Tensor, shape: tuple[int, ...], convert: bool) -> tuple[Tensor, list[str]]:
    """Images of the reference's `shape` (C, H, W), and what was done to them."""
    came = tuple(images.shape[1:])
    if came == tuple(shape):
        return images, []
    sizes = f"the samples are {' x '.join(map(str, came))} and the reference {' x '.join(map(str, shape))} (channels x height x width)"
    require(convert, f"{sizes}: use the reference of the samples' data, or allow conversion (--convert; in Python convert=True)")
    changes = []
    if came[0] != shape[0]:
        require({came[0], shape[0]} == {1, 3}, f"{sizes}: only grey (1) and RGB (3) can be converted into each other")
        luma = images.new_tensor(_GREY).view(1, 3, 1, 1)
        images = images.expand(-1, 3, -1, -1) if shape[0] == 3 else (images * luma).sum(dim=1, keepdim=True)
        changes.append("grey turned into RGB" if shape[0] == 3 else "RGB turned into grey")
    if came[1:] != tuple(shape[1:]):
        images = F.interpolate(images, size=tuple(shape[1:]), mode="bilinear", antialias=True).clamp(-1, 1)
        changes.append(f"resized from {came[1]} x {came[2]} to {shape[1]} x {shape[2]}, bilinear, anti-aliased")
    return images, changes
