"""Work in a process of its own, which may hang, crash or run out of memory."""

import faulthandler
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
HANG = 124  # exit status of a child that `pet` no more


def with_tests(**more: str) -> dict[str, str]:
    """The environment of a child: it finds `battery`, then what a given PYTHONPATH names."""
    given = os.environ.get("PYTHONPATH")
    folders = [str(TESTS), given] if given else [str(TESTS)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders)} | more


def run_child(
    module: str, *arguments: object, seconds: float = 600, **environment: str
) -> tuple[int, Any, str]:
    """Run ``python -m module`` and return its status, its last line read as JSON, and its errors.

    Negative statuses are signals; after `seconds` the child is killed and the status is `HANG`.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    try:
        done = subprocess.run(
            command,
            env=with_tests(**environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return HANG, None, f"no end after {seconds} s: {late.stderr!r}"
    lines = done.stdout.strip().splitlines()
    try:
        said = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        said = None
    return done.returncode, said, done.stderr[-4000:]


def pet(seconds: float = 5) -> None:
    """Say that the process is alive: without another call it ends after `seconds`.

    The stacks of its threads are then in its errors. Loops in C that hold the GIL end too.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)


def say(**figures: Any) -> None:
    """Tell the parent."""
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps(figures), flush=True)
