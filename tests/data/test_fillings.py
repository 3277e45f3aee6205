"""Answers without learning: by closed form, and for the tasks they stand for."""

import torch

from ganvas.data import degradations
from ganvas.data.fillings import FILLINGS, bicubic, coloured, mean_filled, median
from ganvas.data.tasks import TASKS, spoiled


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_every_filling_belongs_to_a_task_and_gives_its_second_half():
    whole = noise(2, 3, 12, 9)
    for title, fill in FILLINGS.items():
        task = TASKS[title]
        given = spoiled(whole, torch.arange(2), title, task.usual, "any")
        made = fill(given, task.usual)
        assert made.shape == whole.shape and made.abs().max() <= 1


def test_a_ramp_comes_back_from_its_squares():
    """A pixel stands a quarter of a square beside the square's middle: it has the four nearest means by the weights of Keys' cubic with
    a = -0.75. Away from the border a ramp is then nearly what it was."""
    ramp = (torch.arange(16.0) / 16 - 0.5).expand(1, 2, 16, 16)
    coarse = degradations.coarse(ramp[0], torch.Generator(), 2)[None]
    made = bicubic(coarse, 2)
    means, t = (ramp[0, 0, 0, 4:12:2] + ramp[0, 0, 0, 5:12:2]) / 2, 0.25

    def cubic(d):
        a = -0.75
        return (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    wanted = sum(cubic(abs(1 + t - k)) * means[k] for k in range(4))
    torch.testing.assert_close(made[0, 0, 8, 7], wanted)  # a quarter of a square after the mean of columns 6 and 7
    assert float((made - ramp)[..., 4:12].abs().max()) < 0.25 * float((coarse - ramp)[..., 4:12].abs().max())


def test_bicubic_keeps_constants_and_any_size():
    x = torch.full((1, 1, 7, 5), 0.3)
    for factor in (2, 3, 4):
        torch.testing.assert_close(bicubic(x, factor), x)


def test_the_median_of_nine_takes_single_pixels_away_and_leaves_edges():
    x = torch.zeros(1, 1, 7, 7)
    x[:, :, 3, 3] = 1
    assert torch.equal(median(x, 25), torch.zeros_like(x))
    edge = torch.zeros(1, 2, 6, 6)
    edge[..., 3:] = 1
    assert torch.equal(median(edge, 25), edge)
    values = torch.arange(9.0).view(1, 1, 3, 3)
    assert float(median(values, 25)[0, 0, 1, 1]) == 4 and float(median(values, 25)[0, 0, 0, 0]) == 1


def test_holes_are_filled_with_the_mean_of_the_rest():
    whole = noise(3, 2, 8, 10)
    hole = torch.zeros(8, 10, dtype=torch.bool)
    hole[1:6, 2:8] = True  # round(4.8) rows and 6 columns
    given = torch.stack([degradations.without_centre(one, torch.Generator(), 60) for one in whole])
    assert torch.equal((given != whole).any(0).any(0), hole)
    made = mean_filled(given, 60)
    torch.testing.assert_close(made[:, :, hole], whole[:, :, ~hole].mean(2, keepdim=True).expand(-1, -1, 30))
    assert torch.equal(made[:, :, ~hole], whole[:, :, ~hole])


def test_grey_stays_grey():
    x = noise(2, 1, 4, 4)
    assert torch.equal(coloured(x, 0), torch.cat([x, x, x], dim=1))
