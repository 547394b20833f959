"""Pruning and gradient moments in loops, as the text of the method reads."""

import numpy as np


def quantile(values, share):
    """Linear interpolation between order statistics."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def prune(tasks, mode, threshold, share):
    def entries(layers):
        return [abs(float(x)) for pair in layers for factor in pair for x in np.ravel(factor)]

    def level(layers):
        return max(threshold, quantile(entries(layers), share)) if share else threshold

    result = []
    for layers in tasks:
        pruned = []
        for pair in layers:
            group = {
                "layer": [pair],
                "task": layers,
                "all": [p for one in tasks for p in one],
                "absolute": [],
            }[mode]
            limit = level(group) if mode != "absolute" else threshold
            pruned.append(tuple(np.where(np.abs(f) <= limit, 0, f) for f in pair))
        result.append(pruned)
    return result


def gradient_moments(batches, sizes):
    layers = len(batches[0])
    return [
        sum(n * np.asarray(b[i], float) ** 2 for b, n in zip(batches, sizes, strict=True))
        / sum(sizes)
        for i in range(layers)
    ]
