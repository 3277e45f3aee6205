"""One image file at a time: modes, depths, transparency, turning, sizes, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from ganvas.data.decode import LEAST_SIDE, Decoder, Unusable, channels, fit
from tests.data.pictures import noise, png


def decode(image: Image.Image, form: str = "PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return Decoder().decode(buffer.getvalue())


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "GIF", "JPEG"])
def test_every_allowed_format_is_read(form):
    image = Image.new("RGB", (20, 12), (200, 30, 90))
    decoded = decode(image, form, **({"lossless": True} if form == "WEBP" else {}))
    assert decoded.pixels.shape == (12, 20, 3)
    assert np.abs(decoded.pixels.astype(int) - (200, 30, 90)).max() <= (3 if form == "JPEG" else 0)


def test_tiff_is_refused_by_name():
    with pytest.raises(Unusable, match="is TIFF"):
        decode(noise(0), "TIFF")


def test_one_bit_becomes_black_and_white():
    mask = np.random.default_rng(1).random((9, 9)) > 0.5
    decoded = decode(Image.fromarray(mask))
    assert decoded.mode == "1" and decoded.traits == ("1-bit",)
    assert np.array_equal(decoded.pixels, np.where(mask, 255, 0))


def test_sixteen_bit_grey_is_scaled_not_clipped():
    wide = np.linspace(0, 65_535, 64 * 64).astype(np.uint16).reshape(64, 64)
    decoded = decode(Image.fromarray(wide))
    assert decoded.traits == ("16-bit",)
    assert np.array_equal(decoded.pixels, np.rint(wide / 257))


def test_sixteen_bit_colour_is_scaled_and_said():
    wide = np.random.default_rng(2).integers(0, 65_536, (5, 7, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    decoded = Decoder().decode(png(7, 5, 16, 2, rows))
    assert decoded.traits == ("16-bit",)
    assert np.abs(decoded.pixels - wide.astype(int) / 257).max() <= 1


@pytest.mark.parametrize("alpha", [0, 64, 128, 255])
def test_transparency_is_composited_on_white(alpha):
    colour = decode(Image.new("RGBA", (8, 8), (200, 100, 0, alpha)))
    grey = decode(Image.new("LA", (8, 8), (40, alpha)))
    share = alpha / 255
    expected = share * np.array([200, 100, 0]) + (1 - share) * 255
    assert colour.traits == grey.traits == ("alpha",)
    assert np.abs(colour.pixels - expected).max() <= 1
    assert grey.pixels.shape == (8, 8) and np.abs(grey.pixels - (share * 40 + (1 - share) * 255)).max() <= 1


def test_a_transparent_colour_counts_as_transparency():
    image = Image.new("L", (8, 8), 7)
    image.putpixel((0, 0), 90)
    decoded = decode(image, transparency=7)
    assert decoded.pixels[0, 0] == 90 and (decoded.pixels.reshape(-1)[1:] == 255).all()


def test_palettes_are_expanded_and_a_grey_one_is_grey():
    image = Image.new("P", (8, 8))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((3, 2), 1)
    decoded = decode(image)
    assert decoded.traits == ("palette",) and decoded.pixels[2, 3].tolist() == [0, 0, 255] and decoded.pixels[0, 0].tolist() == [255, 0, 0]
    assert decode(image, transparency=0).pixels[0, 0].tolist() == [255, 255, 255]
    image.putpalette([10, 10, 10, 250, 250, 250])
    grey = decode(image)
    assert grey.pixels.shape == (8, 8) and grey.pixels[2, 3] == 250 and grey.pixels[0, 0] == 10


def test_cmyk_becomes_rgb():
    decoded = decode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert decoded.mode == "CMYK" and decoded.traits == ("CMYK",)
    assert np.abs(decoded.pixels.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(orientation):
    upright = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6) * 10
    # What a camera stores for each orientation, from the table of EXIF 2.32 (tag 0x0112): where row 0 and column 0 of the file lie.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright[::-1, ::-1].T,
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(decoded.pixels, upright)
    assert decoded.traits == (() if orientation == 1 else ("turned",))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_used(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    decoded = decode(frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "WEBP" else {}))
    assert "animated" in decoded.traits
    assert (decoded.pixels == (255, 0, 0)).all()


def _damaged(form: str, keep: float) -> bytes:
    buffer = io.BytesIO()
    noise(3, 64, 64).save(buffer, form)
    return buffer.getvalue()[: int(len(buffer.getvalue()) * keep)]


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "GIF", "JPEG"])
@pytest.mark.parametrize("keep", [0.05, 0.5, 0.9])
def test_truncated_files_are_refused(form, keep):
    with pytest.raises(Unusable, match="truncated or damaged"):
        Decoder().decode(_damaged(form, keep))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html></html>", "is HTML"),
        (b"\n <html lang=en>", "is HTML"),
        (b"hello\nworld", "is text"),
        (b"%PDF-1.7", "is PDF"),
        (b"PK\3\4" + bytes(60), "zip archive"),
        (b"SIMPLE  =                    T", "is FITS"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
        (bytes(range(64)), "is not a PNG"),
        (b"\xff\xd8\xff" + bytes(40), "truncated or damaged"),
        (b"BM" + bytes(10), "truncated or damaged"),
    ],
)
def test_other_content_is_refused_with_its_kind(data, reason):
    with pytest.raises(Unusable, match=reason):
        Decoder().decode(data)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (65_000, 65_000), (9_500, 9_500)])
def test_a_bomb_is_refused_by_its_declared_size(width, height):
    with pytest.raises(Unusable, match="declares"):
        Decoder().decode(png(width, height, 8, 2, bytes(1000)))


def test_a_tiny_image_is_refused():
    assert LEAST_SIDE == 4
    with pytest.raises(Unusable, match="1 x 1 pixels"):
        decode(Image.new("L", (1, 1)))
    assert decode(Image.new("L", (4, 4))).pixels.shape == (4, 4)


def test_random_bytes_after_an_honest_head_never_escape_as_another_error():
    rng = np.random.default_rng(4)
    for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        whole = np.frombuffer(_damaged(form, 1.0), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            broken[rng.integers(8, len(whole), 20)] = rng.integers(0, 256, 20)
            try:
                assert Decoder().decode(broken.tobytes()).pixels.dtype == np.uint8
            except Unusable as error:
                assert len(str(error)) < 200 and "\n" not in str(error)


def test_shrinking_is_anti_aliased():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = fit(board, 16, 16)[2:-2, 2:-2].astype(int)
    assert np.abs(small - 127.5).max() < 8  # a resize without low-pass would give 0 or 255


def test_the_frame_is_filled_and_cropped_at_the_centre():
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, :32], wide[:, 32:64], wide[:, 64:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert np.array_equal(fit(wide, 32, 32), wide[:, 32:64])
    tall = fit(np.ascontiguousarray(wide.transpose(1, 0, 2)), 16, 16)
    assert tall.shape == (16, 16, 3) and (tall[4:-4, :, 1] >= 254).all() and (tall[4:-4, :, 0] <= 1).all()
    assert fit(wide, 64, 64).shape == (64, 64, 3)
    assert fit(wide, 32, 96) is wide


def test_channels_repeat_grey_and_weigh_colour():
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert np.array_equal(channels(grey, 3), np.stack([grey] * 3, axis=2))
    assert channels(grey, 1).shape == (4, 4, 1)
    pure = np.zeros((4, 4, 3), np.uint8)
    pure[..., 1] = 255
    assert (channels(pure, 1) == round(0.587 * 255)).all()


def test_a_large_image_is_read_whole():
    grey = np.random.default_rng(5).integers(0, 256, (1500, 3000), dtype=np.uint8)
    assert np.array_equal(decode(Image.fromarray(grey), "BMP").pixels, grey)
    colour = np.repeat(grey[:1000, :, None], 3, axis=2)
    colour[..., 1] = 255 - colour[..., 1]
    assert np.array_equal(decode(Image.fromarray(colour), "BMP").pixels, colour)
