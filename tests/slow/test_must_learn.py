"""Every model's quick preset, on real data, must beat a bar. Budgets are in images; minutes are printed."""

import itertools
import math
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

import ganvas
from ganvas.data.examples import About, MemoryImages
from ganvas.data.inked import inked
from ganvas.data.open import open_data
from ganvas.engine.draws import SampleDraws, StepDraws
from ganvas.measure import evaluate_path
from ganvas.metrics.extractor import classifier_for
from tests.slow.real_data import folder

pytestmark = pytest.mark.slow


def trained(tmp_path: Path, model: str, data: str, **more) -> tuple[ganvas.run.Run, str]:
    start = time.perf_counter()
    run = ganvas.train(model, data=data, run=tmp_path / "run", quiet=True, **more)
    return run, f"{run.images:,} images in {(time.perf_counter() - start) / 60:.1f} minutes"


@pytest.mark.parametrize(
    ("model", "images", "coverage"),
    [("dcgan", 600_000, 0.78), ("gan", 600_000, 0.10), ("wgan_gp", 600_000, 0.30), ("progan", 200_000, 0.50)],
)
def test_digits_are_learnt(tmp_path, model, images, coverage):
    data = folder("mnist")
    run, cost = trained(tmp_path, model, data, preset="quick", images=images)
    found = evaluate_path(run.path, data)
    print(f"\n{model}: {cost}; " + ", ".join(f"{name} {value:.3f}" for name, value in found.values.items()))
    assert found.values["classes"] == 10
    assert found.values["coverage"] >= coverage
    if model == "wgan_gp":
        assert run.settings["config"]["critic_steps"] >= 2


@pytest.mark.parametrize(("model", "bar"), [("vae", -100.0), ("pixelcnn", -92.0)])
def test_the_likelihood_of_binarised_digits(tmp_path, model, bar):
    """Of test images binarised at random; a bound for `vae`, exact for `pixelcnn`."""
    data = folder("mnist")
    run, cost = trained(tmp_path, model, data, preset="quick")
    test = open_data(data, split="test")
    nats = []
    for at, rows in enumerate(torch.arange(len(test)).split(500)):
        with torch.no_grad():
            nats.append(run.model.log_probability(test.batch(rows), StepDraws(at, 0, 1, torch.device("cpu"))))
    found = torch.cat(nats).mean().item()
    print(f"\n{model}: {cost}; test images {found:.2f} nats")
    assert found > bar


def test_features_of_a_discriminator_are_a_better_measure_than_pixels(tmp_path):
    data, distances = folder("mnist"), {}
    for model in ("vae", "vae_gan"):
        run, cost = trained(tmp_path / model, model, data, preset="quick", images=120_000)
        distances[model] = evaluate_path(run.path, data).values["fd"]
        print(f"\n{model}: {cost}; fd {distances[model]:.3f}")
    assert distances["vae_gan"] < distances["vae"]


def test_digits_keep_their_content_in_another_look(tmp_path):
    """Unpaired MNIST: white on black, and other digits drawn with a thick pen; which one belongs to which is hidden from training."""
    digits, places = folder("mnist"), {"train": (0, 30_000, 60_000), "test": (0, 5_000, 10_000)}
    for split, (start, middle, end) in places.items():
        examples = open_data(digits, split=split)
        grey = examples.spec.native(examples.batch(torch.arange(start, end)).images).numpy()[..., 0]
        looks = {"A": grey[: middle - start], "B": inked(grey[middle - start :])}
        for domain, pictures in looks.items():
            (tmp_path / "data" / f"{split}{domain}").mkdir(parents=True)
            for number, pixels in enumerate(pictures):
                Image.fromarray(pixels).convert("RGB").save(tmp_path / "data" / f"{split}{domain}" / f"{number:05d}.png")
    run, cost = trained(tmp_path, "cyclegan", str(tmp_path / "data"), preset="quick")
    plain, test = classifier_for(open_data(digits), open_data(digits, split="test")), open_data(digits, split="test")
    rows = torch.arange(5_000)
    labels, given = test.batch(rows).labels, test.batch(rows).images
    thick = torch.from_numpy(inked(test.spec.native(given).numpy()[..., 0])).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        to_b = torch.cat([run.model.translate(x.expand(-1, 3, -1, -1), to="B", rng=SampleDraws(0)) for x in given.split(500)])
        to_a = torch.cat([run.model.translate(x, to="A", rng=SampleDraws(0)) for x in thick.split(500)])
    # Of the thick look the red channel alone tells pen from paper; a classifier of thick digits judges it.
    pen = (to_b[:, :1] - (15 / 127.5 - 1)) / (240 / 127.5) * 2 - 1
    bold = MemoryImages(About(spec=test.spec, split="train"), *_bold(open_data(digits)))
    bold_test = MemoryImages(About(spec=test.spec, split="test"), *_bold(test))
    kept_b = (classifier_for(bold, bold_test).probabilities(pen.clamp(-1, 1)).argmax(1) == labels).float().mean().item()
    kept_a = (plain.probabilities(to_a.mean(1, keepdim=True).clamp(-1, 1)).argmax(1) == labels).float().mean().item()
    print(f"\ncyclegan: {cost}; content kept: to the thick look {kept_b:.3f}, to the plain one {kept_a:.3f}")
    assert min(kept_a, kept_b) >= 0.9


def _bold(examples):
    """Pixels (N, H, W, 1) and labels of all digits with thick strokes, white on black."""
    batch = examples.batch(torch.arange(len(examples)))
    red = inked(examples.spec.native(batch.images).numpy()[..., 0])[..., :1].astype("float32")
    return torch.from_numpy(((red - 15) / 240 * 255).round().astype("uint8")), batch.labels


PICTURES = ["flower", "china", "balloons.png", "birds.png", "mountains.jpg", "starry_night.png"]


@pytest.mark.parametrize("picture", PICTURES)
def test_one_picture_comes_back_and_others_like_it(tmp_path, picture):
    data = picture if "." not in picture else f"{folder('single-image')}/{picture}"
    run, cost = trained(tmp_path, "singan", data, preset="quick", resolution=96)
    image = run.sources.batch(torch.tensor([0])).images
    with torch.no_grad():
        back = run.model.reconstruct().clamp(-1, 1)
    samples = run.tensors(16)

    def difference(x, y):
        return (x - y).square().mean().item()

    error, contrast = difference(back, image), image[0].var(dim=(1, 2), correction=0).mean().item()
    apart = min(difference(x, image[0]) for x in samples) / contrast
    between = min(difference(x, y) for x, y in itertools.combinations(samples, 2)) / contrast
    decibels = -10 * math.log10(error / 4)
    said = f"least squared difference from the image {apart:.2f}, of two samples {between:.2f}, of what came back {error / contrast:.3f}"
    print(f"\nsingan, {picture}: {cost}; back {decibels:.1f} dB; {said} of the variance over places")
    assert decibels >= 22.0
    # In the image's own contrast: two pictures of sky have more in common than two of a town.
    assert min(apart, between) >= max(0.15, 5 * error / contrast)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("model", ["gan", "wgan_gp"])
def test_all_modes_of_the_ring_are_found(tmp_path, model, seed):
    run, cost = trained(tmp_path, model, "ring", preset="quick", seed=seed)
    found = evaluate_path(run.path, "ring", count=2_500)
    print(f"\n{model}, seed {seed}: {cost}; " + ", ".join(f"{name} {value:.3f}" for name, value in found.values.items()))
    assert found.values["modes_found"] == 8


def test_the_demo_draws_all_ten_digits(tmp_path):
    from ganvas.cli.demo import IMAGES, judge

    for seed in (0, 1, 2):
        run = ganvas.train("dcgan", data="digits", preset="quick", images=IMAGES, seed=seed, run=tmp_path / str(seed), quiet=True)
        assert judge(run.path), seed
