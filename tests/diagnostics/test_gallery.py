"""Pictures of a run: on schedule, of the same codes, without a trace in the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data.batch import DataSpec
from ganvas.data.open import open_data
from ganvas.diagnostics.gallery import GalleryObserver, frame_name, walks
from ganvas.engine.contract import Condition
from ganvas.engine.sampling import interpolate
from ganvas.engine.signals import Interrupted
from ganvas.errors import GanvasError
from tests.diagnostics.runs import CONDITIONAL, Means, begin, observed, trainer


def names(path):
    return sorted(p.name for p in (path / "samples").iterdir())


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_pictures_come_at_the_start_on_schedule_and_at_the_end(finished):
    frames = [frame_name(images) for images in (0, 24, 48, 72, 80)]
    assert names(finished) == sorted([*frames, "grid.png", "interpolation.png"])


def test_the_series_shows_the_same_codes(finished, tmp_path):
    body = [pixels(finished / "samples" / frame_name(images))[60:] for images in (0, 72, 80)]
    assert body[0].shape == body[1].shape and not np.array_equal(body[0], body[2])
    entry, model, examples = begin(tmp_path / "again")
    t = trainer(model, examples, observers=observed(tmp_path / "again", entry.card, examples.spec))
    t.run()
    for name in names(finished):
        assert np.array_equal(pixels(finished / "samples" / name), pixels(tmp_path / "again" / "samples" / name))


def test_drawing_leaves_the_training_as_it_was(tmp_path):
    entry, seen, examples = begin(tmp_path / "seen")
    unseen = begin(tmp_path / "unseen")[1]
    trainer(seen, examples, observers=observed(tmp_path / "seen", entry.card, examples.spec, every=8)).run()
    trainer(unseen, examples).run()
    for name, tensor in seen.state_dict().items():
        assert torch.equal(tensor, unseen.state_dict()[name]), name


def test_a_picture_cut_short_by_a_signal_is_drawn_after_the_resume(tmp_path):
    path = tmp_path / "run"
    entry, model, examples = begin(path)
    first = trainer(model, examples, checkpoints=path, observers=observed(path, entry.card, examples.spec))
    first.observers["gallery"].start(first)
    for _ in range(3):
        row = first.play()
    first.signals.received = 15  # what the handler of SIGTERM does
    with pytest.raises(Interrupted):
        first.observers["gallery"].after_step(first, row)
    first.save()
    first.observers["gallery"].finish(first, "interrupted")
    assert names(path) == [frame_name(0)]

    second = trainer(begin(tmp_path / "other")[1], examples, checkpoints=path, observers=observed(path, entry.card, examples.spec))
    assert second.restore()
    second.run()
    assert names(path) == sorted([frame_name(i) for i in (0, 24, 48, 72, 80)] + ["grid.png", "interpolation.png"])


def test_points_are_drawn_over_the_data(tmp_path):
    entry, model, examples = begin(tmp_path / "run", model="wgan_gp", data="two-cities")
    trainer(model, examples, observers=observed(tmp_path / "run", entry.card, examples.spec, every=10**6)).run()
    drawn = pixels(tmp_path / "run" / "samples" / "grid.png")
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10
    assert "interpolation.png" in names(tmp_path / "run")


def test_a_conditional_model_gets_a_row_for_each_class(tmp_path):
    examples = open_data("digits")
    t = trainer(Means(examples.spec), examples, budget=4000, log_every=4000)
    t.observers["gallery"] = gallery = GalleryObserver(tmp_path, CONDITIONAL, examples.spec, "digits", 10**6, 5)
    assert t.run() == "finished"
    samples = gallery._samples(t).flatten(1).view(10, 8, -1)
    within, between = samples.std(dim=1).mean(), samples.mean(dim=1).std(dim=0).mean()
    assert between > 2 * within, "samples of a row share their class"


def test_each_path_of_a_conditional_model_keeps_its_class(tmp_path):
    examples = open_data("digits")
    t = trainer(Means(examples.spec), examples, budget=4000, log_every=4000)
    t.observers["gallery"] = gallery = GalleryObserver(tmp_path, CONDITIONAL, examples.spec, "digits", 10**6, 5)
    assert t.run() == "finished" and "interpolation.png" in names(tmp_path)
    rows, steps = gallery._easel.paths
    assert gallery._easel.path_labels == tuple(range(10)) and rows == 10
    with torch.no_grad():
        means = t.averaged.model.decode(torch.zeros(10, 64), condition=Condition(labels=torch.arange(10)))
    paths = interpolate(t.averaged.model, rows=rows, steps=steps, seed=5, labels=gallery._easel.path_labels)
    nearest = (paths[:, None] - means).flatten(2).square().sum(2).argmin(1).view(rows, steps)
    assert torch.equal(nearest, torch.arange(10)[:, None].expand(rows, steps))


def test_paths_are_drawn_of_models_that_are_asked_for_nothing_or_for_labels():
    model = Means(open_data("digits").spec)
    assert walks(model, CONDITIONAL) and walks(model, replace(CONDITIONAL, conditions=()))
    assert not walks(model, replace(CONDITIONAL, conditions=("images",))) and not walks(object(), CONDITIONAL)


def test_captions_stand_in_the_final_grid_only(tmp_path):
    entry, model, examples = begin(tmp_path / "run")
    asked = []

    def caption(images):
        asked.append(images.shape)
        return ["7 99%"] * len(images)

    t = trainer(model, examples)
    t.observers["gallery"] = GalleryObserver(tmp_path / "run", entry.card, examples.spec, "digits", 8, 5, count=9, caption=caption)
    t.run()
    assert asked == [(9, 8, 8, 1)]


def test_what_cannot_be_drawn_is_refused_before_training(tmp_path):
    spec = DataSpec(kind="tokens", shape=(5,), vocabulary=("a", "b"))
    with pytest.raises(GanvasError, match="tokens"):
        GalleryObserver(tmp_path, CONDITIONAL, spec, "text", 8, 5)
    with pytest.raises(GanvasError, match="--grid-every"):
        GalleryObserver(tmp_path, CONDITIONAL, open_data("digits").spec, "digits", 0, 5)
