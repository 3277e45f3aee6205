"""The Inception network of published FIDs: Inception v3 (Szegedy et al. 2015, arXiv:1512.00567) as released on 2015-12-05.

Its weights are 1,008 classes of ImageNet; FID takes the 2,048 features before them (Heusel et al. 2017, arXiv:1706.08500), the Inception
Score the softmax of the logits without their bias (Salimans et al. 2016, arXiv:1606.03498). What tells this network from later
Inceptions: average pooling that leaves out the border, a maximum in the last block's pool, and the resize to 299 x 299, bilinear with
the upper left corners aligned and without anti-aliasing, all as in the first implementation. Names of layers are those of the
weights' file, the common conversion of the release to PyTorch.
"""

import hashlib
import os
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.data.cache import cache_directory, write_whole
from ganvas.data.progress import Progress, Silent
from ganvas.errors import GanvasError, require
from ganvas.metrics.extractor import Extractor, Reading
from ganvas.metrics.neighbours import nothing

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
DIGEST = "6726825d"
"""How the SHA-256 sum of the file begins; its name says so."""

VARIABLE = "GANVAS_INCEPTION"
"""Environment variable: a file with the weights that is there already."""

SIDE, FEATURES, CLASSES = 299, 2_048, 1_008

_CHUNK = 1 << 20
_SECONDS = 60

Conv = tuple[int, int, tuple[int, int], int, tuple[int, int]]
"""Channels in and out, kernel, stride, padding."""


@final
class InceptionExtractor(Extractor):
    """2,048 features and 1,008 class probabilities of images of any size; grey ones are taken as colour."""

    def __init__(self, network: "Inception", digest: str) -> None:
        self._network, self._digest = network.eval().requires_grad_(False), digest

    @property
    def name(self) -> str:
        return "inception"

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"ganvas inception 1, {self._digest}".encode()).hexdigest()

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "name": "Inception 2015-12-05",
            "hash": self.hash,
            "weights": self._digest,
            "features": FEATURES,
            "input": f"resized to {SIDE} x {SIDE}, bilinear, corners aligned, no anti-aliasing; grey as three equal channels",
        }

    @property
    def standard(self) -> bool:
        return True

    @torch.no_grad()
    def read(self, images: Tensor) -> Reading:
        """Features (N, 2048) and probabilities (N, 1008) of images (N, 1 or 3, H, W) in [-1, 1]."""
        good = images.dim() == 4 and images.shape[1] in (1, 3)
        require(good, f"the Inception network takes grey or RGB images (N, C, H, W), not {tuple(images.shape)}")
        bytes_ = images.cpu().float().add(1).mul(127.5).expand(-1, 3, -1, -1)
        found = [self._network(resize((part - 128) / 128)) for part in bytes_.split(50)]
        return Reading(torch.cat([features for features, _ in found]), torch.cat([logits for _, logits in found]).softmax(dim=1))


def inception(*, cache: Path | None = None, poll: Callable[[], None] = nothing, progress: Progress | None = None) -> InceptionExtractor:
    """The extractor, its weights from the file that `GANVAS_INCEPTION` names, from the cache, or fetched into it (95 MB, once).

    Raises `GanvasError`, with what to do, where the weights are not there and cannot be fetched, or are not those of the release.
    """
    path = weights_file(cache=cache, poll=poll, progress=progress)
    digest = _checked(path)
    network = Inception()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)  # tensors alone; nothing in the file is run
        network.load_state_dict({name: value for name, value in stored.items() if not name.startswith("AuxLogits")}, strict=True)
    except Exception as error:
        raise GanvasError(f"{path}: is not the Inception network's weights ({type(error).__name__}: {error})") from None
    return InceptionExtractor(network, digest)


def weights_file(*, cache: Path | None = None, poll: Callable[[], None] = nothing, progress: Progress | None = None) -> Path:
    """Where the weights lie, fetched if need be."""
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        require(path.is_file(), f"{VARIABLE}={named}: there is no such file")
        return path
    path = (cache or cache_directory()) / "inception" / FILE
    if not path.is_file():
        fetch(URL, path, DIGEST, poll=poll, progress=progress or Silent())
    return path


def fetch(url: str, path: Path, digest: str, *, poll: Callable[[], None], progress: Progress) -> None:
    """Store what `url` serves as `path`, whole or not at all; `GanvasError` unless its SHA-256 sum begins with `digest`."""
    by_hand = f"fetch {url} where there is a network, and put it at {path} or name it in {VARIABLE}"
    found = hashlib.sha256()

    try:
        answer = urllib.request.urlopen(url, timeout=_SECONDS)
    except (OSError, ValueError) as error:
        raise GanvasError(f"the Inception network's weights are not there and cannot be fetched ({error}): {by_hand}") from None

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            while part := answer.read(_CHUNK):
                poll()
                file.write(part)
                found.update(part)
                progress.advance(len(part))
        right = found.hexdigest().startswith(digest)
        require(right, f"{url}: what came is not the file wanted (SHA-256 {found.hexdigest()[:16]}..., wanted {digest}...): {by_hand}")

    progress.start(int(answer.headers.get("Content-Length") or 0), "fetching the Inception network (bytes)")
    try:
        with answer:
            written = write_whole(path, write)
    finally:
        progress.close()
    require(written, f"the Inception network's weights came only in part, or cannot be stored at {path}: {by_hand}")


def _checked(path: Path) -> str:
    """The SHA-256 sum of the weights' file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    wrong = f"{path}: is damaged or another file (SHA-256 {digest[:16]}..., wanted {DIGEST}...)"
    # A file of our own may go; one that somebody named is theirs.
    todo = f"let {VARIABLE} name the file of {URL}, or unset it" if os.environ.get(VARIABLE) else "remove it, and it is fetched again"
    require(digest.startswith(DIGEST), f"{wrong}: {todo}")
    return digest


def resize(images: Tensor) -> Tensor:
    """Images (N, C, H, W) at 299 x 299: pixel i of the result lies at i * H / 299 of the source, between two pixels of it."""
    for axis in (2, 3):
        size = images.shape[axis]
        at = torch.arange(SIDE, dtype=torch.float32) * (size / SIDE)
        low = at.long().clamp(max=size - 1)
        share = (at - low).view([SIDE if axis == each else 1 for each in range(4)])
        images = torch.lerp(images.index_select(axis, low), images.index_select(axis, (low + 1).clamp(max=size - 1)), share)
    return images


@final
class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        inside, outside, kernel, stride, padding = conv
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


@final
class Mixed(nn.Module):
    """Chains of units side by side, their results joined. A chain is named by its units; the pool is the last, with or without a unit."""

    def __init__(self, units: Mapping[str, Conv], chains: tuple[tuple[str, ...], ...], pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        for name, conv in units.items():
            self.add_module(name, Unit(conv))
        self._chains, self._pool, self._projected = chains, pool, "branch_pool" in units

    def forward(self, x: Tensor) -> Tensor:
        known: dict[tuple[str, ...], Tensor] = {(): x}  # two chains may begin alike
        for chain in self._chains:
            for length in range(1, len(chain) + 1):
                if chain[:length] not in known:
                    known[chain[:length]] = self.get_submodule(chain[length - 1])(known[chain[: length - 1]])
        pooled = self._pool(x)
        last = self.get_submodule("branch_pool")(pooled) if self._projected else pooled
        return torch.cat([*(known[chain] for chain in self._chains), last], dim=1)


def _conv(inside: int, outside: int, kernel: int | tuple[int, int] = 1, *, stride: int = 1, same: bool = True) -> Conv:
    """`same`: padded so that a stride of 1 keeps the size."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return inside, outside, (height, width), stride, (height // 2, width // 2) if same else (0, 0)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _largest(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2)


def _block_a(inside: int, pooled: int) -> Mixed:
    units = {
        "branch1x1": _conv(inside, 64),
        "branch5x5_1": _conv(inside, 48),
        "branch5x5_2": _conv(48, 64, 5),
        "branch3x3dbl_1": _conv(inside, 64),
        "branch3x3dbl_2": _conv(64, 96, 3),
        "branch3x3dbl_3": _conv(96, 96, 3),
        "branch_pool": _conv(inside, pooled),
    }
    chains = (("branch1x1",), ("branch5x5_1", "branch5x5_2"), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))
    return Mixed(units, chains, _average)


def _block_b(inside: int) -> Mixed:
    units = {
        "branch3x3": _conv(inside, 384, 3, stride=2, same=False),
        "branch3x3dbl_1": _conv(inside, 64),
        "branch3x3dbl_2": _conv(64, 96, 3),
        "branch3x3dbl_3": _conv(96, 96, 3, stride=2, same=False),
    }
    return Mixed(units, (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")), _halved)


def _block_c(inside: int, width: int) -> Mixed:
    wide, tall = (1, 7), (7, 1)
    units = {
        "branch1x1": _conv(inside, 192),
        "branch7x7_1": _conv(inside, width),
        "branch7x7_2": _conv(width, width, wide),
        "branch7x7_3": _conv(width, 192, tall),
        "branch7x7dbl_1": _conv(inside, width),
        "branch7x7dbl_2": _conv(width, width, tall),
        "branch7x7dbl_3": _conv(width, width, wide),
        "branch7x7dbl_4": _conv(width, width, tall),
        "branch7x7dbl_5": _conv(width, 192, wide),
        "branch_pool": _conv(inside, 192),
    }
    single = tuple(f"branch7x7_{number}" for number in (1, 2, 3))
    double = tuple(f"branch7x7dbl_{number}" for number in (1, 2, 3, 4, 5))
    return Mixed(units, (("branch1x1",), single, double), _average)


def _block_d(inside: int) -> Mixed:
    units = {
        "branch3x3_1": _conv(inside, 192),
        "branch3x3_2": _conv(192, 320, 3, stride=2, same=False),
        "branch7x7x3_1": _conv(inside, 192),
        "branch7x7x3_2": _conv(192, 192, (1, 7)),
        "branch7x7x3_3": _conv(192, 192, (7, 1)),
        "branch7x7x3_4": _conv(192, 192, 3, stride=2, same=False),
    }
    return Mixed(units, (("branch3x3_1", "branch3x3_2"), tuple(f"branch7x7x3_{number}" for number in (1, 2, 3, 4))), _halved)


def _block_e(inside: int, pool: Callable[[Tensor], Tensor]) -> Mixed:
    wide, tall = (1, 3), (3, 1)
    units = {
        "branch1x1": _conv(inside, 320),
        "branch3x3_1": _conv(inside, 384),
        "branch3x3_2a": _conv(384, 384, wide),
        "branch3x3_2b": _conv(384, 384, tall),
        "branch3x3dbl_1": _conv(inside, 448),
        "branch3x3dbl_2": _conv(448, 384, 3),
        "branch3x3dbl_3a": _conv(384, 384, wide),
        "branch3x3dbl_3b": _conv(384, 384, tall),
        "branch_pool": _conv(inside, 192),
    }
    double = ("branch3x3dbl_1", "branch3x3dbl_2")
    split = (("branch3x3_1", "branch3x3_2a"), ("branch3x3_1", "branch3x3_2b"))
    return Mixed(units, (("branch1x1",), *split, (*double, "branch3x3dbl_3a"), (*double, "branch3x3dbl_3b")), pool)


@final
class Inception(nn.Module):
    """Images (N, 3, 299, 299), as (bytes - 128) / 128, to features (N, 2048) and logits (N, 1008) without the bias."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # its first weights do not matter, the caller's random state does
            self.Conv2d_1a_3x3 = Unit(_conv(3, 32, 3, stride=2, same=False))
            self.Conv2d_2a_3x3 = Unit(_conv(32, 32, 3, same=False))
            self.Conv2d_2b_3x3 = Unit(_conv(32, 64, 3))
            self.Conv2d_3b_1x1 = Unit(_conv(64, 80))
            self.Conv2d_4a_3x3 = Unit(_conv(80, 192, 3, same=False))
            self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _block_a(192, 32), _block_a(256, 64), _block_a(288, 64)
            self.Mixed_6a = _block_b(288)
            self.Mixed_6b, self.Mixed_6c = _block_c(768, 128), _block_c(768, 160)
            self.Mixed_6d, self.Mixed_6e = _block_c(768, 160), _block_c(768, 192)
            self.Mixed_7a = _block_d(768)
            self.Mixed_7b, self.Mixed_7c = _block_e(1280, _average), _block_e(2048, _largest)
            self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = _halved(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = _halved(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        features = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean(dim=(2, 3))
        return features, features @ self.fc.weight.T
