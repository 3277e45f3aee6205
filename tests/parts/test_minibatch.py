"""Minibatch deviation: by hand, groups of consecutive examples, ranks, flat batches, gradients, half precision; and discrimination."""

import pytest
import torch
from torch import tensor

from ganvas.errors import GanvasError
from ganvas.parts.minibatch import MinibatchDiscrimination, group_of, minibatch_std


@pytest.mark.parametrize(
    ("batch", "most", "group"), [(8, 4, 4), (32, 4, 4), (6, 4, 3), (7, 4, 1), (2, 4, 2), (1, 4, 1), (9, 100, 9), (5, 1, 1)]
)
def test_the_group_divides_the_batch(batch, most, group):
    assert group_of(batch, most) == group and batch % group == 0 and group <= most
    assert minibatch_std(torch.randn(batch, 2, 3, 3), most).shape == (batch, 3, 3, 3)


def test_a_group_of_none_is_refused():
    with pytest.raises(GanvasError, match="at least one example, not 0"):
        group_of(4, 0)


def test_the_deviation_by_hand():
    """Two pixels: 1, 3 deviate by 1 (divided by the group's size) and 0, 6 by 3; their mean is 2. The second group is flat."""
    x = tensor([[1.0, 0.0], [3.0, 6.0], [5.0, 5.0], [5.0, 5.0]]).view(4, 1, 1, 2)
    found = minibatch_std(x, 2)
    assert torch.equal(found[:, :1], x)
    torch.testing.assert_close(found[:, 1], tensor([2.0, 2.0, 1e-4, 1e-4]).view(4, 1, 1).expand(4, 1, 2))


def test_one_number_for_a_group_over_channels_and_pixels():
    x = torch.randn(8, 3, 4, 5)
    extra = minibatch_std(x, 4)[:, 3]
    for rows in (slice(0, 4), slice(4, 8)):
        expected = x[rows].std(0, correction=0).mean()
        torch.testing.assert_close(extra[rows], expected.expand(4, 4, 5))


def test_examples_of_a_group_can_change_places_and_groups_do_not_mix():
    x = torch.randn(8, 2, 3, 3)
    places = [2, 0, 3, 1, 5, 4, 7, 6]
    torch.testing.assert_close(minibatch_std(x[places], 4), minibatch_std(x, 4)[places])
    other = torch.cat([x[:4], 10 * x[4:]])
    assert torch.equal(minibatch_std(other, 4)[:4], minibatch_std(x, 4)[:4])


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_whole_groups_get_the_numbers_of_the_whole_batch(parts):
    x = torch.randn(16, 2, 3, 3)
    torch.testing.assert_close(torch.cat([minibatch_std(part, 4) for part in x.chunk(parts)]), minibatch_std(x, 4))


def test_gradients_of_both_orders():
    x = torch.randn(4, 2, 2, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: minibatch_std(u, 2), x)
    assert torch.autograd.gradgradcheck(lambda u: minibatch_std(u, 2), x)


def test_a_flat_batch_has_a_finite_gradient():
    x = torch.ones(4, 1, 2, 2, requires_grad=True)
    minibatch_std(x, 4).square().sum().backward()
    assert x.grad.isfinite().all()


def test_the_precision_is_kept_and_the_deviation_taken_in_single():
    x = (100 + torch.randn(8, 2, 4, 4)).bfloat16()
    found = minibatch_std(x, 4)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), minibatch_std(x.float(), 4), rtol=0.01, atol=0.0)


def discrimination(features, kernels, size):
    torch.manual_seed(0)
    return MinibatchDiscrimination(features, kernels, size)


def test_minibatch_discrimination_by_hand():
    """Three examples with M = f: kernel 1 is (0, 0), (1, 2), (0, 0), kernel 2 is 0, 0, 5 (and 0): L1 distances 3, 0, 3 and 0, 5, 5."""
    layer = discrimination(4, 2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4).view(4, 2, 2))
    f = tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]])
    e3, e5 = (-tensor(3.0)).exp(), (-tensor(5.0)).exp()
    one = tensor(1.0)
    near = torch.stack([torch.stack([e3 + one, one + e5]), torch.stack([2 * e3, one + e5]), torch.stack([one + e3, 2 * e5])])
    torch.testing.assert_close(layer(f), torch.cat([f, near], 1))
    assert layer.features == 6


def test_minibatch_discrimination_sees_collapse():
    """Equal examples are as near as can be: N - 1 of each kernel. The more they differ, the less."""
    layer = discrimination(6, 3, 5)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    alike = layer(x[:1].expand(8, -1))[:, 6:]
    torch.testing.assert_close(alike, torch.full((8, 3), 7.0))
    apart, further = layer(x)[:, 6:], layer(4 * x)[:, 6:]
    assert (further < apart).all() and (apart < alike).all()


def test_minibatch_discrimination_follows_the_order_and_takes_a_batch_of_one():
    layer = discrimination(4, 2, 3)
    x, places = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), [3, 0, 5, 1, 4, 2]
    torch.testing.assert_close(layer(x[places]), layer(x)[places])
    assert torch.equal(layer(x[:1])[:, 4:], torch.zeros(1, 2))


def test_minibatch_discrimination_has_finite_gradients_where_examples_coincide():
    layer, x = discrimination(4, 2, 3), torch.ones(5, 4, requires_grad=True)
    layer(x)[:, 4:].sum().backward()
    assert x.grad.isfinite().all() and layer.weight.grad.isfinite().all()


def test_minibatch_discrimination_compares_in_single_precision():
    layer = discrimination(8, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(torch.randn(4, 8).bfloat16())
    assert found.dtype == torch.bfloat16 and found.shape == (4, 10)
