"""Real small data for the metrics: the digits of scikit-learn, and sets of images built by hand."""

import pytest
import torch

from ganvas.data.digits import DigitSource
from ganvas.data.examples import MemoryImages
from ganvas.data.source import Request
from ganvas.metrics.extractor import ClassifierExtractor, classifier_for


def all_images(examples):
    """Every image (N, C, H, W) of a small set."""
    return examples.batch(torch.arange(len(examples))).images


def all_labels(examples):
    return examples.batch(torch.arange(len(examples))).labels


@pytest.fixture(scope="session")
def digits() -> MemoryImages:
    """The training split of the digits, 8 x 8."""
    return DigitSource().open("train", Request())


@pytest.fixture(scope="session")
def held_out() -> MemoryImages:
    """Their test split, a fifth."""
    return DigitSource().open("test", Request())


@pytest.fixture(scope="session")
def classifier_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("classifier-cache")


@pytest.fixture(scope="session")
def extractor(digits, held_out, classifier_cache) -> ClassifierExtractor:
    """The classifier of the digits, trained once for all tests."""
    return classifier_for(digits, held_out, cache=classifier_cache)
