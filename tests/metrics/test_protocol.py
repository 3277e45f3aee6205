"""Every number of a run comes with all that it hangs on, whichever number was asked for."""

import pytest

import ganvas
from ganvas.measure import evaluate_path

COUNTED = {"ppl": "paths", "nll": "355 examples", "reconstruction": "355 images", "accuracy": "355 images", "factors": "300 samples"}
MODELS = {
    "acgan": ("fd", "kid", "is", "prdc", "classes", "modes", "swd", "spectrum", "ms-ssim", "parzen", "birthday", "copying")
    + ("ppl", "intra-fd", "gan-test", "accuracy"),
    "vae": ("nll", "reconstruction"),
    "infogan": ("factors",),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each model on the digits, its samples from averaged weights where it has any."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: ganvas.train(name, data="digits", preset="tiny", images=64, run=folder / name, quiet=True) for name in MODELS}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANVAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize(("name", "metric"), [(name, metric) for name, metrics in MODELS.items() for metric in metrics])
def test_a_number_asked_for_alone_carries_its_protocol(runs, name, metric):
    found = evaluate_path(runs[name].path, "digits", metrics=(metric,), count=300, seed=3)
    features, reference, samples = (found.protocol[part] for part in ("features", "reference", "samples"))
    assert features["name"] == "classifier" and len(features["hash"]) == 64 and 0.9 < features["accuracy"] <= 1
    assert (reference["split"], reference["of"], reference["resize"]) == ("test", 355, "none")
    assert reference["count"] == (300 if "count" in samples else 355) and len(reference["fingerprint"]) == 64
    assert samples["seed"] == 3 and samples["weights"].startswith(f"{name}, ") and "weights," in samples["weights"]
    told = str(found.protocol[metric.replace("-", "_")]) if "count" not in samples else f"{samples['count']} samples"
    assert COUNTED.get(metric, "300 samples") in told
    assert found.protocol["seconds"] > 0
