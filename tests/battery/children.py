"""Work in a process of its own, which may hang, crash or run out of memory."""

import contextlib
import faulthandler
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
HANG = 124  # exit status of a child that `pet` no more
_PULSE = struct.Struct("=qd")  # how many times it was petted, and seconds until the next time
_pulse: list[Any] = []  # this child's own, once it is open


class Awake:
    """Seconds for which this process could run: a suspended machine does not count."""

    def __init__(self) -> None:
        self.seconds, self._over = 0.0, threading.Event()
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        last = time.monotonic()
        while not self._over.wait(0.05):
            now = time.monotonic()
            self.seconds, last = self.seconds + min(now - last, 0.5), now

    def stop(self) -> float:
        self._over.set()
        return self.seconds


def with_tests(**more: str) -> dict[str, str]:
    """The environment of a child: it finds `battery`, then what a given PYTHONPATH names."""
    given = os.environ.get("PYTHONPATH")
    folders = [str(TESTS), given] if given else [str(TESTS)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders)} | more


def run_child(
    module: str, *arguments: object, seconds: float = 600, **environment: str
) -> tuple[int, Any, str]:
    """Run ``python -m module`` and return its status, its last line read as JSON, and its errors.

    Negative statuses are signals. After `seconds`, or when the child is petted no more, the stacks
    of its threads are put into its errors, it is killed, and the status is `HANG`.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+", errors="replace") as out,
        tempfile.TemporaryFile("w+", errors="replace") as errors,
    ):
        pulse = Path(folder) / "pulse"
        pulse.write_bytes(_PULSE.pack(0, float("inf")))
        env = with_tests(EIGENFLOW_PULSE=str(pulse), **environment)
        child = subprocess.Popen(command, env=env, stdout=out, stderr=errors)
        late = _watch(child, pulse, seconds)
        for file in (out, errors):
            file.seek(0)
        lines, said_errors = out.read().strip().splitlines(), errors.read()[-4000:]
    if late:
        return HANG, None, f"{late}: {said_errors}"
    try:
        said = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        said = None
    return child.returncode, said, said_errors


def _watch(child: "subprocess.Popen[bytes]", pulse: Path, seconds: float) -> str:
    """Wait for the end of a child; say what it was late with, if it had to be killed."""
    clock, beats, due = Awake(), -1, float("inf")
    try:
        while child.poll() is None:
            now = clock.seconds
            beat, until = _PULSE.unpack(pulse.read_bytes())
            if beat != beats:
                beats, due = beat, now + until
            if now > min(due, seconds):
                child.send_signal(signal.SIGABRT)  # its stacks
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)
                return f"no end after {seconds} s" if now > seconds else "no life"
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.2)
        return ""
    finally:
        clock.stop()
        child.kill()
        child.wait()


def pet(seconds: float = 5) -> None:
    """Say that the process is alive: without another call its parent ends it after `seconds`.

    Loops in C that hold the GIL end too. Seconds of a suspended machine do not count. A process
    that `run_child` did not start is left alone.
    """
    if not _pulse:
        _pulse.append(_opened())
    _pulse[0](seconds)


def _opened() -> Callable[[float], None]:
    name = os.environ.pop("EIGENFLOW_PULSE", "")  # its own children are not this one
    if not name:
        return lambda seconds: None
    faulthandler.enable()
    with open(name, "r+b") as file:
        memory = mmap.mmap(file.fileno(), _PULSE.size)
    beats = 0

    def beat(seconds: float) -> None:
        nonlocal beats
        beats += 1
        _PULSE.pack_into(memory, 0, beats, seconds)

    return beat


def say(**figures: Any) -> None:
    """Tell the parent; what comes after it, such as the end of other threads, is not timed."""
    pet(float("inf"))
    print(json.dumps(figures), flush=True)
