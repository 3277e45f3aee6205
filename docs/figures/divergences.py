"""What the first game measures: the best discriminator, likelihood, the generator's costs, and divergences between laws on a line."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from docs.figures.drawing import DATA, INK, MODEL, QUIET, density, label, legend, near, panels, save
from torch import Tensor

from ganvas.parts.backbones import Critic, Perceptron
from ganvas.parts.gaussian import gaussian_log_density
from ganvas.parts.objectives import MAXIMUM_LIKELIHOOD, MINIMAX, NON_SATURATING

LINE = torch.linspace(-14, 14, 5601, dtype=torch.float64)  # integrals are sums over it, exact to rounding for smooth laws

LogLaw = Callable[[Tensor], Tensor]


def normal(mean: float | Tensor, sigma: float | Tensor) -> LogLaw:
    """The log-density (N,) of N(mean, sigma^2) at x (N,)."""
    centre, spread = torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(sigma, dtype=torch.float64)
    return lambda x: gaussian_log_density(x[:, None], centre, 2 * spread.log())


def mixture(*parts: tuple[float, float, float]) -> LogLaw:
    """The log-density of Gaussians given as (weight, mean, sigma)."""
    return lambda x: torch.logsumexp(torch.stack([math.log(w) + normal(m, s)(x) for w, m, s in parts]), 0)


TWO_HILLS = mixture((0.6, -2.5, 0.6), (0.4, 2.5, 0.6))


def integral(values: Tensor) -> Tensor:
    """The integral () of values on `LINE`."""
    return torch.trapezoid(values, LINE)


def entropy(p: LogLaw) -> Tensor:
    """-E_p log p, in nats."""
    return -integral(p(LINE).exp() * p(LINE))


def kl(p: LogLaw, q: LogLaw) -> Tensor:
    """KL(p || q) = E_p[log p - log q], in nats."""
    return integral(p(LINE).exp() * (p(LINE) - q(LINE)))


def js(p: LogLaw, q: LogLaw) -> Tensor:
    """Jensen-Shannon divergence: the mean of the KL divergences of p and of q from their middle, in nats."""
    middle: LogLaw = lambda x: torch.logaddexp(p(x), q(x)) - math.log(2)
    return (kl(p, middle) + kl(q, middle)) / 2


def best_logit(p: LogLaw, q: LogLaw, x: Tensor) -> Tensor:
    """The logit of p / (p + q): log p - log q."""
    return p(x) - q(x)


def value(p: LogLaw, q: LogLaw, logit: Tensor) -> Tensor:
    """V(D) = E_p[log D] + E_q[log(1 - D)] of a discriminator given by its logit on `LINE`; the objective's own formula, weighed."""
    never = torch.full_like(logit, -1e9)  # a logit at which log(1 - D) is 0
    return -integral(p(LINE).exp() * MINIMAX.d(logit, never) + q(LINE).exp() * MINIMAX.d(-never, logit))


def draw(law: tuple[tuple[float, float, float], ...], n: int, generator: torch.Generator) -> Tensor:
    """n points (n, 1) of a mixture of (weight, mean, sigma)."""
    weights, means, sigmas = (torch.tensor(column) for column in zip(*law, strict=True))
    which = torch.multinomial(weights, n, replacement=True, generator=generator)
    return (means[which] + sigmas[which] * torch.randn(n, generator=generator))[:, None]


def trained_discriminator(
    p: tuple[tuple[float, float, float], ...], q: tuple[tuple[float, float, float], ...], steps: int = 1_500
) -> Critic:
    """A small network trained on samples alone to tell p from q by the first objective."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = Critic(Perceptron(1, (64, 64), slope=0.2))
    descent = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(steps):
        descent.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        loss = MINIMAX.d(network(draw(p, 512, generator)), network(draw(q, 512, generator))).mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
    return network.eval().requires_grad_(False)


def optimal(path: Path) -> str:
    """Figure 1: the best discriminator of two laws, beside one that was trained on samples."""
    p_parts, q_parts = ((0.6, -2.5, 0.6), (0.4, 2.5, 0.6)), ((1.0, 0.0, 2.0),)
    p, q = mixture(*p_parts), mixture(*q_parts)
    network = trained_discriminator(p_parts, q_parts)
    best, learned = best_logit(p, q, LINE), network(LINE[:, None].float()).double()
    figure, (laws, game) = panels(2)
    shown = (LINE >= -6) & (LINE <= 6)
    x = LINE[shown]
    laws.fill_between(x, p(x).exp(), color=DATA, alpha=0.35, linewidth=0, label="p, the data")
    laws.plot(x, q(x).exp(), color=MODEL, linestyle="--", label="q, the samples")
    laws.plot(x, best[shown].sigmoid(), color=INK, label="D* = p / (p + q)")
    laws.plot(x[::120], learned[shown][::120].sigmoid(), "o", color=QUIET, markersize=4, label="D trained on samples")
    label(laws, "The best discriminator", "x", "density, and D(x)")
    laws.set_ylim(0, 1.35)
    legend(laws, "upper center", ncols=2)
    shares = torch.linspace(0, 1, 101, dtype=torch.float64)
    blends = [value(p, q, share * best) for share in shares]
    game.plot(shares, blends, color=INK)
    top = 2 * float(js(p, q)) - 2 * math.log(2)
    game.axhline(top, color=MODEL, linestyle="--", linewidth=1.2, label="2 JS(p, q) - 2 log 2")
    game.axhline(-2 * math.log(2), color=QUIET, linestyle=":", label="-2 log 2: D says 1/2 everywhere")
    label(game, "Its value", "share s of the best logit: D = sigma(s log p/q)", "V(G, D), nats")
    legend(game, "center right")
    save(figure, path)
    found = float(value(p, q, learned))
    return (
        f"V(G, D*) = {float(value(p, q, best)):.4f} nats by integration, 2 JS - 2 log 2 = {top:.4f}; the trained network reaches "
        f"{found:.4f}, below it as it must be."
    )


def likelihood(path: Path) -> str:
    """Figure 2: the mean negative log-likelihood and the divergence KL(p || q) over the mean of a model."""
    parts = ((0.6, -2.5, 0.6), (0.4, 2.5, 0.6))
    data = draw(parts, 2_000, torch.Generator().manual_seed(3)).double().flatten()
    means = torch.linspace(-4, 4, 161, dtype=torch.float64)
    loss = torch.stack([-normal(mean, 2.5)(data).mean() for mean in means])
    divergence = torch.stack([kl(TWO_HILLS, normal(mean, 2.5)) for mean in means])
    figure, (left, right) = panels(2)
    edges = torch.linspace(-6, 6, 61).numpy()
    density(left, edges, data.numpy(), DATA, "2,000 points of p", fill=True)
    best = float(means[loss.argmin()])
    x = torch.linspace(-6, 6, 241, dtype=torch.float64)
    left.plot(x, normal(best, 2.5)(x).exp(), color=MODEL, label=f"q of mean {best:.2f}")
    label(left, "Data, and the model that makes them likeliest", "x", "density")
    left.set_ylim(0, 0.55)
    legend(left, "upper right")
    right.plot(means, loss, color=DATA, label="-mean log q(x) over the points")
    right.plot(means, divergence, color=MODEL, linestyle="--", label="KL(p || q), by integration")
    for curve, colour in ((loss, DATA), (divergence, MODEL)):
        right.plot(means[curve.argmin()], curve.min(), "o", color=colour, markersize=5)
    gap = loss - divergence
    middle = float(entropy(TWO_HILLS))
    right.annotate("", (2.6, float(loss[132])), (2.6, float(divergence[132])), arrowprops={"arrowstyle": "<->", "color": QUIET})
    right.text(2.75, float(divergence[132]) + 0.85, "H(p)", fontsize=8.5, color=INK)
    label(right, "The same curve, a constant apart", "mean of the model q", "nats")
    legend(right, "upper center")
    save(figure, path)
    return (
        f"the curves differ by {float(gap.min()):.2f} to {float(gap.max()):.2f} nats, H(p) is {middle:.3f}; the least loss is at mean "
        f"{best:.2f}, the least divergence at {float(means[divergence.argmin()]):.2f} (the mean of p is -0.5, that of the points "
        f"{float(data.mean()):.3f})."
    )


COSTS = {"minimax  log(1 - D)": MINIMAX, "non-saturating  -log D": NON_SATURATING, "maximum likelihood  -D/(1 - D)": MAXIMUM_LIKELIHOOD}


def costs(path: Path) -> str:
    """Figure 3: the generator's three costs over D(G(z)), and how strongly each pulls at the logit."""
    shares = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    figure, (left, right) = panels(2)
    pulls = {}
    for (name, objective), (colour, line) in zip(COSTS.items(), ((MODEL, "--"), (DATA, "-"), (INK, ":")), strict=True):
        logit = shares.logit().requires_grad_()
        cost = objective.g(logit)
        (slope,) = torch.autograd.grad(cost.sum(), logit)
        left.plot(shares, cost.detach(), color=colour, linestyle=line, label=name)
        right.plot(shares, -slope, color=colour, linestyle=line)
        pulls[name] = -slope
    left.set_ylim(-6, 6)
    right.set_ylim(-0.05, 2)
    label(left, "Three costs of one sample", "D(G(z))", "cost")
    label(right, "How hard each pulls at D's logit", "D(G(z))", "- d cost / d logit")
    right.annotate("early in training\nD is sure: D(G(z)) near 0", (0.01, 1.45), fontsize=8.5, color=INK)
    right.axvspan(0, 0.1, color=QUIET, alpha=0.25, linewidth=0)
    legend(left, "lower left")
    save(figure, path)
    at = int((shares - 0.01).abs().argmin())
    words = near((float(pull[at]) for pull in pulls.values()), 2)
    return f"where D(G(z)) = 0.01 the pulls of minimax, non-saturating and maximum likelihood are {words}."


def fit(p: LogLaw, divergence: Callable[[LogLaw, LogLaw], Tensor], start: tuple[float, float]) -> tuple[float, float, float]:
    """Mean, sigma and divergence of the Gaussian q nearest to p, found by descent from (mean, sigma) `start`."""
    place = torch.tensor([start[0], math.log(start[1])], dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([place], max_iter=300, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def closure() -> float:
        descent.zero_grad()
        loss = divergence(p, normal(place[0], place[1].exp()))
        loss.backward()
        return float(loss.detach())

    least = min(float(descent.step(closure)), closure())
    return float(place[0].detach()), float(place[1].detach().exp()), least


def reverse(p: LogLaw, q: LogLaw) -> Tensor:
    """KL(q || p)."""
    return kl(q, p)


def best_fits() -> dict[str, tuple[float, float, float]]:
    """The Gaussian nearest to `TWO_HILLS` by each divergence: the best of three descents, from either hill and from between."""
    starts = ((-2.5, 1.0), (0.0, 2.5), (2.5, 1.0))
    by_name = {"KL(p || q)": kl, "KL(q || p)": reverse, "JS(p, q)": js}
    return {name: min((fit(TWO_HILLS, d, start) for start in starts), key=lambda found: found[2]) for name, d in by_name.items()}


def directions(path: Path) -> str:
    """Figure 5: one Gaussian fitted to two hills by each divergence; and the divergences of a law from itself, moved."""
    fits = best_fits()
    figure, (left, right) = panels(2)
    x = torch.linspace(-7, 7, 401, dtype=torch.float64)
    left.fill_between(x, TWO_HILLS(x).exp(), color=QUIET, alpha=0.5, linewidth=0, label="p")
    for (name, (mean, sigma, _)), (colour, line) in zip(fits.items(), ((DATA, "-"), (MODEL, "--"), (INK, ":")), strict=True):
        left.plot(x, normal(mean, sigma)(x).exp(), color=colour, linestyle=line, label=f"least {name}")
    left.set_ylim(0, 0.95)
    label(left, "Forward covers, reverse seeks", "x", "density")
    legend(left, "upper right")
    shifts = torch.linspace(0, 6, 61, dtype=torch.float64)
    wide, narrow = 1.5, 1.0
    pairs = [(normal(0.0, wide), normal(shift, narrow)) for shift in shifts]
    right.plot(shifts, [kl(p, q) for p, q in pairs], color=DATA, label="KL(p || q)")
    right.plot(shifts, [kl(q, p) for p, q in pairs], color=MODEL, linestyle="--", label="KL(q || p)")
    right.plot(shifts, [js(p, q) for p, q in pairs], color=INK, linestyle=":", label="JS(p, q) = JS(q, p)")
    right.axhline(math.log(2), color=QUIET, linewidth=1)
    right.text(0.1, math.log(2) + 0.08, "log 2", fontsize=8.5, color=INK)
    right.set_ylim(0, 5)
    label(right, "p = N(0, 1.5²), q = N(shift, 1)", "shift", "nats")
    legend(right, "upper left")
    save(figure, path)
    words = "; ".join(f"least {name}: mean {mean:.2f}, sigma {sigma:.2f} ({least:.3f} nats)" for name, (mean, sigma, least) in fits.items())
    p, q = pairs[30]
    return f"{words}. At shift 3: KL(p || q) = {float(kl(p, q)):.2f}, KL(q || p) = {float(kl(q, p)):.2f}, JS = {float(js(p, q)):.2f}."
