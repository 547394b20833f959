"""R6: random wrong arguments for every function of the extension module.

The functions are called with what the library hands them, recorded while every public function
runs, or with arguments written down for them, and then with one or two of these replaced. Python
checks arguments before the extension sees them; here these checks are left out.
"""

import operator
import os
import sys
import tempfile
import types
import warnings
from typing import Any

import numpy as np

from battery.calls import CALLS
from battery.children import pet, run_child, say
from battery.rows.binding_arguments import extra, wrong_callables
from battery.table import Figure, Row
from eigenflow import ConvergenceError, _core
from eigenflow._map_reduce.stop import check

TYPES = ("f4", "f8", "c8", "c16", "i4", "i8", "u1", "?", ">f8", "O", "U4")
# RuntimeError: pybind11's for what it cannot read; LookupError: for what is not in a tuple or dict;
# AttributeError: an object that is no communicator.
REFUSALS = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    RuntimeError,
    MemoryError,
    ArithmeticError,
    ConvergenceError,
)
INTEGERS = (-(2**63), -(2**31), -1, 0, 1, 2, 7, 1000)
OTHERS = (None, "x", b"x", 1.5, np.nan, np.inf, [], {}, (), object(), 2**80, True, np.float32(1))


def recorded() -> dict[str, list[tuple[Any, ...]]]:
    """Arguments of every function of the extension, as the library calls it."""
    seen: dict[str, list[tuple[Any, ...]]] = {}
    undo: list[Any] = []

    def watch(module: Any, name: str, function: Any) -> None:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not kwargs and len(seen.setdefault(label, [])) < 8:
                seen[label].append(tuple(copied(a) for a in args))
            return function(*args, **kwargs)

        label = f"{module.__name__.rpartition('._core')[2].lstrip('.')}.{name}".lstrip(".")
        setattr(module, name, call)
        undo.append(lambda: setattr(module, name, function))

    modules = [_core, *(m for m in vars(_core).values() if isinstance(m, types.ModuleType))]
    for module in modules:
        for name, function in list(vars(module).items()):
            if type(function).__name__ in ("builtin_function_or_method", "nb_func"):
                watch(module, name, function)
    for call in CALLS:
        call()
    for back in undo:
        back()
    for name, arguments in extra().items():
        seen[name] = [*seen.get(name, []), *arguments]
    return seen


def functions() -> set[str]:
    """Names of all functions and classes of the extension that can be called."""
    modules = {"": _core, **{k: m for k, m in vars(_core).items() if type(m) is type(_core)}}
    return {
        f"{module}.{name}".lstrip(".")
        for module, members in modules.items()
        for name, member in vars(members).items()
        if type(member).__name__ in ("builtin_function_or_method", "nb_func")
    }


def copied(a: Any) -> Any:
    """Arrays are copied with their strides; what they hold may be written by the call."""
    if isinstance(a, np.ndarray):
        return a.copy(order="K") if a.flags.owndata or a.size else a
    if isinstance(a, dict):
        return {key: copied(value) for key, value in a.items()}
    if isinstance(a, tuple | list):
        return type(a)(copied(x) for x in a)
    return a


def array_like(a: np.ndarray, rng: np.random.Generator) -> Any:
    """Another array than the one wanted: type, shape, strides, memory."""
    match rng.integers(12):
        case 0:
            return a.astype(rng.choice(["f4", "f8", "c8", "c16", "i8"]))
        case 1:
            return np.zeros(a.shape, rng.choice(TYPES))
        case 2:
            return np.empty((0,) * a.ndim, a.dtype)
        case 3:
            return a[..., np.newaxis]
        case 4:
            return a[0] if a.ndim and len(a) else a
        case 5:
            return a[(slice(None, None, -1),) * a.ndim]
        case 6:
            return a[(slice(None, int(rng.integers(0, 4))),) * a.ndim]
        case 7:
            out = a.copy()
            out.flags.writeable = False
            return out
        case 8:
            return np.broadcast_to(a, (2, *a.shape))[1]
        case 9:
            return np.zeros(tuple(int(n) for n in rng.integers(0, 5, int(rng.integers(0, 4)))))
        case 10:
            memory = np.zeros(a.nbytes + 8, np.uint8)[int(rng.integers(1, 8)) :][: a.nbytes]
            return memory.view(a.dtype).reshape(a.shape) if a.nbytes else a
        case _:
            out = a.copy()
            if out.size and out.dtype.kind in "fc":
                out.flat[int(rng.integers(out.size))] = rng.choice([np.nan, np.inf, 1e308, 5e-324])
            return out


def mutated(args: tuple[Any, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    out = [copied(a) for a in args]
    for _ in range(int(rng.integers(1, 3))):
        if not out:
            break
        at = int(rng.integers(len(out)))
        old = out[at]
        if rng.integers(6) == 0:
            out[at] = OTHERS[int(rng.integers(len(OTHERS)))]
        elif isinstance(old, np.ndarray):
            out[at] = array_like(old, rng) if old.dtype.kind in "biufc" else []
        elif isinstance(old, bool):
            out[at] = not old
        elif isinstance(old, int):
            out[at] = INTEGERS[int(rng.integers(len(INTEGERS)))]
        elif isinstance(old, float):
            out[at] = float(rng.choice([0.0, -1.0, np.nan, np.inf, 1e308, 5e-324]))
        elif isinstance(old, list | tuple):
            out[at] = type(old)(mutated(tuple(old), rng)) if old else [1]
        elif isinstance(old, types.FunctionType):
            wrong = wrong_callables()
            out[at] = wrong[int(rng.integers(len(wrong)))]
        elif isinstance(old, dict):
            out[at] = dict(zip(old, mutated(tuple(old.values()), rng), strict=False))
    if rng.integers(20) == 0:
        out = out[: int(rng.integers(len(out) + 1))]
    return tuple(out)


def use(result: Any) -> None:
    """Operators ask for their entries later."""
    for part in result if isinstance(result, tuple) else (result,):
        if isinstance(part, _core.svd.Operator):
            _core.svd.decompose(part, 2, -1.0, -1.0, False, False, 2, 1, 7, 1)


def drawn(name: str, number: int, arguments: list[Any]) -> tuple[Any, ...]:
    """Arguments of one wrong call: the same ones for the same number."""
    rng = np.random.default_rng([number, *name.encode()])
    return mutated(arguments[int(rng.integers(len(arguments)))], rng)


def fuzz(name: str, arguments: list[Any], calls: int, log: Any) -> tuple[int, list[str]]:
    """Call with wrong arguments; return how many calls were refused, and odd errors."""
    refused, odd, function = 0, [], operator.attrgetter(name)(_core)
    for number in range(calls):
        given = drawn(name, number, arguments)
        os.pwrite(log.fileno(), f"{name} {number:<20}".encode(), 0)  # if it does not come back
        pet(20)
        try:
            use(function(*given))
        except REFUSALS:
            refused += 1
        except Exception as error:
            odd.append(f"{name} {number}: {error!r}")
    return refused, odd


def main(calls: int, log: str) -> None:
    """Fuzz all functions."""
    warnings.simplefilter("ignore")
    refused, faults = 0, []
    arguments = recorded()
    for name in sorted(arguments):
        with open(log, "wb") as last:
            more, odd = fuzz(name, arguments[name], calls, last)
        _core.runtime.set_stop_check(check)  # not the one that the calls left
        refused, faults = refused + more, [*faults, *odd[:2]]
        print(name, more, odd[:2], file=sys.stderr, flush=True)
    missing = functions() - set(arguments)
    faults += [f"{name} is not called" for name in sorted(missing)]
    say(targets=len(arguments), calls=calls * len(arguments), refused=refused, faults=faults)


def show(name: str, number: int) -> None:
    """Print the arguments of one call."""
    warnings.simplefilter("ignore")
    say(call=f"{name}{drawn(name, number, recorded()[name])!r}"[:3000])


def measure(full: bool) -> Figure:
    with tempfile.NamedTemporaryFile() as log:
        calls = 10_000 if full else 300
        module = "battery.rows.fuzz_bindings"
        status, found, errors = run_child(module, calls, log.name, seconds=7200)
        if status:
            last = log.read().decode().split()
            call = run_child(module, "show", *last)[1] if last else None
            return Figure(f"status {status}: {errors[-1500:]}; last call {last}: {call}", False)
    text = f"{found['targets']} functions, {found['calls']} calls, {found['refused']} refused"
    faults = f"; {found['faults']}" if found["faults"] else ", no crash, no hang"
    return Figure(text + faults, not found["faults"])


ROW = Row(
    "No argument crashes the interpreter, even past the checks in Python.",
    "random wrong arguments for every function of the extension module",
    "0 crashes, hangs",
    measure,
)

if __name__ == "__main__":
    if sys.argv[1] == "show":
        show(sys.argv[2], int(sys.argv[3]))
    else:
        main(int(sys.argv[1]), sys.argv[2])
