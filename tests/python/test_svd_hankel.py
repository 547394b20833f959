"""The state dimension of a system from a Hankel matrix that is never formed."""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
from scipy.sparse.linalg import LinearOperator

import eigenflow as ef
from reference import lowrank as truth

STATE_DIM = 6
ROWS, COLS = 900, 600


class Hankel(LinearOperator):
    """H[i, j] = y[i + j] by products of polynomials; counts the columns that it multiplied."""

    def __init__(self, y, rows):
        self.columns = 0
        self._rows, self._n = rows, y.size
        self._transform = scipy.fft.rfft(y)
        super().__init__(y.dtype, (rows, y.size - rows + 1))

    def _product(self, X, first, count):
        self.columns += X.shape[1]
        turned = scipy.fft.rfft(X[::-1], self._n, axis=0)
        # Circular: the entries from X's length - 1 on are those of the plain convolution.
        whole = scipy.fft.irfft(self._transform[:, None] * turned, self._n, axis=0)
        return whole[first : first + count]

    def _matmat(self, X):
        return self._product(X, self.shape[1] - 1, self.shape[0])

    def _rmatmat(self, X):
        return self._product(X, self.shape[0] - 1, self.shape[1])


def impulse_response(noise):
    """Three damped waves, which a system with 6 states makes, and measurement noise."""
    t = np.arange(ROWS + COLS - 1)
    y = sum(
        a * r**t * np.cos(w * t + 0.3)
        for a, r, w in ((2, 0.995, 0.2), (1, 0.99, 0.7), (0.5, 0.992, 1.9))
    )
    return y + noise * np.random.default_rng(0).normal(size=t.size)


def case(noise):
    y = impulse_response(noise)
    H = scipy.linalg.hankel(y[:ROWS], y[ROWS - 1 :])
    return H, Hankel(y, ROWS)


def test_the_operator_is_the_matrix():
    H, operator = case(0.1)
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(COLS, 3)), rng.normal(size=(ROWS, 3))
    np.testing.assert_allclose(operator @ X, H @ X, atol=1e-11)
    np.testing.assert_allclose(operator.H @ Y, H.T @ Y, atol=1e-11)


def test_by_rank():
    H, operator = case(0.02)
    result = ef.lowrank.svd(operator, STATE_DIM, rng=0)
    U, s, Vh = truth.svd(H, STATE_DIM)
    np.testing.assert_allclose(result.s, s, rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(result.Vh * Vh, axis=1)), 1, atol=1e-4)
    np.testing.assert_allclose(np.abs(np.sum(result.U * U, axis=0)), 1, atol=1e-4)
    true = truth.distance(H, *result)
    assert true <= 1.001 * truth.best_error(H, STATE_DIM)
    assert 0.5 <= result.error / true <= 3
    assert result.method == "krylov"
    # A full decomposition needs all 600 columns.
    assert result.passes <= 14
    assert operator.columns <= 350


@pytest.mark.parametrize(("noise", "rtol"), [(0.0, 1e-6), (0.002, 0.05)])
def test_by_tolerance(noise, rtol):
    H, operator = case(noise)
    result = ef.lowrank.svd(operator, rtol=rtol, rng=0)
    assert result.rank == truth.best_rank(H, rtol * np.linalg.norm(H)) == STATE_DIM
    # The norm of an operator is an estimate, and so is the tolerance.
    assert truth.distance(H, *result) <= 1.5 * rtol * np.linalg.norm(H)
    assert result.passes <= 20


def test_the_state_dimension_by_known_noise():
    noise = 0.02
    _, operator = case(noise)
    result = ef.lowrank.svd(operator, 20, rng=0)
    # Entries of a Hankel matrix repeat, so that its noise is larger than that of a white one: by
    # sqrt(log) for random y (Meckes 2007).
    bound = noise * np.sqrt(2 * (ROWS + COLS) * np.log(ROWS + COLS))
    assert np.sum(result.s > bound) == STATE_DIM
