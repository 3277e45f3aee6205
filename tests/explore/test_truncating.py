"""A sweep of thresholds: the same codes and labels in every row, numbers beside them, and what is refused."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.errors import GanvasError
from ganvas.explore import truncating
from ganvas.explore.truncating import THRESHOLDS, Cut, Sweep, sweep
from ganvas.measure import evaluate_path
from ganvas.run import load


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    return ganvas.train("biggan", data="digits", preset="tiny", images=640, run=tmp_path_factory.mktemp("runs") / "r", quiet=True)


@pytest.fixture(scope="module")
def like_samples(run, tmp_path_factory):
    """A folder of pictures that the run itself could have made, so that numbers of them are not 0."""
    folder = tmp_path_factory.mktemp("pictures")
    for split, seed in (("train", 8), ("test", 9)):
        (folder / split).mkdir()
        for number, picture in enumerate(run.sample(80, seed=seed)):
            Image.fromarray(picture[..., 0]).save(folder / split / f"{number}.png")
    return str(folder)


def test_rows_are_the_run_s_samples_at_each_threshold_and_numbers_those_of_evaluate(run, like_samples):
    found = sweep(run.path, (math.inf, 0.5), columns=3, labels=(4, 7), count=60, features="pixels", data=like_samples, seed=3)
    assert [cut.name for cut in found.cuts] == ["all codes", "0.5"] and found.classes == ("4", "7", "4")
    for cut in found.cuts:
        at = load(run.path, truncation=cut.threshold)
        assert cut.samples.shape == (3, 8, 8, 1) and np.array_equal(cut.samples, at.sample(3, seed=3, labels=(4, 7)))
        options = {"features": "pixels", "metrics": ("prdc",), "count": 60, "truncation": cut.threshold, "seed": 3}
        alone = evaluate_path(run.path, like_samples, **options)
        assert cut.values == alone.values and cut.values["density"] > 0 and found.protocol["reference"] == alone.protocol["reference"]
        assert cut.values != evaluate_path(run.path, like_samples, **options | {"seed": 4}).values
        assert cut.values != evaluate_path(run.path, like_samples, **options, split="train").values
        assert cut.values and f"truncated at {cut.threshold:g}" in alone.protocol["samples"]["weights"]
    assert not np.array_equal(found.cuts[0].samples, found.cuts[1].samples)
    lines = found.table().splitlines()
    assert lines[0].split() == ["truncation", "precision", "recall", "density", "coverage"]
    assert lines[2].split() == ["0.5", *(f"{value:.4f}" for value in found.cuts[1].values.values())]


def test_variety_falls_with_the_threshold_and_all_classes_stand_in_columns(run):
    found = sweep(run.path, columns=40, count=40, features="pixels")
    assert tuple(cut.threshold for cut in found.cuts) == THRESHOLDS
    assert found.classes == tuple("0123456789") * 4
    spread = [cut.samples.reshape(4, 10, -1).astype(float).std(0).mean() for cut in found.cuts]  # of one class
    assert spread[0] > spread[2] > spread[-1]
    sheet = found.sheet("a title")
    assert sheet.width > 40 * 56 and sheet.height > 6 * 56
    curve = np.asarray(found.curve("a title"))
    assert curve.ndim == 3 and (curve != 255).any()


def test_the_curve_is_of_recall_and_precision(monkeypatch):
    drawn = []
    monkeypatch.setattr(truncating, "trade_figure", lambda values, title: drawn.append((values, title)))
    cuts = tuple(
        Cut(t, np.zeros((1, 8, 8, 1), np.uint8), {"precision": p, "recall": r}) for t, p, r in ((math.inf, 0.5, 0.75), (1.0, 0.625, 0.25))
    )
    Sweep(cuts, (), {}).curve("a title")
    assert drawn == [([("all codes", 0.75, 0.5), ("1", 0.25, 0.625)], "a title")]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"thresholds": (1.0, 0.0)}, "--values 0: must be greater than 0"),
        ({"thresholds": (math.nan,)}, "--values nan: must be greater than 0"),
        ({"thresholds": ()}, "--values: name at least one threshold"),
        ({"columns": 0}, "--columns 0: must be greater than 0"),
        ({"count": 0}, "--count 0: must be greater than 0"),
        ({"labels": (10,)}, "--labels 10: this data has the classes 0 .. 9"),
    ],
)
def test_what_cannot_be_swept_is_refused(run, chosen, message):
    with pytest.raises(GanvasError, match=message):
        sweep(run.path, **{"features": "pixels", **chosen})


def test_a_model_whose_codes_are_not_truncated_says_so(tmp_path):
    plain = ganvas.train("dcgan", data="digits", preset="tiny", images=32, run=tmp_path / "r", quiet=True)
    with pytest.raises(GanvasError, match="codes of DCGAN cannot be truncated; `ganvas list` shows"):
        sweep(plain.path)
