"""R16: the same bits for any number of workers, any order of calls and one list of blocks."""

import itertools

import numpy as np
import pytest

import eigenflow as ef
from battery.calls import CALLS, SERIES, SYSTEM, grid, same_bits

pytestmark = pytest.mark.filterwarnings("ignore")

WORKERS, ORDERS, LISTS = range(1, 9), 20, 10
THREADED = [call for call in CALLS if call.takes("workers")]
# Large enough for several tasks, small enough for every change.
LARGE = {
    "flow.solve": {"z": grid(40_000, low=-1.0), "eigenvalues": grid(40_000)},
    "flow.vanilla": {"z": grid(40_000, low=-1.0), "eigenvalues": grid(40_000)},
    "flow.sure": {"z": grid(40_000, low=-1.0), "eigenvalues": grid(40_000)},
    "flow.descend": {"z": grid(40_000, low=-1.0), "eigenvalues": grid(40_000)},
    "lowrank.svd": {"A": grid(400, 120, low=-1.0)},
    "lowrank.range_finder": {"A": grid(400, 120, low=-1.0)},
    "lowrank.pivoted_qr": {"A": grid(400, 120, low=-1.0)},
    "lowrank.svd_many": {"matrix": grid(300, 80, low=-1.0)},
    "sine.SineLowRank.matmat": {"X": grid(8, 600, low=-1.0)},
    "sine.SineLowRank.vjp": {"X": grid(8, 600), "grad_output": grid(10, 600)},
    "lds.filter": {"y": grid(9000, low=-1.0)},
    "lds.log_likelihood": {"y": grid(9000, low=-1.0)},
    "lds.smooth": {"y": grid(9000, low=-1.0)},
}


@pytest.mark.parametrize("call", THREADED, ids=str)
def test_any_number_of_workers(call):
    arguments = LARGE.get(call.name, {})
    expected = call(workers=1, **arguments)
    for workers in WORKERS:
        assert same_bits(call(workers=workers, **arguments), expected), workers


def test_any_order_of_calls():
    quick = [call for call in CALLS if call.name.startswith(("flow", "lowrank", "sine.SineLow"))]
    expected = {call.name: call() for call in quick}
    rng = np.random.default_rng(0)
    for _ in range(ORDERS):
        for at in rng.permutation(len(quick)):
            assert same_bits(quick[at](), expected[quick[at].name]), quick[at].name


def test_a_list_of_blocks_gives_the_same_bits_and_any_list_the_same_numbers():
    whole = ef.lds.filter(SYSTEM, SERIES)
    rng = np.random.default_rng(1)
    for _ in range(LISTS):
        cuts = np.sort(rng.integers(0, len(SERIES), 3))
        blocks = np.split(SERIES, cuts)
        once, again = (list(ef.lds.filter_blocks(SYSTEM, blocks)) for _ in range(2))
        assert same_bits(once, again)
        means = np.concatenate([part.filtered_mean for part in once])
        np.testing.assert_allclose(means, whole.filtered_mean, rtol=1e-13, atol=1e-14)


def test_a_sketch_depends_on_the_seed_only():
    A = grid(300, 60, low=-1.0)
    seeds = itertools.chain(range(3), [np.random.SeedSequence(5), np.random.default_rng(6)])
    for seed in seeds:
        # A generator moves on with every draw: it is made again from its state.
        state = seed.bit_generator.state if isinstance(seed, np.random.Generator) else None
        first = ef.lowrank.svd(A, 4, rng=seed, workers=1)
        if state is not None:
            seed.bit_generator.state = state
        assert same_bits(first, ef.lowrank.svd(A, 4, rng=seed, workers=5))
