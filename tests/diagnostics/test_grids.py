"""Grids: every pixel where it belongs, and words that fit."""

import numpy as np
import pytest

from ganvas.diagnostics.grids import GUTTER, LINE, MARGIN, font, image_grid, paths_figure, points_figure, shortened, wrapped
from ganvas.errors import GanvasError


def pictures(n: int, side: int = 2, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def test_each_image_stands_enlarged_in_its_cell():
    images = pictures(6)
    page = np.asarray(image_grid(images, columns=3, scale=4))
    cell = 2 * 4 + GUTTER
    assert page.shape == (2 * cell + GUTTER + 2 * MARGIN, 3 * cell + GUTTER + 2 * MARGIN, 3)
    for index, image in enumerate(images):
        y, x = (MARGIN + GUTTER + cell * i for i in divmod(index, 3))
        assert np.array_equal(page[y : y + 8 : 4, x : x + 8 : 4], image)
        assert np.array_equal(page[y : y + 8, x : x + 8], image.repeat(4, 0).repeat(4, 1))
        assert (page[y - 1, x : x + 8] == LINE).all() and (page[y : y + 8, x - 1] == LINE).all()


def test_grey_images_are_grey_and_small_ones_are_enlarged_to_be_seen():
    images = pictures(4, side=8, channels=1)
    page = np.asarray(image_grid(images))
    at = MARGIN + GUTTER
    assert np.array_equal(page[at : at + 56, at : at + 56], images[0].repeat(7, 0).repeat(7, 1).repeat(3, 2))


def test_images_of_64_pixels_are_not_enlarged_and_an_incomplete_row_is_left_empty():
    page = image_grid(pictures(5, side=64))
    assert page.size == (3 * 66 + 2 + 20, 2 * 66 + 2 + 20)
    assert page.getpixel((MARGIN + 2 * 66 + 30, MARGIN + 66 + 30)) == LINE


def test_titles_labels_and_captions_take_room_and_leave_the_images_alone():
    images = pictures(4, side=8)
    plain = image_grid(images, columns=2)
    told = image_grid(
        images, columns=2, title="DCGAN, digits", row_labels=["zero", "a very long name of a class " * 5], captions=["7 99%"] * 4
    )
    assert told.width > plain.width and told.height > plain.height
    ink = np.asarray(told.convert("L"))
    assert (ink[:MARGIN] == 255).all() and (ink[-MARGIN:] == 255).all() and (ink[:, -MARGIN:] == 255).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": pictures(2).astype(np.float32)},
        {"images": pictures(2)[..., :2]},
        {"images": pictures(0)},
        {"images": pictures(4), "captions": ["one"]},
        {"images": pictures(4), "columns": 2, "row_labels": ["one"]},
    ],
)
def test_what_is_no_grid_is_refused(wrong):
    with pytest.raises(GanvasError, match="a grid"):
        image_grid(**wrong)


def test_words_are_cut_and_wrapped_to_the_width_they_have():
    face = font(12)
    long = "samples of a generator that was trained on a folder with a long name\n\x1b[31m" * 3
    assert face.getlength(shortened(long, face, 100)) <= 100
    assert "\n" not in shortened("a\nb", face, 100) and shortened("abc", face, 100) == "abc"
    lines = wrapped(long, face, 120)
    assert len(lines) > 3 and all(face.getlength(line) <= 120 for line in lines)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_points_are_drawn_over_data_in_any_dimension(dimensions):
    rng = np.random.default_rng(0)
    data, samples = rng.normal(size=(200, dimensions)), rng.normal(size=(100, dimensions))
    with_data = points_figure(samples, data, "GAN, ring $5", modes=np.zeros((1, dimensions)))
    assert with_data.mode == "RGB" and with_data.width > 400
    assert (
        np.asarray(with_data).tobytes()
        == np.asarray(points_figure(samples, data, "GAN, ring $5", modes=np.zeros((1, dimensions)))).tobytes()
    )
    assert np.asarray(points_figure(samples, None, "")).std() > 0
    assert paths_figure(rng.normal(size=(3, 5, dimensions)), data, "paths").size == with_data.size


def test_samples_that_are_not_finite_or_far_away_are_counted_and_do_not_move_the_frame():
    data, near = np.random.default_rng(0).normal(size=(200, 2)), np.zeros((1, 2))
    told = np.asarray(points_figure(near, data, "GAN\n2 of 3 samples lie outside the frame"))
    far = np.array([[0.0, 0.0], [1e30, 0.0], [0.0, np.nan]])
    assert np.array_equal(np.asarray(points_figure(far, data, "GAN")), told)
    assert points_figure(np.full((3, 2), np.nan), None, "all lost").width > 400


def test_points_of_another_dimension_are_refused():
    with pytest.raises(GanvasError, match="shape"):
        points_figure(np.zeros((4, 2)), np.zeros((4, 3)), "")
    with pytest.raises(GanvasError, match="shape"):
        points_figure(np.zeros((4, 2, 1)), None, "")
