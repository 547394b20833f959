"""One step of the EM algorithm for correlated noises, by conditioning one large Gaussian."""

import numpy as np


def moments(system, y):
    """Means, given y, of the sums of g x', g g' and x x', g = [w; v], x the state before a row.

    `system` maps names to arrays: A, C, Q, R, cross_cov, mean0 and cov0. Everything is linear in
    z = [x_0, g_0, ..., g_(T-1)].
    """
    A, C = system["A"], system["C"]
    n, p, T = len(A), len(C), len(y)
    noise = np.block([[system["Q"], system["cross_cov"]], [system["cross_cov"].T, system["R"]]])
    size = n + T * (n + p)
    cov = np.zeros((size, size))
    cov[:n, :n] = system["cov0"]
    mean = np.concatenate([system["mean0"], np.zeros(size - n)])
    states, noises, rows = [np.eye(n, size)], [], []
    for t in range(T):
        at = n + t * (n + p)
        cov[at : at + n + p, at : at + n + p] = noise
        noises.append(np.eye(n + p, size, at))
        rows.append(C @ states[-1] + noises[-1][n:])
        states.append(A @ states[-1] + noises[-1][:n])
    seen = ~np.isnan(y.ravel())
    M = np.concatenate(rows)[seen]
    gain = cov @ M.T @ np.linalg.inv(M @ cov @ M.T)
    mean = mean + gain @ (y.ravel()[seen] - M @ mean)
    second = cov - gain @ M @ cov + np.outer(mean, mean)

    def summed(left, right):
        return sum(a @ second @ b.T for a, b in zip(left, right, strict=True))

    return summed(noises, states[:-1]), summed(noises, noises), summed(states[:-1], states[:-1])


def expected_log_likelihood(system, new, y):
    """Mean, under `system` given y, of the complete log-likelihood of `new`, but for constants."""
    with_state, own, before = moments(system, y)
    shift = np.vstack([new["A"] - system["A"], new["C"] - system["C"]])
    own = own - shift @ with_state.T - with_state @ shift.T + shift @ before @ shift.T
    noise = np.block([[new["Q"], new["cross_cov"]], [new["cross_cov"].T, new["R"]]])
    log_det = np.linalg.slogdet(noise)[1]
    return -(len(y) * log_det + np.trace(np.linalg.solve(noise, own))) / 2
