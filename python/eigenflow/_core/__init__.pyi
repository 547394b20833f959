from eigenflow._core import rng as rng
from eigenflow._core import runtime as runtime

__version__: str

class ConvergenceError(RuntimeError): ...
