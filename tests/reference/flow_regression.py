"""Coupled gradient flow straight from its definition, and the link function by quadrature."""

import mpmath as mp
import numpy as np
from scipy.integrate import solve_ivp


def all_factors(features, y, eigenvalues, b0, depth, times, coupling="shared"):
    """Integrate a, every b and beta of all coordinates; theta at the rising times."""
    n, p = features.shape
    n_b = depth if coupling == "separate" else min(depth, 1)
    power = 1 if coupling == "separate" else depth

    def theta_of(state):
        return state[0] * np.prod(state[1:-1] ** power, axis=0) * state[-1]

    def gradient_flow(_, flat):
        state = flat.reshape(n_b + 2, p)
        a, bs, beta = state[0], state[1:-1], state[-1]
        force = features.T @ (y - features @ theta_of(state)) / n
        product = np.prod(bs**power, axis=0)
        slopes = [product * beta]
        for i, b in enumerate(bs):
            others = np.prod(np.delete(bs, i, axis=0) ** power, axis=0)
            slopes.append(a * power * b ** (power - 1) * others * beta)
        slopes.append(a * product)
        return (np.array(slopes) * force).ravel()

    start = np.zeros((n_b + 2, p))
    start[0] = np.sqrt(eigenvalues)
    start[1:-1] = 1 if b0 is None else b0
    answer = solve_ivp(
        gradient_flow, (0, times[-1]), start.ravel(), "DOP853", times, rtol=1e-12, atol=1e-14
    )
    return np.array([theta_of(state.reshape(n_b + 2, p)) for state in answer.y.T])


def link_integral(beta, eigenvalue, b0, depth, rate):
    """Return v = int_0^beta ds / g and g(beta), g = a b^depth.

    a^2 = eigenvalue + s^2 and b^2 = b0^2 + rate s^2.
    """
    lam, b, end = mp.mpf(eigenvalue), mp.mpf(b0), mp.mpf(beta)

    def g(s):
        return mp.sqrt(lam + s**2) * (b**2 + rate * s**2) ** (mp.mpf(depth) / 2)

    # In y, s = scale sinh y, the integrand has no short scales.
    scale = min(mp.sqrt(lam), b / mp.sqrt(rate)) if depth else mp.sqrt(lam)
    last = mp.asinh(end / scale)
    pieces = mp.linspace(0, last, int(last / 3) + 2)
    v = mp.quad(lambda y: scale * mp.cosh(y) / g(scale * mp.sinh(y)), pieces)
    return v, g(end)
