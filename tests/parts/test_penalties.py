"""Penalties: hand numbers, alpha per sample, noise around reals, second-order gradients, half precision, compiled critics."""

import pytest
import torch
from torch import nn, tensor

from ganvas.engine.draws import StepDraws
from ganvas.parts.penalties import gradient_penalty, input_gradient, local_penalty, slope, zero_centred


def rng(seed=0, part=0, parts=1):
    return StepDraws(seed, part, parts, torch.device("cpu"))


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x):
        return self.layers(x)


def test_the_gradient_of_a_quadratic_by_hand():
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    found = input_gradient(lambda u: (u**2).sum(1), x)
    torch.testing.assert_close(found, 2 * x)
    torch.testing.assert_close(slope(found), tensor([20.0**0.5, 10.0]))
    assert not x.requires_grad


def test_the_slope_is_over_all_but_the_batch_axis():
    weight = torch.randn(3, 4, 5)
    found = slope(input_gradient(lambda u: (u * weight).sum((1, 2, 3)), torch.randn(6, 3, 4, 5)))
    torch.testing.assert_close(found, weight.norm().expand(6))


def test_patches_count_as_their_mean():
    x = torch.randn(2, 3)
    patches = input_gradient(lambda u: torch.stack([3 * u[:, 0], u[:, 1]], 1).view(-1, 1, 1, 2), x)
    torch.testing.assert_close(patches, tensor([[1.5, 0.5, 0.0]]).expand(2, 3))


@pytest.mark.parametrize(("target", "one_sided", "value"), [(1.0, False, 4.0), (1.0, True, 4.0), (5.0, False, 4.0), (5.0, True, 0.0)])
def test_the_penalty_of_a_slope_of_3(target, one_sided, value):
    critic = lambda u: u @ tensor([3.0, 0.0])
    found = gradient_penalty(critic, torch.randn(4, 2), torch.randn(4, 2), rng(), target=target, one_sided=one_sided)
    torch.testing.assert_close(found, torch.full((4,), value))


def test_points_lie_between_each_pair_with_one_alpha_a_sample():
    seen = []

    def critic(u):
        seen.append(u.detach())
        return u.flatten(1).sum(1)

    real, fake = torch.zeros(64, 3, 4, 4), torch.ones(64, 3, 4, 4)
    gradient_penalty(critic, real, fake, rng())
    alphas = seen[0].flatten(1)
    assert torch.equal(alphas, alphas[:, :1].expand_as(alphas))  # the same for every pixel and channel of a sample
    assert len(alphas[:, 0].unique()) == 64 and alphas.min() >= 0 and alphas.max() < 1
    assert float(alphas[:, 0].mean()) == pytest.approx(0.5, abs=0.1)


def test_two_halves_of_a_batch_get_the_penalties_of_the_whole():
    """Draws are sliced by rank: what a rank penalises is what one process would have penalised there."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    real, fake = torch.randn(8, 2), torch.randn(8, 2)
    halves = [gradient_penalty(critic, real[p * 4 :][:4], fake[p * 4 :][:4], rng(7, p, 2)) for p in range(2)]
    torch.testing.assert_close(torch.cat(halves), gradient_penalty(critic, real, fake, rng(7)))


def test_the_penalty_can_be_differentiated_by_the_critic():
    """gradcheck in float64: (|| W2 diag(act') W1 || - 1)^2 of a smooth critic by its weights."""
    generator = torch.Generator().manual_seed(0)
    real, fake, w1, w2 = (torch.randn(size, dtype=torch.float64, generator=generator) for size in ((3, 2), (3, 2), (4, 2), (4,)))
    w1.requires_grad_()
    w2.requires_grad_()

    def penalty(a, b):
        return gradient_penalty(lambda u: torch.tanh(u @ a.T) @ b, real, fake, rng())

    assert torch.autograd.gradcheck(penalty, (w1, w2))


def test_a_flat_critic_has_a_finite_gradient():
    weight = torch.zeros(2, requires_grad=True)
    penalty = gradient_penalty(lambda u: u @ weight, torch.randn(3, 2), torch.randn(3, 2), rng())
    penalty.sum().backward()
    torch.testing.assert_close(penalty.detach(), torch.ones(3))
    assert weight.grad.isfinite().all()


def test_half_precision_is_left_out():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.LeakyReLU(0.2, inplace=True), nn.Flatten(), nn.Linear(64, 1))
    real, fake = torch.randn(5, 1, 4, 4), torch.randn(5, 1, 4, 4).bfloat16()
    exact = gradient_penalty(critic, real, fake.float(), rng())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gradient_penalty(critic, real, fake, rng())
    assert inside.dtype == torch.float32 and torch.equal(exact, inside)


def test_gradients_are_taken_where_none_are_wanted():
    with torch.no_grad():
        assert torch.equal(input_gradient(lambda u: u.sum(1), torch.zeros(2, 3)), torch.ones(2, 3))


def test_a_compiled_critic_is_penalised_eagerly():
    """Compiled graphs cannot be differentiated twice: the penalty must not run one, and other calls must."""
    runs = []

    def backend(graph, inputs):
        def run(*arguments):
            runs.append(graph)
            return graph.forward(*arguments)

        return run

    torch.manual_seed(0)
    critic = Critic()
    real, fake = torch.randn(3, 2), torch.randn(3, 2)
    expected = gradient_penalty(critic, real, fake, rng())
    critic.compile(backend=backend)
    critic(real)
    assert len(runs) == 1
    penalty = gradient_penalty(critic, real, fake, rng())
    penalty.sum().backward()
    assert torch.equal(penalty, expected) and all(p.grad is not None for p in critic.parameters() if p is not critic.layers[-1].bias)
    assert len(runs) == 1
    critic(real)
    assert len(runs) == 2


# Around reals


def seen_by_local_penalty(real, **more):
    """The points that `local_penalty` asks a critic about."""
    seen = []

    def critic(u):
        seen.append(u.detach())
        return u.flatten(1).sum(1)

    local_penalty(critic, real, rng(), **more)
    (points,) = seen
    return points


@pytest.mark.parametrize(("target", "value"), [(1.0, 4.0), (5.0, 4.0), (3.0, 0.0)])
def test_the_local_penalty_of_a_slope_of_3(target, value):
    found = local_penalty(lambda u: u @ tensor([3.0, 0.0]), torch.randn(4, 2), rng(), target=target)
    torch.testing.assert_close(found, torch.full((4,), value))


def test_noise_around_reals_is_symmetric_and_bounded_by_the_spread_of_the_batch():
    """U[-1, 1) times noise times std: mean 0, variance (noise std)^2 / 3, both signs alike, each entry for itself."""
    real = tensor([3.0, -3.0]).repeat(64).view(128, 1, 1, 1).expand(128, 3, 8, 8)  # std 3, all of one sign within a sample
    delta = seen_by_local_penalty(real, noise=0.5) - real
    assert delta.abs().max() <= 1.5 and delta.max() > 1.49 and delta.min() < -1.49
    assert float(delta.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(delta.pow(3).mean()) == pytest.approx(0.0, abs=0.05)
    assert float(delta.var()) == pytest.approx(1.5**2 / 3, rel=0.02)
    assert len(delta.unique()) > 0.99 * delta.numel()


def test_without_noise_the_penalty_is_at_the_reals():
    real = torch.randn(5, 2)
    assert torch.equal(seen_by_local_penalty(real, noise=0.0), real)


def test_a_single_entry_has_no_spread_and_a_finite_penalty():
    """The std of one number is 0, as is that of a blank batch: points are the reals."""
    for real in (torch.full((1, 1), 0.3), torch.full((4, 1, 2, 2), -1.0)):
        assert torch.equal(seen_by_local_penalty(real), real)


def test_halves_of_a_batch_have_noise_of_their_own_spread():
    """Statistics are local to a rank or micro-batch; the draws are slices of one draw."""
    real = torch.cat([torch.randn(4, 2), 10 * torch.randn(4, 2)])
    uniform = 2 * rng(7).uniform(8, 2) - 1
    for part in range(2):
        half, points = real[part * 4 :][:4], []
        local_penalty(lambda u, points=points: points.append(u.detach()) or u.sum(1), half, rng(7, part, 2), noise=0.5)
        torch.testing.assert_close(points[0] - half, 0.5 * half.std(correction=0) * uniform[part * 4 :][:4], rtol=1e-4, atol=1e-5)


def test_the_local_penalty_can_be_differentiated_by_the_critic():
    generator = torch.Generator().manual_seed(0)
    real, w1, w2 = (torch.randn(size, dtype=torch.float64, generator=generator) for size in ((3, 2), (4, 2), (4,)))

    def penalty(a, b):
        return local_penalty(lambda u: torch.tanh(u @ a.T) @ b, real, rng())

    assert torch.autograd.gradcheck(penalty, (w1.requires_grad_(), w2.requires_grad_()))


def test_the_local_penalty_leaves_half_precision_out():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.LeakyReLU(0.2, inplace=True), nn.Flatten(), nn.Linear(64, 1))
    real = torch.randn(5, 1, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = local_penalty(critic, real, rng())
    assert inside.dtype == torch.float32 and torch.equal(local_penalty(critic, real, rng()), inside)


def test_the_zero_centred_penalty_is_the_squared_slope_and_comes_with_the_scores():
    x, passes = tensor([[1.0, 2.0], [3.0, 4.0]]), []

    def critic(u):
        passes.append(u)
        return (u**2).sum(1)

    scores, penalty = zero_centred(critic, x)
    torch.testing.assert_close(scores, tensor([5.0, 25.0]))
    torch.testing.assert_close(penalty, tensor([20.0, 100.0]))
    assert len(passes) == 1 and not x.requires_grad
    _, of_constant = zero_centred(lambda u: 3 + 0 * u.sum(1), x)
    assert not of_constant.any()


def test_scores_and_zero_centred_penalty_both_move_the_critic():
    """a = w . x: the penalty is ||w||^2 with gradient 2 w, the scores' sum has gradient sum x."""
    w, x = tensor([1.0, -2.0], requires_grad=True), tensor([[1.0, 2.0], [3.0, 4.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, penalty = zero_centred(lambda u: u @ w, x)
    assert scores.dtype == penalty.dtype == torch.float32
    torch.testing.assert_close(torch.autograd.grad(scores.sum(), w, retain_graph=True)[0], tensor([4.0, 6.0]))
    torch.testing.assert_close(torch.autograd.grad(penalty.mean(), w)[0], tensor([2.0, -4.0]))
