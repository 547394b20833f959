import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

from torch import nn  # noqa: E402

from eigenflow.nn import HALRP, HALRPSettings  # noqa: E402

QUICK = HALRPSettings(epochs=3, warmup_epochs=1, max_rank=3, learning_rate=1e-2)


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 10),
        nn.BatchNorm1d(10, track_running_stats=False),
        nn.ReLU(),
        nn.Linear(10, 3),
    )


def task(seed, n=48, n_classes=3):
    """Which of the rows has the largest sum, after a turn that depends on the task."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 4, 4, generator=generator)
    y = x.roll(seed, 3)[:, 0, :n_classes, :2].sum(-1).argmax(1)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 16, shuffle=True)


def fitted(order=(0, 1, 2), settings=QUICK, net=None, **options):
    learner = HALRP(model() if net is None else net, settings, **options)
    for t in order:
        learner.fit_task(t, task(t))
    return learner


X = torch.randn(20, 1, 4, 4, generator=torch.Generator().manual_seed(9))


def states(learner, t):
    return {k: v.clone() for k, v in learner.network(t).state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


# ---- learning


def test_tasks_are_learned_and_merged_weights_do_the_same():
    settings = HALRPSettings(epochs=20, warmup_epochs=6, max_rank=5, learning_rate=2e-2)
    learner = fitted(settings=settings)
    for t in range(3):
        assert learner.accuracy(t, task(t)) > 0.8
        dense = learner.merge(t)
        assert [type(m) for m in dense] == [type(m) for m in model()]
        torch.testing.assert_close(dense(X), learner.logits(t, X), rtol=1e-5, atol=1e-5)
        assert torch.equal(learner.predict(t, X), learner.logits(t, X).argmax(1))


@pytest.mark.parametrize("conv", ["kernel-mean", "reshape"])
def test_merged_is_unmerged_to_rounding(conv):
    settings = HALRPSettings(epochs=2, conv=conv, max_rank=2)
    learner = HALRP(model().double(), settings)
    double = [(x.double(), y) for x, y in task(0)]
    learner.fit_task(0, double)
    learner.fit_task(1, double)
    x = X.double()
    torch.testing.assert_close(learner.merge(1)(x), learner.logits(1, x), rtol=1e-12, atol=1e-12)


def test_the_report_says_what_happened():
    learner = HALRP(model(), QUICK)
    first = learner.fit_task("a", task(0))
    assert (first.ranks, first.growth, len(first.losses)) == ({}, 0.0, 3)
    second = learner.fit_task("b", task(1), task(2))
    assert list(second.ranks) == ["0", "3", "6"] == list(second.importance)
    assert all(1 <= k <= 3 for k in second.ranks.values())
    assert 0 < second.kept_share <= 1
    assert second.growth == learner.size().growth > 0
    assert learner.tasks == ["a", "b"]


def test_warm_up_is_part_of_the_epochs_and_starts_from_the_base():
    # No epoch at all after the warm-up, all ranks and reshaped kernels: the free weights come back.
    settings = HALRPSettings(epochs=2, warmup_epochs=2, share=1, max_rank=None, conv="reshape")
    learner = fitted((0, 1), settings)
    assert len(learner.fit_task(2, task(2)).losses) == 2
    base, merged = learner.merge(0), learner.merge(2)
    assert not torch.equal(base[0].weight, merged[0].weight)
    again = HALRP(model(), settings)
    again.fit_task(0, task(0))
    again.fit_task(2, task(2))
    torch.testing.assert_close(again.merge(2)(X), merged(X))


def test_zero_epochs_take_the_given_weights():
    net = model()
    learner = HALRP(net, QUICK)
    learner.fit_task(0, task(0), epochs=0)
    assert_same(states(learner, 0), net.state_dict())


def test_the_base_stays_frozen_and_the_users_model_untouched():
    net = model()
    before = copy.deepcopy(net.state_dict())
    learner = HALRP(net, QUICK)
    learner.fit_task(0, task(0))
    base = states(learner, 0)
    learner.fit_task(1, task(1))
    assert_same(states(learner, 0), base)
    assert_same(net.state_dict(), before)
    shared = learner.network(0)[0].weight
    assert learner.network(1)[0].base_weight.data_ptr() == shared.data_ptr()
    merged = learner.merge(1)
    with torch.no_grad():
        merged[0].weight.zero_()
    assert_same(states(learner, 0), base)


def test_the_order_of_later_tasks_changes_nothing():
    one, other = fitted((0, 1, 2)), fitted((0, 2, 1))
    for t in range(3):
        assert_same(states(one, t), states(other, t))
    torch.manual_seed(123)  # nor does the state of PyTorch's generator
    assert_same(states(fitted((0, 1)), 1), states(one, 1))
    assert not torch.equal(states(fitted((0, 1), seed=1), 1)["0.left"], states(one, 1)["0.left"])


def test_pytorchs_generator_is_left_as_it_was():
    net, loader = model(), task(0)
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    HALRP(net, QUICK).fit_task(0, loader)
    assert torch.equal(torch.rand(3), want)


def test_each_task_has_its_own_number_of_classes():
    learner = HALRP(model(), QUICK)
    learner.fit_task(0, task(0, n_classes=2), n_classes=2)
    learner.fit_task(1, task(1))
    assert learner.logits(0, X).shape == (20, 2)
    assert learner.logits(1, X).shape == (20, 3)


@pytest.mark.parametrize("rule", ["hessian", "knapsack", "energy", "flat"])
def test_every_rule_learns(rule):
    settings = HALRPSettings(epochs=2, rule=rule, max_rank=2)
    learner = fitted((0, 1), settings)
    assert all(k <= 2 for k in learner.fit_task(2, task(2)).ranks.values())


class Residual(nn.Module):
    """Branches, groups, a dilation and a layer that is used twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.shared = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = x + torch.relu(self.grouped(x))
        return self.head(self.shared(torch.relu(self.shared(x))).flatten(1))


@pytest.mark.parametrize("conv", ["kernel-mean", "reshape"])
def test_any_arrangement_of_layers_is_learned(conv, tmp_path):
    torch.manual_seed(1)
    learner = HALRP(Residual(), HALRPSettings(epochs=2, conv=conv, max_rank=2))
    assert learner.layers == ("first", "grouped", "shared")
    for t in range(3):
        learner.fit_task(t, task(t))
    learner.save(tmp_path / "file")
    loaded = HALRP.load(tmp_path / "file", Residual())
    for t in range(3):
        torch.testing.assert_close(learner.merge(t)(X), learner.logits(t, X), rtol=1e-4, atol=1e-5)
        assert torch.equal(loaded.logits(t, X), learner.logits(t, X))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_a_gpu_stays_there(tmp_path):
    learner = fitted((0, 1, 2), HALRPSettings(epochs=2, growth_budget=0.5), model().cuda())
    assert all(p.is_cuda for p in learner.network(2).parameters())
    x = X.cuda()
    torch.testing.assert_close(learner.merge(2)(x), learner.logits(2, X), rtol=1e-3, atol=1e-3)
    learner.save(tmp_path / "file")
    for net in (model(), model().cuda()):
        loaded = HALRP.load(tmp_path / "file", net)
        assert loaded.logits(2, X).device == next(net.parameters()).device
        got, want = loaded.logits(2, X).cpu(), learner.logits(2, X).cpu()
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3)


# ---- penalties


def test_penalties_are_those_of_the_method():
    from eigenflow.nn.training import base_penalty, task_penalty

    learner = fitted((0, 1))
    settings = HALRPSettings(weight_decay=0.3, l1=0.7)
    base = [learner.network(0).get_submodule(n) for n in learner.layers]
    squares = sum(np.sum(m.weight.detach().numpy() ** 2) for m in base)
    assert float(base_penalty(base, settings)()) == pytest.approx(0.15 * squares, rel=1e-5)
    lows = [learner.network(1).get_submodule(n) for n in learner.layers]
    arrays = [
        [getattr(m, k).detach().numpy() for k in ("row_scale", "col_scale", "left", "right")]
        for m in lows
    ]
    squares = sum(np.sum(a**2) for four in arrays for a in four)
    moduli = sum(np.sum(np.abs(a)) for _, _, left, right in arrays for a in (left, right))
    want = 0.15 * squares + 0.7 * moduli
    assert float(task_penalty(lows, settings)()) == pytest.approx(want, rel=1e-5)


def test_the_learning_rate_falls_by_the_factor_for_every_decay_samples():
    from eigenflow.nn.training import train

    # One weight, a constant gradient: Adam then moves by the learning rate at each step.
    class Slope(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.stack([x[:, 0] * 0, 1e3 + x[:, 0] * self.w], 1)

    net = Slope().double()
    batches = [(torch.ones(4, 1).double(), torch.zeros(4, dtype=torch.long))] * 3
    settings = HALRPSettings(learning_rate=0.1, lr_decay=0.5, decay_samples=4)
    train(net, batches, 1, settings)
    assert float(net.w.detach()) == pytest.approx(-0.1 * (1 + 0.5 + 0.25), rel=1e-4)


# ---- what is wrong


def test_a_task_that_was_never_fitted_is_named():
    learner = fitted((0, 1))
    for call in (learner.network, learner.merge, lambda t: learner.predict(t, X)):
        with pytest.raises(ValueError, match=r"^task: got 7, which was never fitted; .* 0, 1"):
            call(7)
    with pytest.raises(ValueError, match=r"fitted are: none yet"):
        HALRP(model()).predict("a", X)
    with pytest.raises(ValueError, match=r"^task: got 1, which was fitted before"):
        learner.fit_task(1, task(1))
    with pytest.raises(TypeError, match=r"^task: got 1.5"):
        learner.fit_task(1.5, task(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        (3, TypeError, r"^model: got int"),
        (
            nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)),
            TypeError,
            r"^model: .*'0' \(LayerNorm\)",
        ),
        (Tied(), TypeError, r"^model: got one parameter as 'a.weight' and 'b.weight'"),
        (nn.Conv2d(1, 2, 3), ValueError, r"^model: got no Linear layer"),
        (nn.Linear(2, 2).bfloat16(), TypeError, r"^model: got torch.bfloat16 in 'weight'"),
    ],
)
def test_networks_that_are_not_covered_are_refused(net, error, message):
    with pytest.raises(error, match=message):
        HALRP(net)


def test_the_head_must_be_a_linear_layer():
    with pytest.raises(ValueError, match=r"^head: got '0', want the name of a Linear layer: 6, 9"):
        HALRP(model(), head="0")
    assert HALRP(model(), head="6").layers == ("0", "3", "9")


def test_a_failed_or_interrupted_task_leaves_the_learner_as_it_was():
    learner = fitted((0, 1))
    before = learner.state_dict()

    def interrupted():
        yield from task(2)
        raise KeyboardInterrupt

    class Loader:
        dataset = range(48)

        def __iter__(self):
            return interrupted()

    with pytest.raises(KeyboardInterrupt):
        learner.fit_task(2, Loader())
    nan = [(torch.full((4, 1, 4, 4), torch.nan), torch.zeros(4, dtype=torch.long))]
    with pytest.raises(ValueError, match=r"^train_loader: the loss became nan in epoch 0"):
        learner.fit_task(2, nan)
    with pytest.raises(ValueError, match=r"^train_loader: got no samples"):
        learner.fit_task(2, [])
    assert learner.tasks == [0, 1]
    assert_same(learner.state_dict(), before)


def test_loaders_and_labels_that_do_not_fit_are_named():
    learner = fitted((0, 1))
    x = torch.ones(4, 1, 4, 4)

    def fit(*loaders, **options):
        return lambda: learner.fit_task(2, *loaders, **options)

    def labels(*y):
        return [(x, torch.tensor(y))]

    for call, error, message in (
        (fit(labels(0, 1, 3, 2)), ValueError, r"^train_loader: got label 3, want 0 to 2"),
        (fit(labels(0, -1, 1, 2)), ValueError, r"^train_loader: got label -1"),
        (fit(labels(0.0, 1.0, 1.0, 1.0)), TypeError, r"^train_loader: got labels of torch.float32"),
        (fit(batch for batch in task(2)), ValueError, r"^train_loader: .* more than once"),
        (fit(task(2), []), ValueError, r"^valid_loader: gradients: got no batch"),
        (
            fit(task(2), [(x * torch.nan, torch.zeros(4).long())]),
            ValueError,
            r"^valid_loader: .*nan",
        ),
        (fit(task(2), n_classes=0), ValueError, r"^n_classes: got 0"),
        (fit(task(2), n_classes=2.0), TypeError, r"^n_classes: got 2.0"),
        (fit(task(2), epochs=-1), ValueError, r"^epochs: got -1"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert learner.tasks == [0, 1]


def test_numbers_of_numpy_are_numbers(tmp_path):
    settings = HALRPSettings(epochs=np.int64(1), max_rank=np.int32(2))
    learner = HALRP(model(), settings, seed=np.int64(3))
    learner.fit_task(np.int64(5), task(0), epochs=np.int64(1))
    learner.save(tmp_path / "file")
    assert HALRP.load(tmp_path / "file", model()).tasks == [5]
    assert learner.predict(np.int64(5), X).shape == (20,)


def test_progress_shows_a_bar(capsys):
    HALRP(model(), QUICK).fit_task("first", task(0), progress=True)
    assert "task first: 100%" in capsys.readouterr().err
