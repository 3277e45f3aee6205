"""Numbers of samples by class, with the data themselves in the place of samples."""

import pytest
import torch

from ganvas.errors import GanvasError
from ganvas.metrics.conditional import FEW, asked, few_of_each, gan_test, joined, trained_accuracy, within_classes
from tests.metrics.conftest import all_images, all_labels


@pytest.fixture(scope="module")
def real(digits):
    return asked(all_images(digits)[:600], all_labels(digits)[:600], digits)


@pytest.fixture(scope="module")
def shuffled(digits):
    """Good images, wrong labels: every digit was asked for as the next one."""
    return asked(all_images(digits)[:600], (all_labels(digits)[:600] + 1) % 10, digits)


def test_gan_test_is_the_share_of_right_ones(real, shuffled, digits, extractor):
    assert gan_test(real, extractor).mean > 0.97
    assert gan_test(shuffled, extractor).mean < 0.03
    half = asked(all_images(digits)[:600], torch.where(torch.arange(600) < 300, all_labels(digits)[:600], 0), digits)
    found = gan_test(half, extractor)
    expected = 0.5 + 0.5 * float((all_labels(digits)[300:600] == 0).float().mean())
    assert found.mean == pytest.approx(expected, abs=0.02)
    assert found.worst < found.mean


def test_gan_train_falls_with_wrong_labels_and_with_too_little_variety(real, shuffled, digits, held_out):
    good = trained_accuracy(real, held_out)
    assert good > 0.9
    assert trained_accuracy(shuffled, held_out) < 0.1
    one_each = torch.cat([(all_labels(digits) == label).nonzero()[:1, 0] for label in range(10)]).repeat(30)
    copies = asked(all_images(digits)[one_each], all_labels(digits)[one_each], digits)
    assert trained_accuracy(copies, held_out) < good - 0.1


def test_a_few_real_images_and_good_samples_are_better_than_few(digits, held_out, real):
    rows = few_of_each(digits)
    assert len(rows) == 10 * FEW
    assert torch.equal(torch.bincount(all_labels(digits)[rows]), torch.full((10,), FEW))
    both = joined(digits, rows, real)
    assert len(both) == 6 * len(rows) + 600
    alone, helped = trained_accuracy(digits, held_out, rows), trained_accuracy(both, held_out)
    assert helped > alone + 0.02


def test_distance_within_classes_sees_what_the_whole_does_not(real, shuffled, held_out, extractor, digits):
    good, wrong = (within_classes(samples, held_out, extractor.features) for samples in (real, shuffled))
    assert wrong.mean > 10 * good.mean
    assert good.worst >= good.mean
    # One digit is drawn as another: the worst class is that one.
    labels = all_labels(digits)[:600]
    images = all_images(digits)[:600].clone()
    images[labels == 4] = images[labels == 7][:1]
    assert within_classes(asked(images, labels, digits), held_out, extractor.features).worst_class == 4


def test_what_cannot_be_measured_is_refused(digits, held_out, extractor):
    with pytest.raises(GanvasError, match="as many labels"):
        asked(all_images(digits)[:3], torch.zeros(2), digits)
    lacking = asked(all_images(digits)[all_labels(digits) != 3], all_labels(digits)[all_labels(digits) != 3], digits)
    with pytest.raises(GanvasError, match="class '3' has 0 samples"):
        within_classes(lacking, held_out, extractor.features)
    with pytest.raises(GanvasError, match="at least 2 training images"):
        trained_accuracy(digits, held_out, torch.tensor([0]))
