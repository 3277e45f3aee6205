"""The Wasserstein distance on a line: its best plan, its dual, and what it says where laws do not overlap."""

import math
from pathlib import Path

import numpy as np
from docs.figures.divergences import LINE, js, normal
from docs.figures.drawing import DATA, INK, MODEL, QUIET, Floats, label, legend, panels, save
from scipy.optimize import linprog


def monotone_plan(p: Floats, q: Floats) -> Floats:
    """The plan (N, M) that moves shares p (N,) to shares q (M,) in order: the first of p goes to the first of q, and so on.

    On a line no plan is cheaper, for any cost that is a convex function of the distance.
    """
    plan = np.zeros((len(p), len(q)))
    have, want = p.astype(float), q.astype(float)
    i = j = 0
    while i < len(p) and j < len(q):
        moved = min(have[i], want[j])
        plan[i, j] += moved
        have[i] -= moved
        want[j] -= moved
        if have[i] <= want[j]:
            i += 1
        else:
            j += 1
    return plan


def primal(plan: Floats, x: Floats, y: Floats) -> float:
    """The work of a plan: shares moved times distances."""
    return float((plan * np.abs(x[:, None] - y[None, :])).sum())


def potential(p: Floats, q: Floats, x: Floats) -> Floats:
    """A best critic f (N,) of slope at most 1 on the places x (N,): it falls where shares have to move right, and rises where left."""
    ahead = np.cumsum(p - q)[:-1]  # of p, what lies left of each gap in excess of q
    return np.concatenate([[0.0], np.cumsum(-np.sign(np.round(ahead, 12)) * np.diff(x))])


def dual(f: Floats, p: Floats, q: Floats) -> float:
    """E_p[f] - E_q[f]."""
    return float(f @ (p - q))


def programmed(p: Floats, q: Floats, x: Floats) -> float:
    """max E_p[f] - E_q[f] over f with |f(a) - f(b)| <= |a - b|, by a linear program over neighbouring places, which imply the rest."""
    n = len(x)
    steps = np.eye(n)[1:] - np.eye(n)[:-1]
    found = linprog(q - p, A_ub=np.concatenate([steps, -steps]), b_ub=np.tile(np.diff(x), 2), bounds=[(0, 0)] + [(None, None)] * (n - 1))
    return -float(found.fun)


def two_histograms() -> tuple[Floats, Floats, Floats]:
    """Places (40,) and two laws on them: one hill, and one on either side of it."""
    x = np.linspace(0.0, 10.0, 40)
    p = np.exp(-0.5 * ((x - 5.0) / 1.0) ** 2)
    q = 0.7 * np.exp(-0.5 * ((x - 2.0) / 0.7) ** 2) + np.exp(-0.5 * ((x - 8.0) / 0.6) ** 2)
    return x, p / p.sum(), q / q.sum()


def plan(path: Path) -> str:
    """Figure 6: the cheapest plan between two histograms, and the critic that proves it is the cheapest."""
    x, p, q = two_histograms()
    best, f = monotone_plan(p, q), potential(p, q, x)
    figure, (left, right) = panels(2, height=3.6)
    size = best / best.max()
    rows, columns = np.nonzero(size > 1e-3)
    left.scatter(x[columns], x[rows], s=70 * size[rows, columns], color=INK, linewidths=0)
    left.plot(x, x, color=QUIET, linewidth=1)
    left.text(0.1, 0.9, "staying", fontsize=8, color=INK, rotation=33)
    left.bar(x, 12 * q, width=0.2, bottom=-2.2, color=MODEL)
    left.barh(x, 12 * p, height=0.2, left=-2.2, color=DATA)
    left.set(xlim=(-2.3, 10.3), ylim=(-2.3, 10.3))
    label(left, "The plan: how much of p goes where", "to: places of q", "from: places of p")
    right.bar(x - 0.05, 12 * p, width=0.12, color=DATA, label="p")
    right.bar(x + 0.05, 12 * q, width=0.12, color=MODEL, label="q")
    right.plot(x, f - f.min() + 2, color=INK, label="the best critic f, slopes 1 and -1")
    label(right, "The dual: a critic of slope at most 1", "x", "f(x); shares, enlarged")
    right.set_ylim(0, 11)
    legend(right, "upper center")
    save(figure, path)
    return (
        f"the work of the plan is {primal(best, x, x):.6f}, E_p[f] - E_q[f] is {dual(f, p, q):.6f}, and a linear program over all f of "
        f"slope at most 1 finds {programmed(p, q, x):.6f}; moving everything at random, without a plan, would cost "
        f"{primal(np.outer(p, q), x, x):.3f}."
    )


def discrete_js(p: Floats, q: Floats) -> float:
    """Jensen-Shannon divergence of two laws on the same places, in nats."""
    middle = (p + q) / 2
    halves = [np.sum(law[law > 0] * np.log(law[law > 0] / middle[law > 0])) for law in (p, q)]
    return float(sum(halves) / 2)


def parallel_lines(theta: float, rows: int = 20) -> tuple[Floats, Floats, Floats]:
    """Places (2 rows or rows, 2) in the plane, and the shares of two laws: uniform on the segment x = 0, and on the segment x = theta."""
    height = (np.arange(rows) + 0.5) / rows
    first = np.stack([np.zeros(rows), height], 1)
    if theta == 0.0:
        return first, np.full(rows, 1 / rows), np.full(rows, 1 / rows)
    places = np.concatenate([first, first + np.array([theta, 0.0])])
    share = np.full(rows, 1 / rows)
    return places, np.concatenate([share, 0 * share]), np.concatenate([0 * share, share])


def lines(path: Path) -> str:
    """Figure 7: parallel segments, and two narrow Gaussians, as the one moves past the other."""
    thetas = np.linspace(-1.5, 1.5, 61)
    figure, (left, right) = panels(2)
    found = [discrete_js(*parallel_lines(round(theta, 9))[1:]) for theta in thetas]
    flat = np.array(found)
    apart = np.abs(thetas) > 1e-9
    for side in (thetas < -1e-9, thetas > 1e-9):
        left.plot(thetas[side], flat[side], color=MODEL, linestyle="--", label="JS" if side[0] else None)
    left.plot(thetas[~apart], flat[~apart], "o", color=MODEL, markersize=5)
    left.plot(thetas, np.abs(thetas), color=DATA, label="W = |theta|")
    left.text(-1.45, math.log(2) + 0.05, "log 2", fontsize=8.5, color=INK)
    label(left, "Two parallel segments", "theta, how far apart", "nats, and distance")
    left.set_ylim(-0.05, 1.7)
    legend(left, "upper center")
    shifts = np.linspace(-6, 6, 121)
    sigma = 0.5
    moved = np.array([float(js(normal(0.0, sigma), normal(float(shift), sigma))) for shift in shifts])
    right.plot(shifts, moved, color=MODEL, linestyle="--", label="JS")
    right.plot(shifts, np.abs(shifts), color=DATA, label="W = |theta|")
    hill = LINE[(LINE > -2) & (LINE < 2)]
    right.fill_between(hill, normal(0.0, sigma)(hill).exp(), color=QUIET, alpha=0.4, linewidth=0, label="one of the two laws")
    label(right, "Two Gaussians of sigma 0.5", "theta, distance of the means", "nats, and distance")
    legend(right, "upper center")
    save(figure, path)
    steep = np.gradient(moved, shifts)
    at = [int(np.argmin(np.abs(shifts - shift))) for shift in (0.5, 2.0, 4.0)]
    return (
        f"on the segments JS is {flat[apart].min():.4f} at every theta but 0 (log 2 = {math.log(2):.4f}), and 0 there; on the Gaussians "
        f"its slope at theta = 0.5, 2 and 4 is {steep[at[0]]:.2f}, {steep[at[1]]:.3f} and {steep[at[2]]:.1e}, that of W is 1."
    )
