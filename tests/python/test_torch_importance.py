import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import eigenflow as ef  # noqa: E402

NAMES = ["0", "3"]


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, padding=1),
        torch.nn.Tanh(),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 3),
    ).double()


def data(n=10, batch=4):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 1, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (n,), generator=generator)
    return list(zip(x.split(batch), y.split(batch), strict=True))


def test_gradients_are_those_of_each_batch():
    net, batches = model(), data()
    found = list(ef.nn.batch_gradients(net, batches, NAMES))
    assert [n for _, n in found] == [4, 4, 2]
    for (grads, _), (x, y) in zip(found, batches, strict=True):
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        for name, g in zip(NAMES, grads, strict=True):
            np.testing.assert_allclose(g, net.get_submodule(name).weight.grad, rtol=1e-12)


def test_modes_and_gradients_of_the_model_stay():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 3))
    net.double().train()
    net[1].eval()
    before = net[1].running_mean.clone()
    list(ef.nn.batch_gradients(net, data(), ["2"]))
    ef.nn.hessian_trace(net, data(), ["2"], n_probes=1)
    ef.nn.activation_factors(net, data(), ["2"])
    assert net.training
    assert not net[1].training
    assert torch.equal(net[1].running_mean, before)
    assert all(p.grad is None for p in net.parameters())
    assert not net[2]._forward_pre_hooks


def hessian_diagonal_blocks(net, batches):
    """The Hessian of the mean loss, entry by entry."""
    weights = [net.get_submodule(n).weight for n in NAMES]
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    grads = torch.autograd.grad(
        torch.nn.functional.cross_entropy(net(x), y), weights, create_graph=True
    )
    traces = []
    for g, w in zip(grads, weights, strict=True):
        rows = [torch.autograd.grad(e, w, retain_graph=True)[0].ravel() for e in g.ravel()]
        traces.append(float(torch.stack(rows).diagonal().sum()))
    return np.array(traces)


def test_hutchinson_is_near_the_trace_and_nearer_with_more_probes():
    net, batches = model(), data()
    want = hessian_diagonal_blocks(net, batches)
    few = ef.nn.hessian_trace(net, batches, NAMES, n_probes=4, rng=3)
    many = ef.nn.hessian_trace(net, batches, NAMES, n_probes=100, rng=3)
    np.testing.assert_allclose(many, want, atol=0.35)
    assert np.abs(many - want).sum() < np.abs(few - want).sum()
    np.testing.assert_array_equal(few, ef.nn.hessian_trace(net, batches, NAMES, n_probes=4, rng=3))


def test_a_diagonal_hessian_needs_one_probe():
    net = torch.nn.Linear(3, 1, bias=False)
    batches = [(torch.diag(torch.tensor([1.0, 2.0, 3.0])), torch.zeros(3, 1))]
    loss = torch.nn.functional.mse_loss
    np.testing.assert_allclose(
        ef.nn.hessian_trace(net, batches, [""], n_probes=1, loss=loss), 2 * 14 / 3, rtol=1e-6
    )


def test_activation_factors_measure_the_change_of_the_output():
    net, batches = model(), data()
    x = torch.cat([b for b, _ in batches])
    rng = np.random.default_rng(0)
    for name, C in zip(NAMES, ef.nn.activation_factors(net, batches, NAMES, damping=1e-12),
                       strict=True):  # fmt: skip
        layer = net.get_submodule(name)
        inputs = x if name == "0" else net[:3](x)
        before = layer(inputs)
        change = rng.normal(size=layer.weight.shape)
        with torch.no_grad():
            layer.weight += torch.tensor(change)
        moved = (layer(inputs) - before).detach().square()
        with torch.no_grad():
            layer.weight -= torch.tensor(change)
        per_place = float(moved.sum(1).mean())
        flat = change.reshape(len(change), -1)
        assert np.sum((flat @ C) ** 2) == pytest.approx(per_place, rel=1e-8)


def test_factors_of_batches_are_those_of_all_inputs():
    net, batches = model(), data()
    whole = [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]
    names = ["3"]
    [one], [many] = (ef.nn.activation_factors(net, x, names) for x in (whole, batches))
    np.testing.assert_allclose(one, many, atol=1e-12)
    x = net[:3](whole[0][0]).detach().numpy()
    np.testing.assert_allclose(many, ef.lowrank.activation_factor(x), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ef.nn.batch_gradients(model(), data(), ["9"]), r"^layers: got '9'"),
        (lambda: ef.nn.batch_gradients(model(), data(), ["1"]), r"^layers: got '1'"),
        (lambda: ef.nn.hessian_trace(model(), [], NAMES), r"^loader: got no samples"),
        (lambda: ef.nn.hessian_trace(model(), data(), NAMES, n_probes=0), r"^n_probes: got 0"),
        (lambda: ef.nn.activation_factors(model(), [], NAMES), r"^loader: gave layer '0' no input"),
        (
            lambda: ef.nn.activation_factors(
                model(), [(torch.full((2, 1, 4, 4), torch.nan).double(), 0)], NAMES
            ),
            r"^loader: gave layer '0' inputs that are not finite",
        ),
        (
            lambda: ef.nn.activation_factors(model(), data(), NAMES, damping=0),
            r"^damping: got 0",
        ),
        (
            lambda: ef.nn.activation_factors(
                torch.nn.Conv2d(2, 2, 1, groups=2), [(torch.ones(1, 2, 3, 3), 0)], [""]
            ),
            r"^layers: got Conv2d.*without groups",
        ),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
