"""The table and the plot of `python -m eigenflow bench`, on tasks that cost nothing."""

import numpy as np
import pytest

from eigenflow import comparison
from eigenflow.__main__ import main
from eigenflow.comparison import tasks
from eigenflow.comparison.contest import Contestant, Task, compete

SMALL = {
    "closed_form": {"n": 2000},
    "march": {"n": 50, "part": 2},
    "truncated_svd": {"m": 60, "n": 30, "rank": 5},
    "sine_product": {"n": 32, "k": 2, "columns": 3},
    "log_likelihood": {"n_steps": 2000, "state_dim": 2},
    "steady_recursion": {"n_steps": 2000},
}
# Twice the rounding error of the kind of number, or the error of the truncated matrix.
LARGEST_ERROR = {
    "closed_form": 1e-14,
    "march": 1e-8,
    "sine_product": 1e-5,
    "steady_recursion": 1e-12,
}


def test_every_task_is_tried_here():
    assert [make.__name__ for make in tasks.TASKS] == list(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_contestants_of_a_task_agree(name):
    task = getattr(tasks, name)(**SMALL[name])
    outcomes = compete(task, budget=0.0)
    assert outcomes[0].name == "eigenflow"
    assert len(outcomes) >= 2
    assert all(outcome.seconds > 0 for outcome in outcomes)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if name == "truncated_svd":
        best = np.sqrt(np.sum(1.0 / np.arange(6, 31) ** 2) / np.sum(1.0 / np.arange(1, 31) ** 2))
        assert all(best * 0.999 <= error <= best * 1.5 for error in errors)  # some draw at random
        assert errors[0] <= best * 1.001
    elif name == "log_likelihood":
        part = [c.function() * (1 / c.share) for c in task.contestants]
        np.testing.assert_allclose(part[0], part[-1], rtol=0.1)
    else:
        assert max(errors) <= LARGEST_ERROR[name]


def test_turns_and_shares():
    calls = []
    task = Task(
        "count",
        [
            Contestant("eigenflow", lambda: calls.append("e")),
            Contestant("half of it", lambda: calls.append("h"), share=0.5),
        ],
    )
    ours, half = compete(task, budget=1.0, max_rounds=4)
    assert "".join(calls) == "eh" * 5
    assert half.share == 0.5
    assert ours.error is None


def test_table_and_plot(tmp_path, capsys):
    page = comparison.run(tmp_path / "out", budget=0.0, tasks=[lambda: tasks.closed_form(n=2000)])
    text = page.read_text()
    assert "| flow, depth 0, 2e+03 coordinates | NumPy expression |" in text
    assert "CPU level" in text
    assert (tmp_path / "out" / "bench.png").stat().st_size > 5000
    printed = capsys.readouterr().out
    assert "NumPy expression" in printed
    assert str(page) in printed


def test_the_command_line_knows_it(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    assert "--seconds" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["-3", "0", "nan", "inf", "ten", ""])
def test_seconds_that_are_none_are_refused(text, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--out", str(tmp_path / "out"), "--seconds", text])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert f"argument --seconds: got {text!r}, want a positive finite number" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("budget", [-1.0, np.nan])
def test_a_budget_that_is_none_is_refused(budget, tmp_path):
    with pytest.raises(ValueError, match=f"budget: got {budget}, want a number of seconds"):
        comparison.run(tmp_path / "out", budget=budget)
    assert not (tmp_path / "out").exists()
