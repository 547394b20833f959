"""The algebra of fixed filters on the innovations form, in extended precision."""

from decimal import Decimal

import numpy as np

from eigenflow._arrays import Array
from eigenflow.lds.extended import (
    Extended,
    TooFewDigitsError,
    current_digits,
    identity,
    largest,
    quadratic,
    solve,
    symmetrized,
    trace,
    zeros,
)
from eigenflow.lds.innovations import Innovations, long_run, mean_prediction_cov
from eigenflow.lds.structure import unstable_structure


def start_uncertainty(
    form: Innovations, A: Array, information: Extended, length: int, horizon: int | None
) -> Extended:
    """Return (D^-1 + O)^-1: what is unknown about the filter's state when a window starts.

    D is the state's covariance averaged over the windows of this horizon, infinite on the unstable
    subspace when the horizon is None.
    """
    if horizon is None:
        run = long_run(form, A, unstable_structure(A))
        seen = quadratic(run.coordinates.T, information)
        inner = solve(run.mask + run.prior_factor @ seen, run.prior_factor)
        return symmetrized(quadratic(run.coordinates, inner))
    prior = mean_prediction_cov(form, horizon - length)
    _require_digits(form, prior)
    return symmetrized(solve(identity(len(prior)) + prior @ information, prior))


def _require_digits(form: Innovations, prior: Extended) -> None:
    """Refuse a covariance whose large directions hide the small ones.

    Their place would be taken by rounding, which looks like a second unstable direction: two runs
    could then agree on a wrong answer.
    """
    top, unit = largest(prior), largest(form.driving_cov)
    if top and current_digits() < top.adjusted() - unit.adjusted() + 20:
        raise TooFewDigitsError


def excess_of_best(form: Innovations, A: Array, length: int, horizon: int | None) -> Decimal:
    """Mean squared distance of the best fixed filter from the Kalman filter."""
    power, information = form.information(length)
    unknown = start_uncertainty(form, A, information, length, horizon)
    return trace(quadratic(form.C @ power, unknown))


def truncated_excess(form: Innovations, length: int, horizon: int) -> Decimal:
    """Mean squared distance of the truncated Kalman filter from the whole one."""
    power, _ = form.information(length)
    return trace(quadratic(form.C @ power, mean_prediction_cov(form, horizon - length)))


def truncated_weights(form: Innovations, length: int) -> Extended:
    """Return C F^(k-1) L for k = 1, ..., h."""
    out, row = [], form.C
    for _ in range(length):
        out.append(row @ form.gain)
        row = row @ form.closed
    return np.array(out, dtype=object)


def weights_of_best(form: Innovations, A: Array, length: int, horizon: int | None) -> Extended:
    """Weights of the best fixed filter: the truncated ones plus an estimate of the window's start.

    The filter's state x at the start of the window is estimated from the window's innovations,
    e_j = y_j - C F^j x - (what came from earlier y): that part, carried to the end by C F^h,
    is spread over the observations.
    """
    power, information = form.information(length)
    unknown = start_uncertainty(form, A, information, length, horizon)
    rows = [form.C @ power @ unknown]
    for _ in range(length):
        rows.append(rows[-1] @ form.closed.T)
    weight = form.C.T @ form.innovation_precision
    one_step = symmetrized(weight @ form.C)
    later = zeros(*one_step.shape)
    out = truncated_weights(form, length)
    for k in range(1, length + 1):
        out[k - 1] += rows[length - k] @ weight - rows[length - k + 1] @ later @ form.gain
        later = symmetrized(one_step + quadratic(form.closed.T, later))
    return out


def filter_excess(form: Innovations, weights: Extended, horizon: int) -> Extended:
    """Covariance of the distance of a fixed filter from the Kalman filter, averaged over time.

    Its distance at time t is H x(t-h) + sum of D_k e(t-k), with independent terms, where x is the
    Kalman filter's state and e its innovations.
    """
    length = len(weights)
    on_state, noise = form.C, zeros(len(form.C), len(form.C))
    # C A^k - sum of F_i C A^(k-i), by Horner's rule: times L it is D_(k+1) + F_(k+1), at the end H.
    for weight in weights:
        noise = noise + quadratic(on_state @ form.gain - weight, form.innovation_cov)
        on_state = on_state @ form.A - weight @ form.C
    return noise + quadratic(on_state, mean_prediction_cov(form, horizon - length))
