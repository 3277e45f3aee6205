"""Pictures made small enough for a page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ganvas.diagnostics.embed import WIDTH, embedded
from ganvas.errors import GanvasError


def opened(address):
    kind, content = address.removeprefix("data:image/").split(";base64,")
    data = base64.b64decode(content)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format.lower() == kind
        return np.asarray(picture.convert("RGB")), len(data)


def saved(path, height, width, *, noisy):
    rows = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(rows if noisy else np.full_like(rows, 90)).save(path)
    return path


def test_a_small_picture_goes_in_as_it_is(tmp_path):
    path = saved(tmp_path / "a.png", 40, 60, noisy=True)
    pixels, size = opened(embedded(path, 100_000))
    assert size == path.stat().st_size and np.array_equal(pixels, np.asarray(Image.open(path)))


def test_without_loss_where_that_is_enough(tmp_path):
    path = tmp_path / "steps.png"
    steps = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 4, (40, 60, 3), dtype=np.uint8) * 80, 8, 0), 8, 1)
    Image.fromarray(steps).save(path, compress_level=0)
    pixels, size = opened(embedded(path, 30_000))
    assert size <= 30_000 < path.stat().st_size and np.array_equal(pixels, steps)


@pytest.mark.parametrize("limit", [60_000, 15_000, 3_000])
def test_the_limit_is_kept_at_the_cost_of_quality_and_then_of_size(tmp_path, limit):
    pixels, size = opened(embedded(saved(tmp_path / "a.png", 300, 400, noisy=True), limit))
    assert size <= limit and abs(pixels.shape[1] / pixels.shape[0] - 4 / 3) < 0.05


def test_what_is_wider_than_a_page_is_reduced(tmp_path):
    pixels, _ = opened(embedded(saved(tmp_path / "a.png", 20, 3 * WIDTH, noisy=False), 100_000))
    assert pixels.shape == (7, WIDTH, 3)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "grid.png").write_text("no")
    with pytest.raises(GanvasError, match="grid.png: cannot be shown in the report"):
        embedded(tmp_path / "grid.png", 1000)
    with pytest.raises(GanvasError, match="gone.png"):
        embedded(tmp_path / "gone.png", 1000)
