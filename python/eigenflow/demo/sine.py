"""A photograph as a matrix: low rank against sine-activated low rank at equal parameter counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eigenflow as ef
from eigenflow.demo.report import COLOURS, Picture, Section, Table, subplots

RANK = 8
SIDE = 192
FREQUENCIES = (0.01, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
MAX_ITERATIONS = 120
N_STEPS = 3 + len(FREQUENCIES)

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """Factors found at one frequency, and how well the sine of their product fits."""

    frequency: float
    U: Matrix
    V: Matrix
    scale: float
    matrix: Matrix
    error: float
    stable_rank: float
    start_stable_rank: float


def photograph() -> Matrix:
    """Brightness of scikit-learn's flower: a square of it, 2x2 means, mean 0, variance 1."""
    from sklearn.datasets import load_sample_image

    grey = load_sample_image("flower.jpg")[20 : 20 + 2 * SIDE, 130 : 130 + 2 * SIDE].mean(axis=2)
    small = grey.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
    return np.asarray((small - small.mean()) / small.std())


def stable_rank(W: Matrix) -> float:
    """Squared Frobenius norm over squared spectral norm."""
    return float((W**2).sum() / np.linalg.norm(W, 2) ** 2)


def truncated_svd(A: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """Balanced factors of the best matrix of this rank."""
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    root = np.sqrt(s[:rank])
    return U[:, :rank] * root, Vh[:rank].T * root


def relative_error(A: Matrix, W: Matrix) -> float:
    """Frobenius error relative to the norm of A."""
    return float(np.linalg.norm(A - W) / np.linalg.norm(A))


def fit_sine(A: Matrix, U0: Matrix, V0: Matrix, frequency: float) -> Fit:
    """Minimise ||A - scale sin(frequency U V^T)||_F from the given low-rank factors by L-BFGS.

    The start has ``|U V^T| <= 1``, so `frequency` is its largest phase in radians, and its sine is
    the low-rank matrix itself as the frequency goes to zero.
    """
    from scipy import optimize

    minimize: Any = optimize.minimize

    (m, k), n = U0.shape, len(V0)
    largest = np.abs(U0 @ V0.T).max()
    start = (U0 / np.sqrt(largest), V0 / np.sqrt(largest))

    def unpack(x: Matrix) -> tuple[Matrix, Matrix, float]:
        # Scaled so that every variable moves the fit by a like amount at any frequency.
        return x[: m * k].reshape(m, k), x[m * k : -1].reshape(n, k), float(x[-1]) / frequency

    def loss(x: Matrix) -> tuple[float, Matrix]:
        U, V, scale = unpack(x)
        phase = frequency * (U @ V.T)
        sine = np.sin(phase)
        residual = scale * sine - A
        # dL/dU = P V and dL/dV = P^T U with P = omega scale cos(phase) o residual.
        P = frequency * scale * np.cos(phase) * residual
        slope = np.vdot(residual, sine) / frequency
        gradient = np.concatenate([(P @ V).ravel(), (P.T @ U).ravel(), [slope]])
        return 0.5 * float(np.vdot(residual, residual)), gradient

    x0 = np.concatenate([start[0].ravel(), start[1].ravel(), [largest]])
    options = {"maxiter": MAX_ITERATIONS, "maxcor": 20}
    found = minimize(loss, x0, jac=True, method="L-BFGS-B", options=options)
    U, V, scale = unpack(found.x)
    W = np.asarray(ef.sine.SineLowRank(U, V, frequency, gain=1 / scale).toarray())
    before = ef.sine.SineLowRank(*start, frequency).toarray()
    return Fit(frequency, U, V, scale, W, relative_error(A, W), stable_rank(W), stable_rank(before))


def run(step: Callable[[str], None]) -> Section:
    """Fit one photograph at several frequencies, and compare with the truncated SVD."""
    from threadpoolctl import threadpool_limits

    step("sine: preparing a photograph")
    A = photograph()
    U, V = truncated_svd(A, RANK)
    fits = []
    with threadpool_limits(limits=1, user_api="blas"):  # matrices this small lose to more threads
        for frequency in FREQUENCIES:
            step(f"sine: fitting at frequency {frequency:g}")
            fits.append(fit_sine(A, U, V, frequency))
    step("sine: comparing ranks")
    s = np.linalg.svd(A, compute_uv=False)
    svd_errors = np.sqrt(np.maximum(1 - np.cumsum(s**2) / (s**2).sum(), 0))
    step("sine: drawing")
    return _section(A, U @ V.T, fits, svd_errors)


def matching_rank(error: float, svd_errors: Matrix) -> int:
    """Smallest rank whose truncated SVD is at least as good."""
    return int(np.argmax(svd_errors <= error)) + 1


def _section(A: Matrix, low_rank: Matrix, fits: list[Fit], svd_errors: Matrix) -> Section:
    best = min(fits, key=lambda fit: fit.error)
    svd_error = float(svd_errors[RANK - 1])
    equal = matching_rank(best.error, svd_errors)
    gain = 1 - best.error / svd_error
    parameters = 2 * SIDE * RANK
    rows = [
        ("low rank (truncated SVD)", f"{RANK}", f"{parameters:,}", "-", f"{svd_error:.4f}"),
        *(_row(fit, parameters) for fit in fits),
        (
            "low rank, as good as the best sine",
            f"{equal}",
            f"{2 * SIDE * equal:,}",
            "-",
            f"{svd_errors[equal - 1]:.4f}",
        ),
    ]
    columns = ("matrix", "k", "parameters", "frequency", "relative error")
    caption = "Relative Frobenius error; parameters of both factors, and one scale for the sine."
    return Section(
        title="sine",
        question="how much rank can one frequency add for no parameters?",
        text=_text(A, fits, best, svd_error, equal, gain),
        summary=[
            (f"error of rank {RANK} ({parameters:,} parameters)", f"{svd_error:.4f}"),
            (
                f"error of its sine at frequency {best.frequency:g}",
                f"{best.error:.4f} ({gain:.1%} lower; low rank needs rank {equal} for that)",
            ),
        ],
        tables=[Table(columns, rows, caption)],
        pictures=[
            _curves(A, fits, svd_errors, equal),
            _images(A, low_rank, best, fits[-1], svd_error),
        ],
    )


def _row(fit: Fit, parameters: int) -> tuple[str, ...]:
    return (
        "sine of low rank",
        f"{RANK}",
        f"{parameters + 1:,}",
        f"{fit.frequency:g}",
        f"{fit.error:.4f}",
    )


def _text(
    A: Matrix, fits: list[Fit], best: Fit, svd_error: float, equal: int, gain: float
) -> list[str]:
    control, worst = fits[0], fits[-1]
    return [
        (
            f"The matrix is a {SIDE} by {SIDE} photograph. The truncated SVD of rank {RANK} is the "
            "best low-rank matrix there is. The sine of a product of the same size, fitted by "
            "L-BFGS from the SVD's factors, has the same parameters and one scale."
        ),
        (
            f"Control: at frequency {control.frequency:g} the sine is linear, and its error "
            f"{control.error:.4f} is that of low rank ({svd_error:.4f})."
        ),
        (
            f"At frequency {best.frequency:g} the error falls to {best.error:.4f}, {gain:.1%} "
            f"below low rank. Low rank needs rank {equal} for that, {equal / RANK - 1:.0%} more "
            f"parameters. At frequency {worst.frequency:g} the error is {worst.error:.4f}: the "
            "sine folds the start beyond what the fit can repair, and low rank wins."
        ),
        (
            "The frequency alone lifts the stable rank of the unfitted sine from "
            f"{control.start_stable_rank:.1f} to {worst.start_stable_rank:.1f}; a random matrix "
            f"of this size has about {SIDE / 4:.0f}. The photograph has {stable_rank(A):.1f}: "
            "rank is not what it lacks, and the gain here is modest."
        ),
    ]


def _curves(A: Matrix, fits: list[Fit], svd_errors: Matrix, equal: int) -> Picture:
    figure, (left, right) = subplots(2)
    x = [fit.frequency for fit in fits]
    left.plot(x, [f.error for f in fits], "o-", color=COLOURS["orange"], label="sine, fitted")
    for rank, style in ((RANK, "-"), (equal, "--")):
        label = f"truncated SVD, rank {rank}"
        left.axhline(svd_errors[rank - 1], color=COLOURS["blue"], ls=style, label=label)
    left.set(xscale="log", ylabel="relative error", title=f"Error with k = {RANK}")
    right.plot(x, [f.stable_rank for f in fits], "o-", color=COLOURS["orange"], label="fitted")
    unfitted = [f.start_stable_rank for f in fits]
    right.plot(
        x, unfitted, "s-", color=COLOURS["grey"], label="sine of the SVD's factors, unfitted"
    )
    right.axhline(stable_rank(A), color=COLOURS["blue"], ls=":", label="the photograph")
    right.set(xscale="log", ylabel="stable rank", title="Stable rank")
    for axes in (left, right):
        axes.set_xlabel("frequency (largest starting phase, radians)")
        axes.legend(fontsize=8.5, loc="upper left", frameon=False)
    caption = (
        "Left: below the solid line the sine beats low rank at equal parameter counts. Right: the "
        "frequency alone raises the stable rank; the fit keeps what the photograph needs."
    )
    return Picture("sine-frequency", figure, caption)


def _images(A: Matrix, low_rank: Matrix, best: Fit, last: Fit, svd_error: float) -> Picture:
    figure, axes = subplots(4, width=9.0, height=2.75)
    shown = [
        (A, f"photograph\n{SIDE} x {SIDE}"),
        (low_rank, f"low rank, k = {RANK}\nerror {svd_error:.3f}"),
        (best.matrix, f"sine, frequency {best.frequency:g}\nerror {best.error:.3f}"),
        (last.matrix, f"sine, frequency {last.frequency:g}\nerror {last.error:.3f}"),
    ]
    for panel, (image, title) in zip(axes, shown, strict=True):
        panel.imshow(image, cmap="gray", vmin=A.min(), vmax=A.max(), interpolation="nearest")
        panel.set_title(title, fontsize=9.5)
        panel.set_axis_off()
    caption = (
        f"The photograph, and three matrices with {2 * SIDE * RANK:,} parameters (one more for the "
        "sines)."
    )
    return Picture("sine-images", figure, caption)
