"""Orthogonal weights: orthonormal at first, and the penalty by hand, by both ways of reckoning."""

import pytest
import torch
from torch import nn

from ganvas.parts import orthogonal, spectral


@pytest.mark.parametrize("layer", [nn.Linear(3, 8), nn.Linear(8, 3), nn.Conv2d(2, 5, 3), nn.Embedding(4, 6)])
def test_first_weights_have_orthonormal_rows_or_columns(layer):
    orthogonal.initialise(layer)
    matrix = layer.weight.detach().flatten(1)
    rows, columns = matrix.shape
    small = matrix @ matrix.t() if rows <= columns else matrix.t() @ matrix
    torch.testing.assert_close(small, torch.eye(min(rows, columns)), rtol=1e-5, atol=1e-5)
    assert isinstance(layer, nn.Embedding) or not layer.bias.detach().any()


def test_layers_within_normalised_ones_are_reached():
    layer = spectral.spectral(nn.Linear(5, 3))
    orthogonal.initialise(layer)
    spectral.settle(layer)
    torch.testing.assert_close(layer.weight @ layer.weight.t(), torch.eye(3), rtol=1e-5, atol=1e-5)


def test_the_penalty_by_hand():
    """Rows (1, 2, 0), (3, 0, 1): products of different rows are 3 and 3, so the sum of squares is 18, whatever the lengths."""
    weight = torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0]])
    assert float(orthogonal.off_diagonal(weight)) == 18.0
    assert float(orthogonal.off_diagonal(weight.view(2, 1, 1, 3))) == 18.0
    assert float(orthogonal.off_diagonal(torch.diag(torch.tensor([5.0, 0.1])))) == 0.0
    # Three rows (1, 2), (3, 0), (0, 1): products 3, 2 and 0, each twice.
    assert float(orthogonal.off_diagonal(torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]]))) == 2 * (9 + 4)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 2, 3, 3)])
def test_the_penalty_and_its_gradient_are_those_of_the_formula(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    matrix = weight.flatten(1)
    apart = 1 - torch.eye(len(matrix), dtype=torch.float64)
    products = (matrix @ matrix.t()) * apart
    found = orthogonal.off_diagonal(weight)
    torch.testing.assert_close(found, products.square().sum())
    (gradient,) = torch.autograd.grad(found, weight)
    torch.testing.assert_close(gradient.flatten(1), 4 * products @ matrix)


def test_the_penalty_sums_layers_without_tables_in_single_precision():
    network = nn.Sequential(nn.Embedding(4, 3), spectral.spectral(nn.Linear(3, 2)), nn.Conv2d(1, 2, 2))
    by_hand = orthogonal.off_diagonal(network[1].layer.weight) + orthogonal.off_diagonal(network[2].weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = orthogonal.penalty(network)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, by_hand)


def test_descending_it_turns_rows_apart_and_lets_none_vanish():
    weight = torch.randn(4, 10, generator=torch.Generator().manual_seed(0)).mul(0.3).add(0.3).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.02)

    def cosines():
        rows = nn.functional.normalize(weight.detach())
        return float((rows @ rows.t() - torch.eye(4)).abs().max())

    assert cosines() > 0.5
    for _ in range(300):
        optimizer.zero_grad()
        orthogonal.off_diagonal(weight).backward()
        optimizer.step()
    assert cosines() < 0.05 and weight.detach().norm(dim=1).min() > 0.3
