import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from eigenflow.demo import lowrank as demo
from eigenflow.demo.network import Network


def test_the_gradient_of_the_network_is_its_difference_quotient():
    rng = np.random.default_rng(0)
    network = Network((5, 4, 3), 2, rng)
    X = rng.normal(size=(6, 5)).astype(np.float32)
    y = rng.integers(0, 2, 6)

    def loss():
        scores = network._layers(X)[-1] @ network.head.T + network.head_bias
        scores = scores.astype(float)
        return float(np.mean(np.log(np.exp(scores).sum(1)) - scores[np.arange(6), y]))

    gradient = network.gradient(X, y)
    for i in range(network.vector.size):
        kept = network.vector[i]
        network.vector[i] = kept + 1e-3
        above = loss()
        network.vector[i] = kept - 1e-3
        below = loss()
        network.vector[i] = kept
        assert gradient[i] == pytest.approx((above - below) / 2e-3, abs=1e-3)


@pytest.mark.slow
def test_what_the_section_says_holds():
    steps = []
    section = demo.run(steps.append)
    assert len(steps) == demo.N_STEPS
    assert [p.name for p in section.pictures] == [
        "lowrank-accuracy",
        "lowrank-ranks",
        "lowrank-spectra",
    ]
    results = demo.measure(lambda _: None, 3)
    assert results.frozen.mean() < results.free.mean() - 0.03
    for rule in ("hessian", "knapsack", "uniform"):
        accuracy = results.accuracy[rule].mean(0)
        assert accuracy[-1] > results.free.mean() - 0.02
        assert accuracy[0] < accuracy[-1] - 0.1
    for rule in ("hessian", "knapsack"):
        assert demo.lead(results, rule)[0][1:4].mean() > 0
    costs = [m + n for m, n in results.example.shapes]
    uniform = results.ranks["uniform"] @ costs
    for rule in ("hessian", "knapsack"):
        assert (results.ranks[rule] @ costs <= uniform).all()
