"""What users do with a model that takes labels: grids by class, paths, metrics, and errors."""

import json

import numpy as np
import pytest

import ganvas
from ganvas import catalog
from ganvas.cli.main import main
from ganvas.diagnostics import grids

NAMES = [name for name in catalog.names() if "labels" in catalog.card(name).conditions and "images" in catalog.card(name).data]
NAME = NAMES[0]


@pytest.fixture(scope="module")
def labelled_run(tmp_path_factory, cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANVAS_CACHE", str(cache))
        return ganvas.train(NAME, data="digits", preset="tiny", run=tmp_path_factory.mktemp("runs") / "labelled", quiet=True).path


@pytest.fixture
def drawn(monkeypatch):
    """What every grid is asked to show, in the place where grids are made."""
    asked, image_grid = [], grids.image_grid

    def watched(images, **how):
        asked.append({"count": len(images), **how})
        return image_grid(images, **how)

    monkeypatch.setattr(grids, "image_grid", watched)
    return asked


def test_a_classifier_that_knows_all_labels_reads_the_last_grid_of_a_run_on_few(tmp_path):
    """Training sees few labels; the picture of its samples is labelled by what the whole set teaches."""
    run = ganvas.train("improved_gan", data="few:100:digits", preset="tiny", run=tmp_path / "run", quiet=True)
    assert (run.path / "report.html").stat().st_size > 0
    assert (run.path / "samples" / "grid.png").stat().st_size > 0


def test_training_leaves_grids_by_class_and_paths(labelled_run):
    for name in ("report.html", "samples/grid.png", "samples/interpolation.png"):
        assert (labelled_run / name).stat().st_size > 0, name
    assert "ganvas interpolate" in (labelled_run / "report.html").read_text()


def test_a_grid_has_its_labels_in_columns_with_their_names(labelled_run, drawn):
    assert main(["sample", str(labelled_run), "--labels", "3", "7", "--count", "8", "--out", "x.png"]) == 0
    assert drawn[0]["columns"] == 2 and drawn[0]["captions"] == ["3", "7"] * 4
    assert main(["sample", str(labelled_run), "--labels", *map(str, range(10)), "--count", "64", "--out", "x.png"]) == 0
    assert drawn[1]["columns"] == 10
    assert main(["sample", str(labelled_run), "--labels", "5", "--count", "64", "--out", "x.png"]) == 0
    assert drawn[2]["columns"] == 8
    assert main(["sample", str(labelled_run), "--count", "64", "--out", "x.png"]) == 0
    assert drawn[3]["columns"] is None and drawn[3]["captions"] is None


def test_paths_have_the_labels_asked_for_or_all_in_turn(labelled_run, drawn):
    assert main(["interpolate", str(labelled_run), "--rows", "12", "--steps", "3", "--out", "i.png"]) == 0
    assert drawn[0]["row_labels"] == [*"0123456789", "0", "1"] and drawn[0]["columns"] == 3
    assert main(["interpolate", str(labelled_run), "--labels", "3", "7", "--rows", "3", "--steps", "3", "--out", "i.npz"]) == 0
    assert main(["interpolate", str(labelled_run), "--labels", "7", "--rows", "3", "--steps", "3", "--out", "j.npz"]) == 0
    first, second = (np.load(name)["images"].reshape(3, 3, 8, 8) for name in ("i.npz", "j.npz"))
    assert np.array_equal(first[1], second[1]) and not np.array_equal(first[0], second[0])


def test_metrics_of_samples_by_class(labelled_run, capsys):
    metrics = ["fd", "prdc", "gan-test", "intra-fd", "gan-train", "augment", "ppl"]
    assert main(["evaluate", str(labelled_run), "--metrics", *metrics, "--count", "60", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["values"]
    assert {"fd", "coverage", "gan_test", "gan_test_worst", "intra_fd", "intra_fd_worst", "gan_train", "augment", "ppl"} <= values.keys()
    assert all(np.isfinite(value) for value in values.values())


@pytest.mark.parametrize("command", ["sample", "interpolate"])
def test_labels_that_are_not_there_are_refused(labelled_run, digits_run, capsys, command):
    assert main([command, str(labelled_run), "--labels", "10", "--out", "x.png"]) == 2
    assert "--labels 10: this data has the classes 0 .. 9" in capsys.readouterr().err
    assert main([command, str(digits_run), "--labels", "1", "--out", "x.png"]) == 2
    assert "--labels: DCGAN is not conditional" in capsys.readouterr().err


def test_data_without_labels_are_refused_before_training(tmp_path, capsys):
    assert main(["train", NAME, "--data", "flower", "--preset", "tiny", "--run", "r"]) == 2
    assert f"{NAME} needs data with labels (one folder per class, IDX files, or a table); this data has none" in capsys.readouterr().err


def test_a_model_of_few_labels_says_which_data_it_takes(tmp_path, capsys):
    assert main(["train", "triplegan", "--data", "digits", "--preset", "tiny", "--run", str(tmp_path / "run")]) == 2
    assert "triplegan needs few labels beside images without (few:100:SOURCE); this data has none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
