"""Translations whose truth is known: perfect ones, blind ones, by hand, and through `evaluate`."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

import ganvas
from ganvas.data.open import open_data
from ganvas.data.progress import Silent
from ganvas.engine.capabilities import Translate
from ganvas.errors import GanvasError
from ganvas.measure import evaluate_path
from ganvas.metrics import classifier
from ganvas.metrics.frechet import frechet_distance, moments
from ganvas.metrics.rotations import RotationExtractor
from ganvas.metrics.similarity import psnr, ssim
from ganvas.model_measures import OF_MODELS, Setting
from ganvas.paired import VARIABLE, perceptual_of
from ganvas.parts.perceptual import Perceptual, convolutional, vgg


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(scope="module")
def noisy():
    return open_data("task:denoise-60:digits", split="test")


class Answering(torch.nn.Module, Translate):
    """Gives what a function makes of the images and their row numbers."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    @property
    def targets(self):
        return ("clean",)

    @property
    def multiple(self):
        return 1

    def translate(self, images, *, to, rng):
        assert to == "clean"
        return self.answer(images, rng.places(len(images)))


def measured(model, pairs, extractor, count=120, spec=None):
    run = SimpleNamespace(model=model, device="cpu", spec=spec or pairs.spec, entry=SimpleNamespace(card=SimpleNamespace(title="Toy")))
    setting = Setting(
        run, pairs.compared, pairs.compared, extractor, count=count, seed=0, poll=lambda: None, progress=Silent(), pairs=pairs
    )
    return OF_MODELS["pairs"](setting)


def test_the_truth_itself_is_perfect(noisy, extractor):
    found = measured(Answering(lambda x, rows: noisy.batch(rows)["target"]), noisy, extractor).values
    assert (found["pair_psnr"], found["pair_perceptual"]) == (100, 0) and found["pair_ssim"] == pytest.approx(1)
    assert found["pair_fd"] == pytest.approx(0, abs=1e-6)
    assert found["input_psnr"] < 20 and found["input_ssim"] < 1 and found["input_perceptual"] > 0


def test_doing_nothing_is_what_the_inputs_are(noisy, extractor):
    found = measured(Answering(lambda x, rows: x), noisy, extractor).values
    for word in ("psnr", "ssim", "perceptual"):
        assert found[f"pair_{word}"] == pytest.approx(found[f"input_{word}"], rel=1e-6)


def test_the_numbers_by_hand(noisy, extractor):
    found = measured(Answering(lambda x, rows: -noisy.batch(rows)["target"]), noisy, extractor, count=70)
    truth = noisy.batch(torch.arange(70))["target"]
    distance = Perceptual(*convolutional(extractor.layers))
    assert found.values["pair_psnr"] == pytest.approx(float(psnr(-truth, truth).mean()), rel=1e-3)
    assert found.values["pair_ssim"] == pytest.approx(float(ssim(-truth, truth).mean()), abs=2e-3)
    assert found.values["pair_perceptual"] == pytest.approx(float(distance(-truth, truth).mean()), rel=1e-2)
    features = [extractor.features(one) for one in (truth, -truth)]
    wanted = frechet_distance(*moments(features[0]), *moments(features[1]))
    assert found.values["pair_fd"] == pytest.approx(wanted, rel=1e-2)
    assert "split test, the first 70 of 355 pairs" in found.protocol["pairs"]
    assert "not LPIPS" in found.protocol["pairs"] and "biased upwards" in found.protocol["pairs"]


def test_a_better_answer_is_better_by_every_number(noisy, extractor):
    def partly(share):
        return measured(Answering(lambda x, rows: torch.lerp(x, noisy.batch(rows)["target"], share)), noisy, extractor).values

    some, most = partly(0.3), partly(0.8)
    assert most["pair_psnr"] > some["pair_psnr"] and most["pair_ssim"] > some["pair_ssim"]
    assert most["pair_perceptual"] < some["pair_perceptual"] and most["pair_fd"] < some["pair_fd"]


def test_without_features_psnr_and_ssim_remain_and_it_is_said(noisy):
    found = measured(Answering(lambda x, rows: x), noisy, None)
    assert found.values.keys() == {"pair_psnr", "pair_ssim", "input_psnr", "input_ssim"}
    assert "no perceptual distance" in found.protocol["pairs"] and "no Frechet distance" in found.protocol["pairs"]


def test_grey_inputs_of_colour_are_compared_in_colour():
    pairs = open_data("task:colourise:flower", resolution=16)
    model = Answering(lambda x, rows: x.expand(-1, 3, -1, -1))
    run = SimpleNamespace(model=model, device="cpu", spec=pairs.spec, entry=SimpleNamespace(card=SimpleNamespace(title="Toy")))
    model.translate = lambda images, *, to, rng: images.expand(-1, 3, -1, -1)
    setting = Setting(run, pairs, pairs.compared, None, count=1, seed=0, poll=lambda: None, progress=Silent(), pairs=pairs)
    found = OF_MODELS["pairs"](setting).values
    assert found["pair_psnr"] == pytest.approx(found["input_psnr"]) and 5 < found["input_psnr"] < 40


def test_vggs_weights_are_taken_where_the_user_names_them(tmp_path, monkeypatch, extractor, noisy):
    torch.manual_seed(0)
    held = {"features.0.weight": torch.randn(4, 3, 3, 3), "features.0.bias": torch.zeros(4)}
    save_file(held, tmp_path / "vgg.safetensors")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "vgg.safetensors"))
    found = measured(Answering(lambda x, rows: x), noisy, None, count=10)
    batch = noisy.batch(torch.arange(10))
    a, b = (one.expand(-1, 3, -1, -1) for one in (batch.images, batch["target"]))
    wanted = vgg(tmp_path / "vgg.safetensors")(a, b).mean()
    assert found.values["pair_perceptual"] == pytest.approx(float(wanted), rel=1e-5)
    assert "VGG of vgg.safetensors, the baseline of LPIPS" in found.protocol["pairs"]
    save_file(held | {"lin0.model.1.weight": torch.rand(1, 4, 1, 1)}, tmp_path / "vgg.safetensors")
    assert perceptual_of(extractor)[1].endswith("VGG of vgg.safetensors, LPIPS")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    with pytest.raises(GanvasError, match="GANVAS_PERCEPTUAL: there is no file"):
        perceptual_of(None)


def test_a_rotation_network_gives_a_distance_too():
    """Its convolutions take images of any proportions, though the network was trained on squares."""
    rotations = RotationExtractor(classifier.build((1, 8, 8), 4), (1, 8, 12), {"accuracy": 0.5})
    distance, said = perceptual_of(rotations)
    a, b = torch.rand(2, 3, 1, 8, 12) * 2 - 1
    assert "the rotations network of the data, 3 layers" in said
    assert torch.equal(distance(a, a), torch.zeros(3)) and (distance(a, b) > 0).all()


def test_what_it_needs_is_said(noisy, extractor, digits):
    with pytest.raises(GanvasError, match="--metrics pairs: Toy does not translate"):
        measured(torch.nn.Identity(), noisy, extractor)
    model = Answering(lambda x, rows: x)
    for other in (digits, open_data("inked")):
        with pytest.raises(GanvasError, match="--metrics pairs: needs pairs that belong together"):
            measured(model, other, extractor)
    with pytest.raises(GanvasError, match="the run knows plain and inked of another size"):
        measured(model, noisy, extractor, spec=open_data("inked-pairs").spec)


def test_an_evaluation_of_a_run(tmp_path, monkeypatch, classifier_cache):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    run = ganvas.train("pix2pix", data="task:denoise:digits", preset="tiny", images=32, run=tmp_path / "run", quiet=True)
    found = evaluate_path(run.path, "task:denoise:digits", metrics=("pairs", "fd"), count=100)
    wanted = {"pair_psnr", "pair_ssim", "pair_perceptual", "pair_fd", "input_psnr", "input_ssim", "input_perceptual", "fd"}
    assert found.values.keys() == wanted and found.protocol["features"]["name"] == "classifier"
    assert found.values["pair_fd"] > 0 and "pair_psnr" in found.to_text()
    first = torch.from_numpy(run.sample(3)).permute(0, 3, 1, 2).float() / 127.5 - 1
    alone = evaluate_path(run.path, "task:denoise:digits", metrics=("pairs",), count=3, features="pixels")
    truth = open_data("task:denoise:digits", split="test").batch(torch.arange(3))["target"]
    assert alone.values["pair_psnr"] == pytest.approx(float(psnr(first, truth).mean()), rel=1e-5), "sample i is translation i"
