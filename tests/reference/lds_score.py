"""Diffuse log-likelihood of a linear system in many digits, and its derivatives by differences."""

import mpmath as mp
import numpy as np

DIGITS = 50


def log_likelihood(system, y):
    """Write out the joint Gaussian; the diffuse coefficients are regressed out.

    `system` maps names to mpmath matrices: A, C, Q, R, state_offset, obs_offset, mean0, cov0 and
    diffuse_directions. Missing numbers are NaN in y.
    """
    A, C, Q, R = (system[name] for name in "ACQR")
    p, n_steps = C.rows, len(y)
    means, reach = [system["mean0"]], [system["diffuse_directions"]]
    covs = [[None] * n_steps for _ in range(n_steps)]
    now = system["cov0"]
    for t in range(n_steps):
        block = now
        for s in range(t, n_steps):
            covs[s][t] = block
            covs[t][s] = block.T
            block = A * block
        now = A * now * A.T + Q
        means.append(A * means[-1] + system["state_offset"])
        reach.append(A * reach[-1])
    seen = [(t, i) for t in range(n_steps) for i in range(p) if not np.isnan(y[t][i])]
    S = mp.matrix(len(seen), len(seen))
    for a, (t, i) in enumerate(seen):
        for b, (s, j) in enumerate(seen):
            S[a, b] = (C[i, :] * covs[t][s] * C[j, :].T)[0] + (R[i, j] if t == s else 0)
    left = mp.matrix([y[t][i] - (C[i, :] * means[t])[0] - system["obs_offset"][i] for t, i in seen])
    inverse = S**-1
    out = len(seen) * mp.log(2 * mp.pi) + mp.log(mp.det(S)) + (left.T * inverse * left)[0]
    k = reach[0].cols
    if k:
        X = mp.matrix(len(seen), k)
        for a, (t, i) in enumerate(seen):
            X[a, :] = C[i, :] * reach[t]
        information = X.T * inverse * X
        right = X.T * inverse * left
        out += mp.log(mp.det(information)) - (right.T * information**-1 * right)[0]
    return -out / 2


def slope(system, y, change):
    """Derivative of the log-likelihood along changes of the matrices, by name."""
    with mp.workdps(DIGITS):

        def at(step):
            moved = {
                name: mp.matrix(value.tolist()) + step * mp.matrix(change[name].tolist())
                if name in change
                else mp.matrix(value.tolist())
                for name, value in system.items()
            }
            return log_likelihood(moved, y)

        h = mp.mpf(10) ** (-DIGITS // 3)
        return float((at(h) - at(-h)) / (2 * h)), float(at(0))
