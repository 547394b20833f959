"""PyTorch: a continual learner whose tasks are low-rank perturbations of the first one.

Needs PyTorch and safetensors: ``pip install "eigenflow[torch]"``.
"""

try:
    import safetensors as _safetensors  # noqa: F401
    import torch as _torch  # noqa: F401
except ImportError as error:
    msg = f"eigenflow.nn needs {error.name}, want: pip install 'eigenflow[torch]'"
    raise ImportError(msg, name=error.name) from error

from eigenflow.nn.halrp import HALRP
from eigenflow.nn.importance import activation_factors, batch_gradients, hessian_trace
from eigenflow.nn.layers import LowRankConv2d, LowRankLinear
from eigenflow.nn.settings import PRESETS, HALRPSettings, Preset
from eigenflow.nn.size import ModelSize, TaskSize
from eigenflow.nn.tasks import TaskReport

__all__ = [
    "HALRP",
    "PRESETS",
    "HALRPSettings",
    "LowRankConv2d",
    "LowRankLinear",
    "ModelSize",
    "Preset",
    "TaskReport",
    "TaskSize",
    "activation_factors",
    "batch_gradients",
    "hessian_trace",
]
