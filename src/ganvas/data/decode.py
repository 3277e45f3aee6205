"""From the bytes of an image file to 8-bit grey or RGB pixels.

Only PNG, JPEG, WebP, BMP and GIF are read (Pillow's other decoders are never reached), and never more pixels than `MOST_PIXELS`, which is
checked on the declared size, before anything is decoded. Colour profiles are not applied.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

MOST_PIXELS = 89_478_485  # a quarter of a gigabyte in RGB: the size at which Pillow, too, begins to suspect a decompression bomb
LEAST_SIDE = 4
VERSION = 1
"""Raised when the same bytes give other pixels than before; caches of decoded images carry it."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
_LARGE = 1 << 24
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM")
_FOREIGN = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"PK\3\4", "a zip archive"),
    (b"\x1f\x8b", "gzip"),
    (b"8BPS", "Photoshop"),
    (b"SIMPLE  =", "FITS"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x93NUMPY", "a NumPy array"),
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

TRAITS = {
    "1-bit": "of 1 bit: black and white become 0 and 255",
    "16-bit": "of 16 bits: scaled to 8 bits",
    "palette": "with a palette: expanded",
    "alpha": "with transparency: composited on white",
    "CMYK": "CMYK: converted to RGB",
    "turned": "turned as their EXIF orientation says",
    "animated": "of several frames (animated): the first is used",
}
"""What is done to some images on reading, as lines that follow a count."""


class Unusable(Exception):
    """A file that cannot be trained on; the message is the reason, without the file's name."""


@dataclass(frozen=True)
class Decoded:
    """`pixels` uint8 (H, W) for grey and (H, W, 3) for RGB; `mode` as the file declares it; `traits` are keys of `TRAITS`."""

    pixels: Pixels
    mode: str
    traits: tuple[str, ...]


def check_head(head: bytes) -> None:
    """Raise `Unusable` unless the first bytes (at least 32, or all) of a file are those of a format that is read."""
    if head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return
    if not head:
        raise Unusable("is empty (0 bytes)")
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise Unusable(f"is {name}, not a PNG, JPEG, WebP, BMP or GIF image")
    if head[4:8] == b"ftyp":
        raise Unusable("is AVIF, HEIC or video, not a PNG, JPEG, WebP, BMP or GIF image")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        raise Unusable("is HTML, not an image (a download that went wrong?)")
    if not any(byte < 9 for byte in head):
        raise Unusable("is text, not an image")
    raise Unusable("is not a PNG, JPEG, WebP, BMP or GIF image")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings of harmless oddities; held by the thread that hands out the work. Declared sizes are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@final
class Decoder:
    """Decodes from many threads at once, but only one large image at a time, so that memory stays bounded."""

    def __init__(self) -> None:
        self._large = Lock()

    def decode(self, data: bytes) -> Decoded:
        """The upright image in a file's bytes; raises `Unusable`."""
        check_head(data[:64])
        try:
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise Unusable(f"declares {width} x {height} pixels, more than {MOST_PIXELS:,}")
                if min(width, height) < LEAST_SIDE:
                    raise Unusable(f"has {width} x {height} pixels: the shorter side must have at least {LEAST_SIDE}")
                guard: AbstractContextManager[object] = self._large if width * height > _LARGE else nullcontext()
                with guard:
                    return upright(image, deep=data[:8] == _MAGIC[0] and data[24:25] == b"\x10")
        except (Unusable, MemoryError):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise Unusable(f"declares more than {MOST_PIXELS:,} pixels") from None
        except Exception as error:  # Pillow's decoders raise many kinds on damaged input
            raise Unusable(f"is truncated or damaged ({_short(error)})") from None


def _short(error: Exception) -> str:
    words = " ".join(str(error).split())
    return "cannot identify the image" if "cannot identify" in words else (words or type(error).__name__)[:120]


def upright(image: Image.Image, *, deep: bool = False) -> Decoded:
    """A Pillow image loaded, flattened to L or RGB, and turned. `deep`: it comes from a PNG that declares 16 bits a channel."""
    traits = ["animated"] if _animated(image) else []
    mode = image.mode
    image.load()
    turn = _TURNS.get(_orientation(image))
    flat, found = _flat(image)
    traits += found
    if deep and "16-bit" not in traits:  # Pillow has kept the high byte of 16-bit colour
        traits.append("16-bit")
    if turn is not None:
        flat = flat.transpose(turn)
        traits.append("turned")
    pixels = _array(flat)
    if "palette" in traits and pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    return Decoded(pixels, mode, tuple(traits))


def _array(image: Image.Image) -> Pixels:
    """The pixels of an L or RGB image; strip by strip, for Pillow hands out an array through two further copies of what is asked."""
    rows = max(1, _LARGE // (8 * image.width))
    if image.height <= rows:
        return np.asarray(image)
    pixels = np.empty((image.height, image.width, 3)[: 2 + (image.mode == "RGB")], np.uint8)
    for top in range(0, image.height, rows):
        pixels[top : top + rows] = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
    return pixels


def _animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))  # only some of Pillow's formats know of frames
    except Exception:  # a damaged second frame does not concern the first
        image.seek(0)
        return False


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF says nothing about the pixels
        return 1


def _flat(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The loaded image in mode L or RGB, and the traits that this took."""
    mode = image.mode
    if mode.startswith("I"):
        return _scaled(image), ["16-bit"]
    if mode == "CMYK":
        return image.convert("RGB"), ["CMYK"]
    if mode == "F":
        raise Unusable("has floating-point grey values of unknown range (mode F)")
    grey = mode in ("1", "L", "LA", "La")
    traits = {"1": ["1-bit"], "P": ["palette"], "PA": ["palette"]}.get(mode, [])
    if not image.has_transparency_data:
        return image if mode in ("L", "RGB") else image.convert("L" if grey else "RGB"), traits
    if grey:
        whole = image.convert("LA") if mode != "1" else image.convert("RGBA").convert("LA")
        colour, white = whole.getchannel("L"), Image.new("L", image.size, 255)
    else:
        whole = image.convert("RGBA")
        colour, white = whole, Image.new("RGB", image.size, (255, 255, 255))
    white.paste(colour, mask=whole.getchannel("A"))
    return white, [*traits, "alpha"]


def _scaled(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey: v / 257, rounded, so that 65,535 becomes 255."""
    wide = np.asarray(image).astype(np.int64)
    if wide.min() < 0 or wide.max() > 65_535:
        raise Unusable("has grey values outside 0 .. 65,535")
    return Image.fromarray(((wide * 255 + 32_767) // 65_535).astype(np.uint8))


def fit(pixels: Pixels, height: int, width: int) -> Pixels:
    """Pixels (H, W) or (H, W, 3) at (height, width): anti-aliased bicubic resize that fills the frame, cropped at the centre."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels)
    scale = max(width / image.width, height / image.height)
    across, down = min(width / scale, image.width), min(height / scale, image.height)
    left, upper = (image.width - across) / 2, (image.height - down) / 2
    box = (left, upper, left + across, upper + down)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))


def channels(pixels: Pixels, wanted: int) -> Pixels:
    """Pixels (H, W) or (H, W, 3) as (H, W, wanted), wanted 1 or 3; colour becomes grey by ITU-R BT.601 luma."""
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], wanted, axis=2) if wanted > 1 else pixels[..., None]
    return pixels if wanted == 3 else np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
