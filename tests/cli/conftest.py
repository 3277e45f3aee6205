"""A tiny finished run on images and one on points, made once; every test works in its own directory and cache."""

import pytest
import torch

import ganvas


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _private(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory, cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANVAS_CACHE", str(cache))
        return ganvas.train(
            "dcgan", data="digits", preset="tiny", images=200, run=tmp_path_factory.mktemp("runs") / "digits", quiet=True
        ).path


@pytest.fixture(scope="session")
def ring_run(tmp_path_factory):
    return ganvas.train("gan", data="ring", preset="tiny", images=200, run=tmp_path_factory.mktemp("runs") / "ring", quiet=True).path
