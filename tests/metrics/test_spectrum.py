"""Power spectra of waves that are known."""

import math

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.spectrum import difference, profile


def wave(waves, size=16, amplitude=0.5):
    x = torch.arange(size) / size
    return (amplitude * torch.cos(2 * math.pi * waves * x)).expand(1, 1, size, size)


@pytest.mark.parametrize("waves", [1, 3, 7])
def test_a_wave_stands_in_its_ring_alone(waves):
    power = profile(wave(waves))[0]
    assert power.shape == (8,)
    # Two of the ring's coefficients hold amplitude / 2 each.
    side = torch.fft.fftfreq(16) * 16
    ring = int(((side[:, None].square() + side.square()).sqrt().round() == waves).sum())
    assert float(power[waves - 1]) == pytest.approx(2 * 0.25**2 / ring, rel=1e-6)
    assert float(power.sum() - power[waves - 1]) < 1e-12


def test_power_grows_with_the_square_of_the_amplitude():
    weak, strong = profile(wave(3, amplitude=0.1))[0], profile(wave(3, amplitude=1.0))[0]
    assert difference(strong + 1e-10, weak + 1e-10) == pytest.approx(2.0 / 8, abs=1e-3)  # one frequency of eight, by two decades
    assert difference(weak, weak) == 0.0


def test_white_noise_is_flat_and_blur_takes_the_high_frequencies():
    noise = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.3
    flat = profile(noise).mean(dim=0)
    assert float(flat.max() / flat.min()) < 1.3
    blurred = profile(torch.nn.functional.avg_pool2d(noise, 3, 1, 1)).mean(dim=0)
    assert float(blurred[-1] / blurred[0]) < 0.1
    assert difference(blurred, flat) > 0.3


def test_constant_images_and_other_shapes():
    assert profile(torch.ones(2, 1, 6, 9)).shape == (2, 3)
    assert difference(profile(torch.ones(1, 1, 8, 8))[0], profile(-torch.ones(1, 1, 8, 8))[0]) == 0.0
    with pytest.raises(GanvasError, match="of one size"):
        difference(torch.ones(3), torch.ones(4))
    with pytest.raises(GanvasError, match="at least 2 x 2"):
        profile(torch.ones(1, 1, 1, 8))
