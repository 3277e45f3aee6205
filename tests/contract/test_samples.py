"""What a model gives: samples of the data's form, that know neither their batch nor leave a trace, and what its capabilities promise."""

import json
import math
from dataclasses import replace

import pytest
import torch

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.engine.capabilities import AnySize, Complete, Edit, Encode, Factors, Latent, LogProbability, Score, Style, Translate, Truncate
from ganvas.engine.contract import Condition
from ganvas.engine.draws import SampleDraws
from ganvas.engine.sampling import draw, interpolate
from ganvas.errors import GanvasError
from ganvas.run import build
from tests.engine.toys import assert_equal, tensors
from tests.walk import facts

KINDS = {"images": (1, 8, 8), "points": (2,), "tokens": (5,)}
SIZES = {"images": [(3, 11, 13), (1, 28, 28), (2, 9, 6)], "points": [(1,), (3,)], "tokens": [(3,), (7,)]}


def are_samples(samples, n, spec):
    assert samples.shape == (n, *spec.shape)
    if spec.kind == "tokens":
        assert samples.dtype == torch.int64 and samples.min() >= 0 and samples.max() < len(spec.vocabulary)
    else:
        assert samples.dtype == torch.float32 and torch.isfinite(samples).all()
    if spec.kind == "images":
        assert samples.min() >= -1 and samples.max() <= 1


def noise(spec):
    """Two random images for samples to be made from; None for data of another kind."""
    if spec.kind != "images":
        return None
    channels, height, width = spec.shape
    pixels = torch.randint(256, (2, height, width, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return MemoryImages(About(spec=DataSpec(kind="images", shape=spec.shape), split="all"), pixels)


def test_builds(game):
    model = game.model()
    assert sum(p.numel() for p in model.parameters()) > 0
    for name, tensor in model.state_dict().items():
        assert torch.isfinite(tensor).all(), name
    json.dumps(game.spec.to_json())


def test_builds_alike_from_one_seed(game):
    assert_equal(dict(game.model().state_dict()), dict(game.model().state_dict()))


def test_data_of_another_kind_is_refused(game):
    for kind in KINDS.keys() - set(game.entry.card.data):
        with pytest.raises(GanvasError, match=f"takes .*{game.kind}.*{kind}"):
            build(game.entry, game.config, DataSpec(kind=kind, shape=KINDS[kind], classes=("a", "b"), vocabulary=("a", "b")))


def test_samples_have_form_and_range_before_and_after_steps(game):
    t = game.trainer()
    are_samples(game.samples(t.averaged.model, 5, seed=0), 5, game.made)
    for _ in range(3):
        t.play()
    are_samples(game.samples(t.averaged.model, 5, seed=0), 5, game.made)
    are_samples(game.samples(t.averaged.model, 1, seed=0), 1, game.made)


def test_samples_have_the_native_size(game):
    """Whatever the size of the data, samples have it, unless the model says that it cannot take it."""
    for shape in SIZES[game.kind]:
        spec = replace(game.spec, shape=shape, views=dict.fromkeys(game.spec.views, shape))
        try:
            model = build(game.entry, game.config, spec)
        except GanvasError:
            continue
        are_samples(draw(model.eval(), game.entry.card, 2, seed=0, sources=noise(spec)), 2, spec)


def test_sampling_mutates_nothing(game):
    t = game.trainer()
    t.play()
    tensors_before, training = tensors(t), facts(t.model)
    averaged = facts(t.averaged.model)
    modes = [module.training for module in (*t.model.modules(), *t.averaged.model.modules())]
    game.samples(t.averaged.model, 8, seed=0)
    assert_equal(tensors_before, tensors(t))
    assert facts(t.model) == training and facts(t.averaged.model) == averaged
    assert [module.training for module in (*t.model.modules(), *t.averaged.model.modules())] == modes


def test_a_sample_does_not_depend_on_its_batch(game):
    t = game.trainer()
    t.play()
    model = t.averaged.model
    eight = game.samples(model, 8, seed=3)
    torch.testing.assert_close(game.samples(model, 4, seed=3), eight[:4], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(game.samples(model, 2, seed=3, indices=[6, 1]), eight[[6, 1]], rtol=1e-5, atol=1e-5)


def test_samples_follow_their_seed(game):
    t = game.trainer()
    for _ in range(2):
        t.play()
    model = t.averaged.model
    torch.manual_seed(1)
    first = game.samples(model, 8, seed=3)
    torch.manual_seed(2)
    assert torch.equal(game.samples(model, 8, seed=3), first)
    assert not torch.equal(game.samples(model, 8, seed=4), first)
    assert len(torch.unique(first, dim=0)) > 1


def test_labels_matter_or_are_refused(game):
    model, card = game.model().eval(), game.entry.card
    if "labels" in card.conditions and game.spec.classes:
        first, second = (game.samples(model, 4, seed=0, labels=[label]) for label in (0, 1))
        are_samples(first, 4, game.made)
        assert not torch.equal(first, second)
        mixed = game.samples(model, 4, seed=0, labels=[0, 1])
        torch.testing.assert_close(mixed, torch.stack([first[0], second[1], first[2], second[3]]), rtol=1e-5, atol=1e-5)
    else:
        condition = Condition(labels=torch.tensor([0, 1]))
        with torch.no_grad(), pytest.raises(GanvasError, match="not conditional|label"):
            model.sample(2, condition=condition, rng=SampleDraws(0))
        with pytest.raises(GanvasError, match="--labels"):
            game.samples(model, 2, seed=0, labels=[0, 1])


def test_capabilities_do_what_they_say(game):
    t = game.trainer()
    t.play()
    model, batch = t.averaged.model, game.examples.batch(torch.arange(6) % len(game.examples))
    with torch.no_grad():
        if isinstance(model, Latent):
            z = model.draw(6, SampleDraws(0))
            assert z.shape[0] == 6 and z.dim() == 2 and model.prior in ("normal", "uniform")
            assert model.prior == "normal" or (z.min() >= -1 and z.max() <= 1)
            are_samples(model.decode(z), 6, game.spec)
            assert torch.equal(model.decode(z), model.decode(z))
            are_samples(interpolate(model, rows=2, steps=3, seed=0), 6, game.spec)
        if isinstance(model, Encode):
            codes = model.encode(batch)
            assert codes.shape[0] == 6 and torch.isfinite(codes).all()
            if isinstance(model, Latent):
                are_samples(model.decode(codes), 6, game.spec)
        if isinstance(model, Factors) and isinstance(model, Latent):
            assert model.factors
            z = model.draw(6, SampleDraws(0))
            for factor, size in model.factors.items():
                assert size == 0 or size >= 2
                value = torch.arange(6) % size if size else torch.linspace(-1, 1, 6)
                turned = model.turn(z, factor, value)
                assert turned.shape == z.shape and torch.equal(model.read(turned, factor), value)
                assert torch.equal(model.turn(turned, factor, model.read(z, factor)), z), "all but the part stays"
                assert not torch.equal(model.decode(turned), model.decode(z))
                are_samples(model.decode(turned), 6, game.spec)
                if isinstance(model, Encode):
                    told = model.read(model.encode(batch), factor)
                    assert told.shape == (6,) and told.min() >= (0 if size else -1) and told.max() <= (size - 1 if size else 1)
            with pytest.raises(GanvasError, match="no 'nothing'"):
                model.turn(z, "nothing", torch.zeros(()))
        if isinstance(model, LogProbability):
            nats = model.log_probability(batch, SampleDraws(0))
            assert nats.shape == (6,) and torch.isfinite(nats).all()
        if isinstance(model, Complete):
            given = batch[game.kind]
            mask = torch.zeros_like(given)
            mask[:, ..., : given.shape[-1] // 2] = 1
            completed = model.complete(given, mask, rng=SampleDraws(0))
            are_samples(completed, 6, game.spec)
            torch.testing.assert_close(completed * mask, given * mask)


def test_capabilities_on_images_do_what_they_say(game):
    t = game.trainer()
    t.play()
    model, batch = t.averaged.model, game.examples.batch(torch.arange(6) % len(game.examples))
    with torch.no_grad():
        if isinstance(model, Score):
            scores = model.score(batch)
            assert scores.shape == (6,) and torch.isfinite(scores).all()
        if isinstance(model, Truncate):
            before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            small = model.truncated(0.5, SampleDraws(1))
            assert_equal(before, dict(model.state_dict()))
            assert type(small) is type(model) and not small.training
            are_samples(game.samples(small, 6, seed=0), 6, game.spec)
            torch.testing.assert_close(game.samples(small, 6, seed=0)[:2], game.samples(small, 2, seed=0), rtol=1e-5, atol=1e-5)
            if isinstance(small, Latent) and isinstance(model, Latent):
                codes, cut = model.draw(6, SampleDraws(0)), small.draw(6, SampleDraws(0))
                assert cut.abs().max() <= 0.5 and torch.equal(cut.sign(), codes.sign())
                whole = model.truncated(math.inf, SampleDraws(1))
                assert isinstance(whole, Latent) and torch.equal(whole.draw(6, SampleDraws(0)), codes)
        if isinstance(model, Translate):
            for target in model.targets:
                given = batch.images if target == game.spec.domains[-1] else batch["target"]
                moved = model.translate(given, to=target, rng=SampleDraws(0))
                assert moved.shape[0] == 6 and moved.shape[2:] == given.shape[2:] and moved.abs().max() <= 1
                if isinstance(model, Style):
                    example = (batch["target"] if given is batch.images else batch.images)[:1]
                    styled = model.styled(given, example, to=target, rng=SampleDraws(0))
                    assert styled.shape == moved.shape and styled.abs().max() <= 1 and torch.isfinite(styled).all()
            with pytest.raises(GanvasError, match="nowhere"):
                model.translate(batch.images, to="nowhere", rng=SampleDraws(0))
        if isinstance(model, AnySize):
            assert model.sample_sized(2, 21, 35, rng=SampleDraws(0)).shape == (2, game.spec.shape[0], 21, 35)
        if isinstance(model, Edit):
            image, mask = batch.images[0], torch.zeros(game.spec.shape[1:])
            mask[:, : mask.shape[1] // 2] = 1
            edited = model.edit(image, mask=mask, start=None, rng=SampleDraws(0))
            assert edited.shape == (1, *image.shape) and edited.abs().max() <= 1
            torch.testing.assert_close(edited[0] * (1 - mask), image * (1 - mask))
            enlarged = model.enlarge(image, factor=2.0, rng=SampleDraws(0))
            assert enlarged.shape == (1, image.shape[0], 2 * image.shape[1], 2 * image.shape[2])
            assert model.animate(3, start=None, rng=SampleDraws(0)).shape == (3, *image.shape)
