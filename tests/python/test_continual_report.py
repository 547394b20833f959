"""Metrics of the continual benchmark, and tables of the docs made from the committed results."""

import csv

import numpy as np
import pytest

from continual import metrics, report

RUNS = [
    {"learned": [0.9, 0.8], "final": [0.8, 0.8], "growth": 0.2, "published_growth": 0.1,
     "seconds": 2.0},
    {"learned": [0.9, 0.7], "final": [0.9, 0.6], "growth": 0.4, "published_growth": 0.3,
     "seconds": 4.0},
]  # fmt: skip


def test_metrics_on_numbers_that_can_be_checked_by_hand():
    assert metrics.accuracy([0.5, 1.0]) == 0.75
    assert metrics.forgetting([0.9, 0.8], [0.7, 0.8]) == pytest.approx(0.1)
    finals = [[0.9, 0.5], [0.7, 0.6], [0.8, 0.6]]
    assert metrics.order_disparity(finals) == pytest.approx((0.15, 0.2))
    row = metrics.summary(RUNS)
    assert row["accuracy"] == pytest.approx(0.775)
    assert row["accuracy_sd"] == pytest.approx(np.std([0.8, 0.75], ddof=1))
    assert row["forgetting"] == pytest.approx(0.05)
    assert (row["aopd"], row["mopd"]) == pytest.approx((0.15, 0.2))
    assert (row["growth"], row["seconds"]) == pytest.approx((0.3, 3.0))


def test_a_method_with_one_run_has_no_spread():
    row = metrics.summary(RUNS[:1])
    assert row["accuracy_sd"] == row["aopd"] == row["mopd"] == 0.0


def test_tables_of_the_docs_are_those_of_the_results():
    suites = report.continual_results()
    assert set(suites) == {"digits-permuted", "digits-rotated", "digits-split"}
    for name, text in report.tables(suites, report.importance_results()).items():
        assert (report.DOCS / "results" / name).read_text() == text, name


def test_results_hold_every_method_and_order():
    for results in report.continual_results().values():
        orders = {}
        for key in results["runs"]:
            method, order = key.split("/")
            orders.setdefault(method, set()).add(order)
        for method in ("frozen", "flat", "energy", "halrp", "knapsack", "pruned"):
            assert orders[method] == set("ABCDE")
        assert orders["single"] == orders["together"] == {"A"}
        for share in report.shares_of(results):
            for rule in ("flat", "energy", "halrp", "knapsack"):
                assert orders[f"{rule}@{share}"] == set("ABC")
        for run in results["runs"].values():
            assert len(run["final"]) == len(results["about"]["tasks"]) == 10
            assert 0 <= min(run["final"]) <= max(run["final"]) <= 1


def test_importance_results_are_complete():
    for content in report.importance_results().values():
        assert set(content["correlations"]) == set(content["allocated"]) == set(report.MEASURES)
        for measure in report.MEASURES:
            assert len(content["correlations"][measure]) == 7
            assert np.shape(content["allocated"][measure]) == (7, len(content["budgets"]))
            assert all(np.isfinite(row[measure]) for row in content["example"])


def test_every_figure_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    found = report.figures(report.continual_results(), report.importance_results())
    for name, figure in found.items():
        figure.savefig(tmp_path / f"{name}.svg")
        assert (report.DOCS / "figures" / f"{name}.svg").exists()


def test_sweeps_are_told_from_single_runs():
    results = {"runs": {"halrp/A": RUNS[0], "halrp@0.3/A": RUNS[1], "flat@0.15/A": RUNS[1]}}
    assert report.by_method(results) == {"halrp": [RUNS[0]]}
    assert report.by_method(results, "0.3") == {"halrp": [RUNS[1]]}
    assert report.shares_of(results) == ["0.15", "0.3"]
    only = {"runs": {"halrp@0.3/A": RUNS[1], "flat@0.3/A": RUNS[0]}}
    assert report.shares_table(only)[1] == ["0.3", "80.0 at 20 %", "75.0 at 40 %"]


def test_csv_is_readable():
    rows = report.continual_table({"runs": {"halrp/A": RUNS[0], "halrp/B": RUNS[1]}})
    again = list(csv.reader(report.as_csv(rows).splitlines()))
    assert again[1][:3] == ["HALRP", "2", "77.5 ± 3.5"]
