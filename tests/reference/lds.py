"""Linear Gaussian systems: the joint Gaussian written out, and the textbook filter."""

import mpmath
import numpy as np


def joint(A, C, Q, R, mean, cov, n_steps, state_offset=0, obs_offset=0):
    """Mean and covariance of all states, and the map from states to observations."""
    n, p = len(A), len(C)
    means = [np.asarray(mean, float)]
    for _ in range(n_steps - 1):
        means.append(A @ means[-1] + state_offset)
    covs = np.zeros((n_steps, n, n_steps, n))
    now = np.asarray(cov, float)
    for t in range(n_steps):
        block = now
        for s in range(t, n_steps):
            covs[s, :, t] = block
            covs[t, :, s] = block.T
            block = A @ block
        now = A @ now @ A.T + Q
    flat = covs.reshape(n_steps * n, n_steps * n)
    observe = np.kron(np.eye(n_steps), C)
    noise = np.kron(np.eye(n_steps), R)
    mean_y = observe @ np.concatenate(means) + np.tile(np.broadcast_to(obs_offset, p), n_steps)
    return np.concatenate(means), flat, observe, noise, mean_y


def smooth(A, C, Q, R, mean, cov, y, **offsets):
    """Smoothed means and covariances, and the log-likelihood, by conditioning one big Gaussian."""
    n_steps, n = len(y), len(A)
    mean_x, cov_x, H, noise, mean_y = joint(A, C, Q, R, mean, cov, n_steps, **offsets)
    seen = ~np.isnan(y.ravel())
    H, noise, residual = H[seen], noise[np.ix_(seen, seen)], (y.ravel() - mean_y)[seen]
    S = H @ cov_x @ H.T + noise
    gain = np.linalg.solve(S, H @ cov_x).T if seen.any() else np.zeros((n_steps * n, 0))
    means = (mean_x + gain @ residual).reshape(n_steps, n)
    after = (cov_x - gain @ H @ cov_x).reshape(n_steps, n, n_steps, n)
    covs = np.array([after[t, :, t] for t in range(n_steps)])
    log_det = np.linalg.slogdet(S)[1] if seen.any() else 0.0
    quadratic = residual @ np.linalg.solve(S, residual) if seen.any() else 0.0
    return means, covs, -0.5 * (seen.sum() * np.log(2 * np.pi) + log_det + quadratic)


def diffuse_smooth(A, C, Q, R, mean, cov, directions, y, digits=60, big=1e20):
    """`smooth` with a huge variance along `directions`, in enough digits to be the limit.

    The log-likelihood leaves out log(big)/2 for each direction that the data determine.
    """
    with mpmath.workdps(digits):
        n_steps, n = len(y), len(A)
        mean_x, flat, H, noise, mean_y = joint(A, C, Q, R, mean, cov, n_steps)
        reach = np.concatenate([np.linalg.matrix_power(A, t) @ directions for t in range(n_steps)])
        seen = np.flatnonzero(~np.isnan(y.ravel()))
        X = mpmath.matrix(flat.tolist()) + mpmath.mpf(big) * mpmath.matrix(
            reach.tolist()
        ) * mpmath.matrix(reach.T.tolist())
        Hs = mpmath.matrix(H[seen].tolist())
        S = Hs * X * Hs.T + mpmath.matrix(noise[np.ix_(seen, seen)].tolist())
        residual = mpmath.matrix((y.ravel() - mean_y)[seen].tolist())
        inverse = S**-1
        gain = X * Hs.T * inverse
        means = mpmath.matrix(mean_x.tolist()) + gain * residual
        after = X - gain * Hs * X
        rank = np.linalg.matrix_rank(H[seen] @ reach)
        log_det = mpmath.log(mpmath.det(S)) - rank * mpmath.log(mpmath.mpf(big))
        quadratic = (residual.T * inverse * residual)[0]
        log_like = -(len(seen) * mpmath.log(2 * mpmath.pi) + log_det + quadratic) / 2
        out = np.array([float(x) for x in means]).reshape(n_steps, n)
        covs = np.array(
            [
                [[float(after[t * n + i, t * n + j]) for j in range(n)] for i in range(n)]
                for t in range(n_steps)
            ]
        )
        return out, covs, float(log_like)


def kalman(A, C, Q, R, mean, cov, y, state_offset=0, obs_offset=0):
    """Textbook filter for a proper start; missing components are dropped from C and R."""
    mean, cov = np.asarray(mean, float), np.asarray(cov, float)
    out = {"predicted_mean": [], "predicted_cov": [], "filtered_mean": [], "filtered_cov": []}
    total = 0.0
    for row in y:
        out["predicted_mean"].append(mean)
        out["predicted_cov"].append(cov)
        seen = ~np.isnan(row)
        if seen.any():
            H = C[seen]
            v = (row - obs_offset - C @ mean)[seen]
            S = H @ cov @ H.T + R[np.ix_(seen, seen)]
            K = np.linalg.solve(S, H @ cov).T
            mean = mean + K @ v
            cov = cov - K @ H @ cov
            total -= 0.5 * (
                len(v) * np.log(2 * np.pi) + np.linalg.slogdet(S)[1] + v @ np.linalg.solve(S, v)
            )
        out["filtered_mean"].append(mean)
        out["filtered_cov"].append(cov)
        mean = A @ mean + state_offset
        cov = A @ cov @ A.T + Q
    return {name: np.array(values) for name, values in out.items()} | {"log_likelihood": total}


def local_level(q, r, digits=40):
    """Steady state of the local level in closed form: P, K, S, rho."""
    with mpmath.workdps(digits):
        q, r = mpmath.mpf(q), mpmath.mpf(r)
        P = q / 2 + mpmath.sqrt(q * q / 4 + q * r)
        return float(P), float(P / (P + r)), float(P + r), float(r / (P + r))
