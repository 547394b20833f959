"""A linear system as statsmodels has it: the rival of the filter, here and in the benchmarks."""

from typing import Any

import numpy as np

from eigenflow.lds import LinearSystem


def in_statsmodels(system: LinearSystem, y: Any, *, smoother: bool = False) -> Any:
    """Return statsmodels' filter of `system`, or its smoother, with `y` (T, p) and a known start.

    Of matrices that change in time, C may.
    """
    from statsmodels.tsa.statespace.kalman_filter import KalmanFilter
    from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

    n, p = system.state_dim, system.obs_dim
    kind = KalmanSmoother if smoother else KalmanFilter
    model = kind(k_endog=p, k_states=n, k_posdef=n)
    model.bind(np.ascontiguousarray(y))
    model["design"] = system.C if system.C.ndim == 2 else np.moveaxis(system.C, 0, -1)
    model["transition"], model["selection"] = system.A, np.eye(n)
    model["obs_cov"], model["state_cov"] = system.R, system.Q
    model.initialize_known(system.mean0, system.cov0)
    return model
