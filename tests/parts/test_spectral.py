"""Spectral normalisation: scales by hand, singular values by SVD, the gradient through the scale, and when state moves."""

import copy

import pytest
import torch
from torch import nn, tensor

from ganvas.parts.spectral import Spectral, advance, settle, spectral

LAYERS = {
    "linear": lambda: nn.Linear(7, 5),
    "convolution": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "embedding": lambda: nn.Embedding(9, 4),
}
INPUTS = {
    "linear": lambda: torch.randn(3, 7),
    "convolution": lambda: torch.randn(3, 4, 8, 8),
    "embedding": lambda: tensor([0, 8, 3]),
}
every = pytest.mark.parametrize("kind", LAYERS)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def largest(weight):
    return float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2))


def test_a_scale_by_hand():
    """diag(3, 1): first singular value 3 along the first axes."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data.copy_(torch.diag(tensor([3.0, 1.0])))
    found = spectral(layer)
    assert float(found.scale.detach()) == pytest.approx(3.0, rel=1e-5)
    torch.testing.assert_close(found(tensor([[6.0, 6.0]])), tensor([[6.0, 2.0]]), rtol=1e-5, atol=1e-5)


def test_one_iteration_by_hand():
    """W = diag(2, 1), u = (3, 4) / 5: v is along (6, 4), then u along (12, 4)."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data.copy_(torch.diag(tensor([2.0, 1.0])))
    found = spectral(layer)
    found._u.copy_(tensor([0.6, 0.8]))
    advance(found)
    v, u = tensor([6.0, 4.0]) / 52**0.5, tensor([12.0, 4.0]) / 160**0.5
    torch.testing.assert_close(found._v, v)
    torch.testing.assert_close(found._u, u)
    assert float(found.scale.detach()) == pytest.approx(float(2 * u[0] * v[0] + u[1] * v[1]), rel=1e-6)


@every
def test_the_largest_singular_value_is_1(kind):
    layer = spectral(LAYERS[kind]())
    settle(layer, iterations=300)
    assert largest(layer.weight) == pytest.approx(1.0, rel=1e-4)
    assert float(layer.scale.detach()) == pytest.approx(largest(layer.layer.weight), rel=1e-4)


@every
def test_it_computes_with_the_divided_weight(kind):
    layer, x = spectral(LAYERS[kind]()), INPUTS[kind]()
    divided = copy.deepcopy(layer.layer)
    divided.weight.data /= layer.scale.detach()
    torch.testing.assert_close(layer(x), divided(x))


@every
def test_the_size_of_the_weight_does_not_count(kind):
    layer, x = spectral(LAYERS[kind]()), INPUTS[kind]()
    before = layer(x)
    layer.layer.weight.data *= 37.0
    torch.testing.assert_close(layer(x), before)


def test_the_gradient_goes_through_the_scale():
    """Equation 12: with s = u^T W v, dL / dW = (G - <G, W / s> u v^T) / s, where G = dL / d(W / s)."""
    layer = spectral(nn.Linear(4, 3, bias=False)).double()
    settle(layer, iterations=300)
    given = torch.randn(3, 4, dtype=torch.float64)
    (layer.weight * given).sum().backward()
    u, v, s, normed = layer._u, layer._v, layer.scale.detach(), layer.weight.detach()
    torch.testing.assert_close(layer.layer.weight.grad, (given - (given * normed).sum() * torch.outer(u, v)) / s)
    assert float((layer.layer.weight.grad * layer.layer.weight.detach()).sum()) == pytest.approx(0.0, abs=1e-9)  # W may grow: no gain


def test_second_order_gradients_are_exact():
    layer = spectral(nn.Linear(3, 2)).double()
    weight = layer.layer.weight

    def slope(w):
        scale = (layer._u[:, None] * layer._v * w).sum()
        x = torch.ones(1, 3, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(torch.tanh(x @ (w / scale).t()).sum(), x, create_graph=True)[0].square().sum()

    x = torch.ones(1, 3, dtype=torch.float64, requires_grad=True)
    layer.layer.bias.data.zero_()
    penalty = torch.autograd.grad(torch.tanh(layer(x)).sum(), x, create_graph=True)[0].square().sum()
    torch.testing.assert_close(penalty, slope(weight))
    (found,) = torch.autograd.grad(penalty, weight)
    assert torch.autograd.gradcheck(slope, weight.detach().clone().requires_grad_())
    torch.testing.assert_close(found, torch.autograd.grad(slope(weight), weight)[0])


@every
def test_passes_change_nothing_in_training_or_evaluation(kind):
    layer, x = spectral(LAYERS[kind]()), INPUTS[kind]()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    first = layer.train()(x)
    assert torch.equal(layer(x), first) and torch.equal(layer.eval()(x), first)
    assert all(torch.equal(before[name], tensor) for name, tensor in layer.state_dict().items())


def test_vectors_are_buffers_and_weights_without_them_are_not_the_layer():
    layer = spectral(nn.Linear(6, 6))
    assert {name for name, _ in layer.named_buffers()} == {"_u", "_v"} and {"_u", "_v", "layer.weight"} <= layer.state_dict().keys()
    other = spectral(nn.Linear(6, 6))
    x = torch.randn(2, 6)
    other.layer.load_state_dict(layer.layer.state_dict())
    assert not torch.allclose(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


def test_an_iteration_is_done_once_in_shared_layers_and_in_place():
    layer = spectral(nn.Linear(5, 4))
    layer.layer.weight.data.normal_()
    place, alone = layer._u.data_ptr(), copy.deepcopy(layer)
    advance(nn.Sequential(layer, nn.Sequential(layer)), layer)
    alone.iterate()
    assert torch.equal(layer._u, alone._u) and torch.equal(layer._v, alone._v) and layer._u.data_ptr() == place
    assert float(layer._u.norm()) == pytest.approx(1.0) and float(layer._v.norm()) == pytest.approx(1.0)


def test_a_graph_may_be_walked_after_an_iteration():
    layer, x = spectral(nn.Linear(5, 4)), torch.randn(2, 5)
    value = layer(x).square().sum()
    (expected,) = torch.autograd.grad(value, layer.layer.weight, retain_graph=True)
    advance(layer)
    (found,) = torch.autograd.grad(value, layer.layer.weight)
    assert torch.equal(found, expected)


def test_it_follows_a_weight_that_moves():
    """One iteration for a small step each, for a hundred steps: the largest singular value stays 1 within 2 %."""
    layer = spectral(nn.Linear(20, 20))
    settle(layer, iterations=100)
    for _ in range(100):
        layer.layer.weight.data += 0.005 * torch.randn(20, 20)
        advance(layer)
    assert largest(layer.weight) == pytest.approx(1.0, rel=0.02)


def test_the_scale_is_not_rounded_under_autocast():
    layer, x = spectral(nn.Linear(64, 64)), torch.randn(4, 64)
    exact = layer.scale
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.scale, exact) and layer(x).dtype == torch.bfloat16
        before = layer._u.clone()
        advance(layer)
    plain = copy.deepcopy(layer)
    plain._u.copy_(before)
    plain.iterate()
    assert torch.equal(plain._u, layer._u)


def test_what_it_refuses():
    with pytest.raises(TypeError, match="Linear, Conv2d and Embedding, not ConvTranspose2d"):
        spectral(nn.ConvTranspose2d(1, 1, 3))
    zero = nn.Linear(3, 3)
    nn.init.zeros_(zero.weight)
    with pytest.raises(ValueError, match="zeros"):
        spectral(zero)


def test_all_wrapped_layers_of_a_network_are_found():
    network = nn.Sequential(spectral(nn.Linear(3, 4)), nn.ReLU(), nn.Sequential(spectral(nn.Linear(4, 4)), nn.Linear(4, 1)))
    assert sum(isinstance(layer, Spectral) for layer in network.modules()) == 2
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, 3.0)
    settle(network)
    for layer in (network[0], network[2][0]):
        assert float(layer.scale.detach()) == pytest.approx(3.0, rel=1e-4)
