"""The evaluation of images: real digits near the floor, planted faults seen by the right number, wrong input refused."""

import dataclasses
import json
import random
import re

import numpy as np
import pytest
import torch

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages, MemoryPoints
from ganvas.errors import GanvasError
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.evaluation import Evaluation
from ganvas.metrics.extractor import PixelExtractor

from .conftest import all_images, all_labels


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def real(digits, held_out, extractor, cache):
    """The training digits measured as if they were samples: the best a generator could do."""
    return evaluate(all_images(digits), held_out, extractor, cache=cache)


def test_real_digits_are_near_the_floor(real, held_out):
    values = real.values
    assert values["precision"] > 0.85 and values["recall"] > 0.85
    assert values["density"] == pytest.approx(1.0, abs=0.15)
    assert values["coverage"] > 0.9
    assert values["classes"] == 10 and values["confidence"] > 0.95
    assert sum(real.shares.values()) == pytest.approx(1.0) and min(real.shares.values()) > 0.05
    assert real.protocol["samples"]["count"] == real.protocol["reference"]["count"] == len(held_out)


def test_the_reference_itself_has_distance_zero(held_out, extractor, cache):
    values = evaluate(all_images(held_out), held_out, extractor, cache=cache).values
    assert values["fd"] == pytest.approx(0.0, abs=1e-4)
    assert (values["precision"], values["recall"], values["coverage"]) == (1.0, 1.0, 1.0)
    assert values["density"] == pytest.approx(1.0, abs=0.01)


def test_noise_is_seen(real, held_out, extractor, cache):
    noise = torch.rand(len(held_out), 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    values = evaluate(noise, held_out, extractor, cache=cache).values
    assert values["fd"] > 20 * real.values["fd"]
    assert values["coverage"] < 0.3 and values["density"] < 0.7 * real.values["density"]


def test_a_missing_class_is_seen(real, digits, held_out, extractor, cache):
    kept = all_images(digits)[all_labels(digits) != 3]
    found = evaluate(kept, held_out, extractor, cache=cache)
    assert found.values["classes"] == 9 and found.shares["3"] < 0.01
    assert found.values["fd"] > 1.5 * real.values["fd"]
    assert found.values["coverage"] < real.values["coverage"] - 0.05
    assert found.values["precision"] == pytest.approx(real.values["precision"], abs=0.05)


def test_half_the_classes_missing_costs_recall_and_coverage_but_not_precision(real, digits, held_out, extractor, cache):
    values = evaluate(all_images(digits)[all_labels(digits) < 5], held_out, extractor, cache=cache).values
    assert values["classes"] == 5
    assert values["recall"] < real.values["recall"] - 0.2 and values["coverage"] < real.values["coverage"] - 0.35
    assert values["precision"] == pytest.approx(real.values["precision"], abs=0.08)


def test_a_few_images_repeated_are_seen(real, digits, held_out, extractor, cache):
    few = all_images(digits)[:20].repeat(20, 1, 1, 1)
    values = evaluate(few, held_out, extractor, cache=cache).values
    assert values["precision"] > 0.7
    assert values["recall"] == 0.0 and values["coverage"] < 0.4 and values["fd"] > 2 * real.values["fd"]


def test_blur_is_seen(real, digits, held_out, extractor, cache):
    blurred = torch.nn.functional.avg_pool2d(all_images(digits), 3, stride=1, padding=1)
    values = evaluate(blurred, held_out, extractor, cache=cache).values
    assert values["fd"] > 5 * real.values["fd"] and values["coverage"] < 0.6


def test_nothing_global_moves_and_numbers_repeat(real, digits, held_out, extractor, tmp_path):
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    again = evaluate(all_images(digits), held_out, extractor, cache=tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all() and random.getstate() == before[2]
    assert again.values == real.values and again.shares == real.shares


def test_the_order_of_samples_does_not_matter(digits, held_out, extractor, cache):
    images = all_images(digits)[:300]
    shuffled = images[torch.randperm(300, generator=torch.Generator().manual_seed(4))]
    a, b = (evaluate(one, held_out, extractor, cache=cache).values for one in (images, shuffled))
    assert a == pytest.approx(b, rel=1e-5, abs=1e-6)


def test_a_stream_is_drawn_only_as_far_as_needed(digits, held_out, extractor, cache):
    images, drawn = all_images(digits), []

    def stream():
        for part in images.split(70):
            drawn.append(len(part))
            yield part

    streamed = evaluate(stream(), held_out, extractor, count=300, cache=cache)
    assert sum(drawn) == 350 and streamed.protocol["samples"]["count"] == 300
    assert streamed.values == pytest.approx(evaluate(images[:300], held_out, extractor, cache=cache).values, rel=1e-5, abs=1e-6)


def test_a_short_stream_is_compared_with_as_many(digits, held_out, extractor, cache):
    found = evaluate(iter([all_images(digits)[:40], all_images(digits)[40:100]]), held_out, extractor, cache=cache)
    assert found.protocol["samples"]["count"] == found.protocol["reference"]["count"] == 100


def test_more_samples_than_reference_when_asked(digits, held_out, extractor, cache):
    found = evaluate(all_images(digits), held_out, extractor, count=1_000, cache=cache)
    assert (found.protocol["samples"]["count"], found.protocol["reference"]["count"]) == (1_000, len(held_out))


def test_too_many_samples_are_chosen_by_the_seed(digits, held_out, extractor, cache):
    images = all_images(digits)[all_labels(digits).argsort()]  # sorted by class: the first would not do
    a, b, c = (evaluate(images, held_out, extractor, count=200, seed=seed, cache=cache) for seed in (0, 0, 1))
    assert a.values == b.values != c.values
    assert a.values["classes"] == 10


def test_eight_bits_in_memory_and_in_files_agree(held_out, extractor, cache):
    images = (torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1).clamp(-1, 1)
    kept = held_out.spec.native(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    a, b = (evaluate(one, held_out, extractor, cache=cache).values for one in (images, kept))
    assert a == b


def test_reference_features_are_cached_by_everything_they_depend_on(digits, held_out, extractor, tmp_path):
    samples = all_images(digits)[:100]
    first = evaluate(samples, held_out, extractor, cache=tmp_path)
    stored = sorted((tmp_path / "features").glob("*.safetensors"))
    assert len(stored) == 1

    class Blind(MemoryImages):
        """The same examples, which must not be read again."""

        def batch(self, indices):
            raise AssertionError("the reference was read although its features are stored")

    blind = Blind(held_out._about, held_out._pixels, held_out._labels)
    assert evaluate(samples, blind, extractor, cache=tmp_path).values == first.values
    evaluate(samples[:90], held_out, extractor, cache=tmp_path)
    evaluate(samples, held_out, PixelExtractor(), cache=tmp_path)
    evaluate(samples, digits, extractor, cache=tmp_path)
    changed = MemoryImages(held_out._about, (255 - held_out._pixels).contiguous(), held_out._labels)
    inverted = evaluate(samples, changed, extractor, cache=tmp_path)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 5
    assert inverted.values["fd"] > 5 * first.values["fd"]


def test_damaged_reference_features_are_made_again(digits, held_out, extractor, tmp_path):
    samples = all_images(digits)[:100]
    first = evaluate(samples, held_out, extractor, cache=tmp_path)
    path = next((tmp_path / "features").glob("*.safetensors"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 8]) + whole[-2:])
    assert evaluate(samples, held_out, extractor, cache=tmp_path).values == first.values
    assert path.read_bytes() == whole


def test_without_labels_the_pixels_are_compared(digits, held_out, cache):
    found = evaluate(all_images(digits), held_out, PixelExtractor(), cache=cache)
    assert set(found.values) == {"fd", "precision", "recall", "density", "coverage"} and found.shares == {}
    assert found.values["coverage"] > 0.85
    assert "weak" in found.to_text()


def colour(examples):
    """The same images with three equal channels, 16 x 16."""
    pixels = examples._pixels.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat(1, 1, 1, 3)
    return MemoryImages(About(spec=DataSpec(kind="images", shape=(3, 16, 16)), split="test"), pixels)


def test_other_sizes_are_an_error_naming_both_unless_asked(digits, held_out, extractor, cache):
    images = all_images(colour(digits))[:359]
    with pytest.raises(GanvasError, match=r"the samples are 3 x 16 x 16 and the reference 1 x 8 x 8 .*convert=True"):
        evaluate(images, held_out, extractor, cache=cache)
    found = evaluate(images, held_out, extractor, cache=cache, convert=True)
    assert found.values["classes"] == 10
    changes = "rounded to 8 bits; RGB turned into grey; resized from 16 x 16 to 8 x 8, bilinear, anti-aliased"
    assert found.protocol["samples"]["changes"] == changes
    grey = evaluate(all_images(digits)[:50], colour(held_out), PixelExtractor(), cache=cache, convert=True)
    assert "grey turned into RGB" in grey.protocol["samples"]["changes"]
    with pytest.raises(GanvasError, match=r"only grey \(1\) and RGB \(3\)"):
        evaluate(torch.zeros(10, 2, 8, 8), held_out, extractor, cache=cache, convert=True)


def test_wrong_samples_are_refused(digits, held_out, extractor, cache):
    images = all_images(digits)[:400].clone()
    for samples, message in (
        (images * 2, r"values in \[-1, 1\] are wanted, these reach from -2 to 2"),
        (torch.zeros(10, 1, 8, 8, dtype=torch.uint8), r"not torch.uint8"),
        (images[:5], "at least 6 samples, and there are 5"),
        (images[0], r"images \(N, C, H, W\) are wanted, not \(1, 8, 8\)"),
        (iter(()), "no samples"),
        (images[:0], "no samples"),
    ):
        with pytest.raises(GanvasError, match=message):
            evaluate(samples, held_out, extractor, cache=cache)
    images[300, 0, 2, 2] = float("nan")
    with pytest.raises(GanvasError, match="sample 300 holds NaN"):
        evaluate(images, held_out, extractor, count=400, cache=cache)
    with pytest.raises(GanvasError, match="the reference holds points"):
        spec = DataSpec(kind="points", shape=(2,))
        evaluate(images, MemoryPoints(About(spec=spec, split="test"), torch.zeros(9, 2)), extractor, cache=cache)


def test_constant_samples_are_defined(held_out, extractor, cache):
    values = evaluate(torch.full((100, 1, 8, 8), -1.0), held_out, extractor, cache=cache).values
    assert all(np.isfinite(value) for value in values.values())
    assert values["recall"] == 0.0 and values["classes"] == 1 and values["fd"] > 1


def test_poll_interrupts_between_batches(digits, held_out, extractor, tmp_path):
    polls = []

    def poll():
        polls.append(None)
        if len(polls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(all_images(digits), held_out, extractor, cache=tmp_path, poll=poll)
    assert not list(tmp_path.rglob("*.*"))


def test_json_and_text_carry_the_protocol(real, extractor, held_out):
    stored = json.loads(json.dumps(real.to_json(), allow_nan=False))
    assert Evaluation.from_json(stored) == dataclasses.replace(real, protocol=stored["protocol"])
    assert stored["protocol"]["features"]["hash"] == extractor.hash
    assert stored["protocol"]["reference"]["fingerprint"] == held_out.fingerprint
    assert stored["protocol"]["reference"]["resize"] == "none"
    assert stored["protocol"]["seconds"] > 0
    text = real.to_text()
    for word in ("fd", "precision", "recall", "density", "coverage", "classes", "confidence", "split test", "weights not stated", "seed 0"):
        assert word in text
    assert re.search(r"accuracy 0\.9\d+", text) and "precision recall 3" in text and "density coverage 5" in text
    assert max(map(len, text.splitlines())) < 400
