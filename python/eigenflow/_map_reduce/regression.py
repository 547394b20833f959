"""Pieces of a regression by gradient flow over blocks of columns of the features.

The state is alpha, one number a sample, and everybody has it. A block of columns makes its own
v = E^T alpha / n, theta and K = d theta / d v of it; what leaves the block is a sum of n numbers
(of n^2 for the Jacobian) and a few maxima. So an evaluation of the flow is one read of the columns
and one sum of n numbers over the blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from eigenflow import _core
from eigenflow._arrays import Array, refuse_first

HUGE = 1e50


@dataclass(frozen=True, eq=False)
class Columns:
    """A block of the columns of E, or all of them, with their coordinates; all float64."""

    forward: Callable[[Array], Array]  # theta -> E theta
    adjoint: Callable[[Array], Array]  # r -> E^T r
    n: int  # the number of samples that the loss is a mean over
    eigenvalues: Array
    b0: Array | None
    depth: int
    separate: bool
    workers: int
    matrix: Array | None = None  # E, where it is at hand

    @property
    def rate_of_b(self) -> float:
        """The factor c in b^2 = b0^2 + c beta^2."""
        return 1.0 if self.separate else float(self.depth)

    def image(self, r: Array) -> Array:
        """E^T r / n."""
        return self.adjoint(r) / self.n

    def link(self, v: Array) -> tuple[Array, Array]:
        """Theta and K = d theta / d v."""
        out = {"theta": np.empty((1, v.size)), "rate": np.empty((1, v.size))}
        b0 = None if self.b0 is None else self.b0[None]
        _core.flow.link(
            v[None], self.eigenvalues[None], b0, self.depth, self.separate, out, self.workers
        )
        return out["theta"][0], out["rate"][0]

    def linear_part(self) -> tuple[Array, Array]:
        """K at v = 0, and the size of v up to which theta is about K v; 0 and 1 at saddles."""
        start = np.sqrt(self.eigenvalues)
        if self.b0 is None:
            return self.eigenvalues, np.ones_like(start)
        g = start * self.b0**self.depth
        active = g > 0
        length = np.minimum(start, self.b0 / np.sqrt(self.rate_of_b))
        return g * g, np.where(active, length / np.where(active, g, 1), 1.0)

    def error_weights(self, at: "Linked", top: float) -> Array:
        """Relative error of theta for an error of v, K / |theta|, of each coordinate.

        Coordinates that are about linear count in proportion to the largest v, `top`.
        """
        first_rate, size = self.linear_part()
        scale = np.abs(at.theta) + first_rate * np.minimum(size, top)
        weights: Array = np.where(first_rate > 0, at.rate / np.where(scale > 0, scale, 1), 0)
        return weights


def of_matrix(matrix: Array, columns: Columns) -> Columns:
    """Return the same coordinates with the columns of another matrix."""
    turned = matrix.T
    return replace(
        columns, forward=lambda x: matrix @ x, adjoint=lambda r: turned @ r, matrix=matrix
    )


def in_units(eigenvalues: Array, b0: Array | None, length: int) -> tuple[Array, Array | None]:
    """Return the start in units of 2^length; what would underflow to a saddle stays normal."""
    small = np.maximum(np.ldexp(eigenvalues, -2 * length), 1e-290)
    return np.where(eigenvalues > 0, small, 0), None if b0 is None else np.ldexp(b0, -length)


class Linked(NamedTuple):
    """The coordinates of a block at a state."""

    v: Array
    theta: Array
    rate: Array

    @property
    def finite(self) -> bool:
        """Whether a step may use them."""
        return bool(np.all(np.isfinite(self.theta)) and np.all(np.isfinite(self.rate)))


def linked(columns: Columns, alpha: Array) -> Linked:
    """Return the coordinates at a state."""
    v = columns.image(alpha)
    return Linked(v, *columns.link(v))


class Summary(NamedTuple):
    """What blocks of columns add up to, and the largest of what counts by its size."""

    total: Array
    largest: Array


def combine(a: Summary, b: Summary) -> Summary:
    """Combine two summaries."""
    return Summary(a.total + b.total, np.maximum(a.largest, b.largest))


_NOTHING = np.zeros(0)


def _most(x: Array, where: Any = True) -> float:
    return float(np.max(np.abs(x), initial=0.0, where=where))


# Each piece gets a block and its coordinates at a state, or None where it asks for none.


def largest_entry(columns: Columns, at: None) -> Summary:
    """The largest entry of a matrix."""
    assert columns.matrix is not None
    return Summary(_NOTHING, np.array([_most(columns.matrix)]))


def gram(columns: Columns, at: None) -> Summary:
    """E E^T of a matrix."""
    assert columns.matrix is not None
    return Summary(columns.matrix @ columns.matrix.T, _NOTHING)


def fitted(columns: Columns, at: Linked) -> Summary:
    """E theta; the largest v, and 1 for a state beyond the blow-up, whose theta is cut to be huge.

    So it is refused by whoever looks at sizes as well as by whoever looks at the mark.
    """
    theta = np.where(np.isnan(at.theta), HUGE, np.clip(at.theta, -HUGE, HUGE))
    return Summary(columns.forward(theta), np.array([_most(at.v), not at.finite]))


def pull(columns: Columns, at: None, r: Array) -> Summary:
    """Sizes of the gradient E^T r / n: largest, where it moves something, beside linear sizes."""
    gradient = columns.image(r)
    rate, size = columns.linear_part()
    active = rate > 0
    sizes = [_most(gradient), _most(gradient, active), _most(gradient / size, active)]
    return Summary(_NOTHING, np.array(sizes))


def shape(columns: Columns, at: None) -> Summary:
    """The largest mean square of a column, and the smallest linear size with its sign turned."""
    assert columns.matrix is not None
    rate, size = columns.linear_part()
    squares = np.sum(columns.matrix * columns.matrix, axis=0)
    least = float(np.max(-size, initial=-np.inf, where=rate > 0))
    return Summary(_NOTHING, np.array([_most(squares) / columns.n, least]))


def jacobian(columns: Columns, at: Linked) -> Summary:
    """-A = -E diag(K) E^T / n, of a matrix."""
    assert columns.matrix is not None
    rate = np.clip(at.rate, 0, HUGE) / columns.n
    return Summary(-(columns.matrix * rate) @ columns.matrix.T, _NOTHING)


def product(columns: Columns, at: Linked, q: Array, top: float) -> Summary:
    """A q; the weighted and the plain size of E^T q / n."""
    image = columns.image(q)
    size = _most(columns.error_weights(at, top) * image)
    return Summary(columns.forward(at.rate * image), np.array([size, _most(image)]))


def remainder(columns: Columns, at: Linked, move: Array) -> Summary:
    """What a move changes of F + A alpha; the size of E^T move / n, and 1 beyond the blow-up."""
    shift = columns.image(move)
    theta, _ = columns.link(at.v + shift)
    with np.errstate(invalid="ignore", over="ignore"):
        curved = theta - at.theta - at.rate * shift
    bounded = bool(np.all(np.isfinite(curved)))
    total = -columns.forward(curved) if bounded else np.zeros(move.size)
    return Summary(total, np.array([_most(shift), not bounded]))


def weighted(columns: Columns, at: Linked, move: Array, top: float) -> Summary:
    """The weighted and the plain size of E^T move / n."""
    image = columns.image(move)
    sizes = [_most(columns.error_weights(at, top) * image), _most(image)]
    return Summary(_NOTHING, np.array(sizes))


def moved(columns: Columns, at: Linked, move: Array) -> Summary:
    """Squares of theta, and of what a small move of alpha makes of it."""
    image = columns.image(move)
    change = at.rate * image
    total = np.array([at.theta @ at.theta, change @ change])
    return Summary(total, np.array([_most(image)]))


def thetas(columns: Columns, alphas: Array) -> Array:
    """Return theta at each of several states, of shape (states, columns)."""
    found = [linked(columns, alpha).theta for alpha in alphas]
    return np.array(found).reshape(len(alphas), columns.eigenvalues.size)


# What follows is for engines whose blocks are arrays of columns, transposed.


class Model(NamedTuple):
    """What all columns have in common."""

    n: int
    depth: int
    separate: bool
    length: int = 0  # of the units of factors and features, as powers of two
    feature: int = 0


def columns_of(first: int, rows: Array, eigenvalues: Array, b0: Array, model: Model) -> Columns:
    """Return the block of columns that are the rows of an array; refuse what is not finite."""
    matrix = _settled(rows.T)
    for a, name, begin in (
        (matrix, "features", (0, first)),
        (eigenvalues[:, 0], "eigenvalues", (first,)),
        (b0[:, 0], "b0", (first,)),
    ):
        if not np.isfinite(a.sum()):
            refuse_first(~np.isfinite(a), a, name, "finite values", first=begin)
        if name != "features":
            refuse_first(a < 0, a, name, "non-negative values", first=begin)
    if model.feature:
        matrix = np.ldexp(matrix, -model.feature)
    start = in_units(eigenvalues[:, 0], b0[:, 0] if model.depth else None, model.length)
    none: Any = None  # products come with the matrix
    empty = Columns(none, none, model.n, *start, model.depth, model.separate, workers=1)
    return of_matrix(matrix, empty)


class Call(NamedTuple):
    """What the tasks of one read have in common."""

    model: Model
    piece: Callable[..., Summary]
    alpha: Array | None
    shared: tuple[Any, ...]


def of_block(first: int, rows: Array, eigenvalues: Array, b0: Array, call: Call) -> Summary:
    """Return what a piece makes of a block of columns at a state."""
    columns = columns_of(first, rows, eigenvalues, b0, call.model)
    at = None if call.alpha is None else linked(columns, _settled(call.alpha))
    shared = [_settled(x) if isinstance(x, np.ndarray) else x for x in call.shared]
    return call.piece(columns, at, *shared)


def _settled(a: Array) -> Array:
    """Return the array packed and aligned: what was sent may be neither, and rounds differently."""
    return np.require(a, np.float64, ["C", "A"])


def thetas_of_block(
    first: int, rows: Array, eigenvalues: Array, b0: Array, model: Model, alphas: Array, scale: int
) -> Array:
    """Return theta of a block of columns times 2^scale, a column for each state."""
    found = thetas(columns_of(first, rows, eigenvalues, b0, model), _settled(alphas))
    return np.ldexp(found, scale).T
