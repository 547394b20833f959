import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

from torch import nn  # noqa: E402

from continual.networks import NETWORKS, lenet  # noqa: E402
from eigenflow.nn import HALRP, PRESETS, HALRPSettings  # noqa: E402
from eigenflow.nn.network import perturbed, plan_of, with_head  # noqa: E402
from eigenflow.nn.size import base_size, factor_bytes, task_size  # noqa: E402


def lenet_task(rank):
    """The network of a later task at a cap, without training."""
    base = lenet(10)
    plan = plan_of(base, None)
    weights = {n: base.get_submodule(n).weight.detach() for n in plan.layers}
    factors = {}
    for name, w in weights.items():
        m, n = w.shape[:2]
        k = min(rank, m, n)
        factors[name] = {
            "row_scale": torch.ones(m),
            "col_scale": torch.ones(n),
            "left": torch.ones(m, k),
            "right": torch.ones(k, n),
        }
    return base, perturbed(with_head(base, plan, 10, fresh=True), plan, weights, factors), plan.head


def test_lenet_counts_are_those_of_the_published_network():
    base, network, head = lenet_task(100)
    assert base_size(base)[0] == 2_995_620
    size = task_size(network, head)
    assert (size.head, size.norms, size.scales) == (5_010, 2_740, 5_393)
    assert size.factors == size.nonzero == 531_469
    # What the published count leaves out.
    assert size.biases == 20 + 50 + 800 + 500
    assert size.statistics == 2_740 + 4  # and how many batches each norm has seen
    one = task_size(lenet_task(1)[1], head)
    assert one.factors == 23 + 70 + 4_000 + 1_300


def test_growth_of_ten_lenet_tasks_at_the_cap():
    from eigenflow.lowrank import pruning_share
    from eigenflow.nn import ModelSize

    base, network, head = lenet_task(100)
    task = task_size(network, head)
    size = ModelSize(*base_size(base), (task,) * 9)
    assert size.unpruned_growth == pytest.approx(1.636, abs=5e-4)
    for budget, want in ((0.2, 0.235), (0.6, 0.625)):
        rate = pruning_share(size.unpruned_growth, budget)
        left = dataclasses.replace(task, nonzero=round((1 - rate) * task.factors))
        pruned = dataclasses.replace(size, tasks=(left,) * 9)
        assert pruned.published_growth == pytest.approx(want, abs=1e-3)
        assert pruned.published_growth > budget  # scales, norms and heads are not pruned


def test_everything_stored_is_counted():
    base, network, head = lenet_task(7)
    size = task_size(network, head)
    total = sum(t.numel() for t in network.state_dict().values())
    counted = size.scales + size.factors + size.biases + size.norms + size.statistics + size.head
    assert counted == total
    n_bytes = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    assert size.n_bytes == n_bytes
    assert base_size(base)[1] == sum(
        t.numel() * t.element_size() for t in base.state_dict().values()
    )


def test_a_factor_is_stored_in_the_shorter_way():
    assert factor_bytes(100, 100, 4) == 400
    assert factor_bytes(100, 10, 4) == 40 + 13
    assert factor_bytes(100, 99, 4) == 400
    assert factor_bytes(0, 0, 4) == 0


# ---- pruning by the learner

X = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))


def learner(**changes):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 2))
    settings = HALRPSettings(epochs=3, max_rank=8, share=0.99, rule="flat", **changes)
    made = HALRP(net, settings)
    for t in range(4):
        made.fit_task(t, [(X, (X[:, t] > 0).long())])
    return made


def factors(made, t):
    lows = [made.network(t).get_submodule(n) for n in made.layers]
    return np.concatenate([f.detach().numpy().ravel() for m in lows for f in (m.left, m.right)])


def test_each_task_is_pruned_by_the_common_rate():
    plain, pruned = learner(), learner(growth_budget=1.0)
    growth = plain.size().unpruned_growth
    assert growth > 1
    rate = 1 - 1.0 / growth
    for t in (1, 2, 3):
        zeros = np.mean(factors(pruned, t) == 0)
        assert zeros == pytest.approx(rate, abs=0.01)
        kept = factors(pruned, t) != 0
        # What is left is as it was trained: there is no training after pruning.
        np.testing.assert_array_equal(factors(pruned, t)[kept], factors(plain, t)[kept])
    assert pruned.size().published_growth < growth
    assert pruned.size().growth < plain.size().growth


def test_within_the_budget_nothing_is_pruned():
    plain, roomy = learner(), learner(growth_budget=100.0, prune_threshold=10.0)
    for t in (1, 2, 3):
        np.testing.assert_array_equal(factors(plain, t), factors(roomy, t))


@pytest.mark.parametrize("mode", ["absolute", "layer", "all"])
def test_other_modes_prune_too(mode):
    made = learner(prune_mode=mode, growth_budget=0.5, prune_threshold=0.05)
    everything = np.concatenate([factors(made, t) for t in (1, 2, 3)])
    assert 0 < np.mean(everything == 0) < 1
    assert np.abs(everything[everything != 0]).min() > 0.05
    assert set(np.unique(made.network(1)[0].row_scale.detach().numpy() != 0)) == {True}


# ---- networks of the presets


# The other presets have the networks of these.
@pytest.mark.parametrize(
    "name", ["pmnist/lenet", "five/alexnet", "five/resnet18", "tiny-imagenet-20/alexnet"]
)
def test_networks_of_the_presets_are_covered(name):
    preset = PRESETS[name]
    size = 64 if preset.benchmark.startswith("tiny") else 32
    net = NETWORKS[preset.network](5, 3, size)
    made = HALRP(net, preset.settings)
    x = torch.randn(2, 3, size, size)
    assert net.eval()(x).shape == (2, 5)
    shapes = [tuple(made._model.get_submodule(n).weight.shape) for n in made.layers]
    if preset.network == "alexnet":
        assert shapes[3] == (2048, 9216 if size == 64 else 1024)
    if preset.network == "resnet18":
        assert len(shapes) == 20
