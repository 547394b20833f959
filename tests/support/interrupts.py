"""Ctrl-C in a process of its own."""

import subprocess
import sys


def check_stopped(code: str, timeout: float) -> None:
    """Run Python code that sends itself SIGINT and prints "stopped" where it was caught."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert run.stdout.strip() == "stopped", run.stderr
