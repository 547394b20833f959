"""k-means of numbers, solved exactly: groups are intervals of the sorted values."""

import numpy as np


def best_loss(values, size):
    """Least sum of squared distances to `size` centres, by dynamic programming; O(n^2 size)."""
    x = np.sort(np.ravel(values).astype(float))
    n = len(x)
    one = np.full((n + 1, n + 1), np.inf)  # loss of one group of x[i:j]
    for i in range(n):
        counts = np.arange(1, n - i + 1)
        tail = x[i:] - x[i]
        one[i, i + 1 :] = np.cumsum(tail**2) - np.cumsum(tail) ** 2 / counts
    least = one[0].copy()
    for _ in range(size - 1):
        least = np.array([min(least[j], (least[:j] + one[:j, j]).min(initial=np.inf))
                          for j in range(n + 1)])  # fmt: skip
    return least[n]
