"""A folder of 1,000 pictures with everything in it that people's folders have: what is used, what is not and why, in bounded memory."""

import json
import os
import socket
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.data.open import open_data
from tests.data.pictures import chunk, noise, pixels, png, reasons, save

GOOD = 960
MEMORY = 1_000_000_000
"""Bytes of peak memory that scanning and training may take."""


def _animations(folder: Path) -> list[str]:
    frames = [noise(i) for i in (900, 901, 902)]
    for name in ("moving.gif", "moving.webp", "moving.png"):
        lossless = {"lossless": True} if name.endswith("webp") else {}
        save(folder / name, frames[0], save_all=True, append_images=frames[1:], **lossless)
    return ["moving.gif", "moving.webp", "moving.png"]


def _odd(folder: Path) -> list[str]:
    """Usable pictures of every kind that is not 8-bit RGB, upright and plainly named; 16 x 16 all of them."""
    kinds = [
        ("cmyk.jpg", Image.new("CMYK", (16, 16), (0, 90, 40, 10)), {}),
        ("deep.png", Image.fromarray(np.full((16, 16), 40_000, np.uint16)), {}),
        ("bit.png", Image.new("1", (16, 16), 1), {}),
        ("palette.png", noise(3).quantize(16), {}),
        ("see through palette.gif", noise(4).quantize(16), {"transparency": 0}),
        ("la.png", Image.new("LA", (16, 16), (10, 128)), {}),
        ("rgba.png", Image.new("RGBA", (16, 16), (10, 20, 30, 128)), {}),
        ("rgba.webp", Image.new("RGBA", (16, 16), (10, 20, 30, 0)), {"lossless": True}),
        ("grey.bmp", noise(5, mode="L"), {}),
        ("wrong suffix.jpg", noise(6), {"format": "PNG"}),
        ("no suffix", noise(7), {"format": "PNG"}),
        ("ünïcödé 图像 🖼.png", noise(8), {}),
        ("new\nline.png", noise(9), {}),
        ("-rf.png", noise(10), {}),
        ("$(reboot) ';--.png", noise(11), {}),
        ("wide.png", noise(12, 48, 16), {}),
    ]
    for name, image, options in kinds:
        save(folder / name, image, **options)
    names = [name for name, _, _ in kinds]
    for turn in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        names.append(f"turned {turn}.jpg")
        save(folder / names[-1], noise(20 + turn), exif=exif)
    (folder / "deep colour.png").write_bytes(png(16, 16, 16, 2, (b"\0" + b"\x9c\x40" * 48) * 16))
    with open(os.fsencode(folder) + b"/latin-\xff.png", "wb") as file:
        file.write((folder / "0000.png").read_bytes())
    os.symlink(folder / "0000.png", folder / "link.png")
    return [*names, "deep colour.png", os.fsdecode(b"latin-\xff.png"), "link.png", *_animations(folder)]


def _whole_giant() -> bytes:
    """A PNG of 20,000 x 20,000 grey pixels with all its data in 400 kB; decoded, it would take 400 MB and RGB 1.2 GB."""
    packer = zlib.compressobj(9)
    row = bytes(20_001)
    body = b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush()
    return png(20_000, 20_000, 8, 0, b"")[:33] + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    """A small PNG whose compressed comment inflates to 300 MB."""
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    small = png(16, 16, 8, 0, bytes(17 * 16))
    return small[:33] + chunk(b"zTXt", b"Comment\0\0" + bomb) + small[33:]


def _bad(folder: Path) -> dict[str, str]:
    """What cannot be used, with the exact reason or its beginning (ending in "...")."""
    whole, photo = (folder / "0000.png").read_bytes(), (folder / "turned 2.jpg").read_bytes()
    no_kind = "not a PNG, JPEG, WebP, BMP or GIF image"
    found = {}
    for name, content, reason in [
        ("empty.png", b"", "is empty (0 bytes)"),
        ("truncated.png", whole[: len(whole) // 2], "is truncated or damaged (..."),
        ("truncated.jpg", photo[: len(photo) // 2], "is truncated or damaged (..."),
        ("head only.png", whole[:20], "is truncated or damaged (..."),
        ("damaged.png", whole[:60] + bytes(50) + whole[110:], "is truncated or damaged (..."),
        ("page.jpg", b"<!DOCTYPE html><html>not found</html>", "is HTML, not an image (a download that went wrong?)"),
        ("notes.txt", b"remember the milk\n", "is text, not an image"),
        ("huge.png", _whole_giant(), "declares more than 89,478,485 pixels"),
        ("boasting.png", png(65_000, 65_000, 8, 2, bytes(100)), "declares more than 89,478,485 pixels"),
        ("chatty.png", _text_bomb(), "is truncated or damaged (Decompressed data too large..."),
        ("tiny.png", png(1, 1, 8, 0, b"\0\0"), "has 1 x 1 pixels: the shorter side must have at least 4"),
        ("flat.png", png(64, 2, 8, 0, bytes(130)), "has 64 x 2 pixels: the shorter side must have at least 4"),
        ("scan.tif.png", b"II*\0" + bytes(100), f"is TIFF, {no_kind}"),
        ("vector.png", b"%!PS-Adobe-3.0 EPSF-3.0\n", f"is PostScript, {no_kind}"),
        ("sky.jpg", b"SIMPLE  =                    T", f"is FITS, {no_kind}"),
        ("archive.png", b"PK\3\4" + bytes(100), f"is a zip archive, {no_kind}"),
        ("j2k.jpg", b"\xff\x4f\xff\x51" + bytes(100), f"is JPEG 2000, {no_kind}"),
        ("pickle.png", b"\x80\x04\x95" + bytes(60), "is not a PNG, JPEG, WebP, BMP or GIF image"),
    ]:
        (folder / name).write_bytes(content)
        found[name] = reason
    os.mkfifo(folder / "pipe.png")
    os.symlink(folder / "missing.png", folder / "broken link.png")
    os.symlink(folder / "self.png", folder / "self.png")
    os.symlink(folder, folder / "loop")
    found |= {
        "pipe.png": "is a fifo, which is never opened",
        "broken link.png": "is a broken link",
        "self.png": "is a link that leads to itself",
        "loop": "is a link to a folder that is read already",
    }
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket must be short
        server.bind("socket.png")
        os.chdir(here)
    found["socket.png"] = "is a socket, which is never opened"
    if os.geteuid() != 0:
        (folder / "secret.png").write_bytes(whole)
        (folder / "secret.png").chmod(0)
        found["secret.png"] = "cannot be read (permission denied)"
    return found


@pytest.fixture(scope="module")
def dirty(tmp_path_factory) -> tuple[Path, list[str], dict[str, str]]:
    """The folder, the files that are usable, and the others with their reasons."""
    folder = tmp_path_factory.mktemp("dirty") / "set"
    for i in range(GOOD):
        save(folder / f"{i:04}.png", noise(i))
    good = [f"{i:04}.png" for i in range(GOOD)] + _odd(folder)
    bad = _bad(folder)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._0000.png").write_bytes(b"junk")
    (folder / ".hidden").mkdir()
    save(folder / ".hidden" / "1.png", noise(1))
    return folder, good, bad


def agrees(found: dict[str, str], expected: dict[str, str]) -> None:
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert found[name] == reason or (reason.endswith("...") and found[name].startswith(reason[:-3])), (name, found[name])


def test_every_file_is_used_or_named_with_its_reason(dirty):
    folder, good, bad = dirty
    assert 950 <= len(good) and len(good) + len(bad) >= 1000
    opened = open_data(str(folder))
    agrees(reasons(opened), bad)
    assert len(opened) == len(good) and opened.spec.shape == (3, 16, 16) and opened.spec.classes == ()
    said = "\n".join(opened.notes())
    for line in (
        f"data: {len(bad)} files rejected:",
        "2 images of 16 bits: scaled",
        "1 image of 1 bit",
        "3 images with a palette",
        "4 images with transparency: composited on white",
        "1 image CMYK",
        "7 images turned",
        "3 images of several frames",
        "1 image resized",
        "4 images grey among coloured ones",
    ):
        assert line in said, (line, said)
    native = dict(zip(sorted(good), pixels(opened), strict=True))
    assert (native["deep.png"] == round(40_000 / 257)).all() and (native["deep colour.png"] == 0x9C).all()
    assert (
        (native["rgba.webp"] == 255).all() and (native["la.png"] == round(10 * 128 / 255 + 127)).all() and (native["bit.png"] == 255).all()
    )
    assert all(np.array_equal(native[f"moving.{kind}"], np.asarray(noise(900))) for kind in ("webp", "png"))
    assert np.array_equal(native["link.png"], native["0000.png"]) and np.array_equal(native["new\nline.png"], np.asarray(noise(9)))
    assert open_data(str(folder)).fingerprint == opened.fingerprint


WITH_MEMORY = """
import re, sys
from pathlib import Path
from ganvas.cli.main import main

code = main(sys.argv[1:])
kilobytes = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
Path("memory").write_text(str(kilobytes * 1024))
sys.exit(code)
"""


def ganvas(*arguments: str, cwd: Path) -> tuple[subprocess.CompletedProcess[str], int]:
    """A command in a process of its own, and the highest memory in bytes that it has taken."""
    environment = os.environ | {"GANVAS_CACHE": str(cwd / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITH_MEMORY, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, capture_output=True, timeout=240)
    return done, int((cwd / "memory").read_text())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to measure memory")
def test_scanning_says_it_all_and_training_uses_exactly_the_rest(dirty, tmp_path):
    folder, good, bad = dirty
    done, memory = ganvas("data", "scan", str(folder), "--json", cwd=tmp_path)
    assert done.returncode == 0 and memory < MEMORY, (done.stderr, memory)
    found = json.loads(done.stdout)
    agrees({one["path"]: one["reason"] for one in found["rejected"]}, bad)
    assert found["splits"] == {"all": {"count": len(good), "classes": {}}}
    run = ["train", "dcgan", "--preset", "tiny", "--images", "64", "--threads", "1", "--run", "run", "--data", str(folder)]
    done, memory = ganvas(*run, cwd=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr and memory < MEMORY, (done.stderr, memory)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert stored["count"] == len(good) and stored["rejected"] == len(bad)
    assert f"{len(good):,} images of 16 x 16 pixels, colour" in done.stderr and "is HTML" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["images"] >= 64
