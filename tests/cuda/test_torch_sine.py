"""PyTorch's operations on the device's kernels against the CPU's, and against dense autograd."""

import copy
from contextlib import contextmanager, nullcontext

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import torch

import eigenflow as ef
from eigenflow._gpu import sine_launch
from eigenflow.nn import sine_cuda, sine_fused, sine_ops, sine_tiles
from reference import sine_torch as reference
from support import cupy_on_host
from support.sine_inputs import drawn, rows_of

DEVICE_ONLY = pytest.mark.parametrize(
    "cupy", [pytest.param("device", marks=pytest.mark.gpu)], indirect=True
)
KINDS = (torch.float32, torch.float64, torch.bfloat16)
LAUNCHES = """weights cosines few_columns few_slopes tiled_product any_entries any_product"""
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2}


class Place:
    """Where tensors go to reach the device's kernels, and how often they did.

    On the host CPU tensors do, inside `active()`.
    """

    def __init__(self, device, monkeypatch):
        self.device, self._monkeypatch, self.n_launches = device, monkeypatch, 0
        for name in LAUNCHES.split():
            monkeypatch.setattr(sine_launch, name, self._counted(getattr(sine_launch, name)))

    def _counted(self, launch):
        def counted(*arguments):
            self.n_launches += 1
            return launch(*arguments)

        return counted

    @contextmanager
    def active(self):
        before = self.n_launches
        with self._monkeypatch.context() as patched:
            if self.device.type == "cpu":
                patched.setattr(sine_cuda, "reaches", lambda t: True)
                patched.setattr(sine_cuda, "_stream_of", lambda t: nullcontext())
            yield
        assert self.n_launches > before

    def moved(self, tensors):
        """Copies there, which are leaves with the same need of a gradient."""
        return [
            t if t is None else t.detach().to(self.device).requires_grad_(t.requires_grad)
            for t in tensors
        ]


@pytest.fixture
def place(cupy, monkeypatch):
    if cupy.__version__ == cupy_on_host.VERSION:
        return Place(torch.device("cpu"), monkeypatch)
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA device")
    return Place(torch.device("cuda", torch.cuda.current_device()), monkeypatch)


def results(function, inputs):
    """The value, then the gradient in every input that has one."""
    y = function(*inputs)
    weights = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).to(y).reshape(y.shape)
    wanted = [t for t in inputs if t is not None and t.requires_grad]
    return [y, *torch.autograd.grad(y, wanted, weights)]


def assert_same(found, true, tolerance):
    for ours, theirs in zip(found, true, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride() or ours.numel() < 2 or 1 in ours.shape
        ours, theirs = (t.detach().cpu().double() for t in (ours, theirs))
        scale = theirs.abs().max().item() if theirs.numel() else 0.0
        bound = tolerance if ours.ndim else 5 * tolerance  # numbers are sums that cancel
        torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound * (scale + 1e-30))


def check(place, function, inputs, tolerance):
    true = results(function, inputs)
    with place.active():
        found = results(function, place.moved(inputs))
    assert all(t.device == place.device for t in found)
    assert_same(found, true, tolerance)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("with_base", [False, True])
@pytest.mark.parametrize("rows", [1, 5, 11, 70])  # fused products, fused forward only, and blocks
def test_linear(place, rows, with_base, dtype):
    inputs = [rows_of(rows, 45, dtype), *drawn(37, 45, 3, dtype, base=with_base)]
    check(place, sine_ops.sine_linear, inputs, TOLERANCES[dtype])


@pytest.mark.parametrize("rows", [0, 3, 80])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 2), (9, 1, 4), (33, 100, 0), (5, 7, 40)])
def test_linear_of_small_shapes(place, shape, rows):
    inputs = [rows_of(rows, shape[1]), *drawn(*shape, base=False)]
    true = results(reference.linear, inputs)
    context = place.active() if rows else nullcontext()
    with context:
        assert_same(results(sine_ops.sine_linear, place.moved(inputs)), true, 1e-12)


# A kernel is compiled for each pair of bounds; sums of 260 are in parts.
@pytest.mark.parametrize(("k", "rows"), [(5, 2), (16, 20), (32, 64), (9, 7), (40, 20)])
def test_depths_and_widths(place, k, rows):
    inputs = [rows_of(rows, 260), *drawn(12, 260, k, base=False)]
    check(place, sine_ops.sine_linear, inputs, 1e-11)


@pytest.mark.parametrize("shape", [(0, 3, 1), (3, 0, 1), (0, 0, 0)])
def test_linear_of_empty_matrices(place, shape):
    inputs = place.moved([rows_of(2, shape[1]), *drawn(*shape, base=False)])
    with place.active() if shape[0] else nullcontext():
        found = results(sine_ops.sine_linear, inputs)
    assert all((t == 0).all() for t in found)


def test_several_blocks_give_what_one_gives(place, monkeypatch):
    inputs = [rows_of(80, 30), *drawn(50, 30, 2)]
    true = results(sine_ops.sine_linear, inputs)
    for name in ("_BLOCK", "_CUDA_BLOCK"):
        monkeypatch.setattr(sine_tiles, name, 7 * 30)
    with place.active():
        assert_same(results(sine_ops.sine_linear, place.moved(inputs)), true, 1e-12)


@pytest.mark.parametrize("rows", [4, 80])
def test_strided_inputs(place, rows):
    U, V, omega, gain, base = drawn(6, 10, 2)
    x = rows_of(20, rows).detach()[::2].T
    turned = [t.detach().T.contiguous().T for t in (U, V, base)]
    inputs = [t.requires_grad_() for t in (x, *turned[:2], omega, gain, turned[2])]
    true = results(reference.linear, inputs)
    wide = [t.detach().to(place.device) for t in inputs]  # `to` keeps the strides
    wide[0] = rows_of(20, rows).detach().to(place.device)[::2].T
    with place.active():
        found = results(sine_ops.sine_linear, [t.requires_grad_() for t in wide])
    for ours, theirs in zip(found, true, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("omega", [0.0, 1e-3, -3.0, 200.0])
def test_frequencies(place, omega):
    inputs = drawn(8, 6, 2, omega=omega)
    check(place, sine_ops.sine_matrix, inputs, 1e-10)
    check(place, sine_ops.sine_linear, [rows_of(3, 6), *inputs], 1e-10)


def test_numbers_on_the_cpu_and_no_gradients(place):
    U, V, omega, gain, _ = (None if t is None else t.detach() for t in drawn(8, 6, 2, base=False))
    x = rows_of(3, 6).detach()
    true = sine_ops.sine_linear(x, U, V, omega, gain)
    x, U, V = place.moved([x, U, V])
    with place.active():
        assert_same([sine_ops.sine_linear(x, U, V, omega, gain)], [true], 1e-13)


def test_row_norms(place):
    inputs = drawn(5, 9, 2)
    true = sine_ops.sine_row_norms(*inputs)
    with place.active():
        assert_same([sine_ops.sine_row_norms(*place.moved(inputs))], [true], 1e-13)


LAYERS = {
    "linear": (lambda: ef.nn.SineLinear(12, 9, 2, learn_omega=True, learn_gain=True), (3, 12)),
    "convolution": (lambda: ef.nn.SineConv2d(4, 6, 3, 2, padding=1), (2, 4, 5, 5)),
    "embedding": (lambda: ef.nn.SineEmbedding(20, 8, 2), None),
    "adapter": (lambda: ef.nn.SineLoRA(torch.nn.Linear(12, 9), 2), (3, 12)),
    "adapter, many rows": (lambda: ef.nn.SineLoRA(torch.nn.Linear(12, 9), 2), (90, 12)),
    "adapter and magnitudes": (lambda: ef.nn.SineDoRA(torch.nn.Linear(12, 9), 2), (3, 12)),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers(place, kind, dtype):
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    layer = make().to(dtype)
    with torch.no_grad():
        for p in layer.parameters():  # adapters start with a zero factor
            p += 0.1 * torch.randn_like(p)
    x = torch.randint(20, (7,)) if shape is None else torch.randn(shape).to(dtype)

    def run(layer, x):
        y = layer(x)
        y.float().square().sum().backward()
        return [y, *(p.grad for p in layer.parameters() if p.requires_grad)]

    twin = copy.deepcopy(layer).to(place.device)
    true = run(layer, x)
    with place.active():
        assert_same(run(twin, x.to(place.device)), true, TOLERANCES[dtype])


@pytest.mark.parametrize("rows", [4, 80])
def test_codes_are_decoded_for_the_kernels(place, rows):
    U, V, omega, gain, base = (t.detach().float() for t in drawn(13, 11, 3))
    packed = [ef.sine.quantize(f.numpy(), 4) for f in (U, V)]
    codes = [
        (torch.from_numpy(q.codes), torch.from_numpy(q.table), [*q.shape, q.bits]) for q in packed
    ]
    x = rows_of(rows, 11, torch.float32)

    def run(x, left, right, rest):
        return results(lambda x: sine_ops.sine_packed_linear(x, left, right, *rest), [x])

    true = run(x, *codes, (omega, gain, base))
    moved = [(*place.moved(part[:2]), part[2]) for part in codes]
    with place.active():
        found = run(*place.moved([x]), *moved, place.moved([omega, gain, base]))
    assert_same(found, true, 1e-5)


def test_tensors_of_two_devices_are_named():
    U, V, omega, gain, base = drawn(5, 4, 2)
    x = rows_of(3, 4)
    with pytest.raises(ValueError, match=r"^x: got a tensor on meta, want cpu as U is"):
        sine_ops.sine_linear(x.to("meta"), U, V, omega, gain)
    with pytest.raises(ValueError, match=r"^V: got a tensor on meta, want cpu"):
        sine_ops.sine_matrix(U, V.to("meta"), omega, gain)
    with pytest.raises(ValueError, match=r"^base: got a tensor on cpu, want meta"):
        sine_ops.sine_matrix(U.to("meta"), V.to("meta"), omega, gain, base)


# ---- on a device alone


def on_device(place, rows, m=300, n=200, k=8, dtype=torch.float32, *, base=False):
    inputs = [rows_of(rows, n, dtype), *drawn(m, n, k, dtype, base=base)]
    return inputs, place.moved(inputs)


@DEVICE_ONLY
@pytest.mark.parametrize("rows", [1, 8, 500])
def test_without_cupy_pytorch_does_the_same(place, rows, monkeypatch):
    _, inputs = on_device(place, rows, dtype=torch.float64, base=True)
    with place.active():
        found = results(sine_ops.sine_linear, inputs)
    monkeypatch.setattr(sine_cuda, "reaches", lambda t: False)
    assert_same(found, results(sine_ops.sine_linear, inputs), 1e-11)


@DEVICE_ONLY
@pytest.mark.parametrize("rows", [1, 8, 500])
def test_another_stream(place, rows):
    inputs, moved = on_device(place, rows)
    true = results(sine_ops.sine_linear, inputs)
    stream = torch.cuda.Stream()
    late = [torch.empty_like(t).requires_grad_() if t is not None else t for t in moved]
    torch.cuda.synchronize()
    with torch.cuda.stream(stream), place.active():
        torch.cuda._sleep(
            20_000_000
        )  # inputs arrive late: kernels of another stream would miss them
        for to, t in zip(late, moved, strict=True):
            if t is not None:
                to.data.copy_(t.data)
        found = results(sine_ops.sine_linear, late)
        copies = [t.detach().clone() for t in found]
    stream.synchronize()
    for ours, theirs in zip(copies, true, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs.detach(), rtol=1e-4, atol=1e-3)


@DEVICE_ONLY
@pytest.mark.parametrize("rows", [1, 8, 500])
@pytest.mark.parametrize("dtype", KINDS)
def test_nothing_waits_for_the_device(place, rows, dtype):
    _, inputs = on_device(place, rows, dtype=dtype, base=True)
    results(sine_ops.sine_linear, inputs)  # compiles the kernels
    weights = torch.ones(rows, 300, dtype=dtype, device=place.device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        y = sine_ops.sine_linear(*inputs)
        torch.autograd.grad(y, inputs, weights)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@DEVICE_ONLY
@pytest.mark.parametrize("rows", [8, 500])
def test_compiled(place, rows):
    inputs, moved = on_device(place, rows)
    true = results(sine_ops.sine_linear, inputs)
    compiled = torch.compile(lambda *a: 2 * sine_ops.sine_linear(*a), fullgraph=True)
    with place.active():
        found = results(compiled, moved)
    for ours, theirs in zip(found, true, strict=True):
        torch.testing.assert_close(ours.cpu(), 2 * theirs.detach(), rtol=1e-4, atol=1e-3)


@DEVICE_ONLY
@pytest.mark.parametrize("rows", [1, 8, 500])
def test_a_captured_step_replays_with_new_inputs(place, rows):
    _, inputs = on_device(place, rows)
    inputs = [t for t in inputs if t is not None]
    weights = torch.ones(rows, 300, device=place.device)

    def step():
        y = sine_ops.sine_linear(*inputs)
        return [y, *torch.autograd.grad(y, inputs, weights)]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        inputs[0].mul_(0.5)
        inputs[3].fill_(7.0)
    graph.replay()
    torch.cuda.synchronize()
    for ours, theirs in zip(captured, step(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


@DEVICE_ONLY
@pytest.mark.parametrize("rows", [1, 64, 256])
@pytest.mark.parametrize("adapter", [False, True])
def test_memory_of_a_step(place, cupy, rows, adapter):
    size = 8192  # 256 MiB in float32
    with torch.device(place.device):
        layer = ef.nn.SineLinear(size, size, 8, learn_omega=True, learn_gain=True)
        if adapter:
            layer = ef.nn.SineLoRA(torch.nn.Linear(size, size), 8)
    x = torch.randn(rows, size, device=place.device, requires_grad=True)

    def step():
        layer(x).sum().backward()
        layer.zero_grad(set_to_none=True)
        x.grad = None

    step()
    torch.cuda.synchronize()
    pool = cupy.get_default_memory_pool()
    pool_before, before = pool.total_bytes(), torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    # Four blocks of weights and a few matrices of the size of x.
    assert peak < 4 * 4 * sine_tiles._CUDA_BLOCK + 12 * 4 * rows * size
    assert pool.total_bytes() == pool_before


@DEVICE_ONLY
def test_operations_keep_the_rules_of_torch_library(place):
    _, (x, U, V, omega, gain, base) = on_device(place, 12, 7, 5, 3, base=True)
    torch.library.opcheck(sine_ops._linear_op, (x, U, V, omega, gain, base))
    torch.library.opcheck(sine_ops._matrix_op, (U, V, omega, gain, None))


@DEVICE_ONLY
def test_more_rows_than_the_fused_kernels_take_agree_with_them(place, monkeypatch):
    _, inputs = on_device(place, 50, 1000, 700, 8, dtype=torch.float64)
    with place.active():
        blocks = results(sine_ops.sine_linear, inputs)
        monkeypatch.setitem(sine_fused._ROWS, "cuda", (100, 8))
        fused = results(sine_ops.sine_linear, inputs)
    assert_same(fused, blocks, 1e-11)
