"""Curves: what is drawn, what a median is, and that nothing but the picture is in the picture."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from ganvas.diagnostics.curves import POINTS, curves_figure, curves_svgs, over_images_and_time, panels, running_median, thinned
from ganvas.errors import GanvasError


def rows(n: int = 30) -> list[dict]:
    train = [
        {
            "kind": "train",
            "step": i,
            "images": 8 * i,
            "stage": "small" if i < n / 2 else "large",
            "critic/distance": np.sin(i),
            "critic/penalty": 1 / i,
            "critic/watch/slope": 1.0,
            "critic/gradient norm": 2.0**i,
            "generator/cost": None if i == 3 else float(i),
            "images_per_second": 100.0 if i > 1 else None,
        }
        for i in range(1, n + 1)
    ]
    measured = [{"kind": "evaluate", "step": n, "images": 8 * n, "values": {"fd": 12.0, "recall": 0.5, "coverage": 0.9}, "protocol": {}}]
    return train + measured


def test_panels_follow_the_game():
    found = {panel.title: [series.name for series in panel.series] for panel in panels(rows())}
    assert found == {
        "critic: losses": ["distance", "penalty"],
        "critic: diagnostics": ["slope"],
        "generator: losses": ["cost"],
        "evaluation: fd": ["fd"],
        "evaluation: recall, coverage": ["recall", "coverage"],
        "gradient norm of each phase": ["critic"],
        "speed, images/s": ["images/s"],
    }


def test_diagnostics_may_be_named_by_the_caller():
    found = {panel.title: [series.name for series in panel.series] for panel in panels(rows(), watched={"critic/penalty"})}
    assert found["critic: losses"] == ["distance"] and found["critic: diagnostics"] == ["penalty", "slope"]


def test_values_that_are_not_there_are_left_out():
    series = next(panel for panel in panels(rows()) if panel.title == "generator: losses").series[0]
    assert list(series.x) == [8.0 * i for i in range(1, 31) if i != 3] and np.isfinite(series.y).all()


def test_many_terms_are_spread_over_panels():
    row = {"kind": "train", "step": 1, "images": 8} | {f"p/term {i}": 1.0 for i in range(13)}
    assert [len(panel.series) for panel in panels([row])] == [6, 6, 1]


def test_the_running_median_is_the_median_of_each_window():
    y = np.random.default_rng(0).normal(size=50)
    expected = [np.median(y[max(0, i - 2) : i + 3]) for i in range(50)]
    assert np.allclose(running_median(y, 5), expected)
    assert np.allclose(running_median(y, 4), expected)  # an even window is the next odd one
    assert np.array_equal(running_median(y, 1), y)


def test_thinning_keeps_the_highest_and_lowest_points():
    x = np.arange(50_000.0)
    y = np.sin(x / 9000)
    y[31_234], y[7] = 100.0, -100.0
    few_x, few_y = thinned(x, y)
    assert len(few_x) <= 2 * POINTS and few_y.max() == 100.0 and few_y.min() == -100.0 and (np.diff(few_x) > 0).all()


def test_the_png_is_a_picture_and_is_the_same_every_time():
    first = curves_figure(rows(), title="GAN, a folder named $x_{y}$")
    picture = Image.open(io.BytesIO(first))
    assert picture.format == "PNG" and picture.width > 900
    assert curves_figure(rows(), title="GAN, a folder named $x_{y}$") == first


def test_the_svg_refers_to_nothing_and_escapes_names():
    drawn = curves_svgs([row | {"critic/<script>alert(1)</script>": 1.0} for row in rows()])
    assert len(drawn) == len(panels([row | {"critic/<script>alert(1)</script>": 1.0} for row in rows()]))
    for svg in drawn:
        assert svg.startswith("<svg ") and svg.rstrip().endswith("</svg>")
        assert "http" not in svg and "<script" not in svg
    whole = "".join(drawn)
    assert "&lt;script&gt;" in whole and "distance" in whole, "text stays text"


def test_the_svgs_of_a_page_share_no_name_and_follow_its_colours():
    drawn = curves_svgs(rows())
    names = [name for svg in drawn for name in set(re.findall(r' id="([^"]+)"', svg))]
    assert len(names) == len(set(names))
    for svg in drawn:
        used = set(re.findall(r'(?:href="|url\()#([\w.-]+)', svg))
        assert used <= set(re.findall(r' id="([^"]+)"', svg)), "a curve refers to what its element lacks"
        assert "var(--curve0)" in svg and "currentColor" in svg and "#ffffff" not in svg


def test_diversity_and_distances_are_drawn_over_images_and_over_minutes():
    timed = [row | {"seconds": 30.0 * row["step"]} if row["kind"] == "train" else row for row in rows()]
    spread = [
        {
            "kind": "diversity",
            "step": i,
            "images": 8 * i,
            "values": {"mean distance": 0.5 + i / 60, "energy distance": 0.5, "variation": None},
        }
        for i in (0, 10, 20)
    ]
    found = over_images_and_time([*timed, *spread])
    assert [(panel.title, panel.unit) for panel in found] == [
        (title, unit)
        for title in (
            "diversity: mean distance, data = 1",
            "distance: energy distance to the data, data = 0",
            "evaluation: fd",
            "evaluation: recall, coverage",
        )
        for unit in ("examples seen", "minutes of training")
    ]
    assert found[0].series[0].x.tolist() == [0, 80, 160] and found[1].series[0].x.tolist() == [0, 5, 10]  # half a minute a step
    assert found[0].series[0].y.tolist() == found[1].series[0].y.tolist() == pytest.approx([0.5, 0.5 + 1 / 6, 0.5 + 1 / 3])
    assert all(panel.unit == "examples seen" for panel in over_images_and_time([*rows(), *spread])), "rows without times"
    assert over_images_and_time([row for row in rows() if row["kind"] == "train"]) == []


def test_one_row_is_enough_and_none_is_an_error():
    assert curves_figure(rows(1), title="short")[:4] == b"\x89PNG"
    with pytest.raises(GanvasError, match="nothing to draw"):
        curves_figure([], title="empty")
