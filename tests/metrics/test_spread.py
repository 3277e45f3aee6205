"""How much images of a set differ, by hand."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.spread import Spread, contrast


def spread_of(*batches):
    spread = Spread()
    for batch in batches:
        spread.add(batch)
    return spread.value()


def test_two_images_by_hand():
    """Pixels 0 and 2 apart by 1, pixel 1 by 3: variances 1/2, 9/2, 1/2, their mean 11/6."""
    images = torch.tensor([[0.0, 1.0, 0.5], [1.0, -2.0, -0.5]]).view(2, 1, 1, 3)
    assert spread_of(images) == pytest.approx((11 / 6) ** 0.5)


def test_batches_do_not_matter_and_neither_does_a_common_offset():
    images = torch.randn(30, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 0.1
    whole = spread_of(images)
    assert whole == pytest.approx(float(images.double().var(0).mean().sqrt()), rel=1e-9)
    assert spread_of(images[:1], images[1:1], images[1:7], images[7:]) == pytest.approx(whole, rel=1e-12)
    assert spread_of(images.double() + 1e6) == pytest.approx(whole, rel=1e-6)


def test_equal_images_have_no_spread_at_all():
    assert spread_of(torch.full((5, 1, 3, 3), 0.1)) == 0.0


def test_fewer_than_two_images_and_other_sizes_are_refused():
    with pytest.raises(GanvasError, match="at least 2 images, and there are 1"):
        spread_of(torch.zeros(1, 1, 2, 2))
    with pytest.raises(GanvasError, match="1 x 2 x 2 and 1 x 2 x 3"):
        spread_of(torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 3))


def test_contrast_is_within_channels():
    """Channels 0, 2 and 5, 5: variances 1 and 0."""
    assert contrast(torch.tensor([[[0.0, 2.0]], [[5.0, 5.0]]])) == pytest.approx(0.5**0.5)
