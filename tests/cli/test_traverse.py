"""`ganvas traverse`, and the number that says what a run's categories mean, as a user types them."""

import json

import numpy as np
import pytest
from PIL import Image

import ganvas
from ganvas.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganvas.train("infogan", data="digits", preset="tiny", images=64, run=tmp_path_factory.mktemp("runs") / "r", quiet=True).path


def test_traverse_writes_a_grid_an_array_or_a_folder(run, tmp_path, capsys):
    assert main(["traverse", str(run), "--rows", "2", "--out", "t.png"]) == 0
    assert capsys.readouterr().out == "c1 through 0, 1, 2, 3, 4, 5, 6, 7, 8, 9: t.png\n"
    with Image.open("t.png") as grid:
        assert grid.width > 10 * 56 and grid.height > 2 * 56  # small images are enlarged to about 56 pixels
    assert main(["traverse", str(run), "--factor", "c2", "--rows", "2", "--steps", "3", "--out", "t.npz"]) == 0
    images = np.load("t.npz")["images"]
    assert images.shape == (6, 8, 8, 1) and images.dtype == np.uint8
    assert main(["traverse", str(run), "--factor", "c2", "--rows", "2", "--steps", "3", "--out", "t"]) == 0
    assert len(list((tmp_path / "t").iterdir())) == 6


def test_a_wrong_name_is_answered_by_the_right_ones(run, digits_run, capsys):
    assert main(["traverse", str(run), "--factor", "c4", "--out", "t.png"]) == 2
    assert "--factor c4: this code has the parts c1, c2, c3" in capsys.readouterr().err
    assert main(["traverse", str(digits_run), "--out", "t.png"]) == 2
    assert "the code of DCGAN has no named parts" in capsys.readouterr().err
    assert main(["traverse", str(run), "--out", "nowhere/t.png"]) == 2
    assert "the folder nowhere does not exist" in capsys.readouterr().err


def test_factors_are_measured(run, digits_run, capsys):
    assert main(["evaluate", str(run), "--metrics", "factors", "--count", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"].keys() == {"factor_agreement", "factor_agreement_of_data"}
    assert all(0 < value <= 1 for value in found["values"].values())
    assert found["protocol"]["factors"].startswith("60 samples of c1") and "split test" in found["protocol"]["factors"]
    assert main(["evaluate", str(run), "--metrics", "factors", "--count", "60"]) == 0
    assert "factor_agreement_of_data" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--metrics", "factors", "--features", "pixels", "--count", "60"]) == 2
    assert "--metrics factors: needs a classifier" in capsys.readouterr().err
    assert main(["evaluate", str(digits_run), "--metrics", "factors", "--count", "60"]) == 2
    assert "--metrics factors: the code of DCGAN has no named parts" in capsys.readouterr().err
