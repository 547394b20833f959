"""Rank rules, allocation and perturbation as the formulas read, in loops."""

import itertools

import mpmath
import numpy as np


def energy_rank(s, share, total_squared=None):
    total = sum(x * x for x in s) if total_squared is None else total_squared
    return next(k for k in range(len(s) + 1) if sum(x * x for x in s[:k]) >= share * total)


def frobenius_rank(s, tolerance):
    tails = [sum(x * x for x in s[k:]) for k in range(len(s) + 1)]
    return next(k for k, tail in enumerate(tails) if tail <= tolerance**2)


def marchenko_pastur_median(beta):
    """The density integrated as it is written, in 25 digits."""
    with mpmath.workdps(25):
        beta = mpmath.mpf(beta)
        low, high = (1 - mpmath.sqrt(beta)) ** 2, (1 + mpmath.sqrt(beta)) ** 2

        def density(x):
            return mpmath.sqrt(abs((high - x) * (x - low))) / (2 * mpmath.pi * beta * x)

        def excess(x):
            return mpmath.quad(density, [x, (x + high) / 2, high]) - mpmath.mpf(1) / 2

        return mpmath.findroot(excess, (low + (high - low) * 0.2, 1), solver="anderson")


def share_ranks(spectra, importance, share, min_rank=1, max_rank=10**9):
    """The published rule: one sorted list, the shortest prefix above the share, then a clip."""
    scores = np.concatenate([w * np.square(s) for s, w in zip(spectra, importance, strict=True)])
    owner = np.concatenate([np.full(len(s), layer) for layer, s in enumerate(spectra)])
    order = np.argsort(-scores, kind="stable")
    above = np.cumsum(scores[order]) / scores.sum() > share
    n_kept = np.argmax(above) + 1
    counts = np.bincount(owner[order[:n_kept]], minlength=len(spectra))
    most = np.minimum(max_rank, [len(s) for s in spectra])
    return np.clip(counts, np.minimum(min_rank, most), most)


def best_kept(spectra, importance, costs, budget, min_rank=0, allowed=None, dense_costs=None):
    """The largest kept sum within the budget, by trying everything; None if nothing fits.

    What exceeds the budget by the rounding of its sum fits.
    """
    budget *= 1 + 4 * len(spectra) * np.finfo(float).eps
    menus = []
    for i, (s, weight) in enumerate(zip(spectra, importance, strict=True)):
        ranks = range(min(min_rank, len(s)), len(s) + 1)
        ranks = [k for k in ranks if allowed is None or allowed(k, len(s))]
        menu = [(k * costs[i], weight * sum(x * x for x in s[:k])) for k in ranks]
        if dense_costs is not None:
            menu.append((dense_costs[i], weight * sum(x * x for x in s)))
        menus.append(menu)
    kept = [
        sum(value for _, value in choice)
        for choice in itertools.product(*menus)
        if sum(cost for cost, _ in choice) <= budget
    ]
    return max(kept, default=None)


def scales(base, free, passes=1):
    """Alternating least squares for free = diag(r) base diag(s), entry by entry."""
    m, n = base.shape[:2]
    r, s = np.ones(m), np.ones(n)
    for _ in range(passes):
        for j in range(m):
            row = [base[j, i] * s[i] for i in range(n)]
            r[j] = np.vdot(row, free[j]) / np.vdot(row, row)
        for i in range(n):
            col = np.stack([base[j, i] * r[j] for j in range(m)])
            s[i] = np.vdot(col, free[:, i]) / np.vdot(col, col)
    return r, s
