"""scikit-learn estimators: flows, decompositions, forecasts (the extra ``eigenflow[sklearn]``)."""

try:
    import sklearn  # noqa: F401
except ImportError:
    msg = "eigenflow.estimators needs scikit-learn: pip install eigenflow[sklearn]"
    raise ImportError(msg) from None

from eigenflow.estimators.decomposition import RandomizedSVD
from eigenflow.estimators.denoising import Denoising, FlowDenoiser
from eigenflow.estimators.forecasting import KalmanForecaster
from eigenflow.estimators.regression import FlowRegressor

__all__ = [
    "Denoising",
    "FlowDenoiser",
    "FlowRegressor",
    "KalmanForecaster",
    "RandomizedSVD",
]
