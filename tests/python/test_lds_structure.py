import math

import numpy as np
import pytest
import scipy.linalg

from eigenflow import lds
from reference.horizon import jordan

# A, then the counts: paper parts 1 and 2, any perturbation, fixed spectrum; then the Jordan sizes.
SYSTEMS = {
    "two simple": (np.diag([1.5, 1.2, 0.4]), (2, 0, 5, 3), {(1,), (1,)}),
    "one block of 2": (
        scipy.linalg.block_diag(jordan(2, 1.2), 0.4),
        (4, 2, 5, 3),
        {(2,)},
    ),
    "two blocks of 1": (np.diag([1.2, 1.2, 0.4]), (4, 2, 5, 0), {(1, 1)}),
    "blocks of 2 and 1": (
        scipy.linalg.block_diag(jordan(2, 1.2), 1.2, 0.4),
        (9, 6, 11, 5),
        {(2, 1)},
    ),
    "all one block": (jordan(3, 1.2), (9, 6, 9, 6), {(3,)}),
    "Figure 1 b": (
        scipy.linalg.block_diag(jordan(4, 1.1), 0.4 * np.eye(3)),
        (16, 12, 25, 21),
        {(4,)},
    ),
    "Figure 1 a": (
        scipy.linalg.block_diag(jordan(4, 1.0), 0.4 * np.eye(3)),
        (16, 12, 25, 21),
        {(4,)},
    ),
    "one simple": (np.diag([1.2, 0.4, 0.4]), (1, 0, 1, 0), {(1,)}),
    "stable": (np.diag([0.5, 0.2]), (0, 0, 0, 0), set()),
    "zero": (np.zeros((2, 2)), (0, 0, 0, 0), set()),
}


def in_another_basis(A, seed):
    if seed is None:
        return A
    V = np.random.default_rng(seed).standard_normal(A.shape)
    return np.linalg.solve(V, A @ V)


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", SYSTEMS)
def test_counts_in_any_basis(name, seed):
    A, counts, sizes = SYSTEMS[name]
    turned = in_another_basis(A, seed)
    found = lds.min_parameters(turned)
    assert counts == (
        found.paper_any_perturbation,
        found.paper_fixed_spectrum,
        found.any_perturbation,
        found.fixed_spectrum,
    )
    n, k = len(A), sum(map(sum, lds.unstable_structure(turned).jordan_sizes))
    assert (found.state_dim, found.unstable_dim) == (n, k)
    assert (found.linear_class, found.recursive_siso) == (n * k, 2 * n)
    assert set(lds.unstable_structure(turned).jordan_sizes) == sizes


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("name", SYSTEMS)
def test_basis_spans_an_invariant_subspace(name, seed):
    A = in_another_basis(SYSTEMS[name][0], seed)
    found = lds.unstable_structure(A)
    U, k = found.basis, found.count
    np.testing.assert_allclose(U.T @ U, np.eye(k), atol=1e-13)
    scale = np.linalg.norm(A) + 1
    np.testing.assert_allclose(A @ U, U @ found.restriction, atol=1e-12 * scale)
    left_over = np.linalg.svd(np.eye(len(A)) - U @ U.T)[0][:, : len(A) - k]
    rest = np.linalg.eigvals(left_over.T @ A @ left_over)
    assert (np.abs(rest) < 0.9).all()


def test_close_simple_eigenvalues_are_not_merged():
    found = lds.unstable_structure(np.diag([1.0, 0.9999, 0.9998, 0.9997]))
    assert (found.count, found.multiplicities) == (1, (1,))


def test_a_split_jordan_block_counts_as_a_whole():
    # The computed eigenvalues lie about 1e-4 around 1, on both sides of the circle.
    A = in_another_basis(jordan(4, 1.0), 3)
    computed = np.abs(np.linalg.eigvals(A))
    assert computed.min() < 1 - 1e-6
    assert computed.max() > 1 + 1e-6
    found = lds.unstable_structure(A)
    assert (found.count, found.jordan_sizes) == (4, ((4,),))
    assert found.eigenvalues[0] == pytest.approx(1.0, abs=1e-10)


def test_rotations_and_their_blocks():
    c, s = math.cos(0.3), math.sin(0.3)
    turn = np.array([[c, -s], [s, c]])
    double = np.kron(np.eye(2), turn) + np.kron(np.eye(2, k=1), np.eye(2))
    found = lds.unstable_structure(scipy.linalg.block_diag(double, 0.5))
    assert (found.count, found.multiplicities, found.jordan_sizes) == (4, (2, 2), ((2,), (2,)))
    np.testing.assert_allclose(sorted(found.eigenvalues.imag), [-s, s], atol=1e-7)


def test_empty_and_scalar():
    assert lds.unstable_structure(np.zeros((0, 0))).count == 0
    assert lds.min_parameters(np.zeros((0, 0))).any_perturbation == 0
    assert lds.min_parameters([[1]]).any_perturbation == 1
    assert lds.min_parameters([[-1]]).any_perturbation == 1
    assert lds.min_parameters([[0.999999]]).any_perturbation == 0


@pytest.mark.parametrize("bad", [[[1.0, math.inf], [0.0, 1.0]], np.ones((2, 3)), [1.0]])
def test_what_is_no_square_matrix_is_refused(bad):
    for function in (lds.unstable_structure, lds.min_parameters):
        with pytest.raises(ValueError, match=r"^A: got"):
            function(bad)


def test_tolerance_must_be_a_share():
    with pytest.raises(ValueError, match=r"^tol: got 2.0"):
        lds.unstable_structure([[1.0]], tol=2)
