"""PyTorch tensors in `svd`: read where they are, and answered in tensors that share memory."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")

import eigenflow as ef  # noqa: E402
from eigenflow.lowrank.operands import as_operand  # noqa: E402

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


@pytest.mark.parametrize("turned", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tensor_is_decomposed_where_it_is(dtype, turned):
    A = torch.randn(60, 40, dtype=dtype, generator=torch.Generator().manual_seed(0))
    A = A.T if turned else A
    held, before = as_operand(A)._a, A.clone()
    assert held.__array_interface__["data"][0] == A.data_ptr()
    assert held.strides == tuple(step * A.element_size() for step in A.stride())
    result, same = ef.lowrank.svd(A, 5, rng=0), ef.lowrank.svd(A.numpy(), 5, rng=0)
    assert torch.equal(A, before)
    for got, want in zip((*result, result.residuals), (*same, same.residuals), strict=True):
        assert isinstance(got, torch.Tensor)
        np.testing.assert_array_equal(got.numpy(), want)


def test_a_parameter_is_read_without_its_gradient():
    weight = torch.nn.Linear(30, 20).weight
    U, s, Vh = ef.lowrank.svd(weight, rng=0)
    assert not s.requires_grad
    torch.testing.assert_close((U * s) @ Vh, weight.detach(), rtol=0, atol=1e-5)


def kib(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc/self/status")
@pytest.mark.parametrize("turned", [False, True], ids=["rows", "columns"])
def test_a_large_tensor_is_not_copied(turned):
    A = torch.randn(6000, 2500, generator=torch.Generator().manual_seed(0))  # 57 MiB
    A = A.T if turned else A
    ef.lowrank.svd(A[:1500, :1500], 3, rng=0)  # buffers that BLAS keeps
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # resets the peak
    before = kib("VmRSS")
    ef.lowrank.svd(A, 3, rng=0)
    assert kib("VmHWM") - before < 0.4 * A.nbytes / 1024


def test_tensors_that_numpy_cannot_read_are_refused_by_name():
    with pytest.raises(TypeError, match=r"^A: got torch.bfloat16"):
        ef.lowrank.svd(torch.zeros(4, 3, dtype=torch.bfloat16), 1)
    with pytest.raises(TypeError, match=r"^A: got .*layout"):
        ef.lowrank.svd(torch.eye(4).to_sparse(), 1)
    with pytest.raises(TypeError, match=r"^A: got Tensor without memory"):
        ef.lowrank.svd(torch.zeros(4, 3, device="meta"), 1)


def test_a_lazy_conjugate_is_read_as_what_it_is():
    A = torch.randn(8, 6, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    U, s, Vh = ef.lowrank.svd(A.mH)
    torch.testing.assert_close((U * s) @ Vh, A.mH.resolve_conj())
