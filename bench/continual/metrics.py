"""Accuracy, forgetting and order robustness of a set of runs."""

import numpy as np


def accuracy(final):
    """Mean over tasks of the accuracy after the last task."""
    return float(np.mean(final))


def forgetting(learned, final):
    """Mean over tasks of what was lost between the own training and the end."""
    return float(np.mean(np.subtract(learned, final)))


def order_disparity(finals):
    """AOPD and MOPD (Yoon et al. 2020) of accuracies of shape (n_orders, n_tasks).

    The disparity of a task is its best final accuracy over the orders minus its worst; the two are
    the mean and the maximum over the tasks.
    """
    finals = np.asarray(finals, float)
    disparity = finals.max(0) - finals.min(0)
    return float(disparity.mean()), float(disparity.max())


def summary(runs):
    """One row of the table, from the runs of one method on one suite (one for each order)."""
    finals = [run["final"] for run in runs]
    aopd, mopd = order_disparity(finals)
    means = [accuracy(final) for final in finals]
    return {
        "orders": len(runs),
        "accuracy": float(np.mean(means)),
        "accuracy_sd": float(np.std(means, ddof=1)) if len(means) > 1 else 0.0,
        "forgetting": float(np.mean([forgetting(r["learned"], r["final"]) for r in runs])),
        "aopd": aopd,
        "mopd": mopd,
        "growth": float(np.mean([run["growth"] for run in runs])),
        "published_growth": float(np.mean([run["published_growth"] for run in runs])),
        "seconds": float(np.mean([run["seconds"] for run in runs])),
    }
