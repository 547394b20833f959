"""The report's numbers against brute force, and its words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef

VARIANCE = 0.02**2


def report_of(signal, eigenvalues, variance=VARIANCE, **options):
    return ef.flow.misalignment_report(signal, eigenvalues, variance, **options)


def misplaced_signal():
    j = np.arange(1, 1001)
    return np.where(j % 100 == 0, 0.5, 0.0), j**-1.5


def test_counts_of_a_signal_in_the_wrong_place():
    signal, eigenvalues = misplaced_signal()
    report = report_of(signal, eigenvalues)
    assert (report.n_signal, report.span, report.n_misplaced) == (10, 1000, 10)
    assert (report.tail_energy, report.misplaced_energy) == (0.0, 1.0)
    # ESD: with k = 900 kept the tail is 0.25, 900 variances are 0.36; with 800 it is 0.5 > 0.32,
    # and from there 0.5 <= k variance never holds before the next coefficient.
    assert report.effective_span_dimension == 900
    assert report.ideal_risk == pytest.approx(10 * VARIANCE)
    assert (report.truncation_length, report.truncation_risk) == (1000, pytest.approx(0.4))


def test_the_order_of_the_input_does_not_matter():
    signal, eigenvalues = misplaced_signal()
    order = np.random.default_rng(0).permutation(signal.size)
    a, b = report_of(signal, eigenvalues), report_of(signal[order], eigenvalues[order])
    assert str(a) == str(b)
    grid = report_of(signal.reshape(10, 100), eigenvalues.reshape(10, 100))
    assert str(a) == str(grid)


@given(st.integers(0, 10_000), st.sampled_from([1e-4, 1e-2, 1.0]))
@settings(max_examples=15)
def test_truncation_and_ideal_risks_are_least_over_all_subsets_of_their_kind(seed, variance):
    rng = np.random.default_rng(seed)
    signal = rng.standard_t(1, 12) * 0.1
    eigenvalues = rng.permutation(12) + 1.0
    report = report_of(signal, eigenvalues, variance)
    ordered = signal[np.argsort(-eigenvalues)]
    risks = [k * variance + np.sum(ordered[k:] ** 2) for k in range(13)]
    assert report.truncation_risk == pytest.approx(min(risks))
    keep = (np.arange(2**12)[:, None] >> np.arange(12)) & 1
    subsets = keep @ np.full(12, variance) + (1 - keep) @ ordered**2
    assert report.ideal_risk == pytest.approx(subsets.min())


def test_the_least_risks_of_the_flows_are_what_a_dense_search_finds():
    j = np.arange(1, 401)
    signal = np.zeros(400)
    signal[np.arange(1, 21) ** 2 - 1] = 1 / np.arange(1, 21)
    eigenvalues = j**-2.0
    report = report_of(signal, eigenvalues)
    times = np.geomspace(1e-2, 1e8, 4000)
    gain = ef.flow.vanilla(1.0, eigenvalues, times)
    fixed = np.sum(((1 - gain) * signal) ** 2 + VARIANCE * gain**2, axis=1)
    assert report.fixed_risk == pytest.approx(fixed.min(), rel=1e-3)
    for depth in (0, 1):
        b0 = VARIANCE ** (1 / (2 * depth + 4)) if depth else None
        times = np.geomspace(10, 1e3, 200)
        risk = ef.flow.expected_risk(
            signal, eigenvalues, times, VARIANCE, depth=depth, b0=b0, rtol=1e-4
        )
        best = report_of(signal, eigenvalues, depth=depth)
        assert best.adaptive_risk == pytest.approx(risk.min(), rel=1e-3)
        assert best.adaptive_risk < report.fixed_risk


@pytest.mark.parametrize(("p", "q"), [(1, 2), (0.6, 1), (3, 2)])
def test_exponents_of_power_laws(p, q):
    k = np.arange(1, 31)
    signal = np.zeros(30**q)
    signal[k**q - 1] = k ** (-(p + 1) / 2)
    report = report_of(signal, np.arange(1, signal.size + 1) ** -1.5, variance=1e-8)
    assert report.order_exponent == pytest.approx(q, rel=1e-9)
    assert report.decay_exponent == pytest.approx(p, rel=1e-9)


def test_observed_coefficients_are_cut_at_the_level_that_noise_reaches():
    signal, eigenvalues = misplaced_signal()
    z = signal + 0.02 * np.random.default_rng(2).standard_normal(signal.size)
    seen = report_of(z, eigenvalues, observed=True)
    assert seen.n_signal == 10
    assert seen.fixed_risk == pytest.approx(report_of(signal, eigenvalues).fixed_risk, rel=0.05)
    assert report_of(z, eigenvalues).n_signal > 100


def test_the_words_say_who_wins():
    signal, eigenvalues = misplaced_signal()
    text = str(report_of(signal, eigenvalues))
    assert "10 of 10 (100% of their energy) lie behind the first 10" in text
    assert "Fixed eigenvalues cost" in text
    j = np.arange(1, 1001)
    assert "Growing eigenvalues cost" in str(report_of(j**-1.0, j**-1.5))
    nothing = str(report_of(np.zeros(5), np.ones(5)))
    assert "No coordinate reaches it" in nothing
    assert "nan" not in nothing


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_units_do_not_matter(scale):
    signal, _ = misplaced_signal()
    eigenvalues = np.arange(1, 1001) ** -1.5
    usual = report_of(signal, eigenvalues)
    scaled = report_of(signal * scale, eigenvalues * scale, VARIANCE * scale**2)
    assert scaled.adaptive_risk == pytest.approx(usual.adaptive_risk * scale**2, rel=1e-3)
    assert scaled.fixed_risk == pytest.approx(usual.fixed_risk * scale**2, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0], 0.0), "noise_variance: got 0.0"),
        (([1.0], [1.0], [0.1]), "noise_variance: got 1 dimensions"),
        (([], [], 0.1), r"coefficients: got shape \(0,\)"),
        (([1.0, np.inf], [1.0, 1.0], 0.1), "coefficients: got inf at position 1"),
        (([1.0, 1.0], [1.0], 0.1), r"eigenvalues: got shape \(1,\)"),
        (([1.0], [0.0], 0.1), "eigenvalues: got zeros only"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        report_of(*arguments)


def test_options_of_the_flow_are_checked():
    with pytest.raises(ValueError, match=r"^depth: got 9"):
        report_of([1.0], [1.0], depth=9)
    with pytest.raises(ValueError, match=r"^b0: got a value at depth 0"):
        report_of([1.0], [1.0], b0=1.0)
