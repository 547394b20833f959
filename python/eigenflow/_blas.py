"""Fills the BLAS/LAPACK table of the C++ core with SciPy's routines, at first use."""

import re
from functools import cache
from typing import Any

from eigenflow._core import runtime

# The C signatures that the core calls: `d` is the routine's own type, `r` the real type of the
# same precision, sizes are 32-bit.
_SIGNATURES = {
    "gemm": "char *, char *, int *, int *, int *, d *, d *, int *, d *, int *, d *, d *, int *",
    "syrk": "char *, char *, int *, int *, d *, d *, int *, d *, d *, int *",
    "herk": "char *, char *, int *, int *, r *, d *, int *, r *, d *, int *",
    "trsm": "char *, char *, char *, char *, int *, int *, d *, d *, int *, d *, int *",
    "potrf": "char *, int *, d *, int *, int *",
    "geqrf": "int *, int *, d *, int *, d *, d *, int *, int *",
    "geqp3": "int *, int *, d *, int *, int *, d *, d *, int *, int *",
    "complex geqp3": "int *, int *, d *, int *, int *, d *, d *, int *, r *, int *",
    "orgqr": "int *, int *, int *, d *, int *, d *, d *, int *, int *",
    "ungqr": "int *, int *, int *, d *, int *, d *, d *, int *, int *",
    "sytrd": "char *, int *, d *, int *, d *, d *, d *, d *, int *, int *",
    "hetrd": "char *, int *, d *, int *, r *, r *, d *, d *, int *, int *",
    "sterf": "int *, d *, d *, int *",
    "stedc": "char *, int *, d *, d *, d *, int *, d *, int *, int *, int *, int *",
    "syevd": "char *, char *, int *, d *, int *, d *, d *, int *, int *, int *, int *",
    "heevd": (
        "char *, char *, int *, d *, int *, r *, d *, int *, r *, int *, int *, int *, int *"
    ),
    "gesdd": (
        "char *, int *, int *, d *, int *, d *, d *, int *, d *, int *, d *, int *, int *, int *"
    ),
    "complex gesdd": (
        "char *, int *, int *, d *, int *, r *, d *, int *, d *, int *, d *, int *, r *, int *, "
        "int *"
    ),
}
_REAL = {"s": "s", "d": "d", "c": "s", "z": "d"}
_SCIPY_TYPE = re.compile(r"__pyx_t_5scipy_6linalg_\d+cython_(?:blas|lapack)_([sdcz])\b")
_COMPLEX_TYPES = {"__pyx_t_float_complex": "c", "__pyx_t_double_complex": "z"}


def _wanted(name: str) -> str:
    """Return the C signature of a routine, such as "zherk"."""
    precision, routine = name[0], name[1:]
    special = f"complex {routine}"
    row = _SIGNATURES[special if precision in "cz" and special in _SIGNATURES else routine]
    types = {"d": precision, "r": _REAL[precision]}
    return "void (" + re.sub(r"\b[dr]\b", lambda letter: types[letter[0]], row) + ")"


def _signature(capsule: Any) -> str:
    """Return the C signature that a capsule carries as its name, without SciPy's type prefixes."""
    name = re.search(r'"(.*)"', repr(capsule))
    if not name:
        return ""
    signature = _SCIPY_TYPE.sub(r"\1", name.group(1))
    for long_name, letter in _COMPLEX_TYPES.items():
        signature = signature.replace(long_name, letter)
    return signature


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
        want = _wanted(name)
        got = _signature(capsules.get(name))
        if got != want:
            msg = f"scipy.linalg offers {name} as {got!r}, want {want!r}"
            raise ImportError(msg)
        runtime.bind_blas(name, capsules[name])
