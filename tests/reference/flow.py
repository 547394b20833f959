"""Gradient flow of theta = a b^depth beta, straight from its definition."""

from functools import cache
from itertools import pairwise

import mpmath as mp
import numpy as np
from scipy.integrate import solve_ivp

DIGITS = 30


def closed_form(z, eigenvalue, t):
    """Depth 0 from s' = z - lambda s - z s^2, where s = tanh(asinh(2 theta / lambda) / 2).

    Any number of digits: the caller sets mp.dps.
    """
    z, lam, t = mp.mpf(z), mp.mpf(eigenvalue), mp.mpf(t)
    if z == 0 or lam == 0:
        return mp.mpf(0)
    r = mp.sqrt(lam**2 + 4 * z**2)
    grown = mp.tanh(r * t / 2)
    s = 2 * z * grown / (r + lam * grown)
    return lam * s / (1 - s**2)


def _digits(x):
    return x if isinstance(x, mp.mpf) else mp.mpf(float(x))


@cache
def _gauss(n, dps):
    """Gauss-Legendre nodes and weights on [-1, 1]."""
    nodes = []
    with mp.workdps(dps + 10):
        for start in np.polynomial.legendre.leggauss(n)[0]:
            x = mp.mpf(float(start))
            for _ in range(int(np.log2(dps / 12)) + 2):
                p, before = mp.legendre(n, x), mp.legendre(n - 1, x)
                slope = n * (before - x * p) / (1 - x * x)
                x -= p / slope
            nodes.append((x, 2 / ((1 - x * x) * slope**2)))
    return nodes


class Deep:
    """One coordinate at depth >= 1: beta' = g (z - beta g), g = a b^depth, all in mpmath.

    Any number of digits and any scale: the caller sets mp.dps.
    """

    def __init__(self, z, eigenvalue, b0, depth, coupling="shared"):
        self.z, self.lam, self.b0 = (_digits(v) for v in (z, eigenvalue, b0))
        self.depth, self.rate = depth, depth if coupling == "shared" else 1

    def power(self, beta):
        """Return b^depth."""
        return mp.sqrt((self.b0**2 + self.rate * beta**2) ** self.depth)

    def g(self, beta):
        """Return a b^depth."""
        return mp.sqrt(self.lam + beta**2) * self.power(beta)

    def k(self, beta):
        """Return K, with theta' = K (z - theta)."""
        a2, b2 = self.lam + beta**2, self.b0**2 + self.rate * beta**2
        return self.g(beta) ** 2 * (1 + beta**2 / a2 + self.depth * self.rate * beta**2 / b2)

    def last_rate(self):
        """K at theta = z, for the error unit eps max(1, K t)."""
        return self.k(self.beta_at(mp.mpf(1)))

    def beta_at(self, fraction):
        """Beta where theta = fraction z > 0."""
        return self.beta_of(_digits(fraction) * self.z)

    def beta_of(self, theta):
        """Newton on ln theta in ln beta, which is convex, from above."""
        beta = theta / (mp.sqrt(self.lam) * self.b0**self.depth)
        for _ in range(400):
            x = beta**2
            slope = 1 + x / (self.lam + x)
            slope += self.depth * self.rate * x / (self.b0**2 + self.rate * x)
            step = mp.log(beta * self.g(beta) / theta) / slope
            beta *= mp.exp(-step)
            if abs(step) < mp.mpf(10) ** (4 - mp.mp.dps):
                break
        return beta

    def _panels(self, u, u_end, scale):
        """End points in u on which s = sqrt(lambda) sinh u keeps its distance from singularities.

        They are at sinh u = i b0 / sqrt(rate lambda), near the imaginary axis, and where theta = z.
        Below `scale` 10^(-dps/2) integrands do not vary.
        """
        near = mp.sqrt(self.b0**2 / (self.rate * self.lam))
        points = [mp.mpf(0)]
        flat = mp.asinh(scale * mp.mpf(10) ** (-mp.mp.dps / 2) / mp.sqrt(self.lam))
        if flat > 1:
            points.append(min(flat, u))
        while points[-1] < u:
            at = points[-1]
            width = min(mp.mpf("0.4"), mp.hypot(at, near), (u_end - at) / 2)
            points.append(min(at + width, u))
        return points

    def _integral(self, integrand, beta):
        """Integrate integrand(s) ds / a(s) from 0 to beta."""
        root = mp.sqrt(self.lam)
        end = self.beta_at(1)
        scale = min(self.b0 / mp.sqrt(self.rate), end)
        points = self._panels(mp.asinh(beta / root), mp.asinh(end / root), scale)
        gauss = _gauss(int(0.68 * mp.mp.dps) + 3, mp.mp.dps)
        total = mp.mpf(0)
        for a, b in pairwise(points):
            half, middle = (b - a) / 2, (a + b) / 2
            total += half * sum(w * integrand(root * mp.sinh(middle + half * x)) for x, w in gauss)
        return total

    def time_of(self, beta):
        """Integrate ds / (g (z - s g)) from 0 to beta."""
        return self._integral(lambda s: 1 / (self.power(s) * (self.z - s * self.g(s))), beta)

    def parameter_derivative(self, name, beta, step):
        """Return d theta / d name, name in z, lam, b0, at the time when the flow is at beta.

        By differences of the time at fixed theta: d theta / d p = -(dt / d p) d theta / d t.
        """
        theta = beta * self.g(beta)
        at = {"z": self.z, "lam": self.lam, "b0": self.b0}
        coupling = "shared" if self.rate == self.depth else "separate"

        def time(sign):
            moved = at | {name: at[name] * (1 + sign * step)}
            deep = Deep(moved["z"], moved["lam"], moved["b0"], self.depth, coupling)
            return deep.time_of(deep.beta_of(theta))

        d_time = (time(1) - time(-1)) / (2 * step * at[name])
        return -d_time * self.k(beta) * (self.z - theta)

    def derivative(self, beta):
        """Return d theta / d z at the time when the flow is at beta: K e int ds / (g e^2)."""
        inner = self._integral(lambda s: 1 / (self.power(s) * (self.z - s * self.g(s)) ** 2), beta)
        return self.k(beta) * (self.z - beta * self.g(beta)) * inner


def all_factors(z, eigenvalue, b0, depth, times, coupling="shared"):
    """Integrate the full system of gradient flows, factor by factor, with no conserved quantity.

    Returns theta and the states (a, b's, beta) at the times.
    """
    n_b = 1 if coupling == "shared" else depth
    power = depth if coupling == "shared" else 1

    def gradient_flow(_, state):
        a, bs, beta = state[0], state[1:-1], state[-1]
        error = z - a * np.prod(bs**power) * beta
        of_b = [
            power * b ** (power - 1) * np.prod(np.delete(bs, i) ** power) for i, b in enumerate(bs)
        ]
        slopes = [
            np.prod(bs**power) * beta,
            *(a * beta * d for d in of_b),
            a * np.prod(bs**power),
        ]
        return error * np.array(slopes)

    start = np.r_[np.sqrt(eigenvalue), np.full(n_b, b0), 0.0]
    answer = solve_ivp(
        gradient_flow, (0, max(times)), start, "DOP853", times, rtol=1e-13, atol=1e-14
    ).y
    theta = answer[0] * np.prod(answer[1:-1] ** power, axis=0) * answer[-1]
    return theta, answer


def descend(z, eigenvalue, b0, depth, step_size, n_steps, coupling="shared"):
    """Gradient descent, all factors at once; the states (a, b, beta) after 0, 1, ... steps."""
    a, b, beta = np.sqrt(eigenvalue), b0, 0.0
    rate = depth if coupling == "shared" else 1
    states = [(a, b, beta)]
    for _ in range(n_steps):
        e = z - a * b**depth * beta
        a, b, beta = (
            a + step_size * e * b**depth * beta,
            b + (step_size * e * rate * a * b ** (depth - 1) * beta if depth else 0),
            beta + step_size * e * a * b**depth,
        )
        states.append((a, b, beta))
    return np.array(states)
