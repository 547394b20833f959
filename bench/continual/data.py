"""Tasks as arrays of images, and batches of them."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Split:
    """Images (n, channels, height, width), bytes or floats in [0, 1], and labels from 0."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self):
        return len(self.y)


@dataclass(frozen=True, eq=False)
class TaskData:
    """One task."""

    name: str
    train: Split
    valid: Split
    test: Split
    n_classes: int


class Batches:
    """Batches (x, y) of a split, in a new order each time if `shuffle`.

    The order comes from PyTorch's generator. Bytes become floats batch by batch; all images are
    shifted and scaled to about mean 0 and deviation 1. A last batch of one image, for which batch
    norms are not defined, is joined to the one before it.
    """

    def __init__(self, split, batch_size, *, shuffle):
        self.dataset = split
        self._size = batch_size
        self._shuffle = shuffle
        self._x, self._y = torch.from_numpy(split.x), torch.from_numpy(split.y.astype(np.int64))

    def __iter__(self):
        n = len(self.dataset)
        order = torch.randperm(n) if self._shuffle else torch.arange(n)
        starts = list(range(0, n, self._size))
        if len(starts) > 1 and n - starts[-1] == 1:
            starts.pop()
        for start, stop in zip(starts, [*starts[1:], n], strict=True):
            rows = order[start:stop]
            x = self._x[rows]
            x = x.float() / 255 if x.dtype == torch.uint8 else x
            yield (x - 0.5) / 0.25, self._y[rows]


def hold_out(x, y, share, seed):
    """Split into training and validation data."""
    order = np.random.default_rng(seed).permutation(len(y))
    n_valid = round(share * len(y))
    valid, train = order[:n_valid], np.sort(order[n_valid:])
    return Split(x[train], y[train]), Split(x[np.sort(valid)], y[np.sort(valid)])


def of_classes(name, train, test, classes, valid_share, seed):
    """Build the task that tells these classes apart; labels become 0, 1, ..."""
    number = np.full(max(train.y.max(), test.y.max()) + 1, -1)
    number[list(classes)] = np.arange(len(classes))
    seen, unseen = number[train.y] >= 0, number[test.y] >= 0
    train, valid = hold_out(train.x[seen], number[train.y[seen]], valid_share, seed)
    test = Split(test.x[unseen], number[test.y[unseen]])
    return TaskData(name, train, valid, test, len(classes))
