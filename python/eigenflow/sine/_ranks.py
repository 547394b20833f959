"""Phases and ranks of the operator, as its methods."""

from typing import TYPE_CHECKING, Any

from eigenflow import _arrays
from eigenflow.sine import diagnostics
from eigenflow.sine.diagnostics import PhaseHistogram

if TYPE_CHECKING:
    from eigenflow.sine.operator import SineLowRank


class PhasesAndRanks:
    """What `SineLowRank` says of its phases and singular values without being stored."""

    U: Any
    V: Any
    omega: float

    if TYPE_CHECKING:

        @property
        def shape(self) -> tuple[int, int]: ...
        def _on_host(self) -> "SineLowRank": ...
        def _threads(self, workers: int | None) -> int: ...

    @property
    def phase_std(self) -> float:
        """Root mean square of the phases in radians, exact, in O((m + n) k^2)."""
        return diagnostics.phase_std(_arrays.on_host(self.U), _arrays.on_host(self.V), self.omega)

    def phase_histogram(self, bins: int = 60, *, max_entries: int = 4_000_000) -> PhaseHistogram:
        """Count the phases, of evenly spaced rows if there are more than `max_entries`."""
        return diagnostics.phase_histogram(self._on_host(), bins, max_entries)

    def singular_values(self, count: int, *, rng: Any = None, workers: int | None = None) -> Any:
        """Return the leading singular values, by `eigenflow.lowrank.svd` on the operator.

        Parameters
        ----------
        count : int
            How many, 1 to min(m, n).
        rng : int or numpy.random.Generator, optional
            For the start of the iteration; 0 by default, so that calls repeat.
        workers : int, optional
            Threads.

        Returns
        -------
        ndarray, shape (count,)
            Where a side is at most 400, or `count` a third of it, the matrix is formed and
            decomposed, which is cheaper. Otherwise within about 1e-4 of the value where the
            spectrum is as flat as that of a random matrix, and far closer where it falls.
        """
        if not 0 <= count <= min(self.shape):
            msg = f"count: got {count}, want 0 to {min(self.shape)}"
            raise ValueError(msg)
        return diagnostics.singular_values(self._on_host(), count, rng, workers)

    def stable_rank(self, *, rng: Any = None, workers: int | None = None) -> float:
        r"""Return ``||S||_F^2 / ||S||^2``, without storing S; parameters as in `singular_values`.

        Between 1 and the rank. The plateau of a random matrix is
        ``m n / (sqrt(m) + sqrt(n))^2``; 0 for a zero or empty matrix.
        """
        host = self._on_host()
        s = diagnostics.singular_values(host, min(1, *self.shape), rng, workers)
        if s.size == 0 or s[0] == 0:
            return 0.0
        return diagnostics.squared_norm(host, self._threads(workers)) / float(s[0]) ** 2

    def numerical_rank(self, rtol: float, *, rng: Any = None, workers: int | None = None) -> int:
        """Return how many singular values exceed `rtol` times the largest.

        More and more of them are computed until one is smaller; when most count, the matrix is
        formed. Other parameters as in `singular_values`.
        """
        if not 0 < _arrays.finite_number(rtol, "rtol") < 1:
            msg = f"rtol: got {rtol:g}, want a number between 0 and 1"
            raise ValueError(msg)
        return diagnostics.numerical_rank(self._on_host(), rtol, rng, workers)

    def predicted_rank(self, rtol: float) -> int:
        r"""Predict `numerical_rank` from the ranges of the factors alone.

        For rows that fill the boxes ``|u_l| <= a_l``, ``|v_l| <= b_l`` evenly, the singular values
        of the kernel are products over l of those of ``sin(c_l x y)`` and ``cos(c_l x y)`` on
        ``[-1, 1]^2`` with ``c_l = omega a_l b_l`` and an odd number of sines; the prediction
        counts them. For one column of the factors it is about ``c / pi`` and a few more. A matrix
        with few rows for its phases has lower rank, at most min(m, n).
        """
        if not 0 < _arrays.finite_number(rtol, "rtol") < 1:
            msg = f"rtol: got {rtol:g}, want a number between 0 and 1"
            raise ValueError(msg)
        return diagnostics.predicted_rank(self._on_host(), rtol)
