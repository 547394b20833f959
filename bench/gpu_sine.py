"""Sine layers on a CUDA device: this package's kernels against PyTorch, eager and compiled.

    python bench/gpu_sine.py            # a Markdown table, in about half a minute

Each call is captured as a CUDA graph and its replays are timed with events, so that rows are times
of the device; two rows at the end have what a call from Python costs. A floor is the arithmetic of
the cell at the rate that cuBLAS reaches here in the same precision, or its bytes at the rate of a
copy, whichever is longer: for each entry of the matrix k multiply-adds for the phase, 14 for the
sine, and one for each row of the input.
"""

import statistics
from collections.abc import Callable
from functools import cache
from typing import Any

import cupy
import torch

import gpu
from eigenflow.comparison.table import markdown
from eigenflow.nn.sine_ops import sine_linear

OMEGA, SINE = 200.0, 14
OMEGA_ON_DEVICE = torch.tensor(OMEGA, device="cuda")


def naive(x, U, V, base=None):
    W = torch.sin(OMEGA * (U @ V.T)) / len(V) ** 0.5
    return x @ (W if base is None else base + W.to(base.dtype)).T


class Recompute(torch.autograd.Function):
    """Dense weights, made twice and never kept."""

    @staticmethod
    def forward(ctx, x, U, V, base=None):
        ctx.save_for_backward(x, U, V, base)
        return naive(x, U, V, base)

    @staticmethod
    def backward(ctx, dy):
        x, U, V, base = ctx.saved_tensors
        phase, gain = OMEGA * (U @ V.T), len(V) ** 0.5
        W = torch.sin(phase) / gain
        dx = dy @ (W if base is None else base + W.to(base.dtype))
        P = torch.cos(phase) * (dy.T @ x) * (OMEGA / gain)
        return dx, (P @ V).to(U.dtype), (P.T @ U).to(V.dtype), None


def recompute(x, U, V, base=None):
    return Recompute.apply(x, U, V, base)


def ours(x, U, V, base=None):
    return sine_linear(x, U, V, OMEGA_ON_DEVICE, gain_of(len(V)), base)


@cache
def gain_of(size: int) -> Any:
    """Made before any capture, which cannot copy from the host."""
    return torch.tensor(size**0.5, device="cuda")


def inputs(size: int, k: int, rows: int, dtype: Any) -> list[Any]:
    """x, U and V as the layer starts."""
    torch.manual_seed(0)
    U = (torch.rand(size, k, device="cuda") * 2 - 1) / k**0.5
    V = (torch.rand(size, k, device="cuda") * 2 - 1) / size**0.5
    x = torch.randn(rows, size, device="cuda")
    return [t.to(dtype).requires_grad_() for t in (x, U, V)]


def captured(run: Callable[[], Any]) -> Callable[[], None]:
    """Return the replay of a graph of `run`."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def median_of(run: Callable[[], Any], rounds: int = 7) -> float:
    """Seconds of a call."""
    run()
    return statistics.median(gpu.time_of(run) for _ in range(rounds))


def ceilings() -> dict[str, float]:
    """Multiply-adds and bytes a second."""
    source = cupy.ones(2**27, cupy.float64)
    target = cupy.empty_like(source)
    A = torch.randn(8192, 8192, device="cuda")
    rates = {
        "bytes": 16.0 * 2**27 / median_of(lambda: cupy.copyto(target, source)),
        "float32": 8192.0**3 / median_of(lambda: A @ A),
    }
    A = A.bfloat16()
    return rates | {"bfloat16": 8192.0**3 / median_of(lambda: A @ A)}


def floor(task: str, rates: dict[str, float], sines: float, products: float, moved: float) -> None:
    """Add the row; sines are in float32 always, and products in the precision of the rates."""
    arithmetic = sines / rates["float32"] + products / rates["products"]
    time = max(arithmetic, moved / rates["bytes"])
    what = "arithmetic" if time == arithmetic else "bytes"
    gpu.ROWS.append((task, f"floor: {what}", gpu.seconds(time), "", ""))


def forward(size: int, k: int, rows: int, rates: dict[str, float], *, compiled: bool) -> None:
    """One cell of the forward pass in float32."""
    given = [t.detach() for t in inputs(size, k, rows, torch.float32)]
    exact = naive(*(t.double() for t in given))
    task = f"forward, {size} x {size}, k={k}, {rows} rows, float32"
    ways = {"eigenflow": ours, "PyTorch, eager": naive}
    if compiled:
        ways["PyTorch, compiled"] = torch.compile(naive, dynamic=False)
    for who, way in ways.items():
        error = float((way(*given).double() - exact).norm() / exact.norm())
        run = captured(lambda way=way: way(*given))
        gpu.contest(task, who, run, relative_error=error)
    entries = float(size) ** 2
    rates = rates | {"products": rates["float32"]}
    floor(task, rates, entries * (k + SINE), entries * rows, 8.0 * size * (k + rows))


def step(
    size: int, k: int, rows: int, rates: dict[str, float], dtype: Any, **options: bool
) -> None:
    """One cell of forward and backward passes; with `base` of an adapter on frozen weights."""
    given = inputs(size, k, rows, dtype)
    base = torch.randn(size, size, device="cuda", dtype=dtype) if options.get("base") else None
    dy = torch.randn(rows, size, device="cuda").to(dtype)
    short = str(dtype).removeprefix("torch.")
    task = f"forward and backward, {size} x {size}, k={k}, {rows} rows, {short}"
    task += ", adapter" if base is not None else ""
    ways = {"eigenflow": ours, "PyTorch, eager": naive, "PyTorch, weights made again": recompute}
    if options.get("compiled"):
        ways["PyTorch, compiled"] = torch.compile(naive, dynamic=False)
    for who, way in ways.items():

        def run(way=way):
            return torch.autograd.grad(way(*given, base), given, dy)

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        extra = (torch.cuda.max_memory_allocated() - before) / 2**20
        gpu.contest(task, who, captured(run), extra_MiB=extra)
    entries = float(size) ** 2
    rates = rates | {"products": rates[short]}
    sines = entries * (2 * (k + SINE) + SINE + 2 * k)
    floor(task, rates, sines, 3 * entries * rows, 8.0 * size * (k + rows))


def from_python(rows: int) -> None:
    """What a call costs that is not captured."""
    given = [t.detach() for t in inputs(4096, 8, rows, torch.float32)]
    task = f"forward, 4096 x 4096, k=8, {rows} row, called from Python"
    for who, way in {"eigenflow": ours, "PyTorch, eager": naive}.items():
        gpu.contest(task, who, lambda way=way: way(*given))


def main() -> None:
    """Print the table and what the device is."""
    rates = ceilings()
    print(", ".join(f"{name} {rate / 1e12:.3g} T a second" for name, rate in rates.items()))
    for rows in (1, 64, 2048):
        forward(4096, 8, rows, rates, compiled=True)
    for k in (1, 4, 8, 16, 32):
        forward(8192, k, 1, rates, compiled=False)
    for k in (1, 8, 32):
        forward(8192, k, 64, rates, compiled=False)
    for rows in (1, 64, 2048):
        step(4096, 8, rows, rates, torch.float32, compiled=rows == 64)
    step(4096, 8, 4096, rates, torch.bfloat16, base=True)
    from_python(1)
    name = torch.cuda.get_device_name()
    print(f"\n{name}, CuPy {cupy.__version__}, PyTorch {torch.__version__}\n")
    print(markdown(gpu.COLUMNS, gpu.ROWS))


if __name__ == "__main__":
    main()
