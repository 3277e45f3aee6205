"""The commands as a user types them."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import ganvas
from ganvas import catalog
from ganvas.cli.main import main


def test_list_as_json_has_what_tools_read(capsys):
    assert main(["list", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in models] == catalog.names()
    for model in models:
        assert {"name", "title", "year", "family", "capabilities"} <= model.keys()
        assert isinstance(model["capabilities"], list)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["train", "--help"]])
def test_help_and_list_import_no_torch_and_are_quick(arguments):
    code = f"import sys; from ganvas.cli.main import main\ntry: main({arguments!r})\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules"
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.5  # half a second on an idle machine; the import check above is what holds it


def test_train_leaves_a_run_anybody_can_read(digits_run):
    for name in (
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "report.html",
        "curves.png",
        "samples/grid.png",
        "samples/interpolation.png",
    ):
        assert (digits_run / name).stat().st_size > 0, name
    config = json.loads((digits_run / "config.json").read_text())
    assert config["model"] == "dcgan" and config["preset"] == "tiny" and config["resolved"]["images"] == 200
    assert config["run"]["seed"] == 0 and config["data"]["split"] == "train" and len(config["data"]["fingerprint"]) == 64


def test_options_reach_the_run(tmp_path):
    arguments = [
        "train",
        "dcgan",
        "--data",
        "digits",
        "--preset",
        "tiny",
        "--images",
        "64",
        "--run",
        "r",
        "--config.lr-generator",
        "0.001",
        "--seed",
        "7",
    ]
    assert main(arguments) == 0
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["config"]["lr_generator"] == 0.001 and config["run"]["seed"] == 7


def test_the_model_may_stand_after_its_options(tmp_path):
    assert main(["train", "--data", "ring", "--verify", "gan", "--preset=tiny", "--images", "32", "--run", "dcgan"]) == 0
    stored = json.loads((tmp_path / "dcgan" / "config.json").read_text())
    assert stored["model"] == "gan" and stored["run"]["verify"]


def test_without_a_name_runs_are_numbered(tmp_path):
    for _ in range(2):
        assert main(["train", "gan", "--data", "ring", "--preset", "tiny", "--images", "32"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["gan-ring-tiny-001", "gan-ring-tiny-002"]


def test_a_budget_in_minutes_becomes_images(tmp_path):
    assert main(["train", "gan", "--data", "ring", "--preset", "tiny", "--minutes", "0.02", "--run", "r"]) == 0
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["resolved"]["images"] > 32 and config["run"]["minutes"] == 0.02


def test_two_processes_of_torchrun_are_one_with_two_micro_batches(tmp_path):
    train = ["train", "gan", "--data", "ring", "--preset", "tiny", "--images", "64", "--threads", "1"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "ganvas.cli.main"]
    done = subprocess.run([*launch, *train, "--run", "two"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run directory") == 1
    assert main([*train, "--accumulate", "2", "--run", "one"]) == 0
    two, one = (load_file(tmp_path / run / "checkpoints" / "step-000000000008" / "model.safetensors") for run in ("two", "one"))
    parameters = [name for name in one if "running" not in name and "batches" not in name]
    assert parameters
    for name in parameters:  # batch-norm statistics are averaged over ranks, and follow one another over micro-batches
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-5)


def test_samples_as_array_folder_and_grid(digits_run, tmp_path):
    assert main(["sample", str(digits_run), "--count", "9", "--seed", "3", "--out", "a.npz"]) == 0
    images = np.load("a.npz")["images"]
    assert images.shape == (9, 8, 8, 1) and images.dtype == np.uint8
    assert main(["sample", str(digits_run), "--count", "4", "--seed", "3", "--out", "folder"]) == 0
    files = sorted((tmp_path / "folder").iterdir())
    assert len(files) == 4
    for file, image in zip(files, images, strict=False):
        with Image.open(file) as picture:
            assert np.array_equal(np.asarray(picture), image[:, :, 0])
    assert main(["sample", str(digits_run), "--count", "4", "--out", "grid.png"]) == 0
    with Image.open("grid.png") as grid:
        assert grid.width > 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "folder", "grid.png"]


def test_points_as_array_and_picture(ring_run):
    assert main(["sample", str(ring_run), "--count", "50", "--out", "p.npz"]) == 0
    points = np.load("p.npz")["points"]
    assert points.shape == (50, 2) and points.dtype == np.float32
    assert main(["sample", str(ring_run), "--count", "50", "--out", "p.png"]) == 0


def test_an_ensemble_takes_each_image_from_one_of_its_runs(digits_run, tmp_path):
    other = ganvas.train("dcgan", data="digits", preset="tiny", images=200, seed=1, run=tmp_path / "other", quiet=True).path
    assert main(["sample", str(digits_run), str(other), "--count", "40", "--out", "both.npz"]) == 0
    both = np.load("both.npz")["images"]
    alone = [ganvas.load(path).sample(40) for path in (digits_run, other)]
    origin = [[bool((both[i] == one[i]).all()) for one in alone] for i in range(40)]
    assert all(any(row) for row in origin)
    assert 8 < sum(row[0] for row in origin) < 32


def test_interpolate(digits_run, tmp_path):
    assert main(["interpolate", str(digits_run), "--rows", "2", "--steps", "5", "--out", "i.npz"]) == 0
    paths = np.load("i.npz")["images"]
    assert paths.shape == (10, 8, 8, 1)
    assert main(["interpolate", str(digits_run), "--out", "i.png"]) == 0


def test_evaluate_a_run_a_folder_and_an_array_alike(digits_run, capsys):
    assert main(["sample", str(digits_run), "--count", "60", "--out", "a.npz"]) == 0
    assert main(["sample", str(digits_run), "--count", "60", "--out", "folder"]) == 0
    found = []
    for what in (str(digits_run), "a.npz", "folder"):
        capsys.readouterr()
        assert main(["evaluate", what, "--data", "digits", "--count", "60", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    values = found[0]["values"]
    assert {"fd", "precision", "recall", "density", "coverage"} <= values.keys()
    for other in found[1:]:
        assert other["values"] == pytest.approx(values, rel=1e-3, abs=1e-6)
    assert found[0]["protocol"]["reference"]["split"] == "test"
    assert "averag" in found[0]["protocol"]["samples"]["weights"] or "trained" in found[0]["protocol"]["samples"]["weights"]


def test_evaluate_counts_modes(ring_run, capsys):
    assert main(["evaluate", str(ring_run), "--data", "ring", "--count", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"]["modes_of"] == 8


def test_metrics_are_chosen_by_name(digits_run, capsys):
    chosen = ["fd", "kid", "is", "prdc", "parzen", "ppl", "spectrum"]
    assert main(["evaluate", str(digits_run), "--metrics", *chosen, "--count", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = {"fd", "kid", "kid_deviation", "is", "is_deviation", "precision", "recall", "density", "coverage", "parzen", "parzen_error"}
    assert set(found["values"]) == wanted | {"ppl", "spectrum"}
    assert {"hash", "name", "accuracy"} <= found["protocol"]["features"].keys()
    assert main(["evaluate", str(digits_run), "--metrics", "fd", "spectrum", "--count", "60"]) == 0
    assert "difference of log10 power" in capsys.readouterr().out


def test_metrics_of_points(ring_run, capsys):
    assert main(["evaluate", str(ring_run), "--metrics", "modes", "kid", "--count", "100", "--json"]) == 0
    assert {"modes_found", "modes_kl", "high_quality", "kid"} <= json.loads(capsys.readouterr().out)["values"].keys()


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("nll", "DCGAN gives no likelihood"),
        ("gan-train", "does not take labels"),
        ("reconstruction", "does not map images to codes"),
        ("wasserstein", "cannot be made of images alone"),
    ],
)
def test_metrics_that_a_run_does_not_have_say_why(digits_run, capsys, metric, said):
    assert main(["evaluate", str(digits_run), "--metrics", metric, "--count", "20"]) == 2
    assert said in capsys.readouterr().err


def test_metrics_of_the_model_need_the_run(digits_run, capsys):
    assert main(["sample", str(digits_run), "--count", "20", "--out", "a.npz"]) == 0
    assert main(["evaluate", "a.npz", "--data", "digits", "--metrics", "ppl"]) == 2
    assert "name a run, not its samples" in capsys.readouterr().err


def test_likelihood_and_reconstruction_of_a_vae(tmp_path, capsys):
    ganvas.train("vae", data="digits", preset="tiny", images=200, run=tmp_path / "v", quiet=True)
    capsys.readouterr()
    assert main(["evaluate", "v", "--metrics", "nll", "reconstruction", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["values"]) == {"nll_nats", "nll_error", "bits_per_dim", "psnr", "ssim"}
    assert found["protocol"]["nll"].startswith("a lower bound") and "355 examples" in found["protocol"]["nll"]


def test_two_processes_evaluate_as_one(digits_run, tmp_path, capsys):
    evaluate = ["evaluate", str(digits_run), "--count", "900", "--metrics", "fd", "kid", "prdc", "classes", "spectrum", "ms-ssim", "--json"]
    assert main(evaluate) == 0
    one = json.loads(capsys.readouterr().out)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "ganvas.cli.main"]
    done = subprocess.run([*launch, *evaluate], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert two["values"] == pytest.approx(one["values"], rel=1e-5, abs=1e-9)
    assert two["shares"] == one["shares"] and two["protocol"]["samples"] == one["protocol"]["samples"]


def test_a_finished_run_says_so(digits_run, capsys):
    before = (digits_run / "metrics.jsonl").read_bytes()
    assert main(["resume", str(digits_run)]) == 0
    assert "finished" in capsys.readouterr().err
    assert (digits_run / "metrics.jsonl").read_bytes() == before


def test_a_run_is_resumed_wherever_it_lies_and_from_wherever(tmp_path, monkeypatch):
    """Its data are found from another working directory, and nothing in it names its own place."""
    (tmp_path / "pictures").mkdir()
    for number in range(12):
        Image.new("L", (8, 8), number * 20).save(tmp_path / "pictures" / f"{number}.png")
    assert main(["train", "gan", "--data", "pictures", "--preset", "tiny", "--images", "64", "--save-every", "32", "--run", "r"]) == 0
    last = "checkpoints/step-000000000008"
    whole = {file.name: file.read_bytes() for file in (tmp_path / "r" / last).glob("*.safetensors")}
    shutil.rmtree(tmp_path / "r" / last)
    (tmp_path / "r" / "report.html").unlink()
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "r").rename(tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere" / "deep")
    assert main(["resume", "../moved"]) == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "elsewhere" / "moved" / last).glob("*.safetensors")} == whole


@pytest.mark.parametrize("prefix", ["", "hf:", "few:100:", "stacked:", "few:1000:stacked:", "task:denoise-50:", "first:500:"])
def test_a_source_is_remembered_by_its_whole_path(tmp_path, monkeypatch, prefix):
    from ganvas.api import _absolute

    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _absolute(f"{prefix}pictures") == f"{prefix}{(tmp_path / 'pictures').resolve()}"
    assert _absolute(f"{prefix}digits") == f"{prefix}digits"


def test_evaluation_while_training_is_written_beside_the_losses(tmp_path):
    assert main(["train", "gan", "--data", "ring", "--preset", "tiny", "--images", "96", "--evaluate-every", "48", "--run", "r"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert sum(row["kind"] == "evaluate" for row in rows) == 2


def test_report_data_scan_info_doctor(digits_run, capsys):
    assert main(["report", str(digits_run)]) == 0
    assert main(["data", "scan", "digits"]) == 0
    assert "8 x 8" in capsys.readouterr().out
    assert main(["data", "scan", "digits", "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert main(["info", "vae"]) == 0
    assert "1312.6114" in capsys.readouterr().out
    assert main(["doctor"]) == 0
