"""RandomizedSVD: scikit-learn's rules, and the results of TruncatedSVD and PCA."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import eigenflow as ef
from eigenflow.estimators import RandomizedSVD
from reference import lowrank as truth

DIGITS = load_digits().data
KINDS = {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_array}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        RandomizedSVD(1, workers=1),
        RandomizedSVD(0.8, center=True, workers=1),
        RandomizedSVD(None, center=True),
    ]
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def same(ours, theirs, names, rtol):
    for name in names:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol, atol=rtol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_truncated_svd(kind, dtype):
    X = KINDS[kind](DIGITS.astype(dtype))
    ours = RandomizedSVD(12).fit(X)
    theirs = TruncatedSVD(12, algorithm="arpack", tol=1e-12).fit(X.astype(np.float64))
    rtol = 1e-4 if dtype == np.float32 else 1e-6
    names = ("singular_values_", "explained_variance_", "explained_variance_ratio_")
    same(ours, theirs, (*names, "components_"), rtol)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), rtol, atol=200 * rtol)
    assert ours.mean_ is None
    assert {ours.components_.dtype, ours.transform(X).dtype} == {np.dtype(dtype)}
    left = np.linalg.norm(DIGITS - ours.inverse_transform(ours.transform(X)))
    assert ours.error_ == pytest.approx(left, rel=1e-4)
    assert ours.relative_error_ == pytest.approx(left / np.linalg.norm(DIGITS), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", [5, None, 0.8, 0.999])
def test_pca(kind, wanted):
    X = KINDS[kind](DIGITS)
    ours = RandomizedSVD(wanted, center=True).fit(X)
    theirs = PCA(wanted, svd_solver="full").fit(DIGITS)
    assert ours.n_components_ == theirs.n_components_
    names = ("mean_", "singular_values_", "explained_variance_", "explained_variance_ratio_")
    same(ours, theirs, names, 1e-6)
    real = theirs.singular_values_ > 1e-9  # constant columns leave directions without variance
    overlap = np.abs(np.sum(ours.components_ * theirs.components_, axis=1))[real]
    np.testing.assert_allclose(overlap, 1, atol=1e-6)
    np.testing.assert_allclose(
        ours.inverse_transform(ours.transform(X)),
        theirs.inverse_transform(theirs.transform(DIGITS)),
        atol=2e-3,
    )


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("shape", [(300, 500), (500, 300)])
def test_fit_transform_is_transform(shape, center):
    X = truth.with_spectrum(shape, truth.decay("harmonic", min(shape)), seed=1) + 0.1
    model = RandomizedSVD(6, center=center)
    scores = model.fit_transform(X)
    np.testing.assert_array_equal(scores, model.transform(X))
    np.testing.assert_array_equal(scores, RandomizedSVD(6, center=center).fit(X).transform(X))
    names = model.get_feature_names_out()
    assert names.tolist() == [f"randomizedsvd{i}" for i in range(6)]


@pytest.mark.parametrize("rule", ["gavish-donoho", "parallel"])
def test_rules_find_the_signal(rule):
    rng = np.random.default_rng(0)
    X = truth.with_spectrum((200, 120), np.array([90.0, 70, 60, 55]), seed=2)
    X += rng.normal(size=X.shape) + 3
    model = RandomizedSVD(rule, center=True).fit(X)
    assert model.n_components_ == 4
    assert RandomizedSVD(rule, center=True).fit(np.tile(rng.normal(size=9), (5, 1))).n_components_


def test_a_share_is_the_least_number_of_components():
    s = np.linalg.svd(DIGITS, compute_uv=False)
    kept = np.cumsum(s**2) / np.sum(s**2)
    for share in (0.5, 0.9, 0.99):
        assert RandomizedSVD(share).fit(DIGITS).n_components_ == np.argmax(kept >= share) + 1


def test_means_far_above_the_deviations():
    X = DIGITS[:300].astype(np.float32)
    near, far = (RandomizedSVD(3, center=True).fit(X + shift) for shift in (0, 4096))
    np.testing.assert_allclose(far.singular_values_, near.singular_values_, rtol=1e-5)


def test_zero_and_constant_data():
    for center in (False, True):
        model = RandomizedSVD(2, center=center).fit(np.zeros((6, 4)))
        assert not model.explained_variance_ratio_.any()
        assert model.error_ == model.relative_error_ == 0
    constant = RandomizedSVD(0.5, center=True).fit(np.ones((6, 4)))
    assert constant.n_components_ == 1
    np.testing.assert_allclose(constant.inverse_transform(constant.transform(np.ones((2, 4)))), 1)


def test_seeds_and_pipelines():
    X = truth.with_spectrum((400, 300), truth.decay("root", 300), seed=4)
    first, again = (RandomizedSVD(5, random_state=3).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.components_, again.components_)
    before = X.copy()
    model = make_pipeline(StandardScaler(), RandomizedSVD(4)).set_output(transform="default")
    assert model.fit_transform(X).shape == (400, 4)
    np.testing.assert_array_equal(X, before)
    assert "RandomizedSVD" in ef.estimators.__all__


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("wanted", [0, 7, -1, 1.5, 1.0001, "mle", True, "parallel"])
def test_bad_numbers_of_components(wanted, center):
    X = sp.csr_array(np.arange(60.0).reshape(10, 6))
    with pytest.raises(ValueError, match=r"^n_components: got"):
        RandomizedSVD(wanted, center=center).fit(X)


def test_other_bad_parameters():
    with pytest.raises(ValueError, match=r"^oversampling: got -1"):
        RandomizedSVD(oversampling=-1).fit(DIGITS)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        RandomizedSVD().fit([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        RandomizedSVD(1, center=True).fit([[1.0, 2.0]])
