"""Gradient flow of theta = a b^depth beta, straight from its definition."""

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


class Deep:
    """One coordinate at depth >= 1: beta' = g (z - beta g), g = a b^depth, all in mpmath."""

    def __init__(self, z, eigenvalue, b0, depth, coupling="shared"):
        self.z, self.lam, self.b0 = (mp.mpf(float(v)) for v in (z, eigenvalue, b0))
        self.depth, self.rate = depth, depth if coupling == "shared" else 1

    def g(self, beta):
        """Return a b^depth."""
        return mp.sqrt(self.lam + beta**2) * (self.b0**2 + self.rate * beta**2) ** (
            mp.mpf(self.depth) / 2
        )

    def last_rate(self):
        """K at theta = z, for the error unit eps max(1, K t)."""
        beta = self.beta_at(mp.mpf(1))
        a2, b2 = self.lam + beta**2, self.b0**2 + self.rate * beta**2
        return self.g(beta) ** 2 * (1 + beta**2 / a2 + self.depth * self.rate * beta**2 / b2)

    def beta_at(self, fraction):
        """Beta where theta = fraction z, by bisection in the logarithm."""
        low, high = mp.mpf("1e-200"), mp.mpf("1e200")
        for _ in range(int(DIGITS * 3.4) + 12):
            middle = mp.sqrt(low * high)
            if middle * self.g(middle) < fraction * self.z:
                low = middle
            else:
                high = middle
        return mp.sqrt(low * high)

    def _integral(self, integrand, beta):
        # Pieces that double in width resolve the scales of lambda, b0 and the end.
        scale = min(mp.sqrt(self.lam), self.b0 / mp.sqrt(self.rate), beta) / 4
        points = [mp.mpf(0)]
        while scale < beta / 2:
            points.append(scale)
            scale *= 3
        gap, rest = beta / 2, self.beta_at(mp.mpf(1)) - beta
        while gap > rest / 2 and gap > beta * mp.mpf("1e-17"):
            points.append(beta - gap)
            gap /= 4
        points = sorted({p for p in points if p < beta} | {beta})
        return sum(mp.quad(integrand, [a, b], maxdegree=5) for a, b in pairwise(points))

    def time_of(self, beta):
        """Integrate ds / (g (z - s g)) from 0 to beta."""
        return self._integral(lambda s: 1 / (self.g(s) * (self.z - s * self.g(s))), beta)

    def derivative(self, beta):
        """Return d theta / d z at the time when the flow is at beta: K e int ds / (g e^2)."""
        e = self.z - beta * self.g(beta)
        a2, b2 = self.lam + beta**2, self.b0**2 + self.rate * beta**2
        k = self.g(beta) ** 2 * (1 + beta**2 / a2 + self.depth * self.rate * beta**2 / b2)
        inner = self._integral(lambda s: 1 / (self.g(s) * (self.z - s * self.g(s)) ** 2), beta)
        return k * e * inner


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
