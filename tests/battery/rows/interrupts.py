"""R10: Ctrl-C at random times in long calls."""

import json
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any

import numpy as np

import eigenflow as ef
from battery.calls import A, C, Q, R, same_bits
from battery.children import pet, run_child, say
from battery.table import Figure, Row

WITHIN = 0.2  # seconds from the signal to KeyboardInterrupt


def long_calls() -> dict[str, Any]:
    """Calls that last a second or more; with a number, short ones."""
    rng = np.random.default_rng(0)
    z, rates = rng.standard_normal(1_500_000), rng.uniform(0.1, 1, 1_500_000)
    y = rng.standard_normal(3_000_000)
    U, V = rng.standard_normal((20_000, 8)), rng.standard_normal((20_000, 8))
    X, matrix = rng.standard_normal((20_000, 8)), rng.standard_normal((6000, 3000))
    system = ef.lds.LinearSystem(A, C, Q, R)
    operator = ef.sine.SineLowRank(U, V, 2.0, method="fused")
    times = np.linspace(0.1, 50, 60)
    wide = ef.lds.LinearSystem(
        0.9 * np.eye(24), rng.standard_normal((6, 24)), np.eye(24), np.eye(6)
    )
    observed = rng.standard_normal((800_000, 6))
    return {
        "flow.solve": lambda n=None: ef.flow.solve(z[:n], rates[:n], times[:9], depth=2, b0=0.3),
        "flow.descend": lambda n=None: ef.flow.descend(
            z[:n], rates[:n], 0.01, 2000 if n is None else 20, depth=1, b0=0.3
        ),
        "flow.hitting_time": lambda n=None: ef.flow.hitting_time(
            np.linspace(0.3, 0.9, 3)[:, None], z[:n], rates[:n], depth=2, b0=0.3
        ),
        "lowrank.svd": lambda n=None: ef.lowrank.svd(matrix[:n], 20, rng=0, power_iterations=30),
        "lowrank.pivoted_qr": lambda n=None: ef.lowrank.pivoted_qr(
            matrix[:n], 400 if n is None else 9, rng=0
        ),
        "sine.matmat": lambda n=None: operator.submatrix(slice(n), slice(None)).matmat(X),
        "lds.filter": lambda n=None: ef.lds.filter(
            wide, observed[:n], store=("filtered_mean", "filtered_cov")
        ),
        "lds.smooth": lambda n=None: ef.lds.smooth(system, np.tile(y, 4)[: n or len(y) * 4]),
        "lds.score": lambda n=None: ef.lds.score(system, y[:n]),
        "lds.forecast": lambda n=None: ef.lds.forecast(system, y[:100], n or 1_000_000),
    }


def interrupted(call: Any, delay: float) -> float | None:
    """Seconds from a SIGINT after `delay` to KeyboardInterrupt, or None if the call was over."""
    sent = []

    def send() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, send)
    timer.start()
    try:
        call()
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0]
    try:
        timer.cancel()
        timer.join()
    except KeyboardInterrupt:
        pass
    return None


def main(name: str, repeats: int) -> None:
    warnings.simplefilter("ignore")
    call = long_calls()[name]
    expected = call(500)
    began = time.perf_counter()
    call()
    lasts = time.perf_counter() - began
    waits = []
    for delay in np.random.default_rng(1).uniform(0.1 * lasts, 0.8 * lasts, repeats):
        pet(120)
        wait = interrupted(call, delay)
        if wait is not None:
            waits.append(wait)
        if not same_bits(call(500), expected):
            say(name=name, wrong=True)
            return
    say(name=name, lasts=lasts, waits=waits, wrong=False)


def measure(full: bool) -> Figure:
    repeats = 20 if full else 4
    waits, worst, wrong = [], ("", 0.0), []
    for name in long_calls():
        status, found, errors = run_child("battery.rows.interrupts", name, repeats, seconds=1800)
        if status or found["wrong"]:
            wrong.append(f"{name} (status {status}: {errors[-300:]})")
            continue
        waits += found["waits"]
        if found["waits"]:
            worst = max(worst, (name, max(found["waits"])), key=lambda pair: pair[1])
        print(json.dumps(found), file=sys.stderr)
    high = float(np.quantile(waits, 0.99)) if waits else float("nan")
    text = f"{len(waits)} signals in {len(long_calls())} functions: p99 {high:.3f} s, "
    text += f"worst {worst[1]:.3f} s ({worst[0]})"
    return Figure(text + (f"; wrong: {wrong}" if wrong else ""), high <= WITHIN and not wrong)


ROW = Row(
    "Ctrl-C stops a long call, and the next call is right.",
    "SIGINT at 20 random times in each long function",
    "within 0.2 s (99 of 100)",
    measure,
)

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
