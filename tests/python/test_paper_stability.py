"""The page on Ziemann, Matni and Pappas (arXiv 2409.13421): its script on a smaller scale."""

import json
from pathlib import Path

import numpy as np
import pytest

from stability import measure, reproduce, settings, tables

PAGE = Path(reproduce.__file__).parent


def test_the_script_writes_every_table_and_figure_of_the_page(tmp_path, capsys):
    reproduce.main(["--quick", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    text = (PAGE / "index.rst").read_text()
    for name in ("figure_1", "growth", "counts", "counterexample", "lengths", "filters", "margins"):
        assert f"results/{name}.csv" in text
        assert (tmp_path / f"{name}.csv").exists()
        assert f"\n{name}\n" in printed
    for name in ("figure_1", "walk"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    # What is exact is what the page shows.
    for name in ("counts", "filters", "walk"):
        stored = json.loads((PAGE / "results" / f"{name}.json").read_text())
        assert json.loads((tmp_path / f"{name}.json").read_text()) == stored
    for file in (PAGE / "results").glob("*.csv"):
        assert (tmp_path / file.name).exists()


def test_the_stored_figure_has_the_known_values():
    stored = json.loads((PAGE / "results" / "figure_1.json").read_text())
    by_eigenvalue = {panel["eigenvalue"]: np.array(panel["exact"]) for panel in stored["panels"]}
    np.testing.assert_allclose(
        by_eigenvalue[1.1][:, -1], [27.05, 20.42, 12.42, 0.45, 0.32, 0.17, 0.0], atol=0.0052
    )
    for panel in stored["panels"]:
        data = np.array(panel["from data"])
        exact = np.array(panel["exact"])[:, [0, -1]]
        np.testing.assert_allclose(data, exact, atol=0.02)
        assert panel["transition"] == 4


def test_counts_are_those_of_the_correction():
    found = {row["name"]: row["paper"] + row["sharp"][:2] for row in measure.counts(True)["rows"]}
    assert found["1.2 I2, 0.4"] == [4, 2, 5, 0]
    assert found["J4(1.1), 0.4 I3"] == [16, 12, 25, 21]


def test_only_what_is_cut_off_grows_on_the_random_walk():
    result = measure.walk(True)
    for name, risks in result["risks"].items():
        grows = risks[-1] / risks[-4]
        assert grows == pytest.approx(1000 if "cut off" in name else 1, rel=1e-3)
    assert [row["mean"] for row in result["lengths"]] == [7, 15, 55]


def test_tables_have_a_cell_for_each_column():
    for table in tables.counts(measure.counts(True)):
        assert {len(row) for row in table.rows} == {len(table.columns)}
    assert len(settings.COUNTED) == 7
