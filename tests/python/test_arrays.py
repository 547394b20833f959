import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

import eigenflow as ef
from eigenflow import _arrays


class FakeTensor:
    """A CPU tensor of some other library, as far as DLPack goes."""

    def __init__(self, array, device=(1, 0)):
        self._array = array
        self._device = device

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._device


class FakeCupy:
    __module__ = "cupy._core.core"


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_finite_arrays_pass_and_others_name_the_first_position(a):
    bad = np.flatnonzero(~np.isfinite(a))
    if bad.size == 0:
        assert _arrays.as_float_array(a, "x") is a
        return
    with pytest.raises(ValueError, match=r"^x: got (nan|inf|-inf)") as error:
        _arrays.as_float_array(a, "x")
    if a.ndim == 1:
        assert f"at position {bad[0]}," in str(error.value)


def test_broadcast_arrays_are_scanned_by_what_they_hold():
    wide = np.broadcast_to(np.array([[1.0], [np.nan]]), (2**20, 2, 2**20))
    with pytest.raises(ValueError, match=r"^x: got nan at position \(0, 1, 0\)"):
        _arrays.as_float_array(wide, "x")
    assert _arrays.as_float_array(wide[:, :1], "x").shape == (2**20, 1, 2**20)
    assert _arrays.distinct(np.broadcast_to(1.0, (3, 0, 2))).shape == (1, 0, 1)


def test_more_bytes_than_addresses_are_a_memory_error():
    with pytest.raises(MemoryError, match=r"^result: shape \(4294967296, 1073741824\) of float64"):
        _arrays.empty((2**32, 2**30), np.float64)
    long = np.broadcast_to(0.5, 2**59)
    with pytest.raises(MemoryError, match=r"^result: shape \(16, 576460752303423488\)"):
        ef.flow.solve(long, 1.0, np.ones(16))


def test_finite_values_whose_sum_overflows_are_finite():
    a = np.full(4, np.finfo(np.float64).max)
    assert _arrays.as_float_array(a, "x") is a


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1, 2], np.float64),
        (np.arange(3, dtype=np.int8), np.float64),
        (np.float32(1), np.float32),
        (np.ones(2, np.float16), np.float32),
        (np.ones(2, ">f4"), np.float32),
        (np.ones(2, ">f8"), np.float64),
        (True, np.float64),
    ],
)
def test_dtypes(given, expected):
    a = _arrays.as_float_array(given, "x")
    assert a.dtype == expected
    assert a.dtype.isnative


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_numbers_stay_where_they_are_allowed(dtype):
    a = np.array([1 + 2j, 3 - 4j], dtype)
    assert _arrays.as_float_array(a, "x", allow_complex=True) is a
    swapped = _arrays.as_float_array(a.astype(a.dtype.newbyteorder()), "x", allow_complex=True)
    assert swapped.dtype == dtype
    with pytest.raises(TypeError, match=r"^x: got dtype complex.*, want real numbers"):
        _arrays.as_float_array(a, "x")
    a[1] = complex(0, np.inf)
    with pytest.raises(ValueError, match=r"^x: got infj at position 1|^x: got .*infj.* position 1"):
        _arrays.as_float_array(a, "x", allow_complex=True)


@pytest.mark.parametrize("allow_complex", [False, True])
def test_numbers_wider_than_double_are_refused(allow_complex):
    want = "real or complex numbers" if allow_complex else "real numbers"
    for dtype in (np.longdouble, np.clongdouble):
        if np.dtype(dtype).itemsize > 16 - 8 * (np.dtype(dtype).kind == "f"):
            with pytest.raises(TypeError, match=rf"^x: got dtype .*, want {want}"):
                _arrays.as_float_array(np.ones(2, dtype), "x", allow_complex=allow_complex)


def test_a_position_counts_from_where_a_part_begins():
    a = np.ones((3, 4))
    a[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"^x: got nan at position \(101, 22\)"):
        _arrays.require_finite(a, "x", first=(100, 20))
    with pytest.raises(ValueError, match=r"^x: got nan at position 52,"):
        _arrays.require_finite(a[1], "x", first=(50,))


def test_strides_order_and_read_only_memory_are_kept():
    base = np.asfortranarray(np.arange(24.0).reshape(4, 6))
    base.flags.writeable = False
    view = base[::-2, 1::2]
    assert _arrays.as_float_array(view, "x") is view


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([1j]), np.array([None]), [1, "b"], {}])
def test_what_is_no_real_number_is_a_type_error(bad):
    with pytest.raises(TypeError, match=r"^x: got dtype"):
        _arrays.as_float_array(bad, "x")


def test_ragged_lists_and_wrong_dimensions_are_value_errors():
    with pytest.raises(ValueError, match=r"^x: got list"):
        _arrays.as_float_array([[1], [1, 2]], "x")
    with pytest.raises(ValueError, match=r"^x: got 1 dimensions \(shape \(3,\)\), want 2"):
        _arrays.as_float_array(np.ones(3), "x", ndim=2)


def test_cpu_tensors_are_read_without_a_copy_and_device_tensors_are_refused():
    memory = np.ones(3)
    assert np.shares_memory(_arrays.as_float_array(FakeTensor(memory), "x"), memory)
    pinned = FakeTensor(memory, device=(3, 0))  # page-locked for a device, and the CPU's own
    assert np.shares_memory(_arrays.as_float_array(pinned, "x"), memory)
    for device in (2, 4):
        with pytest.raises(TypeError, match=rf"^x: got an array on device \({device}, 0\)"):
            _arrays.as_float_array(FakeTensor(memory, device=(device, 0)), "x")


def test_what_numpy_has_no_type_for_is_refused():
    class Brain(FakeTensor):
        dtype = "bfloat16"

        def __dlpack__(self, **options):
            raise BufferError("no such type")

    message = r"^x: got bfloat16, which NumPy cannot read \(no such type\)$"
    with pytest.raises(TypeError, match=message):
        _arrays.as_float_array(Brain(np.ones(3)), "x")


def test_kinds_do_not_mix_but_numbers_go_with_any():
    assert _arrays.common_kind(a=np.ones(2), b=[1.0], c=3) == "numpy"
    assert _arrays.common_kind(a=FakeCupy(), b=2.0) == "cupy"
    assert _arrays.common_kind(a=FakeTensor(np.ones(2)), b=2.0) == "dlpack"
    with pytest.raises(TypeError, match=r"^a \(numpy\), b \(cupy\): "):
        _arrays.common_kind(a=np.ones(2), b=FakeCupy())


def test_what_has_no_graph_is_no_dask_array():
    da = pytest.importorskip("dask.array")
    xarray = pytest.importorskip("xarray")
    lazy = da.ones(3)
    for x in (lazy, xarray.DataArray(lazy)):
        assert _arrays.is_dask(x)
        with pytest.raises(TypeError, match=r"^x: got a Dask array, .*x\.compute\(\)"):
            _arrays.as_float_array(x, "x")
    for x in (np.ones(3), [1.0, 2.0], 3, xarray.DataArray(np.ones(3))):
        assert not _arrays.is_dask(x)
    np.testing.assert_array_equal(_arrays.as_float_array(xarray.DataArray(np.ones(3)), "x"), 1.0)


def test_other_memory_and_masks_are_refused():
    with pytest.raises(TypeError, match=r"^x: got a CuPy array, .*x\.get\(\)"):
        _arrays.as_float_array(FakeCupy(), "x")
    with pytest.raises(TypeError, match=r"^x: got a masked array"):
        _arrays.as_float_array(np.ma.masked_less([1.0, 2.0], 1.5), "x")


@pytest.mark.parametrize("value", [3, 2.5, np.float32(0.5), np.int8(-1), True, np.array(4.0)])
def test_numbers(value):
    got = _arrays.finite_number(value, "x")
    assert type(got) is float
    assert got == value


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("1", TypeError, r"^x: got '1', want a number$"),
        (b"1", TypeError, r"^x: got b'1', want a number$"),
        (bytearray(b"1"), TypeError, r"^x: got bytearray\(b'1'\), want a number$"),
        (None, TypeError, r"^x: got None, want a number$"),
        (1j, TypeError, r"^x: got 1j, want a number$"),
        (np.ones(2), TypeError, r"^x: got array\(\[1., 1.\]\), want a number$"),
        (10**400, ValueError, r"^x: got an integer beyond float64, want a number$"),
        (np.nan, ValueError, r"^x: got nan, want a finite number$"),
        (-np.inf, ValueError, r"^x: got -inf, want a finite number$"),
    ],
)
def test_what_is_no_finite_number_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        _arrays.finite_number(value, "x")


@pytest.mark.parametrize("kind", [TypeError, ValueError])
def test_errors_take_the_name_of_the_callers_argument(kind):
    with pytest.raises(kind, match=r"^Y: got 3: want 4$"), _arrays.renamed("X", "Y"):
        raise kind("X: got 3: want 4")
    with pytest.raises(kind, match=r"^XX: got 3$"), _arrays.renamed("X", "Y"):
        raise kind("XX: got 3")


def test_a_place_on_one_axis_is_one_number():
    line, matrix = np.ones(9), np.ones((9, 1))
    inner = "y: got nan at position (7, 0), want a number"
    for held, name, text in [
        (line, "y", "y: got nan at position 7, want a number"),
        (matrix, "y", inner),
        (line, "x", inner),
    ]:
        with pytest.raises(ValueError, match="position") as error, _arrays.places_in(name, held):
            raise ValueError(inner)
        assert str(error.value) == text


def test_out_is_used_or_refused_by_name():
    x = np.ones(3)
    out = np.empty(3)
    assert _arrays.check_out(out, (3,), np.float64, x) is out
    assert _arrays.check_out(None, (3,), np.float64, x).shape == (3,)
    read_only = np.empty(3)
    read_only.flags.writeable = False
    for bad, error, message in [
        ([0.0] * 3, TypeError, "got list, want a NumPy array"),
        (np.empty(3, np.float32), TypeError, "got dtype float32, want float64"),
        (np.empty(4), ValueError, r"got shape \(4,\), want \(3,\)"),
        (np.empty(6)[::2], ValueError, "want a writeable C-contiguous array"),
        (read_only, ValueError, "want a writeable C-contiguous array"),
        (x, ValueError, "shares memory with an input"),
    ]:
        with pytest.raises(error, match=rf"^out: {message}"):
            _arrays.check_out(bad, (3,), np.float64, x)


def test_torch_goes_in_and_comes_out():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tensor = torch.arange(3.0, requires_grad=True)
    array = _arrays.as_float_array(tensor, "x")
    np.testing.assert_array_equal(array, [0, 1, 2])
    assert isinstance(_arrays.like(array, tensor), torch.Tensor)
