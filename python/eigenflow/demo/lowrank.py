"""Ranks for the layers of a network that learns new digits on top of old ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import eigenflow as ef
from eigenflow.demo.network import Network
from eigenflow.demo.report import COLOURS, Picture, Section, Table, subplots

N_SEEDS = 6
N_STEPS = N_SEEDS + 1

_SIZES = (64, 128, 128, 128, 128)
_N_OLD = 3  # the base network knows the digits 0, 1, 2
_COST_OF_ONE = sum(m + n for m, n in zip(_SIZES[1:], _SIZES[:-1], strict=True))
# The uniform rule can spend budgets of a whole rank in every layer, so these are what all get.
_UNIFORM_RANKS = (0, 1, 2, 3, 5, 8)
_SHOWN = 2  # the budget of the figures that show one: two ranks a layer
_RULES = {"hessian": "Hessian-aware", "knapsack": "knapsack", "uniform": "uniform"}
_LOOK = {"hessian": ("blue", "o"), "knapsack": ("orange", "s"), "uniform": ("grey", "^")}

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Task:
    """One seed: a base network, the same freely adapted, and what cutting needs to know."""

    free: Network
    layers: list[ef.lowrank.Perturbation]
    importance: Floats
    train: tuple[Any, Any]
    test: tuple[Any, Any]
    frozen_accuracy: float
    free_accuracy: float

    @property
    def shapes(self) -> list[tuple[int, int]]:
        return self.free.shapes


@dataclass(frozen=True, eq=False)
class Results:
    """Accuracies over seeds; the curves are of shape (n_seeds, n_budgets)."""

    accuracy: dict[str, Floats]
    ranks: dict[str, Floats]
    parameters: Floats
    frozen: Floats
    free: Floats
    frozen_parameters: int
    free_parameters: int
    example: _Task


def _adapt(seed: int) -> _Task:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X = np.asarray(X / 16, np.float32)
    rng = np.random.default_rng(seed)
    base = Network(_SIZES, _N_OLD, rng)
    old = y < _N_OLD
    base.train(X[old], y[old], rng, epochs=20)

    X, y = X[~old], y[~old] - _N_OLD
    order = rng.permutation(y.size)
    train, valid, test = np.split(order, [y.size // 2, y.size * 5 // 8])
    start = base.adapted(10 - _N_OLD, rng)
    frozen = start.with_weights(base.weights)
    frozen.train(X[train], y[train], rng, epochs=30, task_only=True)
    free = start.with_weights(base.weights)
    free.train(X[train], y[train], rng, epochs=30)
    return _Task(
        free=free,
        layers=[ef.lowrank.perturb(a, b) for a, b in zip(base.weights, free.weights, strict=True)],
        importance=free.importance(X[valid], y[valid]),
        train=(X[train], y[train]),
        test=(X[test], y[test]),
        frozen_accuracy=frozen.accuracy(X[test], y[test]),
        free_accuracy=free.accuracy(X[test], y[test]),
    )


def choose(task: _Task, rule: str, uniform_rank: int) -> NDArray[np.int64]:
    """Ranks by one rule, for the budget that pays `uniform_rank` ranks in every layer."""
    if rule == "uniform":
        return np.full(len(task.layers), uniform_rank)
    allocation = ef.lowrank.allocate_ranks(
        [layer.s for layer in task.layers],
        task.importance,
        shapes=task.shapes,
        budget=uniform_rank * _COST_OF_ONE,
        method="hessian" if rule == "hessian" else "knapsack",
        min_rank=0,
    )
    return allocation.ranks


def _cut_accuracy(task: _Task, ranks: NDArray[np.int64], seed: int) -> float:
    """Held-out accuracy after the cut and five epochs for head and biases alone."""
    weights = [
        layer.truncate(int(k)).to_dense() for layer, k in zip(task.layers, ranks, strict=True)
    ]
    network = task.free.with_weights(weights)
    rng = np.random.default_rng(seed)
    network.train(*task.train, rng, epochs=5, task_only=True)
    return network.accuracy(*task.test)


# A product of 128 columns is over before a second BLAS thread has woken up.
@threadpool_limits.wrap(limits=1, user_api="blas")  # type: ignore[untyped-decorator]
def measure(step: Callable[[str], None], n_seeds: int = N_SEEDS) -> Results:
    """Adapt and cut one network a seed; calls `step` once for each."""
    tasks = []
    shape = (n_seeds, len(_UNIFORM_RANKS))
    accuracy = {rule: np.zeros(shape) for rule in _RULES}
    ranks = {rule: np.zeros((*shape, len(_SIZES) - 1)) for rule in _RULES}
    for seed in range(n_seeds):
        step(f"lowrank: network {seed + 1} of {n_seeds} learns new digits")
        task = _adapt(seed)
        tasks.append(task)
        known: dict[tuple[int, ...], float] = {}
        for rule in _RULES:
            for i, k in enumerate(_UNIFORM_RANKS):
                chosen = choose(task, rule, k)
                key = tuple(int(r) for r in chosen)
                if key not in known:
                    known[key] = _cut_accuracy(task, chosen, seed)
                accuracy[rule][seed, i] = known[key]
                ranks[rule][seed, i] = chosen
    n_task = tasks[0].free.n_task
    costs = np.array([m + n for m, n in tasks[0].shapes])
    # Rank 0 still has the scales; every rule may leave a little of its budget.
    spent = np.array([np.mean(ranks["uniform"][:, i] @ costs) for i in range(shape[1])])
    return Results(
        accuracy=accuracy,
        ranks=ranks,
        parameters=n_task + _COST_OF_ONE + spent,
        frozen=np.array([task.frozen_accuracy for task in tasks]),
        free=np.array([task.free_accuracy for task in tasks]),
        frozen_parameters=n_task,
        free_parameters=tasks[0].free.vector.size,
        example=tasks[0],
    )


def lead(results: Results, rule: str) -> tuple[Floats, Floats]:
    """Mean accuracy gained over the uniform rule at each budget, and its standard error."""
    difference = results.accuracy[rule] - results.accuracy["uniform"]
    error = difference.std(0, ddof=1) / np.sqrt(len(difference))
    return difference.mean(0), error


def parameters_to_come_near(results: Results, rule: str, points: float = 0.01) -> float | None:
    """Least parameters from which the mean stays within `points` of free adaptation."""
    near = results.accuracy[rule].mean(0) >= results.free.mean() - points
    stays = np.logical_and.accumulate(near[::-1])[::-1]
    return float(results.parameters[np.argmax(stays)]) if stays.any() else None


def _percent(x: Any) -> str:
    return f"{100 * float(np.mean(x)):.1f} %"


def _verdict(results: Results) -> str:
    budgets = np.array(_UNIFORM_RANKS)
    parts = []
    for rule in ("hessian", "knapsack"):
        gain, error = lead(results, rule)
        ahead = budgets[(gain > 2 * error) & (gain > 0)]
        behind = budgets[(gain < -2 * error) & (gain < 0)]
        sentence = (
            f"{_RULES[rule].capitalize()} is ahead of uniform by more than two standard errors "
        )
        sentence += f"at {_listed(ahead)} and behind at {_listed(behind)}"
        parts.append(f"{sentence}; its largest gain is {100 * gain.max():.1f} points.")
    between = results.accuracy["knapsack"] - results.accuracy["hessian"]
    parts.append(
        f"Between the two, the mean difference is {100 * between[:, 1:].mean():+.1f} points in "
        "favour of " + ("knapsack." if between[:, 1:].mean() > 0 else "the Hessian-aware rule.")
    )
    return " ".join(parts)


def _listed(budgets: NDArray[np.int64]) -> str:
    if budgets.size == 0:
        return "no budget"
    return f"budgets of {', '.join(map(str, budgets))} ranks a layer"


def _table(results: Results) -> Table:
    columns = ("added parameters", *_RULES.values())
    rows = []
    for i, parameters in enumerate(results.parameters):
        cells = []
        for rule in _RULES:
            values = results.accuracy[rule][:, i]
            error = values.std(ddof=1) / np.sqrt(values.size)
            cells.append(f"{_percent(values)} ± {100 * error:.1f}")
        rows.append((f"{parameters:,.0f}", *cells))
    rows.append((f"{results.free_parameters:,} (free)", *[_percent(results.free)] * 3))
    rows.append((f"{results.frozen_parameters:,} (frozen)", *[_percent(results.frozen)] * 3))
    return Table(
        columns,
        rows,
        f"Held-out accuracy, mean and standard error of {results.free.size} networks.",
    )


def _accuracy_picture(results: Results) -> Picture:
    figure, axis = subplots(height=3.8)
    for rule, label in _RULES.items():
        colour, marker = _LOOK[rule]
        mean = 100 * results.accuracy[rule].mean(0)
        error = 100 * results.accuracy[rule].std(0, ddof=1) / np.sqrt(results.free.size)
        x = results.parameters
        axis.fill_between(x, mean - error, mean + error, color=COLOURS[colour], alpha=0.15, lw=0)
        axis.plot(x, mean, color=COLOURS[colour], marker=marker, ms=5, label=label)
    free, frozen = 100 * results.free.mean(), 100 * results.frozen.mean()
    axis.axhline(free, color=COLOURS["green"], ls="--", lw=1.3)
    axis.axhline(frozen, color=COLOURS["red"], ls=":", lw=1.5)
    right = results.parameters[-1]
    axis.text(
        right,
        free + 0.6,
        f"free: {results.free_parameters:,} parameters",
        ha="right",
        va="bottom",
        color=COLOURS["green"],
    )
    axis.text(
        right,
        frozen - 0.6,
        f"frozen base: {results.frozen_parameters:,} parameters",
        ha="right",
        va="top",
        color=COLOURS["red"],
    )
    axis.set(xlabel="parameters added for the new task", ylabel="held-out accuracy (%)")
    axis.set_ylim(top=free + 4)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.08))
    return Picture(
        "lowrank-accuracy",
        figure,
        f"Accuracy on unseen images of the new digits against added parameters. Bands: one "
        f"standard error over {results.free.size} networks. All points but the frozen base and "
        "free adaptation have had the same five epochs for head and biases after the cut.",
    )


def _layer_names() -> list[str]:
    sizes = zip(_SIZES[1:], _SIZES[:-1], strict=True)
    return [f"{i}: {m} × {n}" for i, (m, n) in enumerate(sizes, 1)]


def _ranks_picture(results: Results) -> Picture:
    figure, axes = subplots(2, height=3.2)
    places = np.arange(len(_SIZES) - 1)
    for axis, uniform_rank in zip(axes, (_SHOWN, 5), strict=True):
        i = _UNIFORM_RANKS.index(uniform_rank)
        for j, (rule, label) in enumerate(_RULES.items()):
            heights = results.ranks[rule][:, i].mean(0)
            bars = axis.bar(
                places + 0.27 * (j - 1), heights, 0.25, color=COLOURS[_LOOK[rule][0]], label=label
            )
            axis.bar_label(bars, fmt="%.1f", fontsize=8, padding=1)
        axis.set_xticks(places, _layer_names(), fontsize=8.5)
        axis.grid(axis="x", visible=False)
        axis.set(xlabel="layer (outputs × inputs)", title=f"budget {uniform_rank * _COST_OF_ONE:,}")
        axis.margins(y=0.12)
    axes[0].set_ylabel("rank (mean of the networks)")
    axes[0].legend(fontsize=9)
    return Picture(
        "lowrank-ranks",
        figure,
        "Ranks that each rule gives to the hidden layers at two budgets. One rank costs "
        f"{' / '.join(str(m + n) for m, n in zip(_SIZES[1:], _SIZES[:-1], strict=True))} "
        "parameters in these layers.",
    )


def _spectra_picture(task: _Task) -> Picture:
    figure, axes = subplots(2, height=3.6)
    costs = [m + n for m, n in task.shapes]
    titles = ("score = importance × s²", "score per parameter")
    for panel, (axis, rule, title) in enumerate(
        zip(axes, ("hessian", "knapsack"), titles, strict=True)
    ):
        ranks = choose(task, rule, _SHOWN)
        for i, (layer, colour) in enumerate(
            zip(task.layers, ("blue", "orange", "green", "purple"), strict=True)
        ):
            score = task.importance[i] * np.square(layer.s.astype(np.float64))
            score = score[:20] / (costs[i] if panel else 1)
            x = np.arange(1, score.size + 1)
            axis.plot(x, score, color=COLOURS[colour], lw=1.2, label=_layer_names()[i])
            k = int(ranks[i])
            style = {"color": COLOURS[colour], "ls": "", "marker": "o", "ms": 5}
            axis.plot(x[:k], score[:k], **style)
            axis.plot(x[k:], score[k:], **style, markerfacecolor="white")
        axis.set(
            yscale="log",
            xlabel="number of the singular value",
            ylabel=title,
            title=_RULES[rule],
            xticks=[1, 5, 10, 15, 20],
        )
    axes[0].legend(title="layer", fontsize=9)
    return Picture(
        "lowrank-spectra",
        figure,
        f"Spectra of the change in each layer, weighted by importance, for one network at a budget "
        f"of {_SHOWN * _COST_OF_ONE:,} parameters. Filled: kept. The Hessian-aware rule takes the "
        "highest points on the left; knapsack takes the highest points on the right, up to what "
        "the remainder of the budget can still buy.",
    )


def _text(results: Results) -> list[str]:
    first = (
        f"A network with hidden layers of {', '.join(map(str, _SIZES[1:]))} units learns the "
        f"digits 0 to {_N_OLD - 1}. Then it must learn the other {10 - _N_OLD}. Training all its "
        f"weights costs {results.free_parameters:,} new numbers and reaches "
        f"{_percent(results.free)}; keeping the hidden weights and training head and biases costs "
        f"{results.frozen_parameters:,} and reaches {_percent(results.frozen)}."
    )
    second = (
        "In between, the freely trained weights are written as R W S + L N: the old weights W "
        "with scaled rows and columns, plus low rank (Li et al., arXiv 2311.15161). Three rules "
        "share the same budget of ranks among the layers. Uniform gives every layer the same "
        "rank. The Hessian-aware rule sorts importance × s² of all layers. Knapsack also looks at "
        "what a rank costs. After the cut, head and biases are trained for five epochs and the "
        "rest is not; the published method trains R, S, L and N as well."
    )
    third = (
        "Sharing matters when the budget is small. With enough ranks for every layer the rules "
        "agree. The lead is not a law: with other layer sizes uniform ranks can be ahead."
    )
    return [first, second, _verdict(results), third]


def run(step: Callable[[str], None]) -> Section:
    """Adapt networks to new digits, cut them to ranks by three rules, and compare."""
    results = measure(step)
    step("lowrank: drawing")
    summary = [
        (
            "free adaptation",
            f"{_percent(results.free)} with {results.free_parameters:,} parameters",
        ),
        ("frozen base", f"{_percent(results.frozen)} with {results.frozen_parameters:,}"),
    ]
    i = _UNIFORM_RANKS.index(_SHOWN)
    for rule, label in _RULES.items():
        near = parameters_to_come_near(results, rule)
        reach = (
            "not within 1 point of free" if near is None else f"{near:,.0f} within 1 point of free"
        )
        at = f"{_percent(results.accuracy[rule][:, i])} with {results.parameters[i]:,.0f}"
        summary.append((f"ranks: {label}", f"{at}; {reach}"))
    return Section(
        title="lowrank",
        question="how many singular directions, in which layer?",
        text=_text(results),
        summary=summary,
        tables=[_table(results)],
        pictures=[
            _accuracy_picture(results),
            _ranks_picture(results),
            _spectra_picture(results.example),
        ],
    )
