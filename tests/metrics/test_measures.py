"""What each measure says of the data themselves, and of samples with a planted fault."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.errors import GanvasError
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.extractor import PixelExtractor
from ganvas.metrics.kinds import DEFAULT
from ganvas.metrics.measures import OF_FEATURES, STREAMED
from tests.metrics.conftest import all_images, all_labels

EVERYTHING = (*OF_FEATURES, *STREAMED)


@pytest.fixture(scope="module")
def measured(digits, held_out, extractor, tmp_path_factory):
    """A function from samples to all values; the training split is the half of the digits that are no samples here."""
    cache = tmp_path_factory.mktemp("features")
    half = MemoryImages(About(spec=digits.spec, split="train"), digits._pixels[::2].contiguous(), digits._labels[::2])

    def measure(samples):
        return evaluate(samples, held_out, extractor, metrics=EVERYTHING, training=half, cache=cache).values

    return measure


@pytest.fixture(scope="module")
def real(digits):
    """Digits that are neither in the training half nor held out."""
    return all_images(digits)[1::2][:355]


@pytest.fixture(scope="module")
def good(measured, real):
    return measured(real)


def test_the_data_themselves_are_good(good):
    assert good["fd"] < 0.03 and abs(good["kid"]) < 0.01
    assert 8 < good["is"] <= 10
    assert good["modes_found"] == good["modes_of"] == 10 and good["modes_kl"] < 0.05
    assert good["spectrum"] < 0.05
    assert good["ms_ssim"] == pytest.approx(good["ms_ssim_of_data"], abs=0.05)
    assert good["copying"] == pytest.approx(0.5, abs=0.1) and good["copies"] == 0
    assert 0.1 < good["support"] / good["support_of_data"] < 10
    assert all(torch.tensor(list(good.values())).isfinite())


def test_a_missing_mode(good, measured, digits):
    images = all_images(digits)[1::2]
    values = measured(images[all_labels(digits)[1::2] != 3])
    assert values["modes_found"] == 9 and values["modes_kl"] > good["modes_kl"] + 0.05
    assert values["kid"] > good["kid"] + 0.01
    assert values["is"] < good["is"]


def test_a_memory_of_the_training_set(good, measured, digits):
    values = measured(all_images(digits)[::2][:355])
    assert values["copying"] > 0.95 and values["copies"] == 1.0
    assert values["fd"] == pytest.approx(good["fd"], abs=0.01)  # which features do not see


def test_one_image_repeated(good, measured, real):
    values = measured(real[:1].expand(355, -1, -1, -1))
    assert values["support"] == 1.0 and values["ms_ssim"] == pytest.approx(1.0)
    assert values["is"] == pytest.approx(1.0, abs=1e-3) and values["modes_found"] == 1


def test_blur(good, measured, real):
    values = measured(F.avg_pool2d(F.pad(real, (1, 1, 1, 1), mode="replicate"), 3, stride=1))
    assert values["spectrum"] > good["spectrum"] + 0.3
    assert values["swd"] > 1.5 * good["swd"]
    assert values["kid"] > good["kid"] + 0.05


def test_noise(good, measured, real):
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    values = measured((real + 0.3 * noise).clamp(-1, 1))
    assert values["spectrum"] > good["spectrum"] + 0.03
    assert values["copying"] < 0.3
    assert values["parzen"] < good["parzen"]


@pytest.mark.parametrize("level", [77, 0])
def test_data_and_samples_of_one_colour_have_numbers(tmp_path, level):
    """No variance anywhere: no distance between equal sets, no neighbourhood, no pair that is not a duplicate."""
    spec = DataSpec(kind="images", shape=(1, 16, 16))
    flat, training = (
        MemoryImages(About(spec=spec, split=name), torch.full((150, 16, 16, 1), level, dtype=torch.uint8), None) for name in "ab"
    )
    metrics = ("fd", "kid", "prdc", *STREAMED)
    same = torch.full((150, 1, 16, 16), level / 127.5 - 1)
    values = evaluate(same, flat, PixelExtractor(), metrics=metrics, training=training, cache=tmp_path).values
    zero = ("fd", "kid", "kid_deviation", "precision", "recall", "density", "coverage", "swd", "spectrum")
    assert {name: values[name] for name in zero} == pytest.approx(dict.fromkeys(zero, 0.0), abs=1e-9)
    assert values["ms_ssim"] == values["ms_ssim_of_data"] == values["support"] == values["support_of_data"] == values["copies"] == 1.0
    other = evaluate(same * 0.5 + 0.2, flat, PixelExtractor(), metrics=metrics, training=training, cache=tmp_path).values
    assert all(torch.tensor(list(other.values())).isfinite()) and other["fd"] > 1 and other["copies"] == 0


def test_only_what_is_asked_for_is_computed(digits, held_out, extractor, tmp_path):
    found = evaluate(all_images(digits)[:100], held_out, extractor, metrics=("spectrum",), cache=tmp_path)
    assert set(found.values) == {"spectrum"} and found.shares == {}
    assert not list(tmp_path.iterdir())  # no features were needed
    assert set(DEFAULT) <= set(OF_FEATURES)


def test_measures_do_not_hang_on_batches(digits, held_out, extractor, tmp_path):
    images = all_images(digits)[:240]
    whole = evaluate(images, held_out, extractor, metrics=EVERYTHING, training=digits, cache=tmp_path).values
    parts = evaluate(iter(images.split(37)), held_out, extractor, metrics=EVERYTHING, training=digits, count=240, cache=tmp_path).values
    assert parts == pytest.approx(whole, rel=1e-4, abs=1e-6)


def test_what_data_do_not_allow_is_refused(digits, held_out, extractor, tmp_path, monkeypatch):
    images = all_images(digits)[:100]
    for name, message in (("is", "needs class probabilities"), ("modes", "images have modes where they have classes")):
        with pytest.raises(GanvasError, match=message):
            evaluate(images, held_out, PixelExtractor(), metrics=(name,), cache=tmp_path)
    with pytest.raises(GanvasError, match="--metrics copying: the data have no held-out split"):
        evaluate(images, held_out, extractor, metrics=("copying",), cache=tmp_path)
    with pytest.raises(GanvasError, match="--metrics nll wasserstein: cannot be made of images alone"):
        evaluate(images, held_out, extractor, metrics=("nll", "wasserstein"), cache=tmp_path)
    monkeypatch.setattr("ganvas.metrics.measures._LARGEST", 1_000)
    with pytest.raises(GanvasError, match="use a smaller --count"):
        evaluate(images, held_out, extractor, metrics=("parzen",), cache=tmp_path)


def test_without_a_training_split_the_window_is_chosen_on_the_reference(digits, held_out, extractor, tmp_path):
    found = evaluate(all_images(digits)[:200], held_out, extractor, metrics=("parzen",), cache=tmp_path)
    assert "images of the reference" in found.protocol["parzen"]
