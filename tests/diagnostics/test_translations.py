"""The grids of translators: what was given, what was made of it, the way back, and what it should be where that is known."""

import numpy as np
import pytest
import torch

from ganvas import catalog
from ganvas.data.open import open_data
from ganvas.diagnostics.gallery import TranslationEasel, in_colours
from ganvas.engine.draws import SampleDraws
from tests.diagnostics.runs import observed, trainer


def cells(page, row, columns=8, side=8):
    """The images of a row of a grid, found by the grey frame around them: (columns, H, W, 3), enlarged as they were drawn."""
    page = np.asarray(page)
    framed = (page == 222).all(axis=2)
    rows, across = np.flatnonzero(framed.mean(axis=1) > 0.5), np.flatnonzero(framed.mean(axis=0) > 0.5)
    factor = 56 // side
    top, left = rows[0] + 2 + row * (56 + 2), across[0] + 2
    return np.stack([page[top : top + 56 : factor, left + i * 58 : left + i * 58 + 56 : factor] for i in range(columns)])


@pytest.mark.parametrize(("data", "rows"), [("inked", 3), ("inked-pairs", 4)])
def test_each_row_is_followed_by_its_translations(tmp_path, data, rows):
    examples, entry = open_data(data), catalog.open_model("cyclegan")
    torch.manual_seed(0)
    model = entry.model(entry.presets["tiny"], examples.spec)
    t = trainer(model, examples, budget=8, observers=observed(tmp_path, entry.card, examples.spec, data_name=data))
    drawn = []
    original = TranslationEasel.samples
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TranslationEasel, "samples", lambda *a, **k: drawn.append(original(*a, **k)) or drawn[-1])
        t.run()
    batch = examples.batch(torch.arange(32))
    with torch.no_grad():
        made = t.averaged.model.translate(batch.images, to="inked", rng=SampleDraws(0))
        back = t.averaged.model.translate(made, to="plain", rng=SampleDraws(0))
    wanted = [examples.spec.native(part).numpy() for part in (batch.images, made, back, batch["target"])][:rows]
    for group in (0, 3):
        for row, part in enumerate(wanted):
            found = cells(drawn[-1], rows * group + row)
            assert np.abs(found.astype(int) - part[8 * group : 8 * group + 8].astype(int)).max() <= 1, (group, row)
    assert not (tmp_path / "samples" / "interpolation.png").exists() and (tmp_path / "samples" / "grid.png").exists()


def test_index_maps_are_shown_in_colours():
    """A colour for each class in the order of their numbers, of whatever is nearest; colours and pictures without palette as they are."""
    maps = np.array([[[0], [1]], [[2], [3]]], np.uint8)
    shown = in_colours(maps, ((2,), (0,), (1,)))
    assert shown.shape == (2, 2, 3) and shown.dtype == np.uint8 and len(np.unique(shown.reshape(-1, 3), axis=0)) == 3
    assert (shown[1, 0] == shown[1, 1]).all() and (in_colours(maps + 7, ((7,), (8,), (9,))) == shown).all()
    assert in_colours(maps, ()) is maps
    coloured = np.zeros((2, 2, 3), np.uint8)
    assert in_colours(coloured, ((0, 0, 0), (9, 9, 9))) is coloured
