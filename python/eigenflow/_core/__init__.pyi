from eigenflow._core import flow as flow
from eigenflow._core import lds as lds
from eigenflow._core import lowrank as lowrank
from eigenflow._core import rng as rng
from eigenflow._core import runtime as runtime
from eigenflow._core import sine as sine

__version__: str

class ConvergenceError(RuntimeError): ...
