"""Adaptive augmentation: geometry and colour by hand, what happens how often, the strength's walk, and its state."""

import math

import pytest
import torch
from torch import tensor

from ganvas.engine.draws import StepDraws
from ganvas.parts import adaptive
from ganvas.parts.adaptive import Adaptive, colour, looked_up, sampled, warp

SIZES = [(1, 8, 8), (3, 11, 13), (2, 9, 6), (1, 28, 28)]
EYE = torch.eye(2)[None]
NOWHERE = torch.zeros(1, 2)
PLAIN = {"brightness": 0.0, "contrast": 1.0, "inverted": 0.0, "hue": 0.0, "saturation": 1.0}


def rng(seed=0, part=0, parts=1):
    return StepDraws(seed, part, parts, torch.device("cpu"))


def at(strength, **changes):
    module = Adaptive(**changes)
    module.strength.fill_(strength)
    return module


def turn(quarters):
    return tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]], [[-1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [-1.0, 0.0]]])[quarters][
        None
    ]


# Geometry


@pytest.mark.parametrize("shape", SIZES)
def test_blits_are_exact(shape):
    x = torch.randn(1, *shape)
    torch.testing.assert_close(warp(x, EYE, NOWHERE), x)
    torch.testing.assert_close(warp(x, tensor([[[-1.0, 0.0], [0.0, 1.0]]]), NOWHERE), x.flip(3))
    torch.testing.assert_close(warp(x, turn(2), NOWHERE), x.flip(2, 3))
    found = warp(x, EYE, tensor([[-2.0, 1.0]]))  # reads two columns to the left and one row below: moves right and up
    torch.testing.assert_close(found[:, :, :-1, 2:], x[:, :, 1:, :-2])
    torch.testing.assert_close(found[:, :, -1:, 2:], x[:, :, -1:, :-2], msg="beyond the border lies the mirror image")
    torch.testing.assert_close(found[:, :, :-1, :2], x[:, :, 1:, :2].flip(3))


def test_quarter_turns_of_a_square():
    x = torch.randn(2, 3, 7, 7)
    torch.testing.assert_close(warp(x, turn(1).expand(2, 2, 2), NOWHERE.expand(2, 2)), x.rot90(1, (2, 3)))
    torch.testing.assert_close(warp(x, turn(3).expand(2, 2, 2), NOWHERE.expand(2, 2)), x.rot90(-1, (2, 3)))


def test_between_pixels_values_are_interpolated():
    x = torch.arange(12.0).view(1, 1, 3, 4)  # 4 row + column: linear, so that interpolation is exact inside
    found = warp(x, EYE, tensor([[0.25, 0.5]]))
    torch.testing.assert_close(found[0, 0, :2, :3], x[0, 0, :2, :3] + 0.25 + 4 * 0.5)
    shrunk = warp(x.repeat(1, 1, 2, 2), 0.5 * EYE, NOWHERE)
    middle = warp(torch.arange(16.0).view(1, 1, 4, 4), 0.5 * EYE, NOWHERE)[0, 0]
    torch.testing.assert_close(middle, 7.5 + tensor([-1.5, -0.5, 0.5, 1.5]) / 2 + 4 * tensor([-1.5, -0.5, 0.5, 1.5])[:, None] / 2)
    assert shrunk.shape == (1, 1, 6, 8)


def test_far_away_the_image_is_mirrored_again_and_again():
    x = torch.randn(1, 2, 5, 4)
    torch.testing.assert_close(warp(x, EYE, tensor([[8.0, -10.0]])), x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(warp(x, EYE, tensor([[4.0, 0.0]])), x.flip(3), rtol=1e-4, atol=1e-4)


def test_the_gradient_of_a_warp_is_its_transpose():
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    linear = tensor([[[0.9, 0.2], [-0.3, 1.1]], [[1.3, -0.5], [0.4, 0.8]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda u: warp(u, linear, tensor([[0.3, -1.7], [2.2, 0.1]], dtype=torch.float64)), (x,))


@pytest.mark.parametrize("shape", SIZES)
def test_looking_pixels_up_gives_the_same_values_and_gradients(shape):
    """Also far beyond the border, where images are mirrored several times."""
    x = torch.randn(3, *shape, dtype=torch.float64, requires_grad=True)
    read = 20 * torch.randn(3, *shape[1:], 2, dtype=torch.float64)
    weights = torch.randn(3, *shape, dtype=torch.float64)
    found = [(way(x, read), torch.autograd.grad((way(x, read) * weights).sum(), x)[0]) for way in (sampled, looked_up)]
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


# Colour


def coloured(x, **changes):
    numbers = {name: torch.full((len(x),), value) for name, value in (PLAIN | changes).items()}
    return colour(x, **numbers)


def test_each_operation_on_colours_by_hand():
    x = tensor([1.0, 0.5, -0.5]).view(1, 3, 1, 1).repeat(2, 1, 2, 3)
    mean = x.mean(1, keepdim=True)
    torch.testing.assert_close(coloured(x), x)
    torch.testing.assert_close(coloured(x, brightness=0.3), x + 0.3)
    torch.testing.assert_close(coloured(x, contrast=2.0, brightness=0.3), 2 * (x + 0.3), msg="brightness comes first")
    torch.testing.assert_close(coloured(x, inverted=1.0), x - 2 * mean, msg="luma is mirrored, colours stay")
    torch.testing.assert_close(coloured(x, saturation=0.5), mean + (x - mean) / 2)
    torch.testing.assert_close(coloured(x, hue=2 * math.pi / 3), x[:, [2, 0, 1]], msg="a third of a turn: red becomes green")
    torch.testing.assert_close(coloured(coloured(x, hue=1.0), hue=-1.0), x)


@pytest.mark.parametrize("channels", [1, 2])
def test_grey_images_have_no_hue_and_two_channels_none_either(channels):
    x = torch.randn(3, channels, 4, 4)
    torch.testing.assert_close(coloured(x, hue=1.0), x)
    if channels == 1:
        torch.testing.assert_close(coloured(x, saturation=5.0), x)
        torch.testing.assert_close(coloured(x, inverted=1.0, brightness=0.25, contrast=2.0), -2 * (x + 0.25))


# From draws to maps


def spied(monkeypatch, name):
    """The keyword or positional arguments that a function of the module is called with, its images left out."""
    calls = []
    monkeypatch.setattr(adaptive, name, lambda x, *given, **named: calls.append((given, named)) or x)
    return calls


def moved(across, down):
    matrix = torch.eye(3)
    matrix[0, 2], matrix[1, 2] = across, down
    return matrix


def scaled(across, down):
    return torch.diag(tensor([across, down, 1.0]))


def turned(angle):
    c, s = math.cos(angle), math.sin(angle)
    return tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def test_a_geometry_is_the_chain_of_the_paper_s_operations(monkeypatch):
    """Appendix B, figure 17, one image after the other: the inverse maps of mirror, quarter turn, whole shift, scale, turn, stretch, turn
    and shift, from the draws of the same step; turns in two, each with 1 - sqrt(1 - p). Images are wider than high."""
    calls, p, (height, width) = spied(monkeypatch, "warp"), 0.7, (12, 20)
    at(p, groups=("blit", "geometry")).augment(torch.randn(64, 1, height, width), rng(5))
    ((linear, offset), _) = calls[0]
    draws = rng(5)
    happens, uniform, normal = draws.uniform(64, 13).tolist(), draws.uniform(64, 8).tolist(), draws.normal(64, 7).tolist()
    once = 1 - math.sqrt(1 - p)
    for i, (h, u, n) in enumerate(zip(happens, uniform, normal, strict=True)):
        whole = [round((2 * v - 1) * side / 8) for v, side in ((u[2], width), (u[3], height))]
        chain = [
            (h[0] < p, scaled(1 - 2 * math.floor(2 * u[0]), 1.0)),
            (h[1] < p, turned(math.pi / 2 * math.floor(4 * u[1]))),
            (h[2] < p, moved(-whole[0], -whole[1])),
            (h[3] < p, scaled(2 ** (-0.2 * n[0]), 2 ** (-0.2 * n[0]))),
            (h[4] < once, turned((2 * u[4] - 1) * math.pi)),
            (h[5] < p, scaled(2 ** (-0.2 * n[1]), 2 ** (0.2 * n[1]))),
            (h[6] < once, turned((2 * u[5] - 1) * math.pi)),
            (h[7] < p, moved(-n[2] * width / 8, -n[3] * height / 8)),
        ]
        matrix = torch.eye(3)
        for done, step in chain:
            matrix = matrix @ step if done else matrix
        torch.testing.assert_close(linear[i], matrix[:2, :2], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(offset[i], matrix[:2, 2], rtol=1e-4, atol=1e-3)


def test_colours_are_drawn_from_the_paper_s_laws(monkeypatch):
    calls, p = spied(monkeypatch, "colour"), 0.6
    at(p, groups=("colour",)).augment(torch.randn(32, 3, 4, 4), rng(6))
    ((_, found),) = calls
    draws = rng(6)
    happens, uniform, normal = draws.uniform(32, 13)[:, 8:] < p, draws.uniform(32, 8)[:, 6:], draws.normal(32, 7)[:, 4:]
    expected = {
        "brightness": torch.where(happens[:, 0], 0.2 * normal[:, 0], 0.0),
        "contrast": torch.where(happens[:, 1], 2 ** (0.5 * normal[:, 1]), 1.0),
        "inverted": torch.where(happens[:, 2] & (uniform[:, 0] >= 0.5), 1.0, 0.0),
        "hue": torch.where(happens[:, 3], (2 * uniform[:, 1] - 1) * math.pi, 0.0),
        "saturation": torch.where(happens[:, 4], 2 ** normal[:, 2], 1.0),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


# Which images are changed


@pytest.mark.parametrize("shape", SIZES)
def test_at_strength_0_images_stay_bit_for_bit_and_at_1_none_does(shape):
    x = torch.randn(16, *shape)
    assert torch.equal(at(0.0).augment(x, rng()), x)
    found = at(1.0).augment(x, rng())
    assert found.shape == x.shape and found.isfinite().all()
    assert (found != x).flatten(1).any(1).all()


@pytest.mark.parametrize(("group", "chances"), [("blit", (1 / 2, 3 / 4, 24 / 25)), ("colour", (1.0, 1.0, 1 / 2, 1.0, 1.0))])
def test_how_often_images_are_changed(group, chances):
    """An operation is done with probability p, and a mirror or a turn by 0 then changes nothing. Of 16 x 16 pixels 1/25 are not shifted."""
    p, x = 0.3, torch.randn(4000, 3, 16, 16)
    still = math.prod(1 - p * chance for chance in chances)
    changed = (at(p, groups=(group,)).augment(x, rng(3)) - x).flatten(1).abs().amax(1) > 1e-3
    assert float(changed.float().mean()) == pytest.approx(1 - still, abs=0.03)


def test_what_is_done_at_one_strength_is_done_at_a_larger_one():
    x = torch.randn(64, 3, 8, 8)
    low, high = (at(p, groups=("colour",)).augment(x, rng(4)) for p in (0.2, 0.6))
    changed = [(found != x).flatten(1).any(1) for found in (low, high)]
    assert not (changed[0] & ~changed[1]).any() and changed[1].sum() > changed[0].sum() > 0


def test_scales_turns_and_shifts_have_the_published_spread():
    """Of the image of row numbers and of column numbers the warp's matrix can be read off."""
    rows = torch.arange(65.0).view(1, 1, 65, 1).expand(1, 1, 65, 65) - 32
    x = torch.cat([rows.transpose(2, 3), rows], 1).expand(600, 2, 65, 65).contiguous()
    found = at(1.0, groups=("geometry",)).augment(x, rng(5))
    along = (found[:, :, 32, 33] - found[:, :, 32, 31]) / 2
    down = (found[:, :, 33, 32] - found[:, :, 31, 32]) / 2
    area = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]
    near = found[:, :, 32, 32].norm(dim=1) < 20  # not read at a mirrored place
    logs = area[near].abs().log2() / 2
    assert float(logs.mean()) == pytest.approx(0.0, abs=0.03) and float(logs.std()) == pytest.approx(0.2, rel=0.15)
    spread = found[:, 0, 32, 32][near]
    assert 0.5 * 0.125 * 65 < float(spread.std()) < 1.3 * 0.125 * 65


def test_two_halves_of_a_batch_are_changed_as_the_whole():
    x = torch.randn(8, 3, 10, 12)
    halves = [at(0.7).augment(x[part * 4 :][:4], rng(5, part, 2)) for part in range(2)]
    torch.testing.assert_close(torch.cat(halves), at(0.7).augment(x, rng(5)), rtol=1e-5, atol=1e-5)


def test_it_is_the_same_under_autocast_and_lets_gradients_through():
    x = torch.randn(4, 3, 8, 8, requires_grad=True)
    exact = at(0.9).augment(x, rng(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(at(0.9).augment(x, rng(6)), exact)
    exact.square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.flatten(1).abs().sum(1).gt(0).all()


# The strength


def test_the_strength_walks_towards_the_target_every_fourth_update():
    module = Adaptive(target=0.6, speed=1000.0)
    for update in range(1, 9):
        module.update(tensor(0.7), batch=10)
        assert float(module.strength) == pytest.approx(4 * 10 / 1000 * (update // 4))
        assert int(module.seen) == update % 4 and float(module.signs) == pytest.approx(0.7 * (update % 4))
    for sign in (1.0, 1.0, 0.0, 0.3):  # their mean is 0.575
        module.update(tensor(sign), batch=10)
    assert float(module.strength) == pytest.approx(0.04)


def test_the_strength_stays_within_0_and_1():
    module = Adaptive(speed=8.0)
    for sign, end in ((-1.0, 0.0), (1.0, 1.0), (1.0, 1.0), (-1.0, 0.0)):
        for _ in range(8):
            module.update(tensor(sign), batch=1)
        assert float(module.strength) == end
        assert at(float(module.strength)).augment(torch.randn(4, 1, 8, 8), rng()).isfinite().all()


def test_the_strength_is_state_and_augmenting_changes_none():
    module = at(0.5)
    module.update(tensor(0.9), batch=4)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert before.keys() == {"strength", "signs", "seen"}
    module.augment(torch.randn(4, 1, 8, 8), rng())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    again = Adaptive()
    again.load_state_dict(before)
    for _ in range(3):
        module.update(tensor(0.9), batch=4)
        again.update(tensor(0.9), batch=4)
    assert torch.equal(module.strength, again.strength) and float(again.strength) > 0.5
