"""Li and Lin (arXiv 2409.00894), reproduced on a smaller scale; docs/papers/adaptivity has it all.

The numbers are the exact column of the page: expected error by quadrature, 20,000 coordinates.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from adaptivity import (
    coefficients,
    fourier,
    growth,
    rates,
    regression,
    reproduce,
    settings,
    slopes,
    suspects,
)
from adaptivity.sequence import SequenceModel, find_stop, lowest, start_of_b, universal_time
from adaptivity.sum_rule import compress
from eigenflow import flow

ENDS = (2000, 2800, 4000)


def model(p, q, gamma, n_coordinates=settings.N_COORDINATES):
    return SequenceModel(p, q, gamma, n_coordinates)


# ---- the model and its shortcuts


def test_the_signal_stands_at_floor_of_k_to_the_q():
    np.testing.assert_array_equal(np.flatnonzero(model(1, 2, 2, 30).signal) + 1, [1, 4, 9, 16, 25])
    places = np.flatnonzero(model(1, 1.5, 2, 30).signal) + 1
    np.testing.assert_array_equal(places, [1, 2, 5, 8, 11, 14, 18, 22, 27])
    np.testing.assert_allclose(model(3, 2, 2, 10).signal[[0, 3, 8]], [1, 1 / 4, 1 / 9])


@pytest.mark.parametrize(
    ("depth", "p", "q", "gamma"), [(0, 0.6, 1, 3), (0, 3, 1.5, 1.1), (1, 1, 2, 2)]
)
def test_few_weighted_coordinates_stand_for_all(depth, p, q, gamma):
    full = model(p, q, gamma, 3000)
    times = universal_time(2000, depth) * np.array([0.3, 1.0, 2.5])
    options = {"depth": depth, "b0": start_of_b(2000, depth), "rtol": 1e-6}
    direct = flow.expected_risk(full.signal, full.eigenvalues, times, 1 / 2000, **options)
    few = slopes.expected_error(full, depth, 2000)(times)
    np.testing.assert_allclose(few, direct, rtol=1e-5)
    assert compress(full).weights.sum() == pytest.approx(3000)


def test_the_expected_error_is_the_mean_of_repetitions():
    chosen = model(3, 1, 1.1)
    times = np.array([4.0, 6.0, 9.0])
    z = np.array([chosen.observe(2000, np.random.default_rng([7, r])) for r in range(64)])
    path = flow.solve(z, chosen.eigenvalues, times)
    losses = np.sum((path - chosen.signal) ** 2, axis=2)
    noise = losses.std(axis=1) / 8
    assert np.all(
        np.abs(losses.mean(axis=1) - slopes.expected_error(chosen, 0, 2000)(times)) < 3 * noise
    )


def valley(t):
    return 1 / t + np.exp(np.minimum(t - 20, 40)) + 1e-3 * t


def test_the_search_finds_the_minimum_from_afar():
    grid = np.linspace(5, 25, 400_001)
    errors = valley(grid)
    for guess in (0.01, 3.0, 5e4):
        stop = find_stop(valley, guess)
        assert stop.error == pytest.approx(errors.min(), rel=5e-4)
        assert stop.time == pytest.approx(grid[np.argmin(errors)], rel=5e-3)
    with pytest.raises(RuntimeError, match="no least error"):
        find_stop(lambda t: 1 / t, 1.0)


def test_the_lowest_point_of_a_path():
    times = np.geomspace(1, 100, 41)
    stop = lowest(times, np.log(times / 7) ** 2 + 0.25)
    assert stop.time == pytest.approx(7)
    assert stop.error == pytest.approx(0.25)
    assert lowest(times, times).time == 1


# ---- Tables 1 and 2

EXACT_DEPTH_0 = [
    # gamma, p, q, slope
    (1.1, 0.6, 1, 0.37), (1.1, 0.6, 1.5, 0.40), (1.1, 0.6, 2, 0.50),
    (1.1, 1.0, 1, 0.49), (1.1, 1.0, 1.5, 0.45), (1.1, 1.0, 2, 0.47),
    (2.0, 0.6, 1, 0.36), (2.0, 0.6, 1.5, 0.40), (2.0, 0.6, 2, 0.52),
    (2.0, 1.0, 1, 0.47), (2.0, 1.0, 1.5, 0.46), (2.0, 1.0, 2, 0.49),
    (3.0, 0.6, 1, 0.36), (3.0, 0.6, 1.5, 0.41), (3.0, 0.6, 2, 0.52),
    (3.0, 1.0, 1, 0.47), (3.0, 1.0, 1.5, 0.47), (3.0, 1.0, 2, 0.50),
]  # fmt: skip


@pytest.mark.parametrize(("gamma", "p", "q", "expected"), EXACT_DEPTH_0)
def test_slopes_at_depth_0(gamma, p, q, expected):
    found = slopes.slope(model(p, q, gamma), 0, ENDS)
    assert found == pytest.approx(expected, abs=0.03)
    assert found == pytest.approx(settings.paper_slope(0, gamma, p, q), abs=0.03)


@pytest.mark.parametrize(("depth", "expected"), [(0, 0.55), (1, 0.70), (2, 0.76)])
def test_depth_makes_up_for_slow_eigenvalues_at_the_universal_time(depth, expected):
    entry = slopes.Entry(depth, 1.1, 3.0, 1.0)
    found = suspects.universal_slope(entry, ENDS)
    assert found == pytest.approx(expected, abs=0.03)
    assert found == pytest.approx(1 - 1 / ((depth + 2) * 1.1), abs=0.03)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_best_time_needs_no_depth_at_these_n(depth):
    assert slopes.slope(model(3, 1, 1.1), depth, ENDS) == pytest.approx(0.738, abs=0.01)


@pytest.mark.slow
def test_a_cap_on_time_gives_the_row_of_table_2_that_falls_behind():
    misalignments = (1.0, 2.0)
    paper = [settings.paper_slope(1, 3.0, 0.6, q) for q in misalignments]
    free = [slopes.slope(model(0.6, q, 3.0), 1, ENDS) for q in misalignments]
    capped = [suspects.capped_slope(0.6, q, 540.0, ENDS) for q in misalignments]
    np.testing.assert_allclose(capped, paper, atol=0.04)
    assert np.all(np.array(free) - paper > 0.05)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_equation_34_wants_the_square_of_the_depth(depth):
    rate = suspects.rate_formula(depth)
    assert rate["flow"] == pytest.approx(rate["depth^2"], rel=1e-7)
    assert (rate["printed"] < 0.95 * rate["flow"]) == (depth > 1)


# ---- Figures


def test_over_parameterised_flow_beats_vanilla_at_every_n():
    for setting in settings.RATE_SETTINGS:
        chosen = model(settings.P, settings.Q, setting.gamma, setting.n_coordinates)
        for n in settings.RATE_SAMPLES:
            trials = [rates.trial(chosen, n, r) for r in range(2)]
            assert all(t["adaptive"].error < 0.8 * t["vanilla"].error for t in trials), n


@pytest.mark.slow
def test_lines_of_figures_1_and_3():
    columns = rates.measure(True, lambda: None)["columns"]
    for column, setting in zip(columns, settings.RATE_SETTINGS, strict=True):
        for method in rates.METHODS:
            slope, _ = column[method]["error"]["line"]
            assert slope == pytest.approx(setting.error[method].slope, abs=0.05)
    times = [[c[m]["time"]["line"][0] for m in rates.METHODS] for c in columns]
    np.testing.assert_allclose(times, [[0.57, 1.0], [0.58, 2.0]], atol=0.12)
    assert columns[1]["vanilla, capped"]["time"]["line"][0] < 1.5


def test_learned_eigenvalues_grow_where_the_signal_is():
    for column in growth.measure(True, lambda: None)["depths"]:
        start, _, end = column["snapshots"]
        assert start["noise_most_growth"] == pytest.approx(1)
        assert start["gap"] < 1 < end["gap"]
        assert end["signal_least_share"] > 0.9
        assert end["noise_median_growth"] < 3
        best = column["times"][int(np.argmin(column["error"]))]
        assert 0 < best < settings.GROWTH_END[column["depth"]] / 2


def test_trigonometric_basis_is_orthonormal_and_in_order():
    indices = fourier.multi_indices(3, 3)
    assert len(indices) == (3**3 - 1) // 2
    assert np.all(np.diff(np.sum(indices**2, axis=1)) >= 0)
    assert len(fourier.square_indices(15)) == (31**2 - 1) // 2
    side = (np.arange(8) * 2 + 1) / 8 - 1
    grid = np.stack(np.meshgrid(side, side, side), axis=-1).reshape(-1, 3)
    columns = fourier.features(grid, indices)
    np.testing.assert_allclose(columns.T @ columns / len(grid), np.eye(26), atol=1e-12)


def test_coefficients_of_a_local_table(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 2))
    y = np.sin(2 * np.pi * x[:, 1]) + 0.1 * rng.normal(size=400)
    file = tmp_path / "waves.csv"
    np.savetxt(file, np.c_[x, y], delimiter=",", header="a,b,target")
    table = coefficients.from_file(file)
    indices = fourier.multi_indices(2, 8)
    found = np.abs(coefficients.empirical(table, indices, block=3))
    place = np.flatnonzero((indices == [0, 2]).all(axis=1))[0]
    assert np.argmax(found) in (2 * place, 2 * place + 1)


def stored(name):
    folder = Path(reproduce.HERE) / "results"
    return json.loads((folder / f"{name}.json").read_text())


def test_the_stored_tables_hold_what_the_page_says():
    for entry in stored("slopes")["entries"]:
        difference, error = entry["difference"], entry["paper_standard_error"]
        if entry["p"] == 3:
            assert -0.095 < difference < -0.015
            assert 0.015 < error < 0.045
            assert abs(difference) < 3.2 * error
        elif (entry["depth"], entry["gamma"]) == (1, 3.0):
            assert difference > 0.02
        else:
            assert abs(difference) < 0.025


def test_the_stored_figures_hold_what_the_page_says():
    for column in stored("rates")["columns"]:
        better, worse = (np.array(column[m]["error"]["mean"]) for m in rates.METHODS)
        assert np.all(better < worse)
    capped = column["vanilla, capped"]["time"]["line"]
    np.testing.assert_allclose(capped, [1.17, 2.02], atol=0.1)
    assert column["vanilla"]["time"]["line"][0] == pytest.approx(2, abs=0.02)
    fixed, adaptive = (stored("regression")["errors"][m] for m in ("fixed", "adaptive"))
    assert np.all(np.array(adaptive["mean"]) < np.array(fixed["mean"]) / 2)
    assert adaptive["line"][0] < fixed["line"][0]


def test_the_script_writes_what_the_page_shows(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    reproduce.main(["--quick", "--only", "growth", "--out", str(tmp_path)])
    stored = json.loads((tmp_path / "growth.json").read_text())
    assert [c["depth"] for c in stored["depths"]] == [0, 1, 3]
    before = (tmp_path / "growth.csv").read_text()
    reproduce.main(["--redraw", "--only", "growth", "--out", str(tmp_path)])
    assert (tmp_path / "growth.csv").read_text() == before
    assert (tmp_path / "growth.png").stat().st_size > 10_000
    assert "least signal term" in capsys.readouterr().out


# ---- Figure 5


def test_true_coefficients_of_the_regression_function():
    side = (np.arange(400) * 2 + 1) / 400 - 1
    points = np.column_stack([side, np.zeros(400)])
    projected = regression.design(points).T @ np.sin(regression.FREQUENCY * np.pi * side) / 400
    true = regression.true_coefficients()
    axis = np.flatnonzero(true)
    assert len(axis) == settings.REGRESSION_CUTOFF
    np.testing.assert_allclose(true[axis], projected[axis], atol=1e-3)


def test_fixed_kernel_is_the_flow_of_linear_rates():
    points, y = regression.draw(40, 0)
    columns, eigenvalues = regression.design(points), regression.kernel_eigenvalues()
    theta, step = np.zeros(len(eigenvalues)), 1e-3
    for _ in range(2000):
        theta += step * eigenvalues * (columns.T @ (y - columns @ theta)) / len(y)
    found = regression.fixed_kernel(columns, y, eigenvalues, np.array([2.0]))[0]
    assert np.linalg.norm(found - theta) < 2e-3 * np.linalg.norm(found)


@pytest.mark.slow
def test_adaptive_regression_beats_the_fixed_kernel():
    trial = regression.draw(160, 0)
    times = np.geomspace(2, 60, 15)
    adaptive = regression.error_curve(*trial, times, 0)
    fixed = regression.error_curve(*trial, regression.SEARCH["fixed"], None)
    assert adaptive.min() < 0.5 * fixed.min()
