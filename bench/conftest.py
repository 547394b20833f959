"""One cell of a benchmark: a task, who does it, and what it costs besides time."""

import pytest


@pytest.fixture
def contest(benchmark):
    """Time `function` as `who` in the `cell` that its rivals share; keyword facts go to the table.

    The first call is a warm-up. `bench/report.py` compares medians within a cell.
    """

    def run(cell, who, function, *, rounds=7, **facts):
        benchmark.group = cell
        benchmark.extra_info.update(who=who, **facts)
        return benchmark.pedantic(function, rounds=rounds, warmup_rounds=1)

    return run
