"""The svd driver for arrays of other libraries: what the C++ driver does, in array operations.

Products and factorisations of tall blocks are the library's; matrices as small as the basis go to
the host, where they are decomposed in double precision. The sketch is that of the C++ driver, so
that both find the same triplets. It is written for CuPy, and needs of a library: ``@``, slices,
``T``, ``conj``, ``concatenate``, ``linalg.eigh``, ``linalg.qr``.
"""

from eigenflow.lowrank.namespace.blocks import Library
from eigenflow.lowrank.namespace.krylov import Target
from eigenflow.lowrank.namespace.triplets import decompose

__all__ = ["Library", "Target", "decompose"]
