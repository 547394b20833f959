import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import eigenflow as ef
from eigenflow._core import rank as core
from reference import rank as reference

select_rank = ef.lowrank.select_rank
SPECTRA = st.lists(st.integers(0, 30), min_size=1, max_size=12).map(
    lambda s: [float(x) for x in sorted(s, reverse=True)]
)
# To the digits that an independent quadrature gave.
OMEGA = {0.05: 1.5193, 0.1: 1.6088, 0.25: 1.8369, 0.5: 2.1712, 0.75: 2.5014, 1.0: 2.8584}


def noisy(rng, rows, cols, rank, strength, noise):
    signal = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, cols))
    return strength * signal / math.sqrt(rank) + noise * rng.normal(size=(rows, cols))


# ---- energy


@given(s=SPECTRA, share=st.integers(1, 63).map(lambda n: n / 64))
def test_energy_is_the_reference(s, share):
    assert select_rank(s, (len(s), 20), share=share) == reference.energy_rank(s, share)


@given(s=SPECTRA)
def test_all_the_energy_is_every_positive_value(s):
    assert select_rank(s, (20, len(s)), share=1.0) == sum(x > 0 for x in s)


def test_a_tiny_value_still_counts_at_share_one():
    assert select_rank([1.0, 1e-30, 0.0], (3, 3), share=1.0) == 2


def test_a_share_that_is_met_exactly_costs_no_further_rank():
    assert select_rank([3.0, 1.0], (2, 2), share=0.9) == 1
    assert select_rank([3.0], (2, 2), share=0.9, total_squared=10.0) == 1


@given(s=SPECTRA, n_given=st.integers(0, 12), share=st.integers(1, 63).map(lambda n: n / 64))
def test_leading_values_and_the_norm_give_the_rank_of_all_or_say_that_they_cannot(
    s, n_given, share
):
    want = reference.energy_rank(s, share)
    total = sum(x * x for x in s)
    if want <= n_given:
        assert select_rank(s[:n_given], (50, len(s)), share=share, total_squared=total) == want
    else:
        with pytest.raises(ValueError, match=r"^s: got \d+ of \d+ values"):
            select_rank(s[:n_given], (50, len(s)), share=share, total_squared=total)


# ---- Frobenius tolerance


@example(s=[14.0, 5.0, 2.0], tolerance=15)  # the norm is the tolerance
@given(s=SPECTRA, tolerance=st.integers(0, 100))
def test_absolute_tolerance_is_the_reference(s, tolerance):
    got = select_rank(s, (len(s), len(s)), "fro", atol=tolerance)
    assert got == reference.frobenius_rank(s, tolerance)


@pytest.mark.parametrize("rtol", [1e-1, 1e-4, 1e-9, 1e-14])
def test_relative_tolerance_far_below_the_square_root_of_precision(rtol):
    s = 10.0 ** -np.arange(16)
    assert select_rank(s, (16, 16), "fro", rtol=rtol * 2) == round(-math.log10(rtol))


def test_the_looser_of_two_tolerances_decides():
    s = [4.0, 2.0, 1.0]
    assert select_rank(s, (3, 3), "fro", rtol=0.0, atol=1.5) == 2
    assert select_rank(s, (3, 3), "fro", rtol=0.9, atol=1.5) == 1


def test_a_tolerance_below_what_a_difference_of_squares_shows_is_refused():
    s = 10.0 ** -np.arange(12)
    total = float(s @ s)
    assert select_rank(s[:8], (12, 12), "fro", rtol=2e-6, total_squared=total) == 6
    with pytest.raises(ValueError, match="out of their reach"):
        select_rank(s[:11], (12, 12), "fro", rtol=2e-9, total_squared=total)
    single = s.astype(np.float32)
    with pytest.raises(ValueError, match="out of their reach"):
        select_rank(single[:8], (12, 12), "fro", rtol=2e-6, total_squared=total)


# ---- Gavish and Donoho


@pytest.mark.parametrize(("beta", "omega"), OMEGA.items())
def test_omega_is_near_the_cubic_of_the_paper_and_has_its_own_digits(beta, omega):
    cubic = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    assert core.gavish_donoho_omega(beta) == pytest.approx(omega, abs=5.1e-5)
    assert core.gavish_donoho_omega(beta) == pytest.approx(cubic, abs=0.01)


@pytest.mark.parametrize("beta", [1e-6, 0.01, 0.3, 0.77, 1.0])
def test_the_median_is_that_of_the_density(beta):
    want = float(reference.marchenko_pastur_median(beta))
    assert core.marchenko_pastur_median(beta) == pytest.approx(want, rel=1e-13)


def test_the_limits_of_a_square_and_of_a_thin_matrix():
    assert core.gavish_donoho_lambda(1.0) == pytest.approx(4 / math.sqrt(3), rel=1e-15)
    assert core.gavish_donoho_omega(0.0) == pytest.approx(math.sqrt(2), rel=1e-12)
    assert core.marchenko_pastur_median(0.0) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("size", [-(2**31), -8, 2])
def test_the_kernel_reads_no_value_outside_the_spectrum(size):
    with pytest.raises(ValueError, match=r"^(shape: must not|leading: more)"):
        core.gavish_donoho(np.array([3.0, 2.0, 1.0]), size, size, -1.0)


@pytest.mark.parametrize("shape", [(300, 300), (200, 600), (600, 200)])
@pytest.mark.parametrize("rank", [0, 5, 20])
def test_planted_ranks_are_found_with_known_and_unknown_noise(shape, rank):
    rng = np.random.default_rng(rank)
    A = noisy(rng, *shape, rank, 3.0, 0.7) if rank else rng.normal(scale=0.7, size=shape)
    s = np.linalg.svd(A, compute_uv=False)
    assert select_rank(s, shape, "gavish-donoho", noise_std=0.7) == rank
    assert select_rank(s, shape, "gavish-donoho") == rank
    assert select_rank(s[: 101 if shape[0] != 300 else 151], shape, "gavish-donoho") == rank


def test_an_even_number_of_values_has_the_mean_of_two_as_median():
    s = [10.0, 4.0, 2.0, 1.0]
    omega = core.gavish_donoho_omega(1.0)
    assert select_rank(s, (4, 4), "gavish-donoho") == sum(x > omega * 3.0 for x in s)


def test_too_few_values_for_the_median_or_the_threshold():
    with pytest.raises(ValueError, match=r"^s: got 2 of 4 values, want at least 3"):
        select_rank([4.0, 3.0], (4, 9), "gavish-donoho")
    with pytest.raises(ValueError, match=r"^s: all 2 of 4 values"):
        select_rank([4.0, 3.0], (4, 9), "gavish-donoho", noise_std=0.01)


def test_no_noise_keeps_every_positive_value():
    assert select_rank([2.0, 1.0, 0.0], (3, 4), "gavish-donoho", noise_std=0) == 2


# ---- any rule


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_scale_does_not_matter(scale):
    s = np.array([5.0, 3.0, 1.0, 0.5])
    assert select_rank(scale * s, (4, 4)) == select_rank(s, (4, 4)) == 2
    assert select_rank(scale * s, (4, 4), "fro", rtol=0.3) == 2
    assert select_rank(scale * s, (4, 4), "fro", atol=1.2 * scale) == 2
    assert select_rank(scale * s, (4, 4), "gavish-donoho", noise_std=0.6 * scale) == 2


@pytest.mark.parametrize("rule", ["energy", "fro", "gavish-donoho"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_empty_matrices_have_rank_zero(rule, shape):
    assert select_rank([], shape, rule, **({"rtol": 0.1} if rule == "fro" else {})) == 0


@pytest.mark.parametrize("rule", ["energy", "fro", "gavish-donoho"])
def test_zero_matrices_have_rank_zero(rule):
    extra = {"rtol": 0.0} if rule == "fro" else {}
    assert select_rank(np.zeros(4), (4, 7), rule, **extra) == 0


def test_any_kind_of_vector_gives_the_same():
    s = np.array([5.0, 3.0, 1.0, 0.5])
    frozen = s.copy()
    frozen.flags.writeable = False
    reversed_view = s[::-1].copy()[::-1]
    spaced = np.repeat(s, 2)[::2]
    swapped = s.astype(s.dtype.newbyteorder())
    for same in (s, frozen, reversed_view, spaced, swapped, s.astype(np.float32), list(s)):
        assert select_rank(same, (4, 4), share=0.97) == 3
    assert select_rank([5, 3, 1], (3, 3), share=0.95) == 2
    assert select_rank([7.0], (1, 1)) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 2.0], (2, 2)), ValueError, r"^s: got 2.0 after 1.0 at position 1"),
        (([1.0, -2.0], (2, 2)), ValueError, r"^s: got -2.0 at position 1"),
        (([np.nan], (1, 1)), ValueError, r"^s: got nan at position 0"),
        (([np.inf, 1.0], (2, 2)), ValueError, r"^s: got inf at position 0"),
        (([[1.0]], (1, 1)), ValueError, r"^s: got 2 dimensions"),
        (([1j], (1, 1)), TypeError, r"^s: got dtype complex128"),
        (([2.0, 1.0], (1, 3)), ValueError, r"^s: got 2 values, want at most min\(shape\) = 1"),
        (([1.0], (1, -1)), ValueError, r"^shape: "),
        (([1.0], (1, 2, 3)), TypeError, r"^shape: "),
        (([1.0], 3), TypeError, r"^shape: "),
        (([1.0], (1, 1), "best"), ValueError, r"^rule: got 'best', want one of 'energy', 'fro'"),
        (([1.0], (1, 1), "parallel"), TypeError, r"^A: missing"),
        (([1.0], (1, 1), "spectral"), TypeError, r"^rtol: missing; rule 'spectral'"),
        (([2.0], (1, 3), "spectral"), TypeError, r"^rtol: missing; rule 'spectral'"),
        (([1.0], (1, 1), "fro"), TypeError, r"^rtol: missing"),
        (([1.0], (2, 2)), TypeError, r"^total_squared: missing"),
    ],
)
def test_what_is_wrong_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        select_rank(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"share": 0.0}, ValueError, r"^share: got 0.0"),
        ({"share": 1.5}, ValueError, r"^share: got 1.5"),
        ({"share": math.nan}, ValueError, r"^share: got nan"),
        ({"share": "most"}, TypeError, r"^share: got 'most'"),
        ({"rtol": 0.1}, TypeError, r"^rtol: not used by rule 'energy'"),
        ({"noise_std": 0.1}, TypeError, r"^noise_std: not used by rule 'energy'"),
        ({"A": np.eye(2)}, TypeError, r"^A: not used"),
        ({"rule": "fro", "rtol": -1}, ValueError, r"^rtol: got -1.0"),
        ({"rule": "fro", "atol": math.inf}, ValueError, r"^atol: got inf"),
        ({"rule": "gavish-donoho", "noise_std": -1}, ValueError, r"^noise_std: got -1.0"),
        ({"total_squared": 1.0}, ValueError, r"^total_squared: got 1.0, less than the squares"),
        ({"total_squared": math.nan}, ValueError, r"^total_squared: got nan"),
    ],
)
def test_options_out_of_range_are_named(options, error, message):
    with pytest.raises(error, match=message):
        select_rank([2.0, 1.0], (2, 2), **options)
