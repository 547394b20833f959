"""Ten tasks each from 900 images of 8 x 8 digits that ship with scikit-learn."""

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from continual.data import Split, TaskData, of_classes

N_TASKS = 10
_N_TRAIN, _N_VALID, _N_TEST = 300, 100, 500


def _digits():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    order = np.random.default_rng(0).permutation(len(y))
    parts = np.split(order, np.cumsum([_N_TRAIN, _N_VALID, _N_TEST]))[:3]
    return [Split(x[rows], y[rows]) for rows in parts]


def _mapped(name, change):
    train, valid, test = (Split(change(s.x), s.y) for s in _digits())
    return TaskData(name, train, valid, test, 10)


def permuted():
    """Each task has its own permutation of the pixels."""

    def task(t):
        pixels = np.random.default_rng(t).permutation(64)
        return _mapped(
            f"permutation {t}", lambda x: x.reshape(-1, 64)[:, pixels].reshape(x.shape).copy()
        )

    return [task(t) for t in range(N_TASKS)]


def rotated():
    """Task t is turned by 36 t degrees."""

    def task(t):
        angle = 360 / N_TASKS * t

        def turn(x):
            turned = ndimage.rotate(x, angle, axes=(2, 3), reshape=False, order=1)
            return turned.clip(0, 1).astype(np.float32)

        return _mapped(f"{angle:g} degrees", turn)

    return [task(t) for t in range(N_TASKS)]


def split():
    """Five classes a task; every class is in five tasks, no two tasks have the same five."""
    train, valid, test = _digits()
    both = Split(np.concatenate([train.x, valid.x]), np.concatenate([train.y, valid.y]))
    share = _N_VALID / (_N_TRAIN + _N_VALID)
    return [
        of_classes(f"digits {' '.join(map(str, c))}", both, test, c, share, seed=t)
        for t in range(N_TASKS)
        for c in [sorted((t + k) % 10 for k in (0, 1, 3, 4, 8))]
    ]
