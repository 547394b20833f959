"""pandas in, pandas out; nothing here imports pandas before the user has."""

import sys
from typing import Any

import numpy as np

from eigenflow._arrays import Array


def has_index(y: Any) -> bool:
    """Whether `y` is a pandas series or table."""
    return hasattr(y, "iloc") and hasattr(y, "index")


def plain_values(y: Any) -> Any:
    """The numbers of a pandas object, NaN for its other kinds of missing; others as they are."""
    if not has_index(y):
        return y
    values = y.to_numpy()
    return y.to_numpy(dtype=np.float64, na_value=np.nan) if values.dtype == object else values


def require_same_index(y: Any, other: Any, name: str) -> None:
    """Refuse a pandas object whose index is not that of `y`."""
    if has_index(y) and has_index(other) and not other.index.equals(y.index):
        msg = f"{name}: got an index that differs from that of y, want the same"
        raise ValueError(msg)


def like_input(values: Array, y: Any, name: str) -> Any:
    """Give an array the index of the series that it belongs to."""
    return with_index(values, y.index, name) if has_index(y) else values


def per_step(values: Any, y: Any) -> Any:
    """Rows that belong to the steps of `y`, which is no table of its columns."""
    return with_index(values, y.index, None) if has_index(y) else values


def per_step_of(values: Any, y: Any) -> Any:
    """Rows with a column for each of `y`: a series for a series."""
    return _observed(values, y, y.index) if has_index(y) else values


def continued(values: Array, index: Any, n_seen: int, names: Any) -> Any:
    """Give an array the index that continues that of the series, if it has one."""
    if index is None:
        return values
    return with_index(values, next_index(index, len(values), n_seen), names)


def continued_of(values: Array, y: Any) -> Any:
    """Rows after the end of `y`, with a column for each of it."""
    if not has_index(y):
        return values
    return _observed(values, y, next_index(y.index, len(values), len(y)))


def with_index(values: Any, index: Any, names: Any) -> Any:
    """Make a series, or a table with these names of columns."""
    pandas = sys.modules["pandas"]
    if values.ndim == 1:
        return pandas.Series(values, index=index, name=names)
    return pandas.DataFrame(values, index=index, columns=None if names is None else list(names))


def _observed(values: Any, y: Any, index: Any) -> Any:
    if y.ndim == 1:
        return with_index(values[:, 0], index, y.name)
    return with_index(values, index, y.columns)


def next_index(index: Any, steps: int, n_seen: int) -> Any:
    """Go on with dates of a known or evident frequency, and with evenly spaced numbers.

    What cannot be continued is counted from the number of values seen.
    """
    pandas = sys.modules["pandas"]
    if not len(index):
        return pandas.RangeIndex(n_seen, n_seen + steps)
    if isinstance(index, pandas.PeriodIndex):
        return pandas.period_range(index[-1] + 1, periods=steps)
    if isinstance(index, pandas.DatetimeIndex):
        frequency = index.freq or (pandas.infer_freq(index) if len(index) > 2 else None)
        if frequency is not None:
            return pandas.date_range(index[-1], periods=steps + 1, freq=frequency)[1:]
    elif pandas.api.types.is_numeric_dtype(index.dtype) and len(index) > 1:
        gaps = np.diff(index.to_numpy())
        if (gaps == gaps[0]).all():
            return pandas.Index(index[-1] + gaps[0] * np.arange(1, steps + 1))
    return pandas.RangeIndex(n_seen, n_seen + steps)
