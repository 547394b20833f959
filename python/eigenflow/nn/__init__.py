"""PyTorch: a continual learner of low-rank perturbations, and sine-activated low-rank layers.

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
from eigenflow.nn.sine_attach import (
    activate_adapters,
    adapted,
    attach,
    detach_adapters,
    disabled_adapters,
    merge_adapters,
    unmerge_adapters,
)
from eigenflow.nn.sine_files import load_adapters, save_adapters
from eigenflow.nn.sine_layers import SineConv2d, SineEmbedding, SineLinear
from eigenflow.nn.sine_lora import AdapterSettings, SineDoRA, SineLoRA
from eigenflow.nn.sine_peft import register_peft
from eigenflow.nn.size import ModelSize, TaskSize
from eigenflow.nn.tasks import TaskReport

__all__ = [
    "AdapterSettings",
    "HALRP",
    "PRESETS",
    "HALRPSettings",
    "LowRankConv2d",
    "LowRankLinear",
    "ModelSize",
    "Preset",
    "SineConv2d",
    "SineDoRA",
    "SineEmbedding",
    "SineLinear",
    "SineLoRA",
    "TaskReport",
    "TaskSize",
    "activate_adapters",
    "activation_factors",
    "adapted",
    "attach",
    "batch_gradients",
    "detach_adapters",
    "disabled_adapters",
    "hessian_trace",
    "load_adapters",
    "merge_adapters",
    "register_peft",
    "save_adapters",
    "unmerge_adapters",
]
