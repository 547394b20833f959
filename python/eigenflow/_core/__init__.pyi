from eigenflow._core import call_log as call_log
from eigenflow._core import flow as flow
from eigenflow._core import lds as lds
from eigenflow._core import rank as rank
from eigenflow._core import ranks as ranks
from eigenflow._core import rng as rng
from eigenflow._core import runtime as runtime
from eigenflow._core import sine as sine
from eigenflow._core import svd as svd

__version__: str

class ConvergenceError(RuntimeError): ...
