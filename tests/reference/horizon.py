"""Excess risk of restricted predictors by plain covariance algebra, slow and to any precision.

Everything is read off the joint covariance of all observations: conditional expectations are
regressions on the whole past, the best fixed filter solves averaged normal equations.
"""

import mpmath as mp
import numpy as np

DIGITS = 60


def steady_prior(A, C, Q, R, n_steps=400):
    """Iterate the Riccati recursion until it stands still."""
    A, C, Q, R = (mp.matrix(m) for m in (A, C, Q, R))
    P = Q
    for _ in range(n_steps):
        S = C * P * C.T + R
        P = A * (P - P * C.T * mp.inverse(S) * C * P) * A.T + Q
    return P


def observation_cov(A, C, Q, R, first, horizon):
    """Blocks [t][s] = Cov(y_t, y_s), t and s from 1 to T, as a nested list."""
    A, C, Q, R = (mp.matrix(m) for m in (A, C, Q, R))
    states = [mp.matrix(first)]
    for _ in range(horizon - 1):
        states.append(A * states[-1] * A.T + Q)
    blocks = [[None] * horizon for _ in range(horizon)]
    for s in range(horizon):
        across = states[s]
        for t in range(s, horizon):
            blocks[t][s] = C * across * C.T + (R if t == s else 0 * R)
            blocks[s][t] = blocks[t][s].T
            across = A * across
    return blocks


def _stack(blocks, rows, cols):
    p = blocks[0][0].rows
    out = mp.matrix(p * len(rows), p * len(cols))
    for i, t in enumerate(rows):
        for j, s in enumerate(cols):
            out[i * p : (i + 1) * p, j * p : (j + 1) * p] = blocks[t][s]
    return out


def _trace(m):
    return sum(m[i, i] for i in range(m.rows))


def best_filter(blocks, length):
    """Weights [F_1 ... F_h] that minimise the error averaged over t = h+1, ..., T."""
    second, cross = 0, 0
    for t in range(length, len(blocks)):
        window = [t - k for k in range(1, length + 1)]
        second = _stack(blocks, window, window) + second
        cross = _stack(blocks, [t], window) + cross
    return cross * mp.inverse(second)


def mean_excess(blocks, weights, length):
    """Averaged squared distance of the filter from the conditional expectation given all the past.

    It is also the difference of the two mean squared errors, by orthogonality.
    """
    total, n_windows = mp.mpf(0), len(blocks) - length
    for t in range(length, len(blocks)):
        past = [t - k for k in range(1, t + 1)]
        past_cov = _stack(blocks, past, past)
        distance = _stack(blocks, [t], past) * mp.inverse(past_cov)
        distance[:, : weights.cols] -= weights
        total += _trace(distance * past_cov * distance.T)
    return total / n_windows


def block_learner_excess(A, Q, first, size, horizon):
    """E |(B - A) x_t|^2 averaged over t < T, with the least-squares top left block in B."""
    n = len(A)
    A, Q, cov = mp.matrix(A), mp.matrix(Q), mp.matrix(first)
    mean = mp.matrix(n, n)
    for _ in range(horizon - 1):
        mean += cov / (horizon - 1)
        cov = A * cov * A.T + Q
    error = -A
    if size:
        block = A[:size, :] * mean[:, :size] * mp.inverse(mean[:size, :size])
        error[:size, :size] += block
    return _trace(error * mean * error.T)


def jordan(size, eigenvalue):
    """Upper Jordan block."""
    return eigenvalue * np.eye(size) + np.eye(size, k=1)
