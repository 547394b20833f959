"""FlowDenoiser: scikit-learn's rules, its steps one by one, and what it gains."""

import sys
from itertools import product

import numpy as np
import pytest
from sklearn.datasets import load_sample_image
from sklearn.utils.estimator_checks import parametrize_with_checks

import eigenflow as ef
from eigenflow.estimators import FlowDenoiser

CHECKED = [FlowDenoiser(), FlowDenoiser("sym4", depth=1, stopping="universal")]

RULES = ["sure", "discrepancy", 20.0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(CHECKED)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def noisy_signal(n=512, std=0.3, seed=0):
    x = (np.arange(n) + 0.5) / n
    clean = np.sin(12 * x) + np.sign(x - 0.4)
    return clean, clean + std * np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize(("depth", "stopping"), list(product([0, 1], RULES)))
def test_the_steps_are_a_transform_a_flow_and_its_stop(depth, stopping):
    _, y = noisy_signal()
    denoiser = FlowDenoiser(depth=depth, stopping=stopping, noise_std=0.3, smoothness=0.8)
    design = ef.flow.CosineDesign(y.size)
    eigenvalues = design.sobolev_eigenvalues(0.8)
    z = design.analysis((y - y.mean()) / y.std())
    variance = 0.3**2 / y.std() ** 2 / y.size
    flow = {"depth": depth, "b0": ef.flow.universal_choice(variance, depth=depth).b0}
    time = stopping
    if isinstance(stopping, str):
        time = ef.flow.stopping_time(z, eigenvalues, variance, stopping, **flow)
    theta = ef.flow.solve(z, eigenvalues, time, **flow)
    found = denoiser.explain(y)
    assert found.stopping_time == pytest.approx(time, rel=1e-6)
    np.testing.assert_allclose(found.coefficients, theta, rtol=0, atol=1e-7)
    wanted = design.synthesis(theta) * y.std() + y.mean()
    np.testing.assert_allclose(denoiser.denoise(y), wanted, rtol=0, atol=1e-6)
    learned = ef.flow.learned_eigenvalues(found.coefficients, eigenvalues, **flow)
    np.testing.assert_allclose(found.learned_eigenvalues, learned, rtol=1e-12)


@pytest.mark.parametrize("basis", ["cosine", "fourier", "haar", "sym4"])
def test_noise_is_estimated_and_removed(basis):
    losses, levels = [], []
    for seed in range(5):
        clean, y = noisy_signal(seed=seed)
        found = FlowDenoiser(basis).explain(y)
        losses.append(np.mean((found.estimate - clean) ** 2))
        levels.append(found.noise_std)
    assert np.mean(levels) == pytest.approx(0.3, rel=0.1)
    assert np.mean(losses) < 0.25 * 0.3**2


def test_the_risk_is_the_expected_loss():
    clean, _ = noisy_signal()
    risks, losses = [], []
    for seed in range(40):
        y = clean + 0.3 * np.random.default_rng(seed).normal(size=clean.size)
        found = FlowDenoiser(noise_std=0.3, stopping=30.0).explain(y)
        risks.append(np.interp(30.0, found.times, found.risk))
        losses.append(np.mean((found.estimate - clean) ** 2))
    assert np.mean(risks) == pytest.approx(np.mean(losses), rel=0.1)


def test_sure_stops_where_the_drawn_risk_is_least():
    _, y = noisy_signal()
    found = FlowDenoiser().explain(y)
    least = found.times[np.argmin(found.risk)]
    assert least == pytest.approx(found.stopping_time, rel=0.15)
    ax = found.plot()
    import matplotlib.pyplot as plt

    plt.close(ax.figure)


@pytest.mark.parametrize("basis", ["cosine", "haar", "sym4"])
def test_a_photograph_beats_soft_thresholding_in_the_same_basis(basis):
    clean = load_sample_image("flower.jpg")[100:228, 200:328].mean(axis=2) / 255
    noisy = clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape)
    shape = clean.shape
    design = {
        "cosine": ef.flow.CosineDesign(shape),
        "haar": ef.flow.HaarDesign(shape),
        "sym4": ef.flow.WaveletDesign(shape, "sym4"),
    }[basis]
    z, level = design.analysis((noisy - noisy.mean()).ravel()), 0.1 / noisy.size**0.5
    cuts = level * np.linspace(0, 5, 101)[:, None]
    risk = np.sum(np.minimum(np.abs(z), cuts) ** 2 + 2 * level**2 * (np.abs(z) > cuts), axis=1)
    cut = cuts[np.argmin(risk)]
    soft = design.synthesis(np.sign(z) * np.maximum(np.abs(z) - cut, 0)).reshape(shape)
    rival = np.mean((soft + noisy.mean() - clean) ** 2)
    ours = np.mean((FlowDenoiser(basis, noise_std=0.1).denoise(noisy) - clean) ** 2)
    assert ours < rival < 0.1**2


@pytest.mark.parametrize("basis", ["cosine", "haar", "db2"])
def test_units_and_offsets_go_through(basis):
    _, y = noisy_signal(200)
    denoiser = FlowDenoiser(basis)
    usual = denoiser.denoise(y)
    np.testing.assert_allclose(denoiser.denoise(-3 * y + 7), -3 * usual + 7, rtol=0, atol=1e-5)
    for scale in (1e-200, 1e200):
        np.testing.assert_allclose(denoiser.denoise(y * scale) / scale, usual, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (1, 1), (5, 1), (1, 7, 2), (13, 9)])
@pytest.mark.parametrize("basis", ["cosine", "fourier", "haar", "db2"])
def test_any_shape(basis, shape):
    x = np.random.default_rng(0).normal(size=shape)
    kept = x.copy()
    out = FlowDenoiser(basis).denoise(x)
    assert out.shape == shape
    assert np.all(np.isfinite(out))
    np.testing.assert_array_equal(x, kept)


def test_what_has_no_noise_stays():
    denoiser = FlowDenoiser("haar")
    for x in (np.full(8, 3.0), np.zeros(5), np.repeat([0.0, 1.0], 4), np.array([[2.0]])):
        np.testing.assert_array_equal(denoiser.denoise(x), x)
    assert denoiser.explain(np.zeros(5)).stopping_time == np.inf


def test_times_zero_and_infinity_give_the_mean_and_the_signal():
    _, y = noisy_signal(64)
    mean = FlowDenoiser(stopping=0, noise_std=1.0).denoise(y)
    np.testing.assert_allclose(mean, y.mean(), rtol=1e-12)
    np.testing.assert_allclose(FlowDenoiser(stopping=np.inf, noise_std=1.0).denoise(y), y)


def test_rows_and_channels_are_denoised_by_themselves():
    rows = np.stack([noisy_signal(64, seed=s)[1] for s in range(3)])
    denoiser = FlowDenoiser()
    each = np.stack([denoiser.denoise(row) for row in rows])
    np.testing.assert_array_equal(denoiser.fit_transform(rows), each)
    np.testing.assert_array_equal(denoiser.denoise(rows.T, channel_axis=-1), each.T)
    assert not np.allclose(denoiser.denoise(rows), each)


def test_layouts_and_dtypes():
    rows = np.stack([noisy_signal(64, seed=s)[1] for s in range(6)])
    usual = FlowDenoiser().denoise(rows)
    frozen = np.asfortranarray(rows)
    frozen.setflags(write=False)
    np.testing.assert_array_equal(FlowDenoiser().denoise(frozen), usual)
    np.testing.assert_array_equal(
        FlowDenoiser().denoise(rows[::-2, ::3]), FlowDenoiser().denoise(rows[::-2, ::3].copy())
    )
    small = FlowDenoiser().denoise(rows.astype(np.float32))
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, usual, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basis": "nothing"}, "basis: got 'nothing', want 'cosine', 'fourier', 'haar'"),
        ({"basis": "bior2.2"}, "basis: got 'bior2.2'"),
        ({"smoothness": -1}, "smoothness: got -1"),
        ({"depth": 9}, "depth: got 9"),
        ({"b0": 1.0}, "b0: got a value at depth 0"),
        ({"depth": 1, "b0": 0.0}, "b0: got 0.0"),
        ({"coupling": "none"}, "coupling: got 'none'"),
        ({"noise_std": 0}, "noise_std: got 0"),
        ({"stopping": "cv"}, "stopping: got 'cv', want 'sure', 'discrepancy', 'universal'"),
        ({"stopping": -1.0}, "stopping: got -1.0"),
    ],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        FlowDenoiser(**options).fit(np.zeros((1, 8)))
    with pytest.raises(ValueError, match=f"^{message}"):
        FlowDenoiser(**options).denoise(np.zeros(8))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([1.0, np.nan]), "x: got nan at position 1"),
        (np.zeros(0), r"x: got shape \(0,\)"),
        (1.0, r"x: got shape \(\)"),
    ],
)
def test_bad_signals_are_named(x, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        FlowDenoiser().denoise(x)


def test_a_wrong_channel_axis_is_named():
    with pytest.raises(ValueError, match=r"^channel_axis: got 2"):
        FlowDenoiser().denoise(np.zeros((3, 4)), channel_axis=2)


def test_wavelets_name_their_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(ImportError, match=r"pip install eigenflow\[wavelets\]"):
        FlowDenoiser("db2").denoise(np.zeros(8))
