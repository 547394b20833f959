"""pandas in, pandas out; nothing here imports pandas before the user has."""

import sys
from typing import Any

import numpy as np

from eigenflow._arrays import Array


def like_input(values: Array, y: Any, name: str) -> Any:
    """Give an array the index of the series that it belongs to."""
    if not hasattr(y, "iloc"):
        return values
    return sys.modules["pandas"].Series(values, index=y.index, name=name)


def continued(values: Array, index: Any, n_seen: int, names: Any) -> Any:
    """Give an array the index that continues that of the series, if it has one."""
    if index is None:
        return values
    pandas = sys.modules["pandas"]
    after = next_index(index, len(values), n_seen)
    if values.ndim == 1:
        return pandas.Series(values, index=after, name=names)
    return pandas.DataFrame(values, index=after, columns=list(names))


def next_index(index: Any, steps: int, n_seen: int) -> Any:
    """Go on with dates of a known or evident frequency, and with evenly spaced numbers.

    What cannot be continued is counted from the number of values seen.
    """
    pandas = sys.modules["pandas"]
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
