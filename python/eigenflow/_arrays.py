"""Array intake: user arrays become NumPy arrays that kernels can read, or stay on the GPU.

Three kinds of array come in, and the same kind goes out: NumPy (and anything that becomes NumPy:
lists, numbers), CPU arrays that speak DLPack (PyTorch, JAX, every library that follows the array
API standard; no copy), and CuPy. CuPy is recognised without importing it.
"""

import cmath
import contextlib
import math
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Kind = Literal["numpy", "cupy", "dlpack"]


def kind_of(x: object) -> Kind:
    """Tell which of the three kinds of array `x` is."""
    root = type(x).__module__.partition(".")[0]
    if root == "cupy":
        return "cupy"
    if root != "numpy" and not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__"):
        return "dlpack"
    return "numpy"


def is_dask(x: Any) -> bool:
    """Tell whether `x` is a collection of Dask's (its arrays, and Xarray's over those)."""
    if isinstance(x, np.ndarray) or "dask" not in sys.modules:
        return False
    graph = getattr(x, "__dask_graph__", None)
    return callable(graph) and graph() is not None


def common_kind(**arrays: object) -> Kind:
    """Return the one kind of the given arrays; plain numbers and lists go with any kind.

    Raises
    ------
    TypeError
        If two arguments live in different libraries or memories: nothing is moved silently.
    """
    found: dict[Kind, str] = {}
    for name, x in arrays.items():
        if isinstance(x, np.ndarray) or kind_of(x) != "numpy":
            found.setdefault(kind_of(x), name)
    if len(found) > 1:
        got = ", ".join(f"{name} ({kind})" for kind, name in found.items())
        msg = f"{got}: got arrays of different libraries, want all of one kind"
        raise TypeError(msg)
    return next(iter(found), "numpy")


def namespace(kind: Kind) -> Any:
    """Return the library whose functions take arrays of this kind, once they are read in."""
    if kind == "cupy":
        import cupy

        return cupy
    return np


def on_host(x: Any) -> Any:
    """Copy a CuPy array to CPU memory; all else stays as it is."""
    return x.get() if kind_of(x) == "cupy" else x


def _from_dlpack(x: Any, name: str) -> Array:
    try:
        device_type = int(x.__dlpack_device__()[0])
    except (BufferError, RuntimeError, ValueError) as error:  # PyTorch's "meta", which has no data
        msg = f"{name}: got {type(x).__name__} without memory to read ({error}), want CPU memory"
        raise TypeError(msg) from error
    if device_type not in (1, 3):  # CPU, page-locked CPU memory
        msg = f"{name}: got an array on device {x.__dlpack_device__()}, want CPU memory or CuPy"
        raise TypeError(msg)
    if getattr(x, "requires_grad", False):
        x = x.detach()
    if hasattr(x, "resolve_conj"):  # PyTorch's lazy conjugates have no memory that holds them
        x = x.resolve_conj().resolve_neg()
    try:
        return np.from_dlpack(x)
    except (BufferError, RuntimeError) as error:  # half precisions that NumPy does not have
        msg = f"{name}: got {getattr(x, 'dtype', type(x))}, which NumPy cannot read ({error})"
        raise TypeError(msg) from error


def as_float_array(
    x: Any,
    name: str,
    *,
    ndim: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    check_finite: bool = True,
    allow_complex: bool = False,
) -> Array:
    """Return `x` as a native float32 or float64 NumPy array, without copying if it is one.

    Parameters
    ----------
    x : array_like
        NumPy array, CPU tensor with DLPack, list or number. Integers and booleans become float64.
    name : str
        The argument's name, which starts every error message.
    ndim : int or sequence of int, optional
        Accepted numbers of dimensions.
    dtype : dtype, optional
        Convert to this type; by default float32 and float64 are kept.
    check_finite : bool
        Refuse NaN and infinity, naming the first position.
    allow_complex : bool
        Keep complex64 and complex128 too.
    """
    a = _from_dlpack(x, name) if kind_of(x) == "dlpack" else _numpy_array(x, name)
    own = float_dtype(a, name, allow_complex=allow_complex)
    wanted = own if dtype is None else np.dtype(dtype)
    if a.dtype != wanted or not a.flags.aligned:
        a = np.require(a, wanted, "A")
    require_ndim(a, name, ndim)
    if check_finite:
        require_finite(a, name)
    return a


def _numpy_array(x: Any, name: str) -> Array:
    if is_dask(x):
        msg = f"{name}: got a Dask array, want one in memory (for example {name}.compute())"
        raise TypeError(msg)
    if kind_of(x) == "cupy":
        msg = f"{name}: got a CuPy array, want an array in CPU memory (for example {name}.get())"
        raise TypeError(msg)
    if isinstance(x, np.ma.MaskedArray):  # NumPy would drop the mask without a word
        msg = f"{name}: got a masked array, want a plain one: fill it, or drop what is masked"
        raise TypeError(msg)
    try:
        return np.asarray(x)
    except ValueError as error:  # ragged nested lists
        msg = f"{name}: got {type(x).__name__}, which is no rectangular array ({error})"
        raise ValueError(msg) from None


def float_dtype(a: Any, name: str, *, allow_complex: bool = False) -> np.dtype[Any]:
    """Return the native type that entries of the dtype of `a` are computed in.

    Single precision stays, every other number becomes double; complex numbers stay complex where
    they are allowed.
    """
    kind, size = a.dtype.kind, a.dtype.itemsize
    if allow_complex and kind == "c" and size <= 16:
        return np.dtype(np.complex64 if size == 8 else np.complex128)
    if kind not in "biuf" or size > 8:
        want = "real or complex numbers" if allow_complex else "real numbers (float32 or float64)"
        msg = f"{name}: got dtype {a.dtype}, want {want}"
        raise TypeError(msg)
    return np.dtype(np.float32 if kind == "f" and size <= 4 else np.float64)


def require_ndim(a: Any, name: str, ndim: int | Sequence[int] | None) -> None:
    """Raise ValueError if `a` has another number of dimensions than accepted; None accepts all."""
    accepted = (ndim,) if isinstance(ndim, int) else ndim
    if accepted is not None and a.ndim not in accepted:
        want = " or ".join(str(n) for n in accepted)
        msg = f"{name}: got {a.ndim} dimensions (shape {a.shape}), want {want}"
        raise ValueError(msg)


def distinct(a: Any) -> Any:
    """View `a` without its repetitions: axes of stride zero are cut to their first entry.

    A broadcast array may have more entries than a scan can read in a lifetime. The first entry for
    which something holds is among these, at the same position.
    """
    return a[tuple(slice(None) if step else slice(1) for step in a.strides)]


def require_finite(a: Any, name: str, *, first: tuple[int, ...] | None = None) -> None:
    """Raise ValueError that names the first NaN or infinity of the NumPy or CuPy array `a`.

    `first` is the position of ``a[0, ..., 0]`` when `a` is a part of what the user gave.
    """
    a = distinct(a)
    # One pass without a temporary in the good case: the sum is finite unless it overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        total = complex(a.sum(dtype=np.complex128 if a.dtype.kind == "c" else np.float64))
    if not cmath.isfinite(total):
        bad = ~namespace(kind_of(a)).isfinite(a)
        refuse_first(bad, a, name, "finite values", first=first)


def refuse_first(
    bad: Any, a: Any, name: str, wanted: str, *, first: tuple[int, ...] | None = None
) -> None:
    """Raise ValueError that names the first entry of `a` where `bad` is true, if there is one.

    `first` is the position of ``a[0, ..., 0]`` when `a` is a part of what the user gave.
    """
    found = namespace(kind_of(a)).flatnonzero(bad)
    if found.size:
        where = tuple(int(i) for i in np.unravel_index(int(found[0]), a.shape))
        value = a[where].item()
        if first is not None:
            where = tuple(i + begin for i, begin in zip(where, first, strict=True))
        position = where[0] if len(where) == 1 else where
        at = f" at position {position}" if where else ""
        msg = f"{name}: got {value}{at}, want {wanted}"
        raise ValueError(msg)


@contextlib.contextmanager
def renamed(inner: str, name: str) -> Iterator[None]:
    """Let errors that start with `inner` start with `name`, as the caller's argument is called."""
    try:
        yield
    except (TypeError, ValueError) as error:
        head, _, tail = str(error).partition(":")
        if head != inner:
            raise
        msg = f"{name}:{tail}"
        raise type(error)(msg) from error


@contextlib.contextmanager
def places_in(name: str, given: Any) -> Iterator[None]:
    """Let errors name a place in `given` by one number where it has one axis.

    Functions that give it a second axis, of length one, see places like (7, 0).
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        ndim = given.ndim if hasattr(given, "ndim") else np.ndim(given)
        if ndim != 1 or not text.startswith(f"{name}: "):
            raise
        own = re.sub(r"at position \((\d+), 0\)", r"at position \1", text)
        raise type(error)(own) from error


def finite_number(x: Any, name: str) -> float:
    """Return a finite float, or raise TypeError or ValueError that starts with `name`."""
    value = number(x, name)
    if not np.isfinite(value):
        msg = f"{name}: got {value}, want a finite number"
        raise ValueError(msg)
    return value


def number(x: Any, name: str, want: str = "a number") -> float:
    """Return `x` as a float; strings, which Python would read, are a TypeError too."""
    try:
        if isinstance(x, str | bytes | bytearray):
            raise TypeError
        return float(x)
    except (TypeError, ValueError):
        msg = f"{name}: got {x!r}, want {want}"
        raise TypeError(msg) from None
    except OverflowError:
        msg = f"{name}: got an integer beyond float64, want {want}"
        raise ValueError(msg) from None


def aligned(x: Any) -> Any:
    """Return `x`, with every array in its tuples, lists and dicts where kernels can read it.

    Arrays that come from another process may lie at any address of the message.
    """
    if isinstance(x, np.ndarray):
        return x if x.flags.aligned or x.dtype.hasobject else np.require(x, requirements="A")
    if isinstance(x, tuple):
        parts = [aligned(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if isinstance(x, list):
        return [aligned(part) for part in x]
    if isinstance(x, dict):
        return {key: aligned(part) for key, part in x.items()}
    return x


class Movable:
    """An object whose arrays are `aligned` when it arrives in another process."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See `aligned`."""
        vars(self).update(aligned(state))


def common_float_dtype(*arrays: Any) -> np.dtype[Any]:
    """float32 if every array is float32, else float64."""
    return np.result_type(*(a.dtype for a in arrays)) if arrays else np.dtype(np.float64)


def empty(shape: tuple[int, ...], dtype: DTypeLike, kind: Kind = "numpy") -> Any:
    """Make a result.

    Raises
    ------
    MemoryError
        Where there is no memory, and where NumPy would say `ValueError`: for more bytes than an
        address can count.
    """
    if math.prod(shape) * np.dtype(dtype).itemsize > sys.maxsize:
        msg = f"result: shape {shape} of {np.dtype(dtype)} is more than any memory holds"
        raise MemoryError(msg)
    return namespace(kind).empty(shape, dtype)


def check_out(
    out: Any, shape: tuple[int, ...], dtype: DTypeLike, *inputs: Any, kind: Kind = "numpy"
) -> Any:
    """Check a user's `out=` array, or make one: a CuPy array if `kind` says so, else NumPy's.

    Raises
    ------
    TypeError, ValueError
        If `out` is no writeable C-ordered array of this library, shape and dtype, or shares memory
        with an input.
    """
    xp = namespace(kind)
    if out is None:
        return empty(shape, dtype, kind)
    if not isinstance(out, xp.ndarray):
        library = "CuPy" if kind == "cupy" else "NumPy"
        msg = f"out: got {type(out).__name__}, want a {library} array"
        raise TypeError(msg)
    if out.dtype != dtype:
        msg = f"out: got dtype {out.dtype}, want {np.dtype(dtype)}"
        raise TypeError(msg)
    if out.shape != tuple(shape):
        msg = f"out: got shape {out.shape}, want {tuple(shape)}"
        raise ValueError(msg)
    writeable = getattr(out.flags, "writeable", True)  # CuPy's arrays always are
    if not (writeable and out.flags.c_contiguous):
        msg = "out: want a writeable C-contiguous array"
        raise ValueError(msg)
    if any(xp.may_share_memory(out, a) for a in inputs):
        msg = "out: shares memory with an input, want memory of its own"
        raise ValueError(msg)
    return out


def like(result: Any, original: Any) -> Any:
    """Hand `result` back as the kind of array that `original` is (DLPack tensors; others stay)."""
    if kind_of(original) != "dlpack":
        return result
    if hasattr(original, "__array_namespace__"):
        library = original.__array_namespace__()
    else:  # PyTorch has the function and not the method
        library = sys.modules[type(original).__module__.partition(".")[0]]
    return library.from_dlpack(result)


def number_or_like(result: Any, original: Any) -> Any:
    """As `like`; a NumPy result without dimensions becomes a float, one on the device stays."""
    if isinstance(result, np.ndarray) and result.ndim == 0:
        return float(result)
    return like(result, original)
