"""One cell of a benchmark: a task, who does it, and what it costs besides time."""

import pytest


@pytest.fixture
def contest(benchmark):
    """Time `function` as `who` in the `cell` that its rivals share; keyword facts go to the table.

    The first call is a warm-up unless `warmup` is false. `bench/report.py` compares medians within
    a cell; of the facts it knows two: `scale` times the measured time is that of the whole task,
    and `per` is the number of items that the time is shared by.
    """

    def run(cell, who, function, *, rounds=7, warmup=True, **facts):
        benchmark.group = cell
        benchmark.extra_info.update(who=who, **facts)
        benchmark.pedantic(function, rounds=rounds, warmup_rounds=int(warmup))
        return benchmark

    return run
