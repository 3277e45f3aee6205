"""Pictures small enough to stand inside a page."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.errors import GanvasError

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH = 1080  # pixels; a page is not wider
QUALITIES = (85, 70, 55)


def embedded(path: Path, limit: int) -> str:
    """A `data:` address of a picture in at most about `limit` bytes.

    A PNG that is small enough goes in as it is. Else it becomes WebP, without loss if that suffices, then of falling quality, then of
    falling size. Raises `GanvasError` for a file that is no picture.
    """
    from PIL import Image

    try:
        content = path.read_bytes()
        picture = Image.open(io.BytesIO(content)).convert("RGB")
    except OSError as error:
        raise GanvasError(f"{path}: cannot be shown in the report ({error}); delete the file") from error
    if len(content) <= limit and picture.width <= WIDTH:
        return _address("png", content)
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, max(1, round(picture.height * WIDTH / picture.width))), Image.Resampling.LANCZOS)
    content = _webp(picture, lossless=True, quality=50)
    if len(content) <= limit:
        return _address("webp", content)
    while True:
        for quality in QUALITIES:
            content = _webp(picture, lossless=False, quality=quality)
            if len(content) <= limit:
                return _address("webp", content)
        if min(picture.size) < 64:
            return _address("webp", content)
        picture = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4), Image.Resampling.LANCZOS)


def _webp(picture: "Image", *, lossless: bool, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", lossless=lossless, quality=quality, method=2)
    return buffer.getvalue()


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
