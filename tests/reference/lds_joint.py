"""Any linear Gaussian system as one big Gaussian over its noises, in as many digits as wanted."""

import mpmath
import numpy as np


class Joint:
    """States and observations of a system as linear maps of independent blocks of noise.

    `system` may have time axes, inputs and correlated noises, but no batch. A diffuse direction
    gets the variance `big`.
    """

    def __init__(self, system, n_steps, inputs=None, big=None):
        n, p = system.state_dim, system.obs_dim
        self.n, self.p, self.n_steps = n, p, n_steps

        def at(name, t, core=2):
            a = getattr(system, name)
            if a is not None and a.ndim > core:
                a = a[t if len(a) > 1 else 0]
            return None if a is None else mpmath.matrix(np.asarray(a).tolist())

        size = n + n_steps * (n + p)
        self.noise = mpmath.zeros(size)
        cov0 = mpmath.matrix(system.cov0.tolist())
        D = system.diffuse_directions
        if D.shape[1]:
            cov0 += mpmath.mpf(big) * mpmath.matrix(D.tolist()) * mpmath.matrix(D.T.tolist())
        self.noise[:n, :n] = cov0
        self.x = mpmath.zeros(n * n_steps, size)
        self.y = mpmath.zeros(p * n_steps, size)
        self.mean_x = mpmath.zeros(n * n_steps, 1)
        self.mean_y = mpmath.zeros(p * n_steps, 1)
        state = mpmath.zeros(n, size)
        state[:, :n] = mpmath.eye(n)
        mean = mpmath.matrix(system.mean0.tolist())
        for t in range(n_steps):
            w, v = n + t * (n + p), n + t * (n + p) + n
            self.noise[w:v, w:v] = at("Q", t)
            self.noise[v : v + p, v : v + p] = at("R", t)
            if system.cross_cov is not None:
                S = at("cross_cov", t)
                self.noise[w:v, v : v + p] = S
                self.noise[v : v + p, w:v] = S.T
            u = None if inputs is None else mpmath.matrix(np.atleast_1d(inputs[t]).tolist())
            C = at("C", t)
            observed = C * state
            for k in range(p):
                observed[k, v + k] += 1
            mean_y = C * mean + at("obs_offset", t, 1)
            if u is not None and system.D is not None:
                mean_y += at("D", t) * u
            self.x[t * n : (t + 1) * n, :] = state
            self.y[t * p : (t + 1) * p, :] = observed
            self.mean_x[t * n : (t + 1) * n, 0] = mean
            self.mean_y[t * p : (t + 1) * p, 0] = mean_y
            A = at("A", t)
            state = A * state
            for i in range(n):
                state[i, w + i] += 1
            mean = A * mean + at("state_offset", t, 1)
            if u is not None and system.B is not None:
                mean += at("B", t) * u
        self.next, self.mean_next = state, mean

    def given(self, y, target, mean):
        """Mean and covariance of target * noises + mean given y, and the log density of y."""
        seen = np.flatnonzero(~np.isnan(np.ravel(y)))
        flat = np.ravel(y)
        if not len(seen):
            return mean, target * self.noise * target.T, mpmath.mpf(0)
        H = mpmath.matrix([[self.y[int(i), j] for j in range(self.y.cols)] for i in seen])
        r = mpmath.matrix([mpmath.mpf(float(flat[i])) - self.mean_y[int(i)] for i in seen])
        S = H * self.noise * H.T
        inverse = S**-1
        gain = target * self.noise * H.T * inverse
        cov = target * self.noise * target.T - gain * (H * self.noise * target.T)
        density = (
            len(seen) * mpmath.log(2 * mpmath.pi)
            + mpmath.log(mpmath.det(S))
            + (r.T * inverse * r)[0]
        )
        return mean + gain * r, cov, -density / 2


def numbers(a):
    """An mpmath matrix as float64."""
    return np.array([[float(a[i, j]) for j in range(a.cols)] for i in range(a.rows)])


def disturbances(joint, y):
    """Laws of the noises of each step given all observations."""
    n, p, T = joint.n, joint.p, joint.n_steps
    size = joint.noise.rows
    picked = mpmath.zeros(size - n, size)
    for i in range(size - n):
        picked[i, n + i] = 1
    mean, cov, _ = joint.given(y, picked, mpmath.zeros(size - n, 1))
    mean = numbers(mean).reshape(T, n + p)
    covs = numbers(cov).reshape(T, n + p, T, n + p)[np.arange(T), :, np.arange(T)]
    return {
        "state_disturbance": mean[:, :n],
        "obs_disturbance": mean[:, n:],
        "state_disturbance_cov": covs[:, :n, :n],
        "obs_disturbance_cov": covs[:, n:, n:],
    }


def everything(system, y, inputs=None, digits=60, big=1e25):
    """Filtered and smoothed laws, the next state's law and the log-likelihood.

    The log-likelihood leaves out log(big)/2 for each diffuse direction that the data determine.
    """
    n, T = system.state_dim, len(y)
    with mpmath.workdps(digits):
        joint = Joint(system, T, inputs, big)
        smoothed, cov, density = joint.given(y, joint.x, joint.mean_x)
        ahead, ahead_cov, _ = joint.given(y, joint.next, joint.mean_next)
        out = {
            "smoothed_mean": numbers(smoothed).reshape(T, n),
            "smoothed_cov": np.array(
                [numbers(cov[t * n : (t + 1) * n, t * n : (t + 1) * n]) for t in range(T)]
            ),
            "lag_one_cov": np.array(
                [numbers(cov[(t + 1) * n : (t + 2) * n, t * n : (t + 1) * n]) for t in range(T - 1)]
            ).reshape(T - 1, n, n),
            "next_mean": numbers(ahead).ravel(),
            "next_cov": numbers(ahead_cov),
        }
        out |= disturbances(joint, y)
        filtered, filtered_covs = [], []
        for t in range(T):
            known = np.array(y, float)
            known[t + 1 :] = np.nan
            rows = joint.x[t * n : (t + 1) * n, :]
            m, P, _ = joint.given(known, rows, joint.mean_x[t * n : (t + 1) * n, 0])
            filtered.append(numbers(m).ravel())
            filtered_covs.append(numbers(P))
        out["filtered_mean"], out["filtered_cov"] = np.array(filtered), np.array(filtered_covs)
        if system.diffuse_directions.shape[1]:
            seen = ~np.isnan(np.ravel(y))
            reach = numbers(joint.y)[seen][:, :n] @ system.diffuse_directions
            rank = np.linalg.matrix_rank(reach)
            density += rank * mpmath.log(mpmath.mpf(big)) / 2
        out["log_likelihood"] = float(density)
        return out
