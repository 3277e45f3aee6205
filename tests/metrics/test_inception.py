"""The Inception network: its shapes, its resize, its weights' file. The weights themselves are not here, so they are random."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from ganvas.cli.main import main
from ganvas.data.progress import Silent
from ganvas.errors import GanvasError
from ganvas.metrics import inception as home
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.inception import Inception, fetch, inception, resize
from ganvas.metrics.neighbours import nothing
from tests.metrics.conftest import all_images


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with weights as the release's file has them, but random; and the SHA-256 sum of the file."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = Inception().state_dict()
    torch.save(state, folder / home.FILE)
    return folder, hashlib.sha256((folder / home.FILE).read_bytes()).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(weights):
    """The address of that folder on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(weights[0])))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{home.FILE}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_network_has_the_published_size_and_shapes():
    """23,850,960 weights: torchvision's Inception v3 without its auxiliary head, with 1,008 classes. Equal weights gave its outputs."""
    network = Inception().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_850_960
    with torch.no_grad():
        features, logits = network(torch.zeros(1, 3, 299, 299))
    assert features.shape == (1, 2048) and logits.shape == (1, 1008)
    names = network.state_dict().keys()
    assert {
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_6e.branch7x7dbl_5.bn.running_var",
        "Mixed_7c.branch3x3dbl_3b.conv.weight",
        "fc.bias",
    } <= names


def test_pools_leave_out_the_border():
    block = home._block_a(1, 1)
    flat = torch.ones(1, 1, 4, 4)
    torch.testing.assert_close(block._pool(flat), flat)
    assert float(home._largest(torch.arange(9.0).view(1, 1, 3, 3))[0, 0, 0, 0]) == 4.0


def test_the_resize_aligns_corners_without_anti_aliasing():
    """Doubling (0, 1) on a line gives 0, 1/2, 1, 1: pixel i lies at i / 2, and the last is repeated."""
    line = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    row = resize(line)[0, 0, 0]
    at = torch.arange(299) * (2 / 299)
    torch.testing.assert_close(row, at.clamp(max=1.0), rtol=0, atol=1e-6)
    picture = torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resize(picture), picture)
    assert torch.equal(resize(picture.repeat(1, 1, 2, 2))[0, 0, 0, :149], picture[0, 0, 0, 0:298:2])


def test_fetched_checked_and_measured_with(weights, served, digits, held_out, monkeypatch, tmp_path):
    monkeypatch.setattr(home, "URL", served)
    monkeypatch.setattr(home, "DIGEST", weights[1][:8])
    extractor = inception(cache=tmp_path)
    assert (tmp_path / "inception" / home.FILE).read_bytes() == (weights[0] / home.FILE).read_bytes()
    monkeypatch.setattr(home, "URL", "http://127.0.0.1:9/nothing")  # it is there now
    again = inception(cache=tmp_path)
    assert again.hash == extractor.hash and extractor.protocol["weights"] == weights[1]
    found = evaluate(all_images(digits)[:8], held_out, extractor, metrics=("fd", "kid", "is"), cache=tmp_path)
    assert set(found.values) == {"fid", "kid", "kid_deviation", "is", "is_deviation"}
    assert "singular" in found.protocol["frechet"] and "Inception network" in found.protocol["is"]
    assert found.shares == {}


def test_a_damaged_file_is_refused(weights, monkeypatch, tmp_path):
    monkeypatch.setattr(home, "DIGEST", weights[1][:8])
    path = tmp_path / "w.pth"
    path.write_bytes((weights[0] / home.FILE).read_bytes()[:-1] + b"x")
    monkeypatch.setenv(home.VARIABLE, str(path))
    with pytest.raises(GanvasError, match="damaged or another file .*: let GANVAS_INCEPTION name the file of http") as caught:
        inception()
    assert "remove" not in str(caught.value)  # the file is the user's
    monkeypatch.setenv(home.VARIABLE, str(tmp_path / "none.pth"))
    with pytest.raises(GanvasError, match="there is no such file"):
        inception()
    monkeypatch.delenv(home.VARIABLE)
    (tmp_path / "inception").mkdir()
    path.rename(tmp_path / "inception" / home.FILE)
    with pytest.raises(GanvasError, match="damaged or another file .*: remove it, and it is fetched again"):
        inception(cache=tmp_path)


def test_what_is_no_state_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"fc.bias": torch.zeros(3)}, path)
    monkeypatch.setattr(home, "DIGEST", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    monkeypatch.setenv(home.VARIABLE, str(path))
    with pytest.raises(GanvasError, match="is not the Inception network's weights"):
        inception()


def test_without_a_network_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv(home.VARIABLE, raising=False)
    monkeypatch.setattr(home, "URL", "http://127.0.0.1:9/weights.pth")
    with pytest.raises(GanvasError, match=r"cannot be fetched .*put it at .*or name it in GANVAS_INCEPTION"):
        inception(cache=tmp_path)
    assert not list(tmp_path.rglob("*.*"))


def test_the_command_says_so_and_ends_with_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(home.VARIABLE, raising=False)
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(home, "URL", "http://127.0.0.1:9/weights.pth")
    np.savez(tmp_path / "some.npz", images=np.zeros((8, 8, 8, 1), dtype=np.uint8))
    assert main(["evaluate", str(tmp_path / "some.npz"), "--data", "digits", "--features", "inception"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "fetch http://127.0.0.1:9/weights.pth where there is a network, and put it at" in said.err


def test_another_file_is_not_kept(served, tmp_path):
    with pytest.raises(GanvasError, match="not the file wanted"):
        fetch(served, tmp_path / "w.pth", "00000000", poll=nothing, progress=Silent())
    assert not list(tmp_path.iterdir())
