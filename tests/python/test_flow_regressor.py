"""FlowRegressor: scikit-learn's rules, its steps one by one, and what it learns."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

import eigenflow as ef
from eigenflow.estimators import FlowRegressor
from eigenflow.estimators._features import lowest_indices

TIMES = np.geomspace(1, 300, 8)
CHECKED = [
    FlowRegressor(n_features=20, cv=2, workers=1, times=TIMES),
    FlowRegressor("features", depth=1, stopping="sure", workers=1, times=[1.0, 10.0, 100.0]),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(CHECKED)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def wave(n=150, std=0.3, seed=0):
    """A wave along the first of two columns."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    clean = np.sin(2 * np.pi * X[:, 0])
    return X, clean, clean + std * rng.normal(size=n)


def small(**options):
    return FlowRegressor(**({"n_features": 60, "workers": 1, "times": TIMES} | options))


def test_the_steps_are_a_design_a_flow_and_its_stop():
    X, _, y = wave()
    model = small(smoothness=1.2, depth=1, b0=0.4, stopping=20.0).fit(X, y)
    m = model.frequencies_
    unit = (X - X.min(axis=0)) / np.ptp(X, axis=0)
    E = np.prod(np.where(m > 0, np.sqrt(2), 1) * np.cos(np.pi * unit[:, None] * m), axis=2)
    eigenvalues = (1.0 + np.sum(m**2, axis=1)) ** -1.2
    scaled = (y - y.mean()) / y.std()
    path = ef.flow.fit(E, scaled, eigenvalues, 20.0, depth=1, b0=0.4, rtol=1e-4, workers=1)
    np.testing.assert_allclose(model.coef_, path.coefficients * y.std(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        model.predict(X), path.fitted_values * y.std() + y.mean(), rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(model.learned_eigenvalues_, path.learned_eigenvalues, rtol=1e-2)
    assert (model.stopping_time_, model.risk_, model.times_.tolist()) == (20.0, None, [20.0])


def test_cross_validation_is_what_it_says():
    X, _, y = wave(60)
    folds = KFold(3, shuffle=True, random_state=5)
    model = small(cv=folds).fit(X, y)
    E, scaled = model._features(X), (y - y.mean()) / y.std()
    missed = np.empty((TIMES.size, y.size))
    for train, test in folds.split(X):
        mean = scaled[train].mean()
        path = ef.flow.fit(
            E[train], scaled[train] - mean, model.eigenvalues_, TIMES, rtol=1e-4, workers=1
        )
        missed[:, test] = scaled[test] - mean - path.predict(E[test])
    np.testing.assert_allclose(model.risk_, np.mean(missed**2, axis=1) * y.var(), rtol=1e-3)
    assert model.stopping_time_ == TIMES[np.argmin(model.risk_)]
    np.testing.assert_array_equal(model.coef_, small(cv=3, random_state=5).fit(X, y).coef_)


def test_sure_estimates_the_loss_of_the_fitted_values():
    risks, losses = [], []
    for seed in range(12):
        X, clean, y = wave(80, std=0.5, seed=seed)
        model = small(stopping="sure", noise_std=0.5, n_features=40, times=[3.0, 10.0, 100.0])
        model.fit(X, y)
        fitted = model.path_.fitted_values * y.std() + y.mean()
        risks.append(model.risk_)
        losses.append(np.mean((fitted - clean) ** 2, axis=1))
    difference = np.array(risks) - losses
    spread = difference.std(axis=0, ddof=1) / np.sqrt(len(risks))
    assert np.all(np.abs(difference.mean(axis=0)) < 3 * spread + 0.005)
    assert np.argmin(np.mean(risks, axis=0)) == np.argmin(np.mean(losses, axis=0))


@pytest.mark.parametrize("basis", ["cosine", "fourier", "haar"])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_wave_is_learnt_and_its_eigenvalues_grow(basis, depth):
    X, clean, y = wave()
    model = small(basis=basis, depth=depth).fit(X, y)
    steps = 0.08 if basis == "haar" else 0.0  # what steps of 1 / 8 of the range cannot follow
    assert np.mean((model.predict(X) - clean) ** 2) < 0.5 * 0.3**2 + steps
    start = model.eigenvalues_ * y.size ** (-depth / (depth + 2))  # times b0^(2 depth)
    growth = model.learned_eigenvalues_ / start
    strongest = np.argmax(np.abs(model.coef_))
    assert model.frequencies_[strongest, 1] == 0
    assert growth[strongest] > 5 * np.median(growth)


def test_noise_is_estimated_from_neighbours():
    X, _, y = wave(800)
    model = small(stopping="sure", times=[10.0]).fit(X, y)
    assert model.noise_std_ == pytest.approx(0.3, rel=0.15)


def test_given_features_and_callables():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 30)) * np.geomspace(1e-3, 1e3, 30) + 5
    y = 2 * X[:, 15] / X[:, 15].std() - X[:, 3] / X[:, 3].std() + 7 + 0.1 * rng.normal(size=80)
    model = small(basis="features").fit(X, y)
    np.testing.assert_allclose(X @ model.coef_ + model.intercept_, model.predict(X), rtol=1e-9)
    effect = model.coef_ * X.std(axis=0)
    np.testing.assert_allclose(effect[[15, 3]], [2, -1], atol=0.1)
    assert np.abs(np.delete(effect, [3, 15])).max() < 0.1
    assert model.frequencies_ is None
    squares = small(basis=lambda rows: np.column_stack((rows, rows**2))).fit(X, y)
    assert squares.coef_.shape == (60,)


def test_a_constant_feature_is_left_to_the_intercept():
    X, _, y = wave(40)
    model = small(basis="features").fit(np.column_stack((X, np.full(40, 0.1))), y)
    assert model.coef_[2] == 0


def test_a_sparse_signal_is_found_among_many_features():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 150))
    y = X[:, 5] - X[:, 70] + 0.2 * rng.normal(size=60)
    test = rng.normal(size=(500, 150))
    wanted = test[:, 5] - test[:, 70]
    model = small(basis="features").fit(X, y)
    rival = RidgeCV(np.geomspace(1e-2, 1e4, 30)).fit(X, y)
    loss, rival_loss = (np.mean((m.predict(test) - wanted) ** 2) for m in (model, rival))
    assert loss < 0.1 * rival_loss


def test_scales_and_offsets_of_y_and_of_columns_go_through():
    X, _, y = wave(60)
    usual = small().fit(X, y)
    moved = small().fit(X * [1e-200, 1e150] + [0, 1e150], 1e100 * y - 3)
    assert moved.stopping_time_ == usual.stopping_time_
    np.testing.assert_allclose(moved.coef_ / 1e100, usual.coef_, rtol=0, atol=1e-5)


def test_outside_the_range_the_function_keeps_its_value_or_repeats():
    x = np.linspace(0, 1, 50)[:, None]
    y = np.cos(2 * np.pi * x[:, 0]) + x[:, 0]
    cosine = small().fit(x, y)
    np.testing.assert_array_equal(cosine.predict([[-3.0], [9.0]]), cosine.predict([[0.0], [1.0]]))
    fourier = small(basis="fourier").fit(x, y)
    np.testing.assert_allclose(fourier.predict([[2.25]]), fourier.predict([[0.25]]), rtol=1e-9)


@pytest.mark.parametrize("name", ["cosine", "fourier", "haar"])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_the_lowest_frequencies_come_in_whole_shells(name, columns):
    indices = lowest_indices(name, columns, 60, None)
    some = {"cosine": np.arange(64), "fourier": (np.arange(64) + 1) // 2}
    powers = 2 ** np.floor(np.log2(np.maximum(np.arange(64), 1)))
    axis = some.get(name, np.where(np.arange(64) > 0, powers, 0)).astype(int)
    every = np.stack(np.meshgrid(*[np.arange(64)] * columns, indexing="ij"), -1)
    sums = np.sum(axis[every.reshape(-1, columns)] ** 2, axis=1)
    chosen = np.sum(axis[indices] ** 2, axis=1)
    assert np.all(np.diff(chosen) >= 0)
    assert len(np.unique(indices, axis=0)) == len(indices) <= 60
    assert len(indices) == np.sum(sums <= chosen[-1])
    assert np.sum(sums <= sums[sums > chosen[-1]].min()) > 60
    few = lowest_indices(name, columns, 60, 2)
    assert axis[few].max() == 2


def test_constant_targets_and_two_samples():
    X, _, _ = wave(20)
    model = small().fit(X, np.full(20, 4.0))
    np.testing.assert_array_equal(model.predict(X), np.full(20, 4.0))
    two = small().fit([[0.0], [1.0]], [1.0, 3.0])
    assert np.all(np.isfinite(two.predict([[0.5]])))


def test_the_plot_shows_the_risk():
    from matplotlib.figure import Figure

    X, _, y = wave(40)
    ax = Figure().subplots()
    model = small(times=[0.0, 1.0, 10.0, np.inf]).fit(X, y)
    assert model.plot(ax) is ax
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), model.risk_[1:3])
    with pytest.raises(ValueError, match=r"^stopping: was the fixed time 3.0"):
        small(stopping=3.0).fit(X, y).plot(ax)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basis": "sym4"}, "basis: got 'sym4', want 'cosine', 'fourier', 'haar', 'features'"),
        ({"basis": lambda rows: rows[:3]}, r"basis: got features of shape \(3, 2\)"),
        ({"n_features": 0}, "n_features: got 0"),
        ({"max_frequency": 1.5}, "max_frequency: got 1.5"),
        ({"smoothness": 0}, "smoothness: got 0"),
        ({"eigenvalues": [1.0, 2.0]}, "eigenvalues: got 2, want 1 or"),
        ({"eigenvalues": -1.0}, "eigenvalues: got -1.0"),
        ({"depth": -1}, "depth: got -1"),
        ({"stopping": "universal"}, "stopping: got 'universal', want 'cv', 'sure'"),
        ({"times": []}, "times: got none"),
        ({"times": [-1.0]}, "times: got -1.0"),
        ({"cv": 1}, "cv: got 1"),
        ({"cv": ShuffleSplit(2), "noise_std": -1}, "noise_std: got -1"),
        ({"rtol": 1.0}, "rtol: got 1.0"),
    ],
)
def test_bad_parameters_are_named(options, message):
    X, _, y = wave(20)
    with pytest.raises(ValueError, match=f"^{message}"):
        small(**options).fit(X, y)


def test_bad_data_are_named():
    X, _, y = wave(20)
    with pytest.raises(ValueError, match=r"^X: got a constant column 1"):
        small().fit(X * [1, 0], y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        small().fit(X, np.where(y > 0, y, np.nan))
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        small().fit(X[:1], y[:1])
