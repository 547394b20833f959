"""Fills the BLAS/LAPACK table of the C++ core with SciPy's routines, at first use."""

import re
from functools import cache
from typing import Any

from eigenflow._core import runtime

# The C signatures that the core calls: `d` is the routine's own precision, sizes are 32-bit.
_SIGNATURES = {
    "gemm": "char *, char *, int *, int *, int *, d *, d *, int *, d *, int *, d *, d *, int *",
    "syrk": "char *, char *, int *, int *, d *, d *, int *, d *, d *, int *",
    "trsm": "char *, char *, char *, char *, int *, int *, d *, d *, int *, d *, int *",
    "potrf": "char *, int *, d *, int *, int *",
    "geqrf": "int *, int *, d *, int *, d *, d *, int *, int *",
    "orgqr": "int *, int *, int *, d *, int *, d *, d *, int *, int *",
    "syevd": "char *, char *, int *, d *, int *, d *, d *, int *, int *, int *, int *",
    "gesdd": (
        "char *, int *, int *, d *, int *, d *, d *, int *, d *, int *, d *, int *, int *, int *"
    ),
}
_SCIPY_TYPE = re.compile(r"__pyx_t_5scipy_6linalg_\d+cython_(?:blas|lapack)_([sdcz])\b")


def _signature(capsule: Any) -> str:
    """Return the C signature that a capsule carries as its name, without SciPy's type prefixes."""
    name = re.search(r'"(.*)"', repr(capsule))
    return _SCIPY_TYPE.sub(r"\1", name.group(1)) if name else ""


@cache
def ensure_bound() -> None:
    """Bind every routine; costs an import of scipy.linalg the first time.

    Raises
    ------
    ImportError
        If this SciPy lacks a routine or has it with other integers (an ILP64 build): a wrong
        signature would corrupt memory, so it is never guessed.
    """
    from scipy.linalg import cython_blas, cython_lapack

    capsules = {**cython_blas.__pyx_capi__, **cython_lapack.__pyx_capi__}
    for name in runtime.blas_names():
        precision, routine = name[0], name[1:]
        want = f"void ({_SIGNATURES[routine].replace('d *', precision + ' *')})"
        got = _signature(capsules.get(name))
        if got != want:
            msg = f"scipy.linalg offers {name} as {got!r}, want {want!r}"
            raise ImportError(msg)
        runtime.bind_blas(name, capsules[name])
