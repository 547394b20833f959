"""The operator."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np

from eigenflow import _arrays
from eigenflow._threads import resolve_workers
from eigenflow.sine import gradients, methods
from eigenflow.sine._indexing import Index, as_range, is_integer, rows_of
from eigenflow.sine._phases import check_phases, gain_of
from eigenflow.sine._ranks import PhasesAndRanks
from eigenflow.sine.gradients import SineGradients
from eigenflow.sine.methods import SineInfo

_DEFAULT_RTOL = 1e-2


class SineLowRank(PhasesAndRanks, _arrays.Movable):
    r"""The matrix ``sin(omega U V^T) / gain``, applied without being stored.

    .. math:: S_{ij} = \sin\Big(\omega \sum_{l=1}^{k} U_{il} V_{jl}\Big) \Big/ \mathrm{gain}

    Parameters
    ----------
    U : array_like, shape (m, k)
        Left factor, float32 or float64 (integers and lists become float64). If the dtypes of `U`
        and `V` differ, both are taken to the NumPy promotion of the two. The arrays are kept, not
        copied: do not change them while the operator is in use.
    V : array_like, shape (n, k)
        Right factor; the same kind of array as `U` (NumPy, CPU tensor with DLPack, or CuPy).
    omega : float
        Frequency, in radians per unit of ``U V^T``.
    gain : float, optional
        Divisor; the authors' ``sqrt(in_features)``, that is ``sqrt(n)``, by default. ``op.T`` and
        submatrices keep the gain of the operator that they come from.
    method : {"auto", "fused", "anchors", "nufft", "taylor"}
        How products are computed. "fused" makes tiles of sines in cache and multiplies them there.
        The others approximate: "anchors" interpolates at Chebyshev nodes (k <= 3), "nufft" is a
        nonuniform FFT (k <= 3; needs the extra ``nufft``), "taylor" a polynomial (phases up to 2
        radians). "auto" takes the cheapest of those that reach `rtol`, for each number of
        right-hand sides anew: see `plan`.
    rtol : float, optional
        Tolerated error of a sine, relative to its amplitude. Approximating methods keep to it; by
        default to 1e-6 (float32) or 1e-13 (float64), which is of the size of the rounding. When
        the bound of the rounding error is larger than `rtol`, or than 0.01 by default, a
        `PhaseWarning` states it.
    exact_phase : bool
        Drop whole turns of the phase term by term. The error is then small whatever the frequency,
        up to phases of 2**24 (float32) or 2**53 (float64) half-turns; five times the operations.
    workers : int, optional
        Threads of the products, unless a call says otherwise; ``-1`` means all CPUs, None the
        default (``EIGENFLOW_NUM_THREADS``, else ``OMP_NUM_THREADS``, else all CPUs).
    check_finite : bool
        Refuse NaN and infinity in `U` and `V`.

    Attributes
    ----------
    shape, dtype, U, V, omega, gain, exact_phase, info
        As described above; `info` is a `SineInfo`.

    Raises
    ------
    TypeError
        For complex or object arrays, and for `U` and `V` of different array libraries.
    ValueError
        For wrong shapes, NaN or infinity, a method that cannot reach `rtol` here, a negative
        `rtol`, a `gain` whose inverse overflows, and phases that leave the dtype's range.

    ImportError
        If `method` is "nufft" and the package finufft is missing.

    Warns
    -----
    PhaseWarning
        If rounding may change a sine by more than `rtol`.

    Notes
    -----
    A fused product with T right-hand sides costs about ``m n (k + 11 + T)`` fused multiply-adds and
    no memory beyond 4 MiB for each worker. It gives the same bytes for any number of workers. A
    product with an array of higher precision is computed in that precision throughout, by "auto"
    with the fused tiles. Entries, `vjp` and `jvp` are always the fused tiles'.

    With phases in half-turns the range reduction is exact; what remains is the rounding of the
    phase itself, about ``|phase| eps sqrt(k) / 2``, bounded by ``(k + 3) eps / 2 |phase|``.

    The operator has `matvec`, `matmat`, `rmatvec` and `rmatmat`, so
    ``scipy.sparse.linalg.aslinearoperator(op)`` works.

    Examples
    --------
    >>> import numpy as np, eigenflow as ef
    >>> rng = np.random.default_rng(0)
    >>> U, V = rng.uniform(-1, 1, (200, 2)), rng.uniform(-1, 1, (100, 2))
    >>> op = ef.sine.SineLowRank(U, V, omega=30.0)
    >>> op
    <200x100 SineLowRank of float64, k=2, omega=30, gain=10>
    >>> bool(np.allclose(op @ np.ones(100), (np.sin(30.0 * U @ V.T) / 10).sum(axis=1)))
    True
    >>> int(np.linalg.matrix_rank(U @ V.T)), int(np.linalg.matrix_rank(op.toarray()))
    (2, 100)
    """

    # NumPy arrays leave `array @ op` to __rmatmul__ below.
    __array_ufunc__ = None

    def __init__(
        self,
        U: Any,
        V: Any,
        omega: float,
        *,
        gain: float | None = None,
        method: Literal["auto", "fused", "anchors", "nufft", "taylor"] = "auto",
        rtol: float | None = None,
        exact_phase: bool = False,
        workers: int | None = None,
        check_finite: bool = True,
    ) -> None:
        if method not in methods.METHODS:
            msg = f"method: got {method!r}, want one of {methods.METHODS}"
            raise ValueError(msg)
        resolve_workers(workers)
        self._kind = _arrays.common_kind(U=U, V=V)
        self._original = U if self._kind == "dlpack" else V
        self.U, self.V = self._backend.factors(U, V, check_finite)
        if self.U.shape[1] != self.V.shape[1]:
            msg = f"V: got {self.V.shape[1]} columns, want {self.U.shape[1]} as in U"
            raise ValueError(msg)
        self._dtype: np.dtype[Any] = np.dtype(self.U.dtype)
        self.omega = _arrays.finite_number(omega, "omega")
        self.gain = gain_of(gain, self.V.shape[0])
        smallest = 1 / float(np.finfo(self._dtype).max)
        if abs(self.gain) < smallest:
            msg = f"gain: got {self.gain:g}, want a modulus of at least {smallest:.3g}"
            raise ValueError(msg)
        self.exact_phase = bool(exact_phase)
        self._rtol = _DEFAULT_RTOL if rtol is None else _arrays.finite_number(rtol, "rtol")
        if self._rtol < 0:
            msg = f"rtol: got {self._rtol:g}, want a non-negative number"
            raise ValueError(msg)
        self._workers = workers
        self._scaled_left = True
        self._method = method
        self._target = None if rtol is None else self._rtol
        self._half_turns, self._rounding = check_phases(self, self._backend, self._rtol)
        if method != "auto":
            self.plan()

    @property
    def _backend(self) -> Any:
        return _backend(self._kind)

    @functools.cached_property
    def _planner(self) -> methods.Planner:
        return methods.Planner(self, self._target)

    def _choose(self, n_rhs: int) -> tuple[methods.Candidate, str]:
        fused_only = self.exact_phase or self._kind == "cupy"
        if fused_only and self._method not in ("auto", "fused"):
            why = "exact_phase=True" if self.exact_phase else "CuPy arrays"
            msg = f"method: got {self._method!r}, want 'auto' or 'fused' with {why}"
            raise ValueError(msg)
        return self._planner.choose("fused" if fused_only else self._method, n_rhs)

    def plan(self, n_rhs: int = 1) -> SineInfo:
        """Say how a product with `n_rhs` right-hand sides is computed, and how well.

        Many right-hand sides can make another method the cheapest.
        """
        chosen, reason = self._choose(n_rhs)
        error = (self._rounding + chosen.error) / abs(self.gain)
        terms = 0 if chosen.expansion is None else chosen.expansion.n_terms
        return SineInfo(chosen.method, reason, self._half_turns, error, terms)

    @functools.cached_property
    def info(self) -> SineInfo:
        """The plan for one right-hand side."""
        return self.plan()

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.U.shape[0], self.V.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: the dtype of the entries."""
        return self._dtype

    ndim = 2

    def __repr__(self) -> str:
        m, n = self.shape
        return (
            f"<{m}x{n} SineLowRank of {self.dtype}, k={self.U.shape[1]}, "
            f"omega={self.omega:g}, gain={self.gain:g}>"
        )

    def _variant(self, **changes: Any) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **changes)
        for planned in ("_planner", "info"):
            other.__dict__.pop(planned, None)
        return other

    @property
    def T(self) -> Self:
        """The transposed operator: the same entries to the bit, the same gain, nothing copied.

        Products by an approximating method are transposed up to its error.
        """
        return self._variant(U=self.V, V=self.U, _scaled_left=not self._scaled_left)

    def transpose(self) -> Self:
        """Return `op.T`."""
        return self.T

    adjoint = transpose

    def submatrix(self, rows: Index, cols: Index) -> Self:
        """Return the operator of the chosen rows and columns (slices, or index or mask arrays).

        Gain and error bound are those of the whole operator.
        """
        return self._variant(U=rows_of(self.U, rows, "rows"), V=rows_of(self.V, cols, "cols"))

    def toarray(self, *, out: Any = None, workers: int | None = None) -> Any:
        """Return the matrix itself, shape (m, n), for as much memory as that takes."""
        return self._finish(self._backend.entries(self, out, self._threads(workers)))

    def __getitem__(self, key: Any) -> Any:
        """Entries, as NumPy indexing gives them: ``op[rows]``, ``op[:, cols]``, ``op[i, j]``.

        Each index is an integer, a slice, or a one-dimensional index or mask array. Two arrays at
        once are ambiguous and refused: `submatrix` chooses rows and columns independently.
        """
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > 2:
            msg = f"op[...]: got {len(keys)} indices, want at most 2"
            raise IndexError(msg)
        keys = (*keys, slice(None))[:2]
        if not any(is_integer(k) or isinstance(k, slice) for k in keys):
            msg = "op[rows, cols]: got two index arrays, want op.submatrix(rows, cols).toarray()"
            raise IndexError(msg)
        chosen = (
            as_range(k, n, axis) for axis, (k, n) in enumerate(zip(keys, self.shape, strict=True))
        )
        block = self.submatrix(*chosen).toarray()
        return block[tuple(0 if is_integer(k) else slice(None) for k in keys)]

    def matmat(
        self, X: Any, *, out: Any = None, workers: int | None = None, check_finite: bool = True
    ) -> Any:
        """Return ``op @ X`` for `X` of shape (n, T), or (n,).

        Parameters
        ----------
        X : array_like, shape (n, T) or (n,)
            Right-hand sides in any memory order.
        out : ndarray, shape (m, T) or (m,), optional
            C-contiguous array of the result's dtype for the result.
        workers : int, optional
            Threads of this call; the operator's own by default.
        check_finite : bool
            Refuse NaN and infinity in `X`; when False they spread through the sums.

        Returns
        -------
        ndarray, shape (m, T) or (m,)
            In the promoted dtype of the operator and `X`, and of the kind of array that `X` is: a
            Dask array is multiplied lazily, a block of columns at a time.
        """
        if getattr(X, "__array_ufunc__", 0) is None and not hasattr(X, "__array__"):
            msg = f"X: got {type(X).__name__}, want an array"
            raise TypeError(msg)
        if _arrays.is_dask(X):
            from eigenflow.dask.sine import product

            return product(self, X, out)
        if "cupy" in (self._kind, _arrays.kind_of(X)):
            _arrays.common_kind(X=X, U=self.U)
        result = self._backend.product(self, X, out, self._threads(workers), check_finite)
        return result if out is not None else self._finish(result, X)

    def rmatmat(
        self, Y: Any, *, out: Any = None, workers: int | None = None, check_finite: bool = True
    ) -> Any:
        """Return ``op.T @ Y`` for `Y` of shape (m, T), or (m,); parameters as in `matmat`."""
        with _arrays.renamed("X", "Y"):
            return self.T.matmat(Y, out=out, workers=workers, check_finite=check_finite)

    matvec = dot = matmat
    rmatvec = rmatmat

    def vjp(
        self,
        X: Any,
        grad_output: Any,
        *,
        wrt: Sequence[str] = gradients.ARGUMENTS,
        workers: int | None = None,
        check_finite: bool = True,
    ) -> SineGradients:
        r"""Return the gradients of ``(grad_output * (op @ X)).sum()``: the reverse mode.

        Parameters
        ----------
        X : array_like, shape (n, T) or (n,)
            Right-hand sides.
        grad_output : array_like, shape (m, T) or (m,)
            Gradient with respect to ``op @ X``.
        wrt : sequence of {"U", "V", "omega", "gain", "X"}
            What to differentiate with respect to; the other fields of the result are None.
        workers : int, optional
            Threads of this call; the operator's own by default.
        check_finite : bool
            Refuse NaN and infinity in `X` and `grad_output`.

        Returns
        -------
        SineGradients

        Notes
        -----
        With :math:`G = \mathrm{grad\_output}\, X^T` and
        :math:`Q = \cos(\omega U V^T) \circ G / \mathrm{gain}`,

        .. math::

            \partial U = \omega Q V, \quad \partial V = \omega Q^T U, \quad
            \partial \omega = \langle U, Q V \rangle, \quad
            \partial \mathrm{gain} = -\langle S, G \rangle / \mathrm{gain}, \quad
            \partial X = S^T \mathrm{grad\_output}.

        Sines and cosines are made again, tile by tile: the cost is about
        ``m n (3 k + 2 T + 30)`` multiply-adds, and no memory of the size of the matrix. The same
        bytes for any number of workers. A `gain` that was left to its default counts as a number,
        not as a function of the shape.
        """
        return gradients.vjp(self, X, grad_output, wrt, workers, check_finite)

    def jvp(
        self,
        X: Any,
        tangents: Mapping[str, Any],
        *,
        workers: int | None = None,
        check_finite: bool = True,
    ) -> Any:
        """Return the derivative of ``op @ X`` along tangents: the forward mode.

        Parameters
        ----------
        X : array_like, shape (n, T) or (n,)
            Right-hand sides.
        tangents : mapping of {"U", "V", "omega", "gain", "X"} to array_like or float
            How the inputs move, each in its own shape. What is not named does not move.
        workers, check_finite
            As in `vjp`.

        Returns
        -------
        ndarray, shape (m, T) or (m,)
            At the cost of `vjp`, and without memory of the size of the matrix.
        """
        return gradients.jvp(self, X, tangents, workers, check_finite)

    def __matmul__(self, X: Any) -> Any:
        return self.matmat(X)

    def __rmatmul__(self, Y: Any) -> Any:
        Y = np.asarray(Y) if isinstance(Y, list) else Y
        result = self.T.matmat(Y if Y.ndim == 1 else Y.T)
        return result if Y.ndim == 1 else result.T

    def __array__(self, *_: Any, **__: Any) -> _arrays.Array:
        msg = "op: is never stored, so it is no array; want op.toarray()"
        raise TypeError(msg)

    def _on_host(self) -> Self:
        """Return this operator with NumPy factors."""
        U, V = _arrays.on_host(self.U), _arrays.on_host(self.V)
        return self._variant(U=U, V=V, _kind="numpy", _original=V)

    def _threads(self, workers: int | None) -> int:
        return resolve_workers(self._workers if workers is None else workers)

    def _finish(self, result: Any, like: Any = None) -> Any:
        original = self._original if like is None or _arrays.kind_of(like) == "numpy" else like
        return _arrays.like(result, original)


def _backend(kind: _arrays.Kind) -> Any:
    if kind == "cupy":
        from eigenflow._gpu import sine as gpu

        return gpu
    from eigenflow.sine import _cpu

    return _cpu
